//! The write-only values that are kept of resources.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::JsonObject;
use crate::store::resource::Resource;
use crate::store::sealed::{SealedWriteOnly, open_write_only};

use super::Context;
use super::fault::Fault;

/// Does what a transition says.
pub(super) fn write(connection: &Connection, sealed: &SealedWriteOnly) -> rusqlite::Result<()> {
    match sealed {
        SealedWriteOnly::Nothing => {}
        SealedWriteOnly::Forget(resource) => {
            connection
                .prepare_cached(
                    "DELETE FROM write_only
                     WHERE account = ? AND region = ? AND type = ? AND identifier = ?",
                )?
                .execute(resource.parts())?;
        }
        SealedWriteOnly::Keep(resource, record) => {
            let [account, region, type_name, identifier] = resource.parts();
            connection
                .prepare_cached("INSERT OR REPLACE INTO write_only VALUES (?, ?, ?, ?, ?)")?
                .execute(params![account, region, type_name, identifier, record])?;
        }
    }
    Ok(())
}

pub(super) fn read(
    connection: &Connection,
    context: &Context,
    resource: &Resource,
) -> Result<Option<JsonObject>, Fault> {
    let record: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT record FROM write_only
             WHERE account = ? AND region = ? AND type = ? AND identifier = ?",
        )?
        .query_row(resource.parts(), |row| row.get(0))
        .optional()?;
    let opened = record.map(|record| open_write_only(&context.sealer, resource, &record));
    Ok(opened.transpose()?)
}
