//! What stands in the columns and the sealed blobs of a row, for the stores that
//! keep theirs in SQL.
//!
//! *Invariant*: a row that makes no sense is named and refused, never guessed at.

use zeroize::Zeroizing;

use crate::model::{
    Digest, JsonObject, Mutation, PrimaryIdentifier, RequestToken, Scope, Timestamp,
};
use crate::operation::{Event, Lease, Operation, OperationState, ReportTarget, Status};

use super::record::{self, RecordError};
use super::seal::{OpenSealError, Place, Sealer};

/// What is stored makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged {
    /// What it is.
    pub(super) what: String,
    /// Whether it may well make sense elsewhere: it is of a newer format, or sealed
    /// with another key.
    pub(super) is_foreign: bool,
}

impl Damaged {
    /// Says it of what makes no sense anywhere.
    pub(super) const fn new(what: String) -> Self {
        let is_foreign = false;
        Self { what, is_foreign }
    }
}

/// The columns of an operation, with what is sealed of it.
pub(super) struct Columns<'a> {
    pub(super) token: RequestToken,
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) type_name: &'a str,
    pub(super) identifier: Option<&'a str>,
    pub(super) status: i64,
    pub(super) version: i64,
    pub(super) due: i64,
    pub(super) deadline: i64,
    pub(super) attempt: i64,
    pub(super) lease_number: Option<i64>,
    pub(super) lease_until: Option<i64>,
    /// The version that the record was sealed at.
    pub(super) sealed_at: i64,
    pub(super) record: &'a [u8],
    pub(super) target: Option<&'a [u8]>,
}

/// The name of what a blob is sealed for.
const RECORD: &str = "operation";
const TARGET: &str = "target";
const EVENT: &str = "event";
const MODEL: &str = "model";
const PARKED: &str = "parked";

/// A number as SQL keeps it; what is too large is the largest.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) const fn status_number(status: Status) -> i64 {
    match status {
        Status::Pending => 0,
        Status::InProgress => 1,
        Status::CancelInProgress => 2,
        Status::Success => 3,
        Status::Failed => 4,
        Status::CancelComplete => 5,
    }
}

pub(super) const fn mutation_number(mutation: Mutation) -> i64 {
    match mutation {
        Mutation::Create => 0,
        Mutation::Update => 1,
        Mutation::Delete => 2,
    }
}

/// Gives what a number stands for, if it is one of [`mutation_number`].
pub(super) fn mutation(number: Option<i64>) -> Option<Mutation> {
    let mut all = Mutation::ALL.into_iter();
    all.find(|mutation| Some(mutation_number(*mutation)) == number)
}

/// Gives what stands for a component: enough of its digest to tell that it is
/// not referred to.
pub(super) fn component_number(component: Digest) -> i64 {
    let (first, _) = component
        .as_bytes()
        .split_first_chunk()
        .expect("a digest has 32 bytes");
    i64::from_be_bytes(*first)
}

/// Gives what stands in the columns of account and region.
pub(super) fn scope_columns(scope: &Scope) -> (&str, &str) {
    (
        scope
            .account
            .as_ref()
            .map_or("", |account| account.as_str()),
        scope.region.as_ref().map_or("", |region| region.as_str()),
    )
}

/// Gives the text of an identifier: its parts as a JSON array.
pub(super) fn identifier_column(identifier: &PrimaryIdentifier) -> String {
    serde_json::to_string(identifier.parts()).expect("strings print")
}

pub(super) fn token(bytes: &[u8]) -> Result<RequestToken, Damaged> {
    match bytes.try_into() {
        Ok(bytes) => Ok(RequestToken::from_bytes(bytes)),
        Err(_) => Err(Damaged::new(format!("a token of {} bytes", bytes.len()))),
    }
}

pub(super) fn damaged(token: RequestToken, what: impl std::fmt::Display) -> Damaged {
    Damaged::new(format!("operation {token}: {what}"))
}

/// Says it of a record that does not decode.
fn undecoded(token: RequestToken, part: impl std::fmt::Display, error: &RecordError) -> Damaged {
    Damaged {
        is_foreign: matches!(error, RecordError::Format { .. }),
        ..damaged(token, format!("{part}: {error}"))
    }
}

fn unsigned(token: RequestToken, column: &str, value: i64) -> Result<u64, Damaged> {
    u64::try_from(value).map_err(|_| damaged(token, format!("`{column}` is {value}")))
}

