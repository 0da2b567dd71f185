//! Committed events: what became of an operation, one row for each change that
//! somebody may want to hear of.

use std::fmt;
use std::str::FromStr;

use crate::model::{Callback, ClientToken, HandlerErrorCode, JsonObject, RequestToken, Timestamp};

use super::Operation;

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Accepted, not yet invoked.
    Pending,
    /// Invoked, not yet ended.
    InProgress,
    /// To be cancelled as soon as the running invocation has answered.
    CancelInProgress,
    /// The resource is in its desired state.
    Success,
    /// The action failed.
    Failed,
    /// Cancelled.
    CancelComplete,
}

/// Says that a text is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no status: use PENDING, IN_PROGRESS, CANCEL_IN_PROGRESS, SUCCESS, FAILED or CANCEL_COMPLETE"
)]
pub struct InvalidStatus(String);

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::InProgress,
        Self::CancelInProgress,
        Self::Success,
        Self::Failed,
        Self::CancelComplete,
    ];

    /// Tells whether an operation of this status has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::InProgress | Self::CancelInProgress => false,
            Self::Success | Self::Failed | Self::CancelComplete => true,
        }
    }

    /// Gives the status's name on Cloud Control's wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::CancelInProgress => "CANCEL_IN_PROGRESS",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::CancelComplete => "CANCEL_COMPLETE",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = InvalidStatus;

    /// Takes the name in any case.
    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| InvalidStatus(text.to_owned()))
    }
}

/// What made an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The request was accepted.
    Accepted,
    /// An invocation answered in progress.
    Progressed,
    /// Progress was recorded from outside.
    Recorded,
    /// An attempt failed and another will follow; the message says why.
    Retried,
    /// Somebody asked to cancel while an invocation was running.
    CancelAsked,
    /// The operation ended.
    Ended,
}

/// A committed event of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The operation.
    pub token: RequestToken,
    /// The version that the event made. Rising; not every version has an event.
    pub version: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// When the invocation began that came to it, where a worker has seen one end.
    pub began: Option<Timestamp>,
    /// What made it.
    pub kind: EventKind,
    /// The status after it.
    pub status: Status,
    /// The number of the invocation that it is about.
    pub invocation: u32,
    /// The number of the attempt that it is about; 0 before the first.
    pub attempt: u32,
    /// What was said.
    pub message: Option<String>,
    /// Why it failed: for an ending with status FAILED.
    pub code: Option<HandlerErrorCode>,
    /// When a callback was asked for: for [`EventKind::Progressed`].
    pub callback: Option<Callback>,
    /// When its report was accepted, if it has one that was.
    pub delivered: Option<Timestamp>,
    /// When the operation is next due: its deadline if nothing is to be done before.
    pub due: Timestamp,
    /// The idempotency key of the record that made it, if it was recorded from
    /// outside with one.
    pub client_token: Option<ClientToken>,
    /// The model as it is shown. A store keeps that of the last event, and of
    /// those whose report is not yet accepted. Of the others it is none, save of
    /// those that an older program committed: they keep it until the operation ends.
    pub model: Option<JsonObject>,
}

impl Event {
    pub(super) fn of(operation: &Operation, kind: EventKind, now: Timestamp) -> Self {
        Self {
            token: operation.token,
            version: operation.version,
            at: now,
            began: None,
            kind,
            status: operation.status,
            invocation: operation.invocation,
            attempt: operation.attempt,
            message: operation.message.clone(),
            code: operation.code,
            callback: None,
            delivered: None,
            due: operation.due,
            client_token: None,
            model: operation.model.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_survives_its_text() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("DONE".parse::<Status>().is_err());
    }
}
