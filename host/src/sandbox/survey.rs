//! What a component consists of, counted before it is compiled.
//!
//! The bytes are walked once, without a look at the code, in time that is linear in
//! their size. They need not be valid: that is the compiler's to find. What the compiler
//! reads by recursion, or keeps much more of than there are bytes, is bounded here.

mod types;
mod walk;
mod weight;

use wasmparser::Parser;

use self::walk::Walk;
use super::error::invalid;
use super::limit::Limit;
use super::{Limits, LoadError, LoadLimits};

/// How deep components and types may be nested: as deep as the compiler lets the types
/// of values be, far deeper than any toolchain's, and harmless to what reads them by
/// recursion.
const DEPTH: usize = 100;

/// What a component consists of, with all that it contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Bytes.
    pub size: usize,
    /// Core module instances that an invocation makes.
    pub instances: usize,
    /// Linear memories of these.
    pub memories: usize,
    /// Tables of these.
    pub tables: usize,
    /// Component instances that an invocation makes, its own included.
    pub components: usize,
    /// Functions.
    pub functions: usize,
    /// Bytes of the longest function.
    pub function_bytes: usize,
    /// Types, and what they are made of.
    pub types: usize,
    /// Imports of modules and components.
    pub imports: usize,
    /// Exports of these.
    pub exports: usize,
    /// Globals.
    pub globals: usize,
    /// Segments of data and of elements.
    pub segments: usize,
    /// Sections of modules and components, the instances in them with their arguments
    /// and exports, and the aliases.
    pub sections: usize,
    /// Bytes that its memories have when an invocation begins.
    pub memory_bytes: usize,
    /// Bytes that the host keeps for its instances then, besides memories and tables:
    /// globals, imports, references to functions, elements of passive segments.
    pub instance_bytes: usize,
    /// Elements that its tables have then.
    pub table_elements: usize,
}

impl Survey {
    /// Gives each limit on what may be loaded with what there is.
    pub fn counts(&self) -> impl Iterator<Item = (Limit<LoadLimits>, usize)> {
        [
            (Limit::SIZE, self.size),
            (Limit::CORE_INSTANCES, self.instances),
            (Limit::MEMORIES, self.memories),
            (Limit::TABLES, self.tables),
            (Limit::COMPONENTS, self.components),
            (Limit::FUNCTIONS, self.functions),
            (Limit::FUNCTION_BYTES, self.function_bytes),
            (Limit::TYPES, self.types),
            (Limit::IMPORTS, self.imports),
            (Limit::EXPORTS, self.exports),
            (Limit::GLOBALS, self.globals),
            (Limit::SEGMENTS, self.segments),
            (Limit::SECTIONS, self.sections),
        ]
        .into_iter()
    }
}

/// What was found in the bytes of a component.
#[derive(Debug)]
pub(super) struct Surveyed<'a> {
    pub(super) survey: Survey,
    /// The names of what the component itself imports and exports, as they are there.
    pub(super) imports: Vec<&'a str>,
    pub(super) exports: Vec<&'a str>,
}

/// Counts what `bytes` consist of, and refuses what is over a limit of what is loaded,
/// would begin over one of its invocations, or has strings of another encoding than
/// UTF-8.
pub(super) fn survey(
    bytes: &[u8],
    limits: LoadLimits,
    of_invocation: Limits,
) -> Result<Surveyed<'_>, LoadError> {
    let mut walk = Walk::new(bytes, limits);
    walk.check()?;
    for payload in Parser::new(0).parse_all(bytes) {
        walk.payload(&payload.map_err(invalid)?)?;
        walk.check()?;
    }
    let surveyed = walk.surveyed();
    let survey = surveyed.survey;
    let memory = survey.memory_bytes.saturating_add(survey.instance_bytes);
    Limit::MEMORY.check_birth(of_invocation, memory)?;
    Limit::TABLE_ELEMENTS.check_birth(of_invocation, survey.table_elements)?;
    Ok(surveyed)
}

#[cfg(test)]
mod tests;
