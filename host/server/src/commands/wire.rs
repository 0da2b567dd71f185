//! The JSON that programs read: operations, progress events and their fields.
//!
//! The names of a progress event are those of CloudFormation's `ProgressEvent`;
//! others follow its style. A field without a value is left out. The callback
//! context is not shown: it is the handler's own and may hold secrets.

use formwork_host::model::{
    Action, Callback, HandlerErrorCode, JsonObject, ListPage, ReadFailure, Timestamp, Trap,
};
use formwork_host::operation::{Event, EventKind, Operation, PendingReport};
use serde::Serialize;
use serde_json::{Map, Value};

use super::text::time;

/// A committed event of an operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventLine {
    request_token: String,
    version: u64,
    time: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Map<String, Value>>,
}

/// What a READ or a LIST gave.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_models: Option<Vec<Map<String, Value>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// A page of a LIST, for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    resource_models: Vec<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// An operation as it was last committed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationLine {
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
    resource_model: Option<Map<String, Value>>,
}

/// An operation with its chain and what is still to be reported of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationDetails {
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

/// What a component is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    pub(super) type_name: String,
    pub(super) digest: String,
    pub(super) bytes: usize,
    pub(super) contract: &'static str,
    pub(super) primary_identifier: Vec<String>,
    pub(super) actions: Vec<ActionLine>,
    pub(super) imports: Vec<Import>,
    pub(super) outgoing_hosts: Vec<String>,
    /// What may be loaded, beside what the component has of it.
    pub(super) load_limits: Vec<LimitLine>,
    pub(super) limits: Vec<LimitLine>,
    /// What is odd about the schema, each with its pointer and a remedy.
    pub(super) schema_warnings: Vec<String>,
}

/// An action that a handler implements.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionLine {
    pub(super) action: &'static str,
    pub(super) timeout_seconds: u64,
}

/// An interface that a component imports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) access: &'static str,
    pub(super) note: String,
}

/// A bound on one invocation, or on what may be loaded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitLine {
    /// The setting that says it, such as `limits.memory`.
    pub(super) setting: String,
    /// `bytes`, `count` or `milliseconds`.
    pub(super) unit: &'static str,
    pub(super) value: u128,
    /// How much of it the component has, if that can be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<usize>,
    #[serde(skip)]
    pub(super) what: &'static str,
    #[serde(skip)]
    pub(super) shown: String,
    #[serde(skip)]
    pub(super) found_shown: Option<String>,
}

/// Gives the wire's name of what made an event.
const fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Accepted => "ACCEPTED",
        EventKind::Progressed => "PROGRESSED",
        EventKind::Recorded => "RECORDED",
        EventKind::Retried => "RETRIED",
        EventKind::CancelAsked => "CANCEL_ASKED",
        EventKind::Ended => "ENDED",
    }
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

impl EventLine {
    pub(super) fn new(event: &Event) -> Self {
        Self {
            request_token: event.token.to_string(),
            version: event.version,
            time: time(event.at),
            event: event_name(event.kind),
            status: event.status.as_str(),
            invocation: event.invocation,
            attempt: event.attempt,
            error_code: event.code.map(HandlerErrorCode::as_str),
            message: event.message.clone(),
            callback_delay_seconds: event.callback.map(delay_seconds),
            due_time: unless(event.status.is_terminal(), event.due),
            resource_model: event.model.as_ref().map(map),
        }
    }
}

impl Answer {
    pub(super) fn read(model: &JsonObject) -> Self {
        Self {
            status: "SUCCESS",
            resource_model: Some(map(model)),
            ..Self::default()
        }
    }

    pub(super) fn listed(page: &ListPage) -> Self {
        let Page {
            resource_models,
            next_token,
        } = Page::new(page);
        Self {
            status: "SUCCESS",
            resource_models: Some(resource_models),
            next_token,
            ..Self::default()
        }
    }

    pub(super) fn failed(failure: &ReadFailure) -> Self {
        Self {
            status: "FAILED",
            error_code: Some(failure.code.as_str()),
            message: Some(failure.message.clone()),
            ..Self::default()
        }
    }

    /// A trap shows as it would at the end of an operation.
    pub(super) fn trapped(trap: &Trap) -> Self {
        Self {
            status: "FAILED",
            error_code: Some(HandlerErrorCode::InternalFailure.as_str()),
            message: Some(trap.to_string()),
            ..Self::default()
        }
    }
}

impl Page {
    pub(super) fn new(page: &ListPage) -> Self {
        Self {
            resource_models: page.models.iter().map(map).collect(),
            next_token: page.next_token.clone(),
        }
    }
}

impl OperationLine {
    pub(super) fn new(operation: &Operation) -> Self {
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
            resource_model: operation.model.as_ref().map(map),
        }
    }
}

impl OperationDetails {
    pub(super) fn new(operation: &Operation, events: &[Event], reports: &[PendingReport]) -> Self {
        Self {
            operation: OperationLine::new(operation),
            events: events.iter().map(EventLine::new).collect(),
            reports: reports.iter().map(ReportLine::new).collect(),
        }
    }
}

impl ReportLine {
    fn new(report: &PendingReport) -> Self {
        Self {
            version: report.event.version,
            status: report.event.status.as_str(),
            attempts: report.attempts,
            due_time: time(report.due),
            refused: report.parked.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
