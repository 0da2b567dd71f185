//! The write-only values that are kept of resources.
//!
//! *Invariant*: a blob opens only for the resource that it was sealed for.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::JsonObject;
use crate::operation::{Operation, WriteOnly};
use crate::store::seal::{Place, Sealer};

use super::Context;
use super::fault::Fault;
use super::resource::Resource;

const TABLE: &str = "write_only";

/// What a transition does to the table, sealed.
pub(super) enum Sealed {
    Nothing,
    Forget(Resource),
    Keep(Resource, Vec<u8>),
}

impl Sealed {
    pub(super) fn new(sealer: &Sealer, operation: &Operation, write_only: &WriteOnly) -> Self {
        match write_only {
            WriteOnly::AsIs => Self::Nothing,
            WriteOnly::Forget => Resource::of(operation).map_or(Self::Nothing, Self::Forget),
            WriteOnly::Keep(values) => {
                let Some(resource) = Resource::of(operation) else {
                    return Self::Nothing;
                };
                let place = Place {
                    table: TABLE,
                    token: &resource.token(),
                    version: 0,
                };
                let record = sealer.seal(place, values.as_str().as_bytes());
                Self::Keep(resource, record)
            }
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Nothing => {}
            Self::Forget(resource) => {
                connection
                    .prepare_cached(
                        "DELETE FROM write_only
                         WHERE account = ? AND region = ? AND type = ? AND identifier = ?",
                    )?
                    .execute(resource.parts())?;
            }
            Self::Keep(resource, record) => {
                let [account, region, type_name, identifier] = resource.parts();
                connection
                    .prepare_cached("INSERT OR REPLACE INTO write_only VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![account, region, type_name, identifier, record])?;
            }
        }
        Ok(())
    }
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
    let Some(record) = record else {
        return Ok(None);
    };
    let [_, _, type_name, identifier] = resource.parts();
    let damaged = |why: String| Fault::Damaged {
        what: format!("the write-only values of the `{type_name}` {identifier}: {why}"),
    };
    let place = Place {
        table: TABLE,
        token: &resource.token(),
        version: 0,
    };
    let plain = context.sealer.open(place, &record);
    let plain = plain.map_err(|error| damaged(error.to_string()))?;
    let values = std::str::from_utf8(&plain).ok();
    let values = values.and_then(|text| JsonObject::parse(text).ok());
    values
        .map(Some)
        .ok_or_else(|| damaged("they are no object".to_owned()))
}
