//! What a contract test needs to know without running a handler: the models to
//! send, and whether a model that came back holds what was sent.
//!
//! Everything here decides from a resource type schema and a seed alone, save
//! [`InputTexts`], which reads files.
//!
//! *Invariant*: what the [`Generator`] gives out as valid has been checked by the
//! schema's own validator, and what it gives out as invalid breaks exactly one rule.

mod compare;
mod generate;
mod inputs;

pub use compare::{Comparison, Difference, compare};
pub use generate::{Changed, Extent, GenerateError, Generated, Generator, Invalid, LeftOut};
pub use inputs::{InputError, InputSet, InputTexts, InputWarning, Inputs, InvalidInput, Origin};
