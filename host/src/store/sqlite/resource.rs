//! Resources, and who has the lock of each.
//!
//! *Invariant*: the row of a lock outlives its operation's end, and goes with
//! the operation: it tells which one worked on the resource last.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use crate::model::{PrimaryIdentifier, RequestToken, Scope, TypeName};
use crate::operation::Operation;

use super::fault::Fault;
use super::row;

/// A resource as the tables name it.
pub(super) struct Resource {
    account: String,
    region: String,
    type_name: String,
    identifier: String,
}

/// Who has the lock of a resource, or had it last.
#[derive(Clone, Copy)]
pub(super) struct Lock {
    pub(super) token: RequestToken,
    pub(super) held: bool,
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

    /// Gives the resource of an operation, if it is known.
    pub(super) fn of(operation: &Operation) -> Option<Self> {
        let identifier = operation.identifier.as_ref()?;
        Some(Self::new(
            &operation.scope,
            &operation.type_name,
            identifier,
        ))
    }

    pub(super) fn parts(&self) -> [&str; 4] {
        [
            &self.account,
            &self.region,
            &self.type_name,
            &self.identifier,
        ]
    }

    /// Gives what stands for the resource in a seal.
    pub(super) fn token(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for part in self.parts() {
            // The length keeps it apart from what follows.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        hash[..16].try_into().expect("a digest has 32 bytes")
    }

    /// Gives who has the lock, or had it last and is kept.
    pub(super) fn last(&self, connection: &Connection) -> Result<Option<Lock>, Fault> {
        let found: Option<(Vec<u8>, bool)> = connection
            .prepare_cached(
                "SELECT token, held FROM resource_lock
                 WHERE account = ? AND region = ? AND type = ? AND identifier = ?",
            )?
            .query_row(self.parts(), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found
            .map(|(token, held)| {
                let token = row::token(&token)?;
                Ok(Lock { token, held })
            })
            .transpose()
    }

    /// Takes the lock, which is free.
    pub(super) fn lock(
        &self,
        connection: &Connection,
        token: RequestToken,
    ) -> rusqlite::Result<()> {
        let [account, region, type_name, identifier] = self.parts();
        connection
            .prepare_cached("INSERT OR REPLACE INTO resource_lock VALUES (?, ?, ?, ?, ?, 1)")?
            .execute(params![
                account,
                region,
                type_name,
                identifier,
                token.as_bytes()
            ])?;
        Ok(())
    }

    /// Lets go of the lock, if it is this operation's.
    pub(super) fn unlock(
        &self,
        connection: &Connection,
        token: RequestToken,
    ) -> rusqlite::Result<()> {
        let [account, region, type_name, identifier] = self.parts();
        connection
            .prepare_cached(
                "UPDATE resource_lock SET held = 0
                 WHERE account = ? AND region = ? AND type = ? AND identifier = ? AND token = ?",
            )?
            .execute(params![
                account,
                region,
                type_name,
                identifier,
                token.as_bytes()
            ])?;
        Ok(())
    }
}
