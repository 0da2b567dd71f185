//! What is known of a campaign when it is over: what its callers asked and heard,
//! what its handlers did, what its endpoint was told, and what the store says.
//!
//! All but the last is kept outside of the processes under test. Times are in
//! milliseconds since 1970, by the clock of the one machine that all run on.

use std::collections::BTreeMap;

use formwork_host::operation::{Event, Status};
use serde::{Deserialize, Serialize};

use super::schedule::{Mutation, Plan};

/// Everything.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What was asked for, by the caller's key ([`Plan::key`]).
    pub asked: BTreeMap<String, Asked>,
    /// What handlers did.
    pub invocations: Vec<Invocation>,
    /// What the endpoint got, in order.
    pub reports: Vec<Report>,
    /// What the store says.
    pub histories: Vec<History>,
    /// When hosts were lost, where nothing else can cost an operation its lease.
    pub losses: Option<Vec<u64>>,
}

/// One operation, as its caller saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// What was asked for.
    pub plan: Plan,
    /// How often it was sent.
    pub sent: u32,
    /// Each answer that accepted it.
    pub accepted: Vec<Accepted>,
    /// Each status that was seen, in order.
    pub seen: Vec<Seen>,
    /// What was answered that should not have been.
    pub refused: Vec<String>,
}

/// An answer that accepted a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// When.
    pub at: u64,
    /// As which request; none through a door that does not say.
    pub token: Option<String>,
}

/// A status as a caller saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// When.
    pub at: u64,
    /// In Cloud Control's words.
    pub status: String,
    /// Why it failed, if it did.
    pub code: Option<String>,
    /// What was said.
    pub message: Option<String>,
}

/// An invocation, as the handler wrote it down when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The request token.
    pub token: String,
    /// The action.
    pub action: String,
    /// The resource.
    pub name: String,
    /// The number of the invocation.
    pub invocation: u32,
    /// The number of the attempt.
    pub attempt: u32,
    /// When, by the clock of its host.
    pub at: u64,
    /// When that was seen from outside, if it was: at that moment or before, it
    /// had begun.
    #[serde(default)]
    pub seen_at: Option<u64>,
    /// What it was given of the callback context: an entry, `CREATE 1.2`, for
    /// each invocation before whose event was committed, and its attempt.
    pub seen: Vec<String>,
}

/// A call of RecordHandlerProgress, as the endpoint got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of which operation: [`Plan::key`].
    pub bearer: String,
    /// The version of the event that it reports.
    pub version: u64,
    /// What it reports.
    pub status: String,
    /// Whether the endpoint took it, whatever it answered.
    pub taken: bool,
}

/// An operation, as the store keeps it.
#[derive(Clone, Debug)]
pub struct History {
    /// The request token.
    pub token: String,
    /// The resource.
    pub name: String,
    /// What was done to it.
    pub mutation: Mutation,
    /// How far it is.
    pub status: Status,
    /// All its events, in order.
    pub events: Vec<Event>,
    /// How many reports are not delivered.
    pub unreported: usize,
}

impl Evidence {
    /// Tells the whole history of an operation, a line each thing, in the order
    /// of time within each of its parts.
    #[must_use]
    pub fn tell(&self, key: &str) -> String {
        let mut lines = Vec::new();
        let Some(asked) = self.asked.get(key) else {
            return format!("nobody asked for {key}");
        };
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        lines.push(format!("plan {}", json(serde_json::to_string(&asked.plan))));
        lines.push(format!("sent {} times", asked.sent));
        for accepted in &asked.accepted {
            lines.push(format!(
                "accepted {}",
                json(serde_json::to_string(accepted))
            ));
        }
        for invocation in self.invocations_of(&asked.plan) {
            lines.push(format!(
                "invoked {}",
                json(serde_json::to_string(invocation))
            ));
        }
        for seen in &asked.seen {
            lines.push(format!("seen {}", json(serde_json::to_string(seen))));
        }
        for report in self.reports.iter().filter(|report| report.bearer == key) {
            lines.push(format!("reported {}", json(serde_json::to_string(report))));
        }
        for history in self.histories_of(&asked.plan) {
            lines.push(format!(
                "stored {} {} with {} reports to deliver",
                history.token, history.status, history.unreported
            ));
            for event in &history.events {
                lines.push(format!(
                    "stored {} at {} version {} {:?} {} {}.{} due {} {}",
                    history.token,
                    event.at.as_millis(),
                    event.version,
                    event.kind,
                    event.status,
                    event.invocation,
                    event.attempt,
                    event.due.as_millis(),
                    event.message.as_deref().unwrap_or_default(),
                ));
            }
        }
        lines.join("\n")
    }

    /// Gives what handlers did for a plan.
    pub(super) fn invocations_of<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = &'a Invocation> {
        self.invocations.iter().filter(|invocation| {
            invocation.name == plan.name && invocation.action == plan.mutation.as_str()
        })
    }

    /// Gives what the store has of a plan: one operation, if all is well.
    pub(super) fn histories_of<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a History> {
        self.histories
            .iter()
            .filter(|history| history.name == plan.name && history.mutation == plan.mutation)
    }
}
