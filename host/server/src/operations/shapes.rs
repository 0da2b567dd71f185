//! The JSON that tells of operations, their events and their reports.
//!
//! The names of a progress event are those of CloudFormation's `ProgressEvent`;
//! others follow its style. A field without a value is left out. The callback
//! context is not shown: it is the handler's own and may hold secrets.

use formwork_host::model::{Action, Callback, HandlerErrorCode, JsonObject, Timestamp};
use formwork_host::operation::{Event, EventKind, Operation, PendingReport};
use formwork_host::store::ReportAt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::{Unreadable, moment, mutation, optional, parsed};
use super::{Criteria, Details, Found, Reach, Report};

/// Asks for a list of operations.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct ListRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    type_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    /// The first moment of acceptance.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_from: Option<String>,
    /// The first moment that is no more among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// At most this many are given at once. Default, and most: 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_results: Option<usize>,
}

/// Asks for one operation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenRequest {
    pub(crate) request_token: String,
}

/// A part of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationList {
    operations: Vec<OperationLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// A committed event of an operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventLine {
    request_token: String,
    version: u64,
    time: String,
    /// When the invocation began that came to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    began_time: Option<String>,
    event: &'static str,
    status: &'static str,
    invocation: u32,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_delay_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_time: Option<String>,
    /// When CloudFormation accepted its report; unknown if a host of an older version
    /// was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Map<String, Value>>,
}

/// An operation as it was last committed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationLine {
    request_token: String,
    type_name: String,
    action: &'static str,
    status: &'static str,
    version: u64,
    invocation: u32,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    component: String,
    accepted_time: String,
    deadline: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Map<String, Value>>,
}

/// An operation with its chain and what is still to be reported of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationDetails {
    #[serde(flatten)]
    operation: OperationLine,
    events: Vec<EventLine>,
    reports: Vec<ReportLine>,
}

/// A report that is not yet accepted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportLine {
    version: u64,
    status: &'static str,
    attempts: u32,
    due_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// A report that is no longer sent, with its operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusedReport {
    request_token: String,
    type_name: String,
    action: &'static str,
    #[serde(flatten)]
    report: ReportLine,
}

impl RefusedReport {
    pub(crate) fn new(report: &PendingReport) -> Self {
        Self {
            request_token: report.event.token.to_string(),
            type_name: report.type_name.to_string(),
            action: Action::from(report.mutation).as_str(),
            report: ReportLine::new(&Report::from(report.clone())),
        }
    }
}

/// Where a report is that is not sent since it cannot be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnreadableReport {
    request_token: String,
    version: u64,
    refused: &'static str,
}

impl UnreadableReport {
    pub(crate) fn new((token, version): ReportAt) -> Self {
        Self {
            request_token: token.to_string(),
            version,
            refused: "what is stored of it cannot be read",
        }
    }
}

/// Gives the wire's name of what made an event.
pub(super) const fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Accepted => "ACCEPTED",
        EventKind::Progressed => "PROGRESSED",
        EventKind::Recorded => "RECORDED",
        EventKind::Retried => "RETRIED",
        EventKind::CancelAsked => "CANCEL_ASKED",
        EventKind::Ended => "ENDED",
    }
}

/// Gives a moment as RFC 3339, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    i64::try_from(at.as_millis())
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map_or_else(|| format!("{at} ms"), |time| format!("{time:.3}"))
}

/// Gives the wire's delay: negative where no callback is wanted.
fn delay_seconds(callback: Callback) -> i64 {
    match callback {
        Callback::After(delay) => i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
        Callback::None => -1,
    }
}

fn map(model: &JsonObject) -> Map<String, Value> {
    model.to_map()
}

fn unless(ended: bool, at: Timestamp) -> Option<String> {
    (!ended).then(|| time(at))
}

/// How many operations an answer has at most.
const MOST: usize = 1_000;

/// How many are looked at for an answer, where many are left out.
const LOOKS: usize = 4_096;

