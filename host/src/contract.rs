//! The contract tests: whether a handler keeps what the handler contract demands.
//!
//! The fifteen resource tests of the CloudFormation CLI run under their official
//! names; tests named `formwork_…` hold a handler to what the contract documents
//! and those never check.
//!
//! *Invariant*: the tests run on the production engine, with operations in memory
//! and under a manual clock: a chain with hours of delay takes milliseconds.
//!
//! *Invariant*: no write-only value, callback context, credential or type
//! configuration is in a [`Report`]; what a handler writes into a message is its own.
//!
//! *Invariant*: what a test makes it deletes, or the report says that it could not.

mod cases;
mod compare;
mod generate;
mod inputs;
mod judge;
mod log;
mod report;
mod rule;
mod stage;
mod suite;
mod values;
mod walk;

pub use compare::{Comparison, Difference, compare};
pub use generate::{Changed, Extent, GenerateError, Generated, Generator, Invalid, LeftOut};
pub use inputs::{InputError, InputSet, InputTexts, InputWarning, Inputs, InvalidInput, Origin};
pub use report::{Counts, Finding, LeftBehind, Outcome, Record, Report, Verdict};
pub use rule::Rule;
pub use suite::{ContractError, Suite, Test};
