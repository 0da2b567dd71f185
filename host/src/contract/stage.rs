//! What the tests act upon: an engine under a manual clock, the handler, and a
//! set of inputs.
//!
//! A test asks for operations here and says what it found; what every test
//! needs besides, such as that nothing is left behind, is done here too.

mod ask;
mod made;
mod steps;
mod unknown;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::{Clock as _, ManualClock};
use crate::engine::Engine;
use crate::model::{
    HandlerErrorCode, PrimaryIdentifier, RequestDetails, Scope, Timestamp, Trap, TypeSchema,
};
use crate::registry::HandlerVersion;

use super::judge::{self, Breach};
use super::log::{Entry, Log};
use super::{ContractError, Finding, InputSet, LeftBehind, Record, Rule};

pub(super) use ask::refused;
pub(super) use steps::take_over;

/// How many exchanges a finding shows of a long chain: the first one and the last.
const SHOWN_EXCHANGES: usize = 6;

/// Why a test does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// What was found is noted; what comes next would say nothing.
    Failed,
    /// The test says nothing about this handler.
    Skip(String),
    /// The tests cannot be made.
    Broken(ContractError),
}

/// What a part of a test gives.
pub(super) type Step<T = ()> = Result<T, Stop>;

impl From<ContractError> for Stop {
    fn from(error: ContractError) -> Self {
        Self::Broken(error)
    }
}

/// How an operation, a READ or a LIST ended, in the handler's own answer.
pub(super) struct Ended {
    pub(super) end: End,
    /// Which exchange was its first.
    pub(super) from: usize,
}

/// What came of asking a handler.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// It answered SUCCESS with this model, an empty one for a DELETE.
    Success(Map<String, Value>),
    /// It answered FAILED.
    Failed {
        code: HandlerErrorCode,
        message: String,
    },
    /// It broke.
    Trapped(Trap),
    /// It still answered `IN_PROGRESS` when the engine gave up.
    GivenUp(String),
    /// It answered something that the engine did not accept.
    Overruled(String),
    /// The engine refused the request, and the handler never saw it.
    Refused(String),
}

impl End {
    /// Tells whether the handler answered FAILED with the code.
    pub(super) fn is_failed(&self, expected: HandlerErrorCode) -> bool {
        matches!(self, Self::Failed { code, .. } if *code == expected)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success(_) => f.write_str("answered SUCCESS"),
            Self::Failed { code, message } if message.trim().is_empty() => {
                write!(f, "answered FAILED {code} with an empty message")
            }
            Self::Failed { code, message } => write!(f, "answered FAILED {code} ({message})"),
            Self::Trapped(trap) => write!(f, "did not answer: {trap}"),
            Self::GivenUp(why) => write!(f, "still answered IN_PROGRESS when it was ended: {why}"),
            Self::Overruled(why) => write!(f, "answered what the engine does not accept: {why}"),
            Self::Refused(why) => write!(f, "was refused by the engine: {why}"),
        }
    }
}

/// A resource that a test made.
#[derive(Clone)]
pub(super) struct Made {
    /// What was asked for.
    pub(super) input: Map<String, Value>,
    /// What was answered.
    pub(super) model: Map<String, Value>,
    /// Which exchange was the first of its last operation.
    pub(super) from: usize,
}

/// A whole LIST.
pub(super) struct Listing {
    pub(super) models: Vec<Map<String, Value>>,
    pub(super) pages: usize,
    pub(super) from: usize,
}

/// What the tests of one set of inputs act upon.
pub(super) struct Stage {
    engine: Engine,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    version: Arc<HandlerVersion>,
    scope: Scope,
    details: RequestDetails,
    inputs: InputSet,
    /// The test that runs, and where its exchanges begin.
    test: &'static str,
    began: usize,
    findings: Vec<Finding>,
    /// What was made and not deleted.
    alive: Vec<Map<String, Value>>,
    left_behind: Vec<LeftBehind>,
    /// The last resource that was made of the inputs.
    last_made: Option<Map<String, Value>>,
    /// The tests in which an action did not come to an end.
    stuck: BTreeMap<&'static str, &'static str>,
    /// Whether the create of the inputs has ever succeeded.
    ever_made: bool,
    /// Identifiers that were deleted.
    deleted: Vec<PrimaryIdentifier>,
    /// How many resources were made since deleted ones turned out to stay.
    stayed: Option<usize>,
    /// Why no resource can be made any more.
    blocked: Option<String>,
    /// Operations that did not come to an end, with their exchanges.
    late: Vec<(String, Vec<Arc<Entry>>)>,
    seed: u64,
}

