//! Reading what [`shapes`](super::shapes) prints: the answers of another server.
//!
//! What is not printed is not there: what an operation still needs, and whom its
//! progress is reported to.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use formwork_host::model::{
    Action, Callback, Digest, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, Scope,
    Timestamp,
};
use formwork_host::operation::{Event, EventKind, Lease, Operation, OperationState, Status};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Details, Found, Report, shapes};

/// Says what an answer holds that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is `{value}`: {why}")]
pub(crate) struct Unreadable {
    name: &'static str,
    value: String,
    why: String,
}

/// A part of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListAnswer {
    operations: Vec<OperationAnswer>,
    next_token: Option<String>,
}

/// See `OperationLine`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationAnswer {
    request_token: String,
    type_name: String,
    action: String,
    status: String,
    version: u64,
    invocation: u32,
    attempt: u32,
    identifier: Option<String>,
    account_id: Option<String>,
    region: Option<String>,
    error_code: Option<String>,
    message: Option<String>,
    component: String,
    accepted_time: String,
    deadline: String,
    due_time: Option<String>,
    ended_time: Option<String>,
    lease_time: Option<String>,
    resource_model: Option<Map<String, Value>>,
}

/// See `OperationDetails`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DetailsAnswer {
    #[serde(flatten)]
    operation: OperationAnswer,
    events: Vec<EventAnswer>,
    reports: Vec<ReportAnswer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventAnswer {
    request_token: String,
    version: u64,
    time: String,
    began_time: Option<String>,
    event: String,
    status: String,
    invocation: u32,
    attempt: u32,
    error_code: Option<String>,
    message: Option<String>,
    callback_delay_seconds: Option<i64>,
    due_time: Option<String>,
    reported_time: Option<String>,
    resource_model: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportAnswer {
    version: u64,
    status: String,
    attempts: u32,
    due_time: String,
    refused: Option<String>,
}

impl ListAnswer {
    pub(crate) fn read(self) -> Result<Found, Unreadable> {
        let operations = self.operations.into_iter().map(OperationAnswer::read);
        Ok(Found {
            operations: operations.collect::<Result<_, _>>()?,
            next: optional("nextToken", self.next_token)?,
        })
    }
}

impl DetailsAnswer {
    pub(crate) fn read(self) -> Result<Details, Unreadable> {
        let operation = self.operation.read()?;
        let events = self
            .events
            .into_iter()
            .map(|event| event.read(operation.deadline));
        let reports = self.reports.into_iter().map(ReportAnswer::read);
        Ok(Details {
            events: events.collect::<Result<_, _>>()?,
            reports: reports.collect::<Result<_, _>>()?,
            operation,
        })
    }
}

impl OperationAnswer {
    pub(crate) fn read(self) -> Result<Operation, Unreadable> {
        let ended_at = self.ended_time.map(|it| moment("endedTime", &it));
        let ended_at = ended_at.transpose()?;
        let deadline = moment("deadline", &self.deadline)?;
        let due = self.due_time.map(|it| moment("dueTime", &it)).transpose()?;
        let until = self.lease_time.map(|it| moment("leaseTime", &it));
        let component = self.component.strip_prefix("sha256:");
        let component = component.and_then(Digest::from_hex);
        Ok(Operation::restore(OperationState {
            token: parsed("requestToken", &self.request_token)?,
            scope: Scope {
                account: optional("accountId", self.account_id)?,
                region: optional("region", self.region)?,
            },
            type_name: parsed("typeName", &self.type_name)?,
            mutation: mutation(&self.action)?,
            component: component
                .ok_or_else(|| unknown("component", &self.component, "it is no SHA-256 digest"))?,
            accepted_at: moment("acceptedTime", &self.accepted_time)?,
            deadline,
            work: None,
            reporting: None,
            status: parsed("status", &self.status)?,
            version: self.version,
            due: due.or(ended_at).unwrap_or(deadline),
            lease: until.transpose()?.map(|until| Lease {
                number: self.version,
                until,
            }),
            identifier: self
                .identifier
                .and_then(|name| PrimaryIdentifier::new(vec![name])),
            model: self
                .resource_model
                .map(|model| JsonObject::from_map(&model)),
            invocation: self.invocation,
            attempt: self.attempt,
            zero_delays: 0,
            message: self.message,
            code: code(self.error_code)?,
            ended_at,
        }))
    }
}

impl EventAnswer {
    fn read(self, deadline: Timestamp) -> Result<Event, Unreadable> {
        let at = moment("time", &self.time)?;
        let began = self.began_time.map(|it| moment("beganTime", &it));
        let delivered = self.reported_time.map(|it| moment("reportedTime", &it));
        let status: Status = parsed("status", &self.status)?;
        let last = if status.is_terminal() { at } else { deadline };
        let due = self.due_time.map(|it| moment("dueTime", &it)).transpose()?;
        let kinds = [
            EventKind::Accepted,
            EventKind::Progressed,
            EventKind::Recorded,
            EventKind::Retried,
            EventKind::CancelAsked,
            EventKind::Ended,
        ];
        let kind = kinds
            .into_iter()
            .find(|kind| shapes::event_name(*kind) == self.event);
        let seconds = self.callback_delay_seconds;
        Ok(Event {
            token: parsed("requestToken", &self.request_token)?,
            version: self.version,
            at,
            began: began.transpose()?,
            kind: kind.ok_or_else(|| unknown("event", &self.event, "it is no kind of event"))?,
            status,
            invocation: self.invocation,
            attempt: self.attempt,
            message: self.message,
            code: code(self.error_code)?,
            callback: seconds.map(|seconds| {
                u64::try_from(seconds).map_or(Callback::None, |seconds| {
                    Callback::After(Duration::from_secs(seconds))
                })
            }),
            delivered: delivered.transpose()?,
            due: due.unwrap_or(last),
            client_token: None,
            model: self
                .resource_model
                .map(|model| JsonObject::from_map(&model)),
        })
    }
}

impl ReportAnswer {
    fn read(self) -> Result<Report, Unreadable> {
        Ok(Report {
            version: self.version,
            status: parsed("status", &self.status)?,
            attempts: self.attempts,
            due: moment("dueTime", &self.due_time)?,
            refused: self.refused,
        })
    }
}

/// Reads a moment in RFC 3339.
pub(crate) fn moment(name: &'static str, text: &str) -> Result<Timestamp, Unreadable> {
    let read: jiff::Timestamp = parsed(name, text)?;
    let millis = u64::try_from(read.as_millisecond());
    let millis = millis.map_err(|_| unknown(name, text, "it is before 1970"))?;
    Ok(Timestamp::from_millis(millis))
}

/// Reads what an operation does.
pub(crate) fn mutation(text: &str) -> Result<Mutation, Unreadable> {
    let mut all = Mutation::ALL.into_iter();
    all.find(|mutation| Action::from(*mutation).as_str() == text)
        .ok_or_else(|| unknown("action", text, "it must be CREATE, UPDATE or DELETE"))
}

/// Reads a text that has a meaning of its own.
pub(crate) fn parsed<T: FromStr<Err: Display>>(
    name: &'static str,
    text: &str,
) -> Result<T, Unreadable> {
    text.parse()
        .map_err(|error: T::Err| unknown(name, text, error))
}

/// Reads one that may be missing.
pub(crate) fn optional<T: FromStr<Err: Display>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Unreadable> {
    text.map(|text| parsed(name, &text)).transpose()
}

fn code(text: Option<String>) -> Result<Option<HandlerErrorCode>, Unreadable> {
    optional("errorCode", text)
}

fn unknown(name: &'static str, value: &str, why: impl Display) -> Unreadable {
    Unreadable {
        name,
        value: value.chars().take(60).collect(),
        why: why.to_string(),
    }
}
