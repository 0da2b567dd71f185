//! Reads the rows that are joined to an operation.

use rusqlite::Row;

use crate::operation::Operation;
use crate::store::row::{self, Columns};
use crate::store::seal::Sealer;

use super::fault::Fault;

/// What [`operation`] reads, of `operation o JOIN sealed s`.
pub(super) const COLUMNS: &str = "o.token, o.account, o.region, o.type, o.identifier, o.status, \
     o.version, o.due, o.deadline, o.attempt, o.lease_number, o.lease_until, \
     s.version, s.record, s.target";

/// Reads the row of [`COLUMNS`].
pub(super) fn operation(sealer: &Sealer, row: &Row<'_>) -> Result<Operation, Fault> {
    let token = row::token(row.get_ref(0)?.as_blob().unwrap_or_default())?;
    let text = |index| -> rusqlite::Result<&str> { Ok(row.get_ref(index)?.as_str()?) };
    let read = || -> rusqlite::Result<Columns<'_>> {
        Ok(Columns {
            token,
            account: text(1)?,
            region: text(2)?,
            type_name: text(3)?,
            identifier: row.get_ref(4)?.as_str_or_null()?,
            status: row.get(5)?,
            version: row.get(6)?,
            due: row.get(7)?,
            deadline: row.get(8)?,
            attempt: row.get(9)?,
            lease_number: row.get(10)?,
            lease_until: row.get(11)?,
            sealed_at: row.get(12)?,
            record: row.get_ref(13)?.as_blob()?,
            target: row.get_ref(14)?.as_blob_or_null()?,
        })
    };
    // A value of the wrong type is told with the operation's token.
    let columns = read().map_err(|error| match error.sqlite_error_code() {
        None => row::damaged(token, error).into(),
        Some(_) => Fault::Sql(error),
    })?;
    Ok(row::operation(sealer, &columns)?)
}
