//! What a contract test needs to know without running a handler: the models to
//! send.
//!
//! Everything here decides from a resource type schema and a seed alone.
//!
//! *Invariant*: what the [`Generator`] gives out as valid has been checked by the
//! schema's own validator, and what it gives out as invalid breaks exactly one rule.

mod generate;

pub use generate::{Changed, Extent, GenerateError, Generated, Generator, Invalid, LeftOut};
