//! Rows to operations and events, and back.
//!
//! *Invariant*: a row that makes no sense is named and refused, never guessed at.

use rusqlite::Row;
use zeroize::Zeroizing;

use crate::model::{
    Digest, JsonObject, Mutation, PrimaryIdentifier, RequestToken, Scope, Timestamp,
};
use crate::operation::{Event, Lease, Operation, OperationState, ReportTarget, Status};
use crate::store::seal::{Place, Sealer};

use super::fault::Fault;
use super::record;

/// What [`operation`] reads, of `operation o JOIN sealed s`.
pub(super) const COLUMNS: &str = "o.token, o.account, o.region, o.type, o.identifier, o.status, \
     o.version, o.due, o.deadline, o.attempt, o.lease_number, o.lease_until, \
     s.version, s.record, s.target";

/// The name of what a blob is sealed for.
const RECORD: &str = "operation";
const TARGET: &str = "target";
const EVENT: &str = "event";
const MODEL: &str = "model";
const PARKED: &str = "parked";

/// A number as SQLite keeps it; what is too large is the largest.
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

pub(super) fn token(bytes: &[u8]) -> Result<RequestToken, Fault> {
    match bytes.try_into() {
        Ok(bytes) => Ok(RequestToken::from_bytes(bytes)),
        Err(_) => Err(Fault::Damaged {
            what: format!("a token of {} bytes", bytes.len()),
        }),
    }
}

fn damaged(token: RequestToken, what: impl std::fmt::Display) -> Fault {
    Fault::Damaged {
        what: format!("operation {token}: {what}"),
    }
}

fn unsigned(token: RequestToken, column: &str, value: i64) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| damaged(token, format!("`{column}` is {value}")))
}

fn open(
    sealer: &Sealer,
    table: &'static str,
    token: RequestToken,
    version: u64,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let place = Place {
        table,
        token: token.as_bytes(),
        version,
    };
    let opened = sealer.open(place, blob);
    opened.map_err(|error| damaged(token, format!("its {table} cannot be opened: {error}")))
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
) -> Result<String, Fault> {
    let plain = open(sealer, PARKED, token, version, blob)?;
    let reason = std::str::from_utf8(&plain);
    let reason = reason.map_err(|_| damaged(token, "the reason for parking is no text"))?;
    Ok(reason.to_owned())
}

pub(super) fn open_target(
    sealer: &Sealer,
    token: RequestToken,
    blob: &[u8],
) -> Result<ReportTarget, Fault> {
    let plain = open(sealer, TARGET, token, 0, blob)?;
    record::decode_target(&plain).map_err(|error| damaged(token, format!("its target: {error}")))
}

/// Reads an event without its model if `model` is none.
pub(super) fn event(
    sealer: &Sealer,
    token: RequestToken,
    version: u64,
    blob: &[u8],
    model: Option<&[u8]>,
) -> Result<Event, Fault> {
    let plain = open(sealer, EVENT, token, version, blob)?;
    let broken = |error| damaged(token, format!("its event {version}: {error}"));
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

/// Reads the row of [`COLUMNS`].
pub(super) fn operation(sealer: &Sealer, row: &Row<'_>) -> Result<Operation, Fault> {
    let token = token(row.get_ref(0)?.as_blob().unwrap_or_default())?;
    // A value of the wrong type is told with the operation's token.
    let read = || -> Result<Operation, Fault> {
        let text = |index| -> rusqlite::Result<&str> { Ok(row.get_ref(index)?.as_str()?) };
        let wrong = |column: &str| damaged(token, format!("`{column}` has no such value"));
        let parts = match row.get_ref(4)?.as_str_or_null()? {
            Some(json) => Some(serde_json::from_str(json).map_err(|_| wrong("identifier"))?),
            None => None,
        };
        let identifier = match parts {
            Some(parts) => Some(PrimaryIdentifier::new(parts).ok_or_else(|| wrong("identifier"))?),
            None => None,
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let account = some(text(1)?).map(|account| account.parse());
        let region = some(text(2)?).map(|region| region.parse());
        let number: i64 = row.get(5)?;
        let status = Status::ALL
            .into_iter()
            .find(|status| status_number(*status) == number)
            .ok_or_else(|| wrong("status"))?;
        let moment = |index, column| -> Result<Timestamp, Fault> {
            unsigned(token, column, row.get(index)?).map(Timestamp::from_millis)
        };
        let lease = match (row.get(10)?, row.get(11)?) {
            (Some(number), Some(until)) => Some(Lease {
                number: unsigned(token, "lease_number", number)?,
                until: Timestamp::from_millis(unsigned(token, "lease_until", until)?),
            }),
            (None::<i64>, None::<i64>) => None,
            (Some(_), None) | (None, Some(_)) => return Err(wrong("lease")),
        };
        let sealed_at = unsigned(token, "version", row.get(12)?)?;
        let plain = open(
            sealer,
            RECORD,
            token,
            sealed_at,
            row.get_ref(13)?.as_blob()?,
        )?;
        let rest = record::decode_operation(&plain)
            .map_err(|error| damaged(token, format!("its record: {error}")))?;
        let reporting = match row.get_ref(14)?.as_blob_or_null()? {
            Some(blob) => Some(open_target(sealer, token, blob)?),
            None => None,
        };
        Ok(Operation::restore(OperationState {
            token,
            scope: Scope {
                account: account.transpose().map_err(|_| wrong("account"))?,
                region: region.transpose().map_err(|_| wrong("region"))?,
            },
            type_name: text(3)?.parse().map_err(|_| wrong("type"))?,
            mutation: rest.mutation,
            component: rest.component,
            accepted_at: rest.accepted_at,
            deadline: moment(8, "deadline")?,
            work: rest.work,
            reporting,
            status,
            version: unsigned(token, "version", row.get(6)?)?,
            due: moment(7, "due")?,
            lease,
            identifier,
            model: rest.model,
            invocation: rest.invocation,
            attempt: row.get(9)?,
            zero_delays: rest.zero_delays,
            message: rest.message,
            code: rest.code,
            ended_at: rest.ended_at,
        }))
    };
    read().map_err(|fault| match fault {
        Fault::Sql(error) if error.sqlite_error_code().is_none() => damaged(token, error),
        other => other,
    })
}
