//! What must hold of a campaign.
//!
//! Each rule has been seen to fail: its test plants what it is there to find.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use formwork_host::model::{Callback, HandlerErrorCode};
use formwork_host::operation::{Event, EventKind, ReportStatus, Status};

use super::evidence::{Asked, Evidence, History, Invocation, Report};
use super::schedule::{Door, End, FAILURE};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What was accepted is in the store.
    Lost,
    /// What was asked for is accepted, and what was accepted ends.
    Stuck,
    /// An operation ends once, and all who say how say the same, for ever.
    Ends,
    /// It ends as its handler says.
    Outcome,
    /// The same key gives the same request, and one resource.
    Key,
    /// The store holds nothing that nobody has asked for.
    Unasked,
    /// Each invocation has a lease of its own, and is given what the committed
    /// ones before it have left, and nothing else.
    Fenced,
    /// Nothing is invoked once the operation has ended.
    Absorbed,
    /// No invocation begins before it is due.
    Early,
    /// A lease is lost with its host only.
    Spurious,
    /// Reports are taken in order, all of them, and none after the last.
    Reports,
    /// No answer says anything that the request does not deserve.
    Answers,
}

/// What is wrong with an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: Rule,
    /// The key of the operation.
    pub key: String,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.rule, self.key, self.what)
    }
}

/// Gives all that is wrong.
#[must_use]
pub fn violations(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let cases = cases(evidence);
    for case in &cases {
        let mut note = |rule, what| {
            found.push(Violation {
                rule,
                key: case.key.to_owned(),
                what,
            });
        };
        case.answers(&mut note);
        case.acceptance(&mut note);
        case.ending(&mut note);
        case.chain(&mut note);
        case.times(&mut note);
        case.losses(evidence.losses.as_deref(), &mut note);
        case.reports(&mut note);
    }
    let asked: BTreeSet<_> = evidence
        .asked
        .values()
        .map(|asked| (asked.plan.name.as_str(), asked.plan.mutation))
        .collect();
    for history in &evidence.histories {
        if !asked.contains(&(history.name.as_str(), history.mutation)) {
            found.push(Violation {
                rule: Rule::Unasked,
                key: history.name.clone(),
                what: format!("the store holds {} of it", history.token),
            });
        }
    }
    found
}

/// All that there is of one operation.
struct Case<'a> {
    key: &'a str,
    asked: &'a Asked,
    /// What handlers did, by number of the invocation and of the attempt.
    invocations: Vec<&'a Invocation>,
    reports: Vec<&'a Report>,
    histories: Vec<&'a History>,
}

fn cases(evidence: &Evidence) -> Vec<Case<'_>> {
    let mut invocations: BTreeMap<_, Vec<&Invocation>> = BTreeMap::new();
    for invocation in &evidence.invocations {
        let of = (invocation.name.as_str(), invocation.action.as_str());
        invocations.entry(of).or_default().push(invocation);
    }
    let mut histories: BTreeMap<_, Vec<&History>> = BTreeMap::new();
    for history in &evidence.histories {
        let of = (history.name.as_str(), history.mutation);
        histories.entry(of).or_default().push(history);
    }
    let mut reports: BTreeMap<_, Vec<&Report>> = BTreeMap::new();
    for report in &evidence.reports {
        let of = report.bearer.as_str();
        reports.entry(of).or_default().push(report);
    }
    let all = evidence.asked.iter().map(|(key, asked)| {
        let (name, mutation) = (asked.plan.name.as_str(), asked.plan.mutation);
        let mut invocations = invocations
            .remove(&(name, mutation.as_str()))
            .unwrap_or_default();
        invocations.sort_by_key(|made| (made.invocation, made.attempt, made.at));
        Case {
            key,
            asked,
            invocations,
            reports: reports.remove(key.as_str()).unwrap_or_default(),
            histories: histories.remove(&(name, mutation)).unwrap_or_default(),
        }
    });
    all.collect()
}

type Note<'a> = dyn FnMut(Rule, String) + 'a;

