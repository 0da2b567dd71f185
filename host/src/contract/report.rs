//! What a run of the contract tests found.

use std::time::Duration;

use crate::engine::Exchange;
use crate::model::{JsonObject, TypeName};

use super::Rule;

/// What came of all tests, set of inputs by set of inputs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The resource type that was tested.
    pub type_name: TypeName,
    /// Each test with each set of inputs, in the order they were made.
    pub verdicts: Vec<Verdict>,
    /// How long it took.
    pub elapsed: Duration,
    /// Resources that may be left, their models without write-only properties.
    pub left_behind: Vec<LeftBehind>,
}

impl Report {
    /// Counts the tests that passed, failed and were skipped.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.verdicts
            .iter()
            .fold(Counts::default(), |mut counts, verdict| {
                match verdict.outcome {
                    Outcome::Passed => counts.passed += 1,
                    Outcome::Failed { .. } => counts.failed += 1,
                    Outcome::Skipped { .. } => counts.skipped += 1,
                }
                counts
            })
    }
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// What came of one test.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// The test: an official name (`contract_…`) or one of Formwork's own
    /// (`formwork_…`).
    pub test: &'static str,
    /// Which set of inputs, from 1.
    pub set: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// How many invocations it made.
    pub invocations: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// How far it moved the handler's clock: what the delays would have cost.
    pub simulated: Duration,
}

/// How a test ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The handler keeps the rules that the test is about.
    Passed,
    /// It breaks them.
    Failed {
        /// Which, and how; at least one.
        findings: Vec<Finding>,
    },
    /// The test says nothing about this handler.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// A rule that the handler breaks.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What the handler did. No value of a write-only property is in it, unless
    /// the handler wrote one into a message.
    pub what: String,
    /// How often the test has seen it.
    pub times: usize,
    /// The exchanges that show it, oldest first; none where no invocation was made.
    pub exchanges: Vec<Record>,
}

/// An invocation, as it may be shown: without write-only properties, callback
/// context, credentials and type configuration.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which invocation of the set of inputs this is, from 1.
    pub number: usize,
    /// When it ended, by the handler's clock, since the tests of the set began.
    pub at: Duration,
    /// What was asked and what was answered.
    pub exchange: Exchange,
}

/// A resource that may be left: the tests made it and could not delete it, or it
/// appeared while they ran and may be another's.
#[derive(Clone, Debug)]
pub struct LeftBehind {
    /// The test that made it, or that saw it appear.
    pub test: &'static str,
    /// Its model, without write-only properties.
    pub model: JsonObject,
    /// What came of deleting it, or why it was not deleted.
    pub why: String,
}
