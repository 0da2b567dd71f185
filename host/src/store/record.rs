//! What is inside the sealed blobs: mirror types of operations, report targets
//! and events.
//!
//! A record is its format version (one byte) and JSON. Documents inside keep
//! their text, save white space around it.
//!
//! *Invariant*: what any version of this program wrote decodes, or is refused
//! with its format version.

mod event;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::model::{
    Credentials, Digest, HandlerErrorCode, JsonObject, Mutation, RequestDetails, Timestamp,
};
use crate::operation::{Fault, Operation, ReportTarget, Work};

pub(super) use event::{decode_event, encode_event};

/// The format that is written.
const FORMAT: u8 = 1;

type Text<'a> = Cow<'a, str>;
type Tags<'a> = Cow<'a, BTreeMap<String, String>>;

/// What of an operation stands in no column.
#[derive(Serialize, Deserialize)]
struct OperationRecord<'a> {
    #[serde(borrow)]
    component: Text<'a>,
    #[serde(borrow)]
    mutation: Text<'a>,
    accepted_at: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    work: Option<WorkRecord<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    model: Option<&'a RawValue>,
    invocation: u32,
    zero_delays: u32,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    code: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct WorkRecord<'a> {
    #[serde(borrow)]
    desired: &'a RawValue,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    previous: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    details: DetailsRecord<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    fault: Option<FaultRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct FaultRecord<'a> {
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
}

#[derive(Serialize, Deserialize)]
struct DetailsRecord<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    stack_id: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    logical_resource_id: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    desired_tags: Tags<'a>,
    #[serde(default, skip_serializing_if = "is_empty")]
    previous_tags: Tags<'a>,
    #[serde(default, skip_serializing_if = "is_empty")]
    system_tags: Tags<'a>,
    #[serde(default, skip_serializing_if = "is_empty")]
    previous_system_tags: Tags<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    type_configuration: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    credentials: Option<CredentialsRecord<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot_requested: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollback: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    driftable: Option<bool>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    features: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    update_policy: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    creation_policy: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct CredentialsRecord<'a> {
    #[serde(borrow)]
    access_key_id: Text<'a>,
    #[serde(borrow)]
    secret_access_key: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    session_token: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct TargetRecord<'a> {
    #[serde(borrow)]
    bearer_token: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    region: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    credentials: Option<CredentialsRecord<'a>>,
}

/// What of an operation a record gives back.
pub(super) struct OperationRest {
    pub(super) component: Digest,
    pub(super) mutation: Mutation,
    pub(super) accepted_at: Timestamp,
    pub(super) work: Option<Work>,
    pub(super) model: Option<JsonObject>,
    pub(super) invocation: u32,
    pub(super) zero_delays: u32,
    pub(super) message: Option<String>,
    pub(super) code: Option<HandlerErrorCode>,
    pub(super) ended_at: Option<Timestamp>,
}

/// Says what of a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(
        "it has format {found}, and this program reads formats up to {FORMAT}: use a newer one"
    )]
    Format { found: u8 },
    #[error("it is empty")]
    Empty,
    #[error("it is not of its format: {0}")]
    Json(#[from] serde_json::Error),
    #[error("`{what}` has no such value")]
    Value { what: &'static str },
}

fn is_empty(tags: &Tags<'_>) -> bool {
    tags.is_empty()
}

fn raw(object: &JsonObject) -> &RawValue {
    serde_json::from_str(object.as_str()).expect("an object was checked when it was made")
}

fn object(raw: &RawValue) -> Result<JsonObject, RecordError> {
    JsonObject::parse(raw.get()).map_err(|_| RecordError::Value { what: "document" })
}

fn optional(raw: Option<&RawValue>) -> Result<Option<JsonObject>, RecordError> {
    raw.map(object).transpose()
}

fn parse<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, RecordError> {
    text.parse().map_err(|_| RecordError::Value { what })
}

fn digest(hex: &str) -> Result<Digest, RecordError> {
    Digest::from_hex(hex).ok_or(RecordError::Value { what: "component" })
}

fn encode(record: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Large enough as a rule: what a growing vector leaves behind is not cleared.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    bytes.push(FORMAT);
    serde_json::to_writer(&mut *bytes, record).expect("a record with string keys prints");
    bytes
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        None => Err(RecordError::Empty),
        Some((&FORMAT, json)) => Ok(serde_json::from_slice(json)?),
        Some((&found, _)) => Err(RecordError::Format { found }),
    }
}

const fn mutation_name(mutation: Mutation) -> &'static str {
    match mutation {
        Mutation::Create => "create",
        Mutation::Update => "update",
        Mutation::Delete => "delete",
    }
}

fn credentials_record(credentials: &Credentials) -> CredentialsRecord<'_> {
    CredentialsRecord {
        access_key_id: Text::from(&credentials.access_key_id),
        secret_access_key: Text::from(&credentials.secret_access_key),
        session_token: credentials.session_token.as_ref().map(Text::from),
    }
}

fn credentials(record: CredentialsRecord<'_>) -> Credentials {
    Credentials {
        access_key_id: record.access_key_id.into_owned(),
        secret_access_key: record.secret_access_key.into_owned(),
        session_token: record.session_token.map(Text::into_owned),
    }
}