impl Case<'_> {
    /// The one operation, once it is clear that there are no more.
    fn history(&self) -> Option<&History> {
        match self.histories.as_slice() {
            [history] => Some(history),
            _ => None,
        }
    }

    fn answers(&self, note: &mut Note<'_>) {
        for answer in &self.asked.refused {
            note(Rule::Answers, answer.clone());
        }
    }

    fn acceptance(&self, note: &mut Note<'_>) {
        let asked = self.asked;
        if asked.accepted.is_empty() {
            note(
                Rule::Stuck,
                format!("sent {} times, never accepted", asked.sent),
            );
        } else if self.histories.is_empty() {
            note(Rule::Lost, "accepted, and not in the store".to_owned());
        }
        let answered = asked
            .accepted
            .iter()
            .filter_map(|answer| answer.token.as_deref());
        let stored = self.histories.iter().map(|history| history.token.as_str());
        let made = self.invocations.iter().map(|made| made.token.as_str());
        let tokens: BTreeSet<&str> = answered.chain(stored).chain(made).collect();
        if tokens.len() > 1 {
            note(
                Rule::Key,
                format!("one key became several requests: {tokens:?}"),
            );
        }
    }

    fn ending(&self, note: &mut Note<'_>) {
        let Some(history) = self.history() else {
            return;
        };
        let status = history.status;
        if !status.is_terminal() {
            note(Rule::Stuck, format!("it is still {status}"));
            return;
        }
        let ends = ends(&history.events);
        let last = history.events.last().map(|event| event.kind);
        if ends.len() != 1 || last != Some(EventKind::Ended) {
            note(
                Rule::Ends,
                format!("{} events end it, and the last is {last:?}", ends.len()),
            );
        }
        for event in ends {
            if event.status != status {
                note(
                    Rule::Ends,
                    format!("an event ends it {}, and it is {status}", event.status),
                );
            }
        }
        self.seen(status, note);
        self.outcome(history, note);
    }

    /// What callers saw: nothing else once they have seen the end.
    fn seen(&self, status: Status, note: &mut Note<'_>) {
        let seen = &self.asked.seen;
        let ended = |name: &str| name.parse::<Status>().is_ok_and(Status::is_terminal);
        let Some(first) = seen.iter().position(|seen| ended(&seen.status)) else {
            note(Rule::Stuck, "its caller never saw the end".to_owned());
            return;
        };
        // CloudFormation knows no cancel.
        let told = match (self.asked.plan.door, status) {
            (Door::Event, Status::CancelComplete) => Status::Failed,
            (_, status) => status,
        };
        let end = &seen[first];
        if end.status != told.as_str() {
            note(
                Rule::Ends,
                format!("a caller saw {}, and it is {status}", end.status),
            );
        }
        for later in &seen[first..] {
            let same = later.status == end.status
                && later.code == end.code
                && later.message == end.message;
            if !same {
                note(
                    Rule::Ends,
                    format!("a caller saw {end:?} and then {later:?}"),
                );
            }
        }
    }

    fn outcome(&self, history: &History, note: &mut Note<'_>) {
        let plan = &self.asked.plan;
        let code = ends(&history.events)
            .first()
            .and_then(|event| event.code)
            .map(HandlerErrorCode::as_str);
        let right = match history.status {
            Status::Success => plan.end != End::Failure,
            Status::Failed => plan.end == End::Failure && code == Some(FAILURE),
            Status::CancelComplete => plan.cancelled_after.is_some(),
            Status::Pending | Status::InProgress | Status::CancelInProgress => false,
        };
        if !right {
            let end = plan.end;
            note(
                Rule::Outcome,
                format!(
                    "it ended {} {code:?}, and its handler says {end:?}",
                    history.status
                ),
            );
        }
    }

    /// That the committed events are one line of invocations, each with a lease
    /// of its own.
    fn chain(&self, note: &mut Note<'_>) {
        let Some(history) = self.history() else {
            return;
        };
        let action = self.asked.plan.mutation.as_str();
        let mut made = BTreeSet::new();
        for one in &self.invocations {
            if !made.insert((one.invocation, one.attempt)) {
                let (invocation, attempt) = (one.invocation, one.attempt);
                note(
                    Rule::Fenced,
                    format!("invocation {invocation}.{attempt} was made twice"),
                );
            }
        }
        let of_kind = |kind| {
            history
                .events
                .iter()
                .filter(move |event| event.kind == kind)
        };
        let mut line = Vec::new();
        for (expected, event) in (1..).zip(of_kind(EventKind::Progressed)) {
            let (invocation, attempt) = (event.invocation, event.attempt);
            line.push(format!("{action} {invocation}.{attempt}"));
            if invocation != expected {
                note(
                    Rule::Fenced,
                    format!(
                        "event {} of the chain is of invocation {invocation}",
                        line.len()
                    ),
                );
            }
            self.committed(event, &made, note);
        }
        for event in of_kind(EventKind::Ended) {
            self.committed(event, &made, note);
            let last = (event.invocation, event.attempt);
            for one in made.range(last..).filter(|one| **one != last) {
                note(
                    Rule::Absorbed,
                    format!(
                        "invocation {}.{} was made after {}.{} ended it",
                        one.0, one.1, last.0, last.1
                    ),
                );
            }
        }
        for one in &self.invocations {
            let before = usize::try_from(one.invocation).unwrap_or(usize::MAX) - 1;
            if line.get(..before) != Some(&one.seen) {
                note(
                    Rule::Fenced,
                    format!(
                        "invocation {}.{} was given {:?}, and committed is {line:?}",
                        one.invocation, one.attempt, one.seen
                    ),
                );
            }
        }
    }

    /// That an answer is of the invocation that its event names, which was made.
    fn committed(&self, event: &Event, made: &BTreeSet<(u32, u32)>, note: &mut Note<'_>) {
        let (invocation, attempt) = (event.invocation, event.attempt);
        let action = self.asked.plan.mutation.as_str();
        let message = event.message.as_deref().unwrap_or_default();
        let by_handler = message.contains(&format!("[{action} "));
        let record = format!(
            "[{action} invocation={invocation} attempt={attempt} token={}]",
            event.token
        );
        if by_handler && !message.ends_with(&record) {
            note(
                Rule::Fenced,
                format!("the event of invocation {invocation}.{attempt} says {message:?}"),
            );
        }
        if event.kind == EventKind::Progressed || event.status == Status::Success {
            if !by_handler {
                note(
                    Rule::Fenced,
                    format!(
                        "the event of invocation {invocation}.{attempt} is of no handler: {message:?}"
                    ),
                );
            }
            if !made.contains(&(invocation, attempt)) {
                note(
                    Rule::Fenced,
                    format!("invocation {invocation}.{attempt} was committed and never made"),
                );
            }
        }
    }

    /// That nothing begins before it is due.
    fn times(&self, note: &mut Note<'_>) {
        let Some(history) = self.history() else {
            return;
        };
        let plan = &self.asked.plan;
        for one in &self.invocations {
            let due = history.events.iter().rev().find(|event| match event.kind {
                EventKind::Progressed => (event.invocation + 1, 1) == begun(one),
                EventKind::Retried => (event.invocation, event.attempt + 1) == begun(one),
                _ => false,
            });
            let Some(event) = due else {
                continue;
            };
            let asked = match event.callback {
                Some(Callback::After(delay)) => delay.as_millis(),
                Some(Callback::None) | None => 0,
            };
            let earliest =
                u128::from(event.due.as_millis()).max(u128::from(event.at.as_millis()) + asked);
            if u128::from(one.at) < earliest {
                note(
                    Rule::Early,
                    format!(
                        "invocation {}.{} began at {}, and was due at {earliest}",
                        one.invocation, one.attempt, one.at
                    ),
                );
            }
            if let Some(seen) = one.seen_at.filter(|seen| u128::from(*seen) < earliest) {
                note(
                    Rule::Early,
                    format!(
                        "invocation {}.{} was seen at {seen}, and was due at {earliest}: its host is ahead of time",
                        one.invocation, one.attempt
                    ),
                );
            }
        }
        // The same without the store's word: from start to start, by the plan.
        for one in self.invocations.iter().filter(|one| one.attempt == 1) {
            let Some(committed) = one.seen.last() else {
                continue;
            };
            let before = self.invocations.iter().find(|before| {
                format!("{} {}.{}", before.action, before.invocation, before.attempt) == *committed
            });
            let step = usize::try_from(one.invocation)
                .ok()
                .and_then(|number| plan.steps.get(number.checked_sub(2)?));
            if let (Some(before), Some(step)) = (before, step)
                && one.at < before.at + step.delay * 1_000
            {
                note(
                    Rule::Early,
                    format!(
                        "invocation {}.1 began {} ms after the one that asked for {} s",
                        one.invocation,
                        one.at.saturating_sub(before.at),
                        step.delay
                    ),
                );
            }
        }
    }

    /// That no more attempts were lost than hosts from the acceptance, which may lease
    /// the operation already, to the end.
    fn losses(&self, losses: Option<&[u64]>, note: &mut Note<'_>) {
        let (Some(history), Some(losses)) = (self.history(), losses) else {
            return;
        };
        let of_kind = |kind| {
            let event = history.events.iter().find(|event| event.kind == kind);
            event.map(|event| event.at.as_millis())
        };
        let accepted = of_kind(EventKind::Accepted).unwrap_or(0);
        let ended = of_kind(EventKind::Ended).unwrap_or(u64::MAX);
        let lived = losses.iter().filter(|at| (accepted..=ended).contains(at));
        let losses = lived.count();
        let lost = history.events.iter().filter(|event| {
            let said = event.message.as_deref();
            event.kind == EventKind::Retried && said.is_some_and(|said| said.contains(LOST))
        });
        let lost = lost.count();
        if lost > losses {
            note(
                Rule::Spurious,
                format!("{lost} attempts were lost, and {losses} hosts meanwhile"),
            );
        }
    }

    /// That each event is taken once, in order, and none after the last. What was
    /// taken may be sent again.
    fn reports(&self, note: &mut Note<'_>) {
        let Some(history) = self.history() else {
            return;
        };
        if history.unreported > 0 {
            note(
                Rule::Reports,
                format!("{} reports were never delivered", history.unreported),
            );
        }
        let expected: Vec<(u64, &str)> = match self.asked.plan.door {
            Door::CloudControl => Vec::new(),
            Door::Event => history.events.iter().filter_map(expected).collect(),
        };
        let mut taken: Vec<(u64, &str)> = Vec::new();
        for report in &self.reports {
            let this = (report.version, report.status.as_str());
            if taken.contains(&this) {
                continue;
            }
            if expected.get(taken.len()) != Some(&this) {
                note(
                    Rule::Reports,
                    format!("{this:?} was sent when {taken:?} were taken, of {expected:?}"),
                );
            }
            if report.taken {
                taken.push(this);
            }
        }
        if taken != expected {
            note(
                Rule::Reports,
                format!("{taken:?} were taken, of {expected:?}"),
            );
        }
    }
}

/// What is said of an attempt whose host was lost.
const LOST: &str = "the host was lost";

/// Gives the number of an invocation and of its attempt.
const fn begun(made: &Invocation) -> (u32, u32) {
    (made.invocation, made.attempt)
}

fn ends(events: &[Event]) -> Vec<&Event> {
    events
        .iter()
        .filter(|event| event.kind == EventKind::Ended)
        .collect()
}

/// Gives the version and the status that the endpoint must be told of an event.
fn expected(event: &Event) -> Option<(u64, &'static str)> {
    let status = match event.report_status()? {
        ReportStatus::Acknowledgement | ReportStatus::InProgress => "IN_PROGRESS",
        ReportStatus::Success => "SUCCESS",
        ReportStatus::Failed(_) => "FAILED",
    };
    Some((event.version, status))
}

#[cfg(test)]
mod tests;