impl ListRequest {
    pub(crate) fn new(criteria: &Criteria, reach: Reach) -> Self {
        Self {
            statuses: criteria.statuses.iter().map(ToString::to_string).collect(),
            actions: criteria.mutations.iter().map(ToString::to_string).collect(),
            type_name: criteria.type_name.as_ref().map(ToString::to_string),
            account_id: criteria.account.as_ref().map(ToString::to_string),
            region: criteria.region.as_ref().map(ToString::to_string),
            identifier: criteria.identifier.clone(),
            accepted_from: criteria.from.map(time),
            accepted_until: criteria.until.map(time),
            next_token: reach.before.map(|token| token.to_string()),
            max_results: Some(reach.limit.min(MOST)),
        }
    }

    pub(crate) fn read(self) -> Result<(Criteria, Reach), Unreadable> {
        let statuses = self.statuses.iter().map(|it| parsed("statuses", it));
        let mutations = self.actions.iter().map(|it| mutation(it));
        let from = self.accepted_from.map(|it| moment("acceptedFrom", &it));
        let until = self.accepted_until.map(|it| moment("acceptedUntil", &it));
        let criteria = Criteria {
            statuses: statuses.collect::<Result<_, _>>()?,
            mutations: mutations.collect::<Result<_, _>>()?,
            type_name: optional("typeName", self.type_name)?,
            account: optional("accountId", self.account_id)?,
            region: optional("region", self.region)?,
            identifier: self.identifier,
            from: from.transpose()?,
            until: until.transpose()?,
        };
        let reach = Reach {
            before: optional("nextToken", self.next_token)?,
            limit: self.max_results.unwrap_or(MOST).clamp(1, MOST),
            looks: LOOKS,
        };
        Ok((criteria, reach))
    }
}

impl OperationList {
    pub(crate) fn new(found: &Found) -> Self {
        Self {
            operations: found.operations.iter().map(OperationLine::new).collect(),
            next_token: found.next.map(|token| token.to_string()),
        }
    }
}

impl EventLine {
    pub(crate) fn new(event: &Event) -> Self {
        Self {
            request_token: event.token.to_string(),
            version: event.version,
            time: time(event.at),
            began_time: event.began.map(time),
            event: event_name(event.kind),
            status: event.status.as_str(),
            invocation: event.invocation,
            attempt: event.attempt,
            error_code: event.code.map(HandlerErrorCode::as_str),
            message: event.message.clone(),
            callback_delay_seconds: event.callback.map(delay_seconds),
            due_time: unless(event.status.is_terminal(), event.due),
            reported_time: event.delivered.map(time),
            resource_model: event.model.as_ref().map(map),
        }
    }
}

impl OperationLine {
    pub(crate) fn new(operation: &Operation) -> Self {
        let ended = operation.status.is_terminal();
        Self {
            request_token: operation.token.to_string(),
            type_name: operation.type_name.to_string(),
            action: Action::from(operation.mutation).as_str(),
            status: operation.status.as_str(),
            version: operation.version,
            invocation: operation.invocation,
            attempt: operation.attempt,
            identifier: operation.identifier.as_ref().map(ToString::to_string),
            account_id: operation.scope.account.as_ref().map(ToString::to_string),
            region: operation.scope.region.as_ref().map(ToString::to_string),
            error_code: operation.code.map(HandlerErrorCode::as_str),
            message: operation.message.clone(),
            component: operation.component.to_string(),
            accepted_time: time(operation.accepted_at),
            deadline: time(operation.deadline),
            due_time: unless(ended, operation.due),
            ended_time: operation.ended_at.map(time),
            lease_time: operation.lease.map(|lease| time(lease.until)),
            resource_model: operation.model.as_ref().map(map),
        }
    }
}

impl OperationDetails {
    pub(crate) fn new(details: &Details) -> Self {
        Self {
            operation: OperationLine::new(&details.operation),
            events: details.events.iter().map(EventLine::new).collect(),
            reports: details.reports.iter().map(ReportLine::new).collect(),
        }
    }
}

impl ReportLine {
    fn new(report: &Report) -> Self {
        Self {
            version: report.version,
            status: report.status.as_str(),
            attempts: report.attempts,
            due_time: time(report.due),
            refused: report.refused.clone(),
        }
    }
}
