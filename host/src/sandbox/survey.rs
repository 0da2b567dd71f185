//! What a component consists of, counted before it is compiled.
//!
//! The bytes are walked once, without a look at the code, in time and memory
//! that are linear in their size. They need not be valid: that is the compiler's
//! to find.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, ComponentTypeRef, Encoding,
    Instance, InstanceTypeDeclaration, Parser, Payload,
};

use super::limit::Limit;
use super::{Limits, LoadError, LoadLimits};

/// Bytes of a page of memory: sizes of pages of a guest's own are a feature that is off.
const PAGE: usize = 64 * 1024;

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
    /// Sections of modules and components, and the instances and aliases in them.
    pub sections: usize,
    /// Bytes that its memories have when an invocation begins.
    pub memory_bytes: usize,
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

/// Counts what `bytes` consist of, and refuses what is over a limit of what is loaded,
/// would begin over one of its invocations, or has strings of another encoding than
/// UTF-8.
pub(super) fn survey(
    bytes: &[u8],
    limits: LoadLimits,
    of_invocation: Limits,
) -> Result<Survey, LoadError> {
    let mut walk = Walk {
        survey: Survey {
            size: bytes.len(),
            ..Survey::default()
        },
        limits,
        open: Vec::new(),
    };
    walk.check()?;
    for payload in Parser::new(0).parse_all(bytes) {
        walk.payload(&payload.map_err(invalid)?)?;
        walk.check()?;
    }
    let survey = walk.survey;
    Limit::MEMORY.check_birth(of_invocation, survey.memory_bytes)?;
    Limit::TABLE_ELEMENTS.check_birth(of_invocation, survey.table_elements)?;
    Ok(survey)
}

fn invalid(source: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid {
        source: source.into(),
    }
}

/// What one instance of a module or of a component takes.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    instances: usize,
    memories: usize,
    tables: usize,
    components: usize,
    memory_bytes: usize,
    table_elements: usize,
}

impl Weight {
    fn add(&mut self, other: Self) {
        let sum = |a: &mut usize, b: usize| *a = a.saturating_add(b);
        sum(&mut self.instances, other.instances);
        sum(&mut self.memories, other.memories);
        sum(&mut self.tables, other.tables);
        sum(&mut self.components, other.components);
        sum(&mut self.memory_bytes, other.memory_bytes);
        sum(&mut self.table_elements, other.table_elements);
    }
}

/// A module or a component whose end has not come yet.
#[derive(Default)]
struct Open {
    is_component: bool,
    /// What one instance of it takes, as far as it is known.
    weight: Weight,
    /// Its index spaces of modules and of components; none where it is given one.
    modules: Vec<Option<Weight>>,
    components: Vec<Option<Weight>>,
}

struct Walk {
    survey: Survey,
    limits: LoadLimits,
    /// The outermost first.
    open: Vec<Open>,
}

impl Walk {
    fn check(&self) -> Result<(), LoadError> {
        self.survey
            .counts()
            .try_for_each(|(limit, found)| limit.check(self.limits, found))
    }

    fn innermost(&mut self) -> Option<&mut Open> {
        self.open.last_mut()
    }

