//! The write-only values that are kept of resources.
//!
//! *Invariant*: a blob opens only for the resource that it was sealed for.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use crate::model::{JsonObject, PrimaryIdentifier, Scope, TypeName};
use crate::operation::{Operation, WriteOnly};
use crate::store::seal::{Place, Sealer};

use super::Context;
use super::fault::Fault;
use super::row;

const TABLE: &str = "write_only";

/// A resource as the table names it.
pub(super) struct Resource {
    account: String,
    region: String,
    type_name: String,
    identifier: String,
}

impl Resource {
    pub(super) fn new(scope: &Scope, type_name: &TypeName, identifier: &PrimaryIdentifier) -> Self {
        let (account, region) = row::scope_columns(scope);
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            type_name: type_name.as_str().to_owned(),
            identifier: row::identifier_column(identifier),
        }
    }

    fn parts(&self) -> [&str; 4] {
        [
            &self.account,
            &self.region,
            &self.type_name,
            &self.identifier,
        ]
    }

    /// Gives what stands for the resource in the seal.
    fn token(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for part in self.parts() {
            // The length keeps it apart from what follows.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        hash[..16].try_into().expect("a digest has 32 bytes")
    }
}

/// What a transition does to the table, sealed.
pub(super) enum Sealed {
    Nothing,
    Forget(Resource),
    Keep(Resource, Vec<u8>),
}

impl Sealed {
    pub(super) fn new(sealer: &Sealer, operation: &Operation, write_only: &WriteOnly) -> Self {
        let Some(identifier) = &operation.identifier else {
            return Self::Nothing;
        };
        let resource = || Resource::new(&operation.scope, &operation.type_name, identifier);
        match write_only {
            WriteOnly::AsIs => Self::Nothing,
            WriteOnly::Forget => Self::Forget(resource()),
            WriteOnly::Keep(values) => {
                let resource = resource();
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
    let damaged = |why: String| Fault::Damaged {
        what: format!(
            "the write-only values of the `{}` {}: {why}",
            resource.type_name, resource.identifier
        ),
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
