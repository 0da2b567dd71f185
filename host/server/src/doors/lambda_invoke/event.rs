//! Progress events as the second protocol version has them on the wire.
//!
//! *Invariant*: no member is ever null: the contract tests fail an event that
//! has one, or break on it.

use formwork_cloudformation::{wire_delay, wire_failure};
use formwork_host::model::{
    HandlerErrorCode, JsonObject, ListPage, ProgressEvent, ReadFailure, Trap,
};
use serde::Serialize;
use serde_json::value::RawValue;

/// What a handler function answers.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireEvent {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_context: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_delay_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_model: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_models: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl WireEvent {
    /// Gives the event of a change. The engine's has a model wherever it is in
    /// progress: the caller gives it back with the next invocation.
    pub(super) fn changed(event: ProgressEvent) -> Self {
        match event {
            ProgressEvent::InProgress {
                callback,
                callback_context,
                message,
                model,
            } => Self {
                status: "IN_PROGRESS",
                message,
                callback_context: callback_context.as_ref().map(raw),
                callback_delay_seconds: Some(wire_delay(callback)),
                resource_model: model.as_ref().map(raw),
                ..Self::default()
            },
            ProgressEvent::Success { message, model } => Self {
                message,
                resource_model: model.as_ref().map(raw),
                ..Self::success()
            },
            ProgressEvent::Failed {
                code,
                message,
                model,
            } => Self {
                resource_model: model.as_ref().map(raw),
                ..Self::failed(code, &message)
            },
        }
    }

    /// Gives the answer of a READ.
    pub(super) fn read(model: &JsonObject) -> Self {
        Self {
            resource_model: Some(raw(model)),
            ..Self::success()
        }
    }

    /// Gives the answer of a LIST.
    pub(super) fn listed(page: ListPage) -> Self {
        Self {
            resource_models: Some(page.models.iter().map(raw).collect()),
            next_token: page.next_token,
            ..Self::success()
        }
    }

    /// Gives the answer of a READ or LIST that failed.
    pub(super) fn not_read(failure: &ReadFailure) -> Self {
        Self::failed(failure.code, &failure.message)
    }

    /// Gives the end of an invocation whose guest broke.
    pub(super) fn trapped(trap: &Trap) -> Self {
        Self::failed(HandlerErrorCode::InternalFailure, &trap.to_string())
    }

    /// Gives a failure. A message is never empty: the contract wants one.
    pub(super) fn failed(code: HandlerErrorCode, message: &str) -> Self {
        let (code, message) = wire_failure(code, message);
        Self {
            status: "FAILED",
            error_code: Some(code),
            message: Some(if message.is_empty() {
                code.to_owned()
            } else {
                message
            }),
            ..Self::default()
        }
    }

    fn success() -> Self {
        Self {
            status: "SUCCESS",
            ..Self::default()
        }
    }

    /// Prints the event.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event of texts and objects prints")
    }
}

fn raw(object: &JsonObject) -> Box<RawValue> {
    RawValue::from_string(object.as_str().to_owned()).expect("an object is checked JSON")
}