    /// Counts a section and what it says that it holds, before any of that is read.
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        let survey = &mut self.survey;
        let items = match payload {
            // These are of a section or of a module that is counted.
            Payload::Version { .. } | Payload::End(_) | Payload::CodeSectionEntry(_) => {
                return Ok(());
            }
            Payload::InstanceSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => section.count(),
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentImportSection(section) => {
                survey.imports += section.count() as usize;
                0
            }
            Payload::ComponentExportSection(section) => {
                survey.exports += section.count() as usize;
                0
            }
            Payload::ComponentCanonicalSection(section) => {
                survey.functions += section.count() as usize;
                0
            }
            _ => 0,
        };
        survey.sections += 1 + items as usize;
        self.check()
    }

    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        self.section(payload)?;
        let survey = &mut self.survey;
        match payload {
            Payload::Version { encoding, .. } => self.begin(*encoding),
            Payload::End(_) => self.end(),

            Payload::TypeSection(section) => survey.types += section.count() as usize,
            Payload::ImportSection(section) => survey.imports += section.count() as usize,
            Payload::FunctionSection(section) => survey.functions += section.count() as usize,
            Payload::GlobalSection(section) => survey.globals += section.count() as usize,
            Payload::ExportSection(section) => survey.exports += section.count() as usize,
            Payload::ElementSection(section) => survey.segments += section.count() as usize,
            Payload::DataSection(section) => survey.segments += section.count() as usize,
            Payload::CodeSectionEntry(body) => {
                survey.function_bytes = survey.function_bytes.max(body.range().len());
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let pages = memory.map_err(invalid)?.initial;
                    self.add(Weight {
                        memories: 1,
                        memory_bytes: saturated(pages).saturating_mul(PAGE),
                        ..Weight::default()
                    });
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let elements = table.map_err(invalid)?.ty.initial;
                    self.add(Weight {
                        tables: 1,
                        table_elements: saturated(elements),
                        ..Weight::default()
                    });
                }
            }

            Payload::CoreTypeSection(section) => survey.types += section.count() as usize,
            Payload::ComponentTypeSection(section) => {
                for kind in section.clone() {
                    survey.types += parts(&kind.map_err(invalid)?);
                    Limit::TYPES.check(self.limits, survey.types)?;
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance.map_err(invalid)? {
                        self.instantiate(module_index, |open| &open.modules)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance.map_err(invalid)?
                    {
                        self.instantiate(component_index, |open| &open.components)?;
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import.map_err(invalid)?.ty {
                        ComponentTypeRef::Module(_) => self.module(None),
                        ComponentTypeRef::Component(_) => self.component(None),
                        ComponentTypeRef::Func(_)
                        | ComponentTypeRef::Value(_)
                        | ComponentTypeRef::Type(_)
                        | ComponentTypeRef::Instance(_) => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    // What is exported is in the index space once more.
                    self.again(export.kind, export.index as usize);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(invalid)?);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    check_encoding(&function.map_err(invalid)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, encoding: Encoding) {
        let is_component = encoding == Encoding::Component;
        let own = if is_component {
            Weight {
                components: 1,
                ..Weight::default()
            }
        } else {
            Weight {
                instances: 1,
                ..Weight::default()
            }
        };
        self.open.push(Open {
            is_component,
            weight: own,
            ..Open::default()
        });
    }

    fn end(&mut self) {
        let Some(ended) = self.open.pop() else {
            return;
        };
        match (self.open.is_empty(), ended.is_component) {
            (true, _) => {
                let Weight {
                    instances,
                    memories,
                    tables,
                    components,
                    memory_bytes,
                    table_elements,
                } = ended.weight;
                self.survey = Survey {
                    instances,
                    memories,
                    tables,
                    components,
                    memory_bytes,
                    table_elements,
                    ..self.survey
                };
            }
            (false, true) => self.component(Some(ended.weight)),
            (false, false) => self.module(Some(ended.weight)),
        }
    }

    fn module(&mut self, weight: Option<Weight>) {
        if let Some(open) = self.innermost() {
            open.modules.push(weight);
        }
    }

    fn component(&mut self, weight: Option<Weight>) {
        if let Some(open) = self.innermost() {
            open.components.push(weight);
        }
    }

    fn again(&mut self, kind: ComponentExternalKind, index: usize) {
        let Some(open) = self.innermost() else {
            return;
        };
        match kind {
            ComponentExternalKind::Module => {
                let weight = open.modules.get(index).copied().flatten();
                open.modules.push(weight);
            }
            ComponentExternalKind::Component => {
                let weight = open.components.get(index).copied().flatten();
                open.components.push(weight);
            }
            ComponentExternalKind::Func
            | ComponentExternalKind::Value
            | ComponentExternalKind::Type
            | ComponentExternalKind::Instance => {}
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => match kind {
                ComponentExternalKind::Module => self.module(None),
                ComponentExternalKind::Component => self.component(None),
                ComponentExternalKind::Func
                | ComponentExternalKind::Value
                | ComponentExternalKind::Type
                | ComponentExternalKind::Instance => {}
            },
            ComponentAlias::Outer { kind, count, index } => {
                let outer = self
                    .open
                    .len()
                    .checked_sub(1 + count as usize)
                    .and_then(|place| self.open.get(place));
                let index = index as usize;
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let weight = outer.and_then(|it| it.modules.get(index).copied().flatten());
                        self.module(weight);
                    }
                    ComponentOuterAliasKind::Component => {
                        let weight =
                            outer.and_then(|it| it.components.get(index).copied().flatten());
                        self.component(weight);
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                }
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }

    /// Adds what an instance takes that the innermost component makes.
    fn instantiate(
        &mut self,
        index: u32,
        space: impl Fn(&Open) -> &Vec<Option<Weight>>,
    ) -> Result<(), LoadError> {
        let weight = self
            .innermost()
            .and_then(|open| space(open).get(index as usize).copied().flatten())
            .ok_or(LoadError::Uncountable)?;
        self.add(weight);
        Ok(())
    }

    /// Adds to what an instance of the innermost takes.
    fn add(&mut self, weight: Weight) {
        if let Some(open) = self.innermost() {
            open.weight.add(weight);
        }
    }
}

fn saturated(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Counts the types that a type consists of.
fn parts(kind: &ComponentType<'_>) -> usize {
    match kind {
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => 1,
        ComponentType::Component(declarations) => declarations
            .iter()
            .map(|declaration| match declaration {
                ComponentTypeDeclaration::Type(kind) => parts(kind),
                _ => 1,
            })
            .sum(),
        ComponentType::Instance(declarations) => declarations
            .iter()
            .map(|declaration| match declaration {
                InstanceTypeDeclaration::Type(kind) => parts(kind),
                _ => 1,
            })
            .sum(),
    }
}

/// Refuses strings that the host would have to transcode: that has been the way
/// out of other sandboxes, and no toolchain of handlers asks for it.
fn check_encoding(function: &CanonicalFunction) -> Result<(), LoadError> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) =
        function
    else {
        return Ok(());
    };
    options.iter().try_for_each(|option| match option {
        CanonicalOption::UTF16 => Err(LoadError::StringEncoding { encoding: "UTF-16" }),
        CanonicalOption::CompactUTF16 => Err(LoadError::StringEncoding {
            encoding: "Latin-1 or UTF-16",
        }),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey_of(text: &str) -> Result<Survey, LoadError> {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        survey(&bytes, LoadLimits::default(), Limits::default())
    }

    #[test]
    fn all_that_a_component_contains_is_counted() {
        let survey = survey_of(
            r#"(component
                (component $inner
                    (core module $m
                        (memory 1) (table 1 funcref) (global i32 (i32.const 0))
                        (func (export "f")) (func) (data (i32.const 0) "a"))
                    (core instance (instantiate $m))
                    (core instance (instantiate $m)))
                (alias outer 0 $inner (component $again))
                (instance (instantiate $inner))
                (instance (instantiate $again))
                (type (instance (type string) (type (list 0)))))"#,
        )
        .expect("within the limits");
        assert_eq!(
            (survey.instances, survey.memories, survey.tables),
            (4, 4, 4)
        );
        assert_eq!((survey.components, survey.functions), (3, 2));
        assert_eq!((survey.globals, survey.segments), (1, 1));
        assert_eq!((survey.exports, survey.types), (1, 3));
        assert!(survey.function_bytes > 0 && survey.size > 100);
        assert_eq!((survey.memory_bytes, survey.table_elements), (4 * PAGE, 4));
    }

    #[test]
    fn what_many_small_parts_are_made_of_is_counted_whatever_they_are() {
        let head = b"\0asm\x0d\0\x01\0";
        let section = |id: u8, contents: &[u8]| {
            let length = u8::try_from(contents.len()).expect("it is small");
            [&[id, length], contents].concat()
        };
        // Custom sections without a name; types of no parts; aliases of what is outside.
        for (id, contents) in [(0, &[0][..]), (7, &[0]), (6, &[1, 3, 2, 1, 0])] {
            let bytes = [&head[..], &section(id, contents).repeat(100_001)].concat();
            let refusal = survey(&bytes, LoadLimits::default(), Limits::default());
            let refusal = refusal.expect_err("too many").to_string();
            assert!(refusal.contains("raise `load.sections`"), "{id}: {refusal}");
        }
    }

    #[test]
    fn what_would_begin_over_a_limit_is_refused_with_its_setting() {
        let many = |declaration: &str, times: usize| {
            let instances = "(core instance (instantiate $m))".repeat(times);
            survey_of(&format!(
                "(component (core module $m {declaration}) {instances})"
            ))
        };
        for (declaration, times, words) in [
            ("(memory 2000)", 2, None),
            (
                "(memory 2000)",
                3,
                Some("raise `limits.memory` of the type"),
            ),
            ("(memory 65536)", 1, Some("4294967296 bytes of memory")),
            ("(table 60000 funcref)", 3, None),
            (
                "(table 60000 funcref)",
                4,
                Some("raise `limits.table_elements` of the type"),
            ),
            (
                "(table 4294967295 funcref)",
                1,
                Some("4294967295 table elements"),
            ),
        ] {
            match (many(declaration, times), words) {
                (Ok(_), None) => {}
                (Err(refusal), Some(words)) => {
                    assert!(refusal.to_string().contains(words), "{refusal}");
                }
                (other, _) => panic!("{declaration} {times}: {other:?}"),
            }
        }
    }

    #[test]
    fn instances_that_multiply_are_refused_at_once() {
        let mut text =
            "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..60 {
            text = format!(
                "(component $c{level} {text} (instance (instantiate $c{below}))
                    (instance (instantiate $c{below})))",
                below = level - 1
            );
        }
        let refusal = survey_of(&text).expect_err("2 to the 59").to_string();
        assert!(refusal.contains("raise `load.instances`"), "{refusal}");
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let text = r#"(component
            (import "c" (component $given))
            (instance (instantiate $given)))"#;
        let refusal = survey_of(text).expect_err("it is given");
        assert!(matches!(refusal, LoadError::Uncountable), "{refusal}");
    }

    #[test]
    fn strings_of_another_encoding_than_utf_8_are_refused() {
        for (encoding, expected) in [
            ("utf8", None),
            ("utf16", Some("UTF-16")),
            ("latin1+utf16", Some("Latin-1")),
        ] {
            let refusal = survey_of(&format!(
                r#"(component
                    (core module $m (memory (export "m") 1) (func (export "f") (param i32 i32))
                        (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
                    (core instance $i (instantiate $m))
                    (func (export "f") (param "text" string)
                        (canon lift (core func $i "f") (memory $i "m") (realloc (func $i "r"))
                            string-encoding={encoding})))"#
            ))
            .map(drop);
            match (refusal, expected) {
                (Ok(()), None) => {}
                (Err(refusal), Some(words)) => {
                    assert!(refusal.to_string().contains(words), "{refusal}");
                }
                (other, _) => panic!("{encoding}: {other:?}"),
            }
        }
    }
}
