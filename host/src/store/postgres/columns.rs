//! Rows to operations and back.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::model::RequestToken;
use crate::operation::Operation;
use crate::store::resource::Resource;
use crate::store::row::{self, Columns};
use crate::store::seal::Sealer;
use crate::store::sealed::Sealed;

use super::fault::Fault;

/// What [`operation`] reads, of `operation o JOIN sealed s`.
macro_rules! columns {
    () => {
        "o.token, o.account, o.region, o.type, o.identifier, o.status, \
         o.version, o.due, o.deadline, o.attempt, o.lease_number, o.lease_until, \
         s.version, s.record, s.target"
    };
}
pub(super) use columns;

pub(super) const fn uuid(token: RequestToken) -> Uuid {
    Uuid::from_bytes(*token.as_bytes())
}

pub(super) const fn token(uuid: Uuid) -> RequestToken {
    RequestToken::from_bytes(uuid.into_bytes())
}

/// Gives what stands for a resource.
pub(super) fn resource(resource: &Resource) -> Uuid {
    Uuid::from_bytes(resource.token())
}

/// Reads a column of a row that is about an operation.
pub(super) fn get<'r, T: FromSql<'r>>(
    row: &'r Row,
    index: usize,
    about: RequestToken,
) -> Result<T, Fault> {
    let value = row.try_get(index);
    value.map_err(|error| row::damaged(about, error).into())
}

/// Reads the row of [`columns`].
pub(super) fn operation(sealer: &Sealer, row: &Row) -> Result<Operation, Fault> {
    let token = token(row.try_get(0)?);
    let columns = Columns {
        token,
        account: get(row, 1, token)?,
        region: get(row, 2, token)?,
        type_name: get(row, 3, token)?,
        identifier: get(row, 4, token)?,
        status: i64::from(get::<i16>(row, 5, token)?),
        version: get(row, 6, token)?,
        due: get(row, 7, token)?,
        deadline: get(row, 8, token)?,
        attempt: i64::from(get::<i32>(row, 9, token)?),
        lease_number: get(row, 10, token)?,
        lease_until: get(row, 11, token)?,
        sealed_at: get(row, 12, token)?,
        record: get(row, 13, token)?,
        target: get(row, 14, token)?,
    };
    Ok(row::operation(sealer, &columns)?)
}

/// A small number as PostgreSQL keeps it.
pub(super) fn small(number: i64) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

/// A count as PostgreSQL keeps it; what is too large is the largest.
pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The changing columns of several operations, each a list for `unnest`.
#[derive(Default)]
pub(super) struct Changing {
    pub(super) token: Vec<Uuid>,
    pub(super) resource: Vec<Option<Uuid>>,
    pub(super) identifier: Vec<Option<String>>,
    pub(super) status: Vec<i16>,
    pub(super) live: Vec<bool>,
    pub(super) version: Vec<i64>,
    pub(super) due: Vec<i64>,
    pub(super) attempt: Vec<i32>,
    pub(super) lease_number: Vec<Option<i64>>,
    pub(super) lease_until: Vec<Option<i64>>,
    pub(super) ended_at: Vec<Option<i64>>,
}

impl Changing {
    pub(super) fn push(&mut self, operation: &Operation) {
        let named = Resource::of(operation);
        self.token.push(uuid(operation.token));
        self.resource.push(named.as_ref().map(resource));
        self.identifier
            .push(operation.identifier.as_ref().map(row::identifier_column));
        self.status
            .push(small(row::status_number(operation.status)));
        self.live.push(!operation.status.is_terminal());
        self.version.push(row::number(operation.version));
        self.due.push(row::number(operation.due.as_millis()));
        self.attempt.push(count(operation.attempt));
        let lease = operation.lease;
        self.lease_number
            .push(lease.map(|lease| row::number(lease.number)));
        self.lease_until
            .push(lease.map(|lease| row::number(lease.until.as_millis())));
        self.ended_at
            .push(operation.ended_at.map(|at| row::number(at.as_millis())));
    }
}

/// The events of several operations, each column a list for `unnest`.
#[derive(Default)]
pub(super) struct Events<'s> {
    pub(super) token: Vec<Uuid>,
    pub(super) version: Vec<i64>,
    pub(super) record: Vec<&'s [u8]>,
    pub(super) model: Vec<Option<&'s [u8]>>,
    /// Those to report, and when.
    pub(super) reported: Vec<Uuid>,
    pub(super) reported_version: Vec<i64>,
    pub(super) reported_due: Vec<i64>,
}

impl<'s> Events<'s> {
    pub(super) fn push(&mut self, sealed: &'s Sealed) {
        let Some(event) = &sealed.event else { return };
        let (token, version) = (uuid(event.event.token), row::number(event.event.version));
        self.token.push(token);
        self.version.push(version);
        self.record.push(&event.record);
        self.model.push(event.model.as_deref());
        if sealed.queues_report {
            self.reported.push(token);
            self.reported_version.push(version);
            self.reported_due
                .push(row::number(event.event.at.as_millis()));
        }
    }
}
