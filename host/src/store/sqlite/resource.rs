//! Who has the lock of each resource.
//!
//! *Invariant*: the row of a lock outlives its operation's end, and goes with
//! the operation: it tells which one worked on the resource last.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::RequestToken;
use crate::store::resource::Resource;
use crate::store::row;

use super::fault::Fault;

/// Who has the lock of a resource, or had it last.
#[derive(Clone, Copy)]
pub(super) struct Lock {
    pub(super) token: RequestToken,
    pub(super) held: bool,
}

impl Resource {
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