fn work_record(work: &Work) -> WorkRecord<'_> {
    let details = &work.details;
    WorkRecord {
        desired: raw(&work.desired_state),
        previous: work.previous_state.as_ref().map(raw),
        context: work.callback_context.as_ref().map(raw),
        details: DetailsRecord {
            stack_id: details.stack_id.as_ref().map(Text::from),
            logical_resource_id: details.logical_resource_id.as_ref().map(Text::from),
            desired_tags: Cow::Borrowed(&details.desired_tags),
            previous_tags: Cow::Borrowed(&details.previous_tags),
            system_tags: Cow::Borrowed(&details.system_tags),
            previous_system_tags: Cow::Borrowed(&details.previous_system_tags),
            type_configuration: details.type_configuration.as_ref().map(raw),
            credentials: details.credentials.as_ref().map(credentials_record),
            snapshot_requested: details.snapshot_requested,
            rollback: details.rollback,
            driftable: details.driftable,
            features: details.features.as_ref().map(raw),
            update_policy: details.update_policy.as_ref().map(raw),
            creation_policy: details.creation_policy.as_ref().map(raw),
        },
        fault: work.fault.as_ref().map(|fault| FaultRecord {
            code: Text::from(fault.code.as_str()),
            message: Text::from(&fault.message),
        }),
    }
}

fn work(record: WorkRecord<'_>) -> Result<Work, RecordError> {
    let details = record.details;
    Ok(Work {
        desired_state: object(record.desired)?,
        previous_state: optional(record.previous)?,
        callback_context: optional(record.context)?,
        details: RequestDetails {
            stack_id: details.stack_id.map(Text::into_owned),
            logical_resource_id: details.logical_resource_id.map(Text::into_owned),
            desired_tags: details.desired_tags.into_owned(),
            previous_tags: details.previous_tags.into_owned(),
            system_tags: details.system_tags.into_owned(),
            previous_system_tags: details.previous_system_tags.into_owned(),
            type_configuration: optional(details.type_configuration)?,
            credentials: details.credentials.map(credentials),
            snapshot_requested: details.snapshot_requested,
            rollback: details.rollback,
            driftable: details.driftable,
            features: optional(details.features)?,
            update_policy: optional(details.update_policy)?,
            creation_policy: optional(details.creation_policy)?,
        },
        fault: record
            .fault
            .map(|fault| {
                Ok::<_, RecordError>(Fault {
                    code: parse("fault code", &fault.code)?,
                    message: fault.message.into_owned(),
                })
            })
            .transpose()?,
    })
}

pub(super) fn encode_operation(operation: &Operation) -> Zeroizing<Vec<u8>> {
    encode(&OperationRecord {
        component: Text::from(operation.component.hex()),
        mutation: Text::from(mutation_name(operation.mutation)),
        accepted_at: operation.accepted_at.as_millis(),
        work: operation.work.as_ref().map(work_record),
        model: operation.model.as_ref().map(raw),
        invocation: operation.invocation,
        zero_delays: operation.zero_delays,
        message: operation.message.as_ref().map(Text::from),
        code: operation.code.map(|code| Text::from(code.as_str())),
        ended_at: operation.ended_at.map(Timestamp::as_millis),
    })
}

pub(super) fn decode_operation(bytes: &[u8]) -> Result<OperationRest, RecordError> {
    let record: OperationRecord<'_> = decode(bytes)?;
    let mutation = Mutation::ALL
        .into_iter()
        .find(|mutation| mutation_name(*mutation) == record.mutation)
        .ok_or(RecordError::Value { what: "mutation" })?;
    Ok(OperationRest {
        component: digest(&record.component)?,
        mutation,
        accepted_at: Timestamp::from_millis(record.accepted_at),
        work: record.work.map(work).transpose()?,
        model: optional(record.model)?,
        invocation: record.invocation,
        zero_delays: record.zero_delays,
        message: record.message.map(Text::into_owned),
        code: record.code.map(|code| parse("code", &code)).transpose()?,
        ended_at: record.ended_at.map(Timestamp::from_millis),
    })
}

pub(super) fn encode_target(target: &ReportTarget) -> Zeroizing<Vec<u8>> {
    encode(&TargetRecord {
        bearer_token: Text::from(target.bearer_token.reveal()),
        endpoint: target.endpoint.as_ref().map(Text::from),
        region: target
            .region
            .as_ref()
            .map(|region| Text::from(region.as_str())),
        credentials: target.credentials.as_ref().map(credentials_record),
    })
}

pub(super) fn decode_target(bytes: &[u8]) -> Result<ReportTarget, RecordError> {
    let record: TargetRecord<'_> = decode(bytes)?;
    let region = record.region.map(|region| parse("region", &region));
    Ok(ReportTarget {
        bearer_token: parse("bearer_token", &record.bearer_token)?,
        endpoint: record.endpoint.map(Text::into_owned),
        region: region.transpose()?,
        credentials: record.credentials.map(credentials),
    })
}

#[cfg(test)]
mod tests;
