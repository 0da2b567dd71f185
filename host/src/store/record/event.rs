//! Records of events, without their models.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{Callback, RequestToken, Timestamp};
use crate::operation::{Event, EventKind, Status};

use super::{RecordError, Text, decode, encode, parse};

#[derive(Serialize, Deserialize)]
struct EventRecord<'a> {
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<u64>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    invocation: u32,
    attempt: u32,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    code: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback: Option<CallbackRecord>,
    due: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    client_token: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CallbackRecord {
    After { seconds: u64, nanoseconds: u32 },
    Never,
}

const fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Accepted => "accepted",
        EventKind::Progressed => "progressed",
        EventKind::Recorded => "recorded",
        EventKind::Retried => "retried",
        EventKind::CancelAsked => "cancel asked",
        EventKind::Ended => "ended",
    }
}

pub(super) const KINDS: [EventKind; 6] = [
    EventKind::Accepted,
    EventKind::Progressed,
    EventKind::Recorded,
    EventKind::Retried,
    EventKind::CancelAsked,
    EventKind::Ended,
];

/// Encodes all of an event but its model.
pub(in crate::store) fn encode_event(event: &Event) -> Zeroizing<Vec<u8>> {
    encode(&EventRecord {
        at: event.at.as_millis(),
        began: event.began.map(Timestamp::as_millis),
        kind: Text::from(kind_name(event.kind)),
        status: Text::from(event.status.as_str()),
        invocation: event.invocation,
        attempt: event.attempt,
        message: event.message.as_ref().map(Text::from),
        code: event.code.map(|code| Text::from(code.as_str())),
        callback: event.callback.map(|callback| match callback {
            Callback::After(delay) => CallbackRecord::After {
                seconds: delay.as_secs(),
                nanoseconds: delay.subsec_nanos(),
            },
            Callback::None => CallbackRecord::Never,
        }),
        due: event.due.as_millis(),
        client_token: event
            .client_token
            .as_ref()
            .map(|token| Text::from(token.as_str())),
    })
}

/// Decodes an event; its model, and when it was delivered, are put in by whoever
/// has them.
pub(in crate::store) fn decode_event(
    token: RequestToken,
    version: u64,
    bytes: &[u8],
) -> Result<Event, RecordError> {
    let record: EventRecord<'_> = decode(bytes)?;
    let kind = KINDS
        .into_iter()
        .find(|kind| kind_name(*kind) == record.kind)
        .ok_or(RecordError::Value { what: "kind" })?;
    let status: Status = parse("status", &record.status)?;
    Ok(Event {
        token,
        version,
        at: Timestamp::from_millis(record.at),
        began: record.began.map(Timestamp::from_millis),
        kind,
        status,
        invocation: record.invocation,
        attempt: record.attempt,
        message: record.message.map(Text::into_owned),
        code: record.code.map(|code| parse("code", &code)).transpose()?,
        callback: record.callback.map(|callback| match callback {
            CallbackRecord::After {
                seconds,
                nanoseconds,
            } => Callback::After(
                Duration::from_secs(seconds)
                    .saturating_add(Duration::from_nanos(u64::from(nanoseconds))),
            ),
            CallbackRecord::Never => Callback::None,
        }),
        delivered: None,
        due: Timestamp::from_millis(record.due),
        client_token: record
            .client_token
            .map(|token| parse("client_token", &token))
            .transpose()?,
        model: None,
    })
}