impl Stage {
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the parts of a run, put together in one place"
    )]
    pub(super) fn new(
        engine: Engine,
        clock: Arc<ManualClock>,
        log: Arc<Log>,
        version: Arc<HandlerVersion>,
        scope: Scope,
        details: RequestDetails,
        inputs: InputSet,
        seed: u64,
    ) -> Self {
        Self {
            engine,
            clock,
            log,
            version,
            scope,
            details,
            inputs,
            test: "",
            began: 0,
            findings: Vec::new(),
            alive: Vec::new(),
            left_behind: Vec::new(),
            last_made: None,
            stuck: BTreeMap::new(),
            ever_made: false,
            deleted: Vec::new(),
            stayed: None,
            blocked: None,
            late: Vec::new(),
            seed,
        }
    }

    pub(super) fn schema(&self) -> &TypeSchema {
        self.version.schema()
    }

    pub(super) fn inputs(&self) -> &InputSet {
        &self.inputs
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Begins a test.
    pub(super) fn begin(&mut self, test: &'static str) {
        self.test = test;
        self.began = self.log.len();
        self.findings.clear();
    }

    /// Ends the test: deletes what it made, and gives what it found.
    pub(super) async fn end(&mut self) -> Result<(Vec<Finding>, usize), ContractError> {
        let invocations = self.log.len() - self.began;
        self.clean().await?;
        Ok((std::mem::take(&mut self.findings), invocations))
    }

    pub(super) fn left_behind(self) -> Vec<LeftBehind> {
        self.left_behind
    }

    /// Notes that the handler breaks a rule, as the exchanges from the given one
    /// on show.
    pub(super) fn found(&mut self, rule: Rule, from: usize, what: impl Into<String>) {
        let entries = self.log.since(from);
        self.note(Breach::new(rule, what), 1, &entries);
    }

    /// Notes a breach, and gives the reason not to go on.
    pub(super) fn fail<T>(&mut self, rule: Rule, from: usize, what: impl Into<String>) -> Step<T> {
        self.found(rule, from, what);
        Err(Stop::Failed)
    }

    /// Notes that what was asked ended otherwise than it should: under `rule` if
    /// it is the handler's answer, else under the rule for not answering.
    pub(super) fn found_end(&mut self, rule: Rule, what: &str, end: &End, from: usize) {
        let rule = match end {
            End::Success(_) | End::Failed { .. } | End::Refused(_) => rule,
            End::Trapped(trap) => judge::rule_of_trap(trap),
            End::GivenUp(_) => Rule::EndsInTime,
            // What should not be there has no identifier to keep.
            End::Overruled(_) if rule == Rule::AbsentIsNotFound => rule,
            End::Overruled(_) => {
                let entries = self.log.since(from);
                let breaches = judge::judge_chains(self.schema(), &entries);
                breaches.first().map_or(rule, |(_, breach)| breach.rule)
            }
        };
        self.found(rule, from, format!("{what} {end}"));
    }

    /// Does as [`Stage::found_end`], and gives the reason not to go on.
    pub(super) fn fail_end<T>(&mut self, rule: Rule, what: &str, ended: &Ended) -> Step<T> {
        self.found_end(rule, what, &ended.end, ended.from);
        Err(Stop::Failed)
    }

    /// Gives the reason to say nothing about this handler.
    #[expect(clippy::unused_self, reason = "reads as the other ends of a test do")]
    pub(super) fn skip<T>(&self, reason: impl Into<String>) -> Step<T> {
        Err(Stop::Skip(reason.into()))
    }

    /// Notes a breach that was seen so many times, and exchanges that show it.
    pub(super) fn note(&mut self, breach: Breach, times: usize, entries: &[Arc<Entry>]) {
        let schema = self.version.schema();
        let record = |entry: &Arc<Entry>| entry.record(schema);
        let exchanges: Vec<Record> = if entries.len() <= SHOWN_EXCHANGES {
            entries.iter().map(record).collect()
        } else {
            let last = &entries[entries.len() - (SHOWN_EXCHANGES - 1)..];
            entries[..1].iter().chain(last).map(record).collect()
        };
        self.findings.push(Finding {
            rule: breach.rule,
            what: breach.what,
            times,
            exchanges,
        });
    }

    /// Gives all exchanges of the set so far.
    pub(super) fn exchanges(&self) -> Vec<Arc<Entry>> {
        self.log.since(0)
    }

    /// Notes the operations that did not come to an end in any test so far.
    pub(super) fn note_late(&mut self) {
        for (what, entries) in std::mem::take(&mut self.late) {
            self.note(Breach::new(Rule::EndsInTime, what), 1, &entries);
        }
    }

    /// Tells whether the test has found anything.
    pub(super) fn has_found(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Drops what the test has found.
    pub(super) fn forgive(&mut self) {
        self.findings.clear();
    }

    fn block(&mut self, why: String) {
        self.blocked.get_or_insert(why);
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Gives the details that requests are made with.
    pub(super) fn details(&self) -> RequestDetails {
        self.details.clone()
    }

    /// Gives the invalid models of the inputs, with words for each.
    pub(super) fn invalid_inputs(&self) -> Vec<(Map<String, Value>, String)> {
        self.inputs
            .invalid
            .iter()
            .map(|invalid| {
                let words = match &invalid.violation {
                    Some(violation) => format!("an invalid input ({violation})"),
                    None => format!(
                        "the invalid input of set {}, which fits the schema,",
                        self.inputs.number
                    ),
                };
                (invalid.model.clone(), words)
            })
            .collect()
    }

    /// Gives how many exchanges there were.
    pub(super) fn position(&self) -> usize {
        self.log.len()
    }

    pub(super) fn identifier(&self, model: &Map<String, Value>) -> Option<PrimaryIdentifier> {
        self.schema().identifier(model)
    }

    /// Gives the model that names the resource of `model` and nothing else.
    pub(super) fn name_of(&self, model: &Map<String, Value>) -> Map<String, Value> {
        self.schema()
            .identifier(model)
            .and_then(|identifier| self.schema().identifier_model(&identifier))
            .unwrap_or_default()
    }
}