fn open(
    sealer: &Sealer,
    table: &'static str,
    token: RequestToken,
    version: u64,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Damaged> {
    let place = Place {
        table,
        token: token.as_bytes(),
        version,
    };
    let opened = sealer.open(place, blob);
    opened.map_err(|error| Damaged {
        is_foreign: matches!(error, OpenSealError::OtherKey { .. }),
        ..damaged(token, format!("its {table} cannot be opened: {error}"))
    })
}

fn seal(
    sealer: &Sealer,
    table: &'static str,
    token: RequestToken,
    version: u64,
    plain: &[u8],
) -> Vec<u8> {
    let place = Place {
        table,
        token: token.as_bytes(),
        version,
    };
    sealer.seal(place, plain)
}

pub(super) fn seal_operation(sealer: &Sealer, operation: &Operation) -> Vec<u8> {
    let plain = record::encode_operation(operation);
    seal(sealer, RECORD, operation.token, operation.version, &plain)
}

/// Seals a target. It never changes, so that it belongs to no version.
pub(super) fn seal_target(sealer: &Sealer, token: RequestToken, target: &ReportTarget) -> Vec<u8> {
    seal(sealer, TARGET, token, 0, &record::encode_target(target))
}

/// Seals an event without its model.
pub(super) fn seal_event(sealer: &Sealer, event: &Event) -> Vec<u8> {
    let plain = record::encode_event(event);
    seal(sealer, EVENT, event.token, event.version, &plain)
}

pub(super) fn seal_model(sealer: &Sealer, event: &Event) -> Option<Vec<u8>> {
    let model = event.model.as_ref()?;
    let plain = model.as_str().as_bytes();
    Some(seal(sealer, MODEL, event.token, event.version, plain))
}

pub(super) fn seal_reason(
    sealer: &Sealer,
    token: RequestToken,
    version: u64,
    reason: &str,
) -> Vec<u8> {
    seal(sealer, PARKED, token, version, reason.as_bytes())
}

pub(super) fn open_reason(
    sealer: &Sealer,
    token: RequestToken,
    version: u64,
    blob: &[u8],
) -> Result<String, Damaged> {
    let plain = open(sealer, PARKED, token, version, blob)?;
    let reason = std::str::from_utf8(&plain);
    let reason = reason.map_err(|_| damaged(token, "the reason for parking is no text"))?;
    Ok(reason.to_owned())
}

pub(super) fn open_target(
    sealer: &Sealer,
    token: RequestToken,
    blob: &[u8],
) -> Result<ReportTarget, Damaged> {
    let plain = open(sealer, TARGET, token, 0, blob)?;
    record::decode_target(&plain).map_err(|error| undecoded(token, "its target", &error))
}

/// Reads an event without its model if `model` is none.
pub(super) fn event(
    sealer: &Sealer,
    token: RequestToken,
    version: u64,
    blob: &[u8],
    model: Option<&[u8]>,
) -> Result<Event, Damaged> {
    let plain = open(sealer, EVENT, token, version, blob)?;
    let broken = |error| undecoded(token, format!("its event {version}"), &error);
    let mut event = record::decode_event(token, version, &plain).map_err(broken)?;
    if let Some(blob) = model {
        let plain = open(sealer, MODEL, token, version, blob)?;
        let text = std::str::from_utf8(&plain).ok();
        let model = text.and_then(|text| JsonObject::parse(text).ok());
        let broken = || {
            damaged(
                token,
                format!("the model of its event {version} is no object"),
            )
        };
        event.model = Some(model.ok_or_else(broken)?);
    }
    Ok(event)
}

/// Reads the model of an operation, and nothing else of it.
#[cfg(feature = "postgres")]
pub(super) fn last_model(
    sealer: &Sealer,
    token: RequestToken,
    sealed_at: i64,
    blob: &[u8],
) -> Result<Option<JsonObject>, Damaged> {
    Ok(rest(sealer, token, sealed_at, blob)?.model)
}

fn rest(
    sealer: &Sealer,
    token: RequestToken,
    sealed_at: i64,
    blob: &[u8],
) -> Result<record::OperationRest, Damaged> {
    let sealed_at = unsigned(token, "version", sealed_at)?;
    let plain = open(sealer, RECORD, token, sealed_at, blob)?;
    record::decode_operation(&plain).map_err(|error| undecoded(token, "its record", &error))
}

/// Reads an operation.
pub(super) fn operation(sealer: &Sealer, row: &Columns<'_>) -> Result<Operation, Damaged> {
    let token = row.token;
    let wrong = |column: &str| damaged(token, format!("`{column}` has no such value"));
    let identifier = match row.identifier {
        Some(json) => {
            let parts = serde_json::from_str(json).map_err(|_| wrong("identifier"))?;
            Some(PrimaryIdentifier::new(parts).ok_or_else(|| wrong("identifier"))?)
        }
        None => None,
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let account = some(row.account).map(|account| account.parse());
    let region = some(row.region).map(|region| region.parse());
    let status = Status::ALL
        .into_iter()
        .find(|status| status_number(*status) == row.status)
        .ok_or_else(|| wrong("status"))?;
    let moment = |column, value| unsigned(token, column, value).map(Timestamp::from_millis);
    let lease = match (row.lease_number, row.lease_until) {
        (Some(number), Some(until)) => Some(Lease {
            number: unsigned(token, "lease_number", number)?,
            until: moment("lease_until", until)?,
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(wrong("lease")),
    };
    let rest = rest(sealer, token, row.sealed_at, row.record)?;
    let reporting = match row.target {
        Some(blob) => Some(open_target(sealer, token, blob)?),
        None => None,
    };
    Ok(Operation::restore(OperationState {
        token,
        scope: Scope {
            account: account.transpose().map_err(|_| wrong("account"))?,
            region: region.transpose().map_err(|_| wrong("region"))?,
        },
        type_name: row.type_name.parse().map_err(|_| wrong("type"))?,
        mutation: rest.mutation,
        component: rest.component,
        accepted_at: rest.accepted_at,
        deadline: moment("deadline", row.deadline)?,
        work: rest.work,
        reporting,
        status,
        version: unsigned(token, "version", row.version)?,
        due: moment("due", row.due)?,
        lease,
        identifier,
        model: rest.model,
        invocation: rest.invocation,
        attempt: u32::try_from(row.attempt).map_err(|_| wrong("attempt"))?,
        zero_delays: rest.zero_delays,
        message: rest.message,
        code: rest.code,
        ended_at: rest.ended_at,
    }))
}
