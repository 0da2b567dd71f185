//! What is forgotten, inside of a transaction of the writer, after a look beside it.
//!
//! *Invariant*: an operation goes with all that belongs to it, and its lock.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::{Digest, RequestToken};
use crate::store::horizon::EVENTS;
use crate::store::{ForgetError, Horizon, row};

use super::Context;
use super::fault::Fault;
use super::read;

/// What of operations `o` has ended before ?1 and is not held back by a report:
/// one that is to be tried, or one that is parked and whose operation's deadline
/// was not before ?2.
macro_rules! forgotten {
    () => {
        "o.ended_at < ?1 AND NOT EXISTS (
             SELECT 1 FROM outbox r
             WHERE r.token = o.token AND r.head = 1
               AND (r.parked IS NULL OR o.deadline >= ?2))"
    };
}

pub(super) const LOOK: &str = concat!(
    "SELECT o.token, (SELECT count(*) FROM event e WHERE e.token = o.token)
     FROM operation o WHERE ",
    forgotten!(),
    " ORDER BY o.ended_at, o.token LIMIT ?3"
);

const STILL: &str = concat!(
    "SELECT 1 FROM operation o WHERE o.token = ?3 AND ",
    forgotten!()
);

pub(super) const EXPIRED: &str =
    "DELETE FROM client_token WHERE (account, region, client_token) IN (
    SELECT account, region, client_token FROM client_token
    WHERE used_at < ? ORDER BY used_at LIMIT ?)";

type Token = Vec<u8>;

/// What there is to forget.
pub(super) struct Found {
    operations: Vec<Token>,
    client_tokens: bool,
}

impl Found {
    pub(super) const fn is_empty(&self) -> bool {
        self.operations.is_empty() && !self.client_tokens
    }
}

/// Looks for what there is to forget, without the writer.
pub(super) fn look(
    connection: &Connection,
    horizon: &Horizon,
    limit: usize,
) -> Result<Found, Fault> {
    let mut statement = connection.prepare_cached(LOOK)?;
    let mut rows = statement.query(params![
        row::number(horizon.ended.as_millis()),
        row::number(horizon.parked.as_millis()),
        row::limit(limit),
    ])?;
    let (mut operations, mut events) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        events += row.get::<_, i64>(1)?;
        if events > EVENTS && !operations.is_empty() {
            break;
        }
        operations.push(row.get(0)?);
    }
    let client_tokens = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM client_token WHERE used_at < ?)")?
        .query_row([row::number(horizon.client_tokens.as_millis())], |row| {
            row.get(0)
        })?;
    Ok(Found {
        operations,
        client_tokens,
    })
}

/// Forgets what was found, if it still is to be forgotten.
pub(super) fn prune(
    connection: &Connection,
    found: &Found,
    horizon: &Horizon,
    limit: usize,
) -> Result<usize, Fault> {
    let mut count = connection.prepare_cached(EXPIRED)?.execute(params![
        row::number(horizon.client_tokens.as_millis()),
        row::limit(limit),
    ])?;
    let mut still = connection.prepare_cached(STILL)?;
    for token in &found.operations {
        let values = params![
            row::number(horizon.ended.as_millis()),
            row::number(horizon.parked.as_millis()),
            token,
        ];
        if still.exists(values)? {
            forget(connection, token)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Removes an operation if it has ended or cannot be read.
pub(super) fn forget_ended(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Result<(), ForgetError>, Fault> {
    let there = connection
        .prepare_cached("SELECT 1 FROM operation WHERE token = ?")?
        .exists([token.as_bytes()])?;
    if !there {
        return Ok(Err(ForgetError::Unknown { token }));
    }
    match read::get(connection, context, token) {
        Ok(Some(operation)) if !operation.status.is_terminal() => {
            return Ok(Err(ForgetError::Live { token }));
        }
        Ok(_) | Err(Fault::Damaged { .. }) => {}
        Err(fault) => return Err(fault),
    }
    forget(connection, token.as_bytes())?;
    Ok(Ok(()))
}

/// Removes an operation with all that belongs to it, whatever it is. A client
/// token that it leaves behind stands for nothing.
fn forget(connection: &Connection, token: &[u8]) -> rusqlite::Result<()> {
    type Resource = (String, String, String, Option<String>);
    let resource: Option<Resource> = connection
        .prepare_cached("SELECT account, region, type, identifier FROM operation WHERE token = ?")?
        .query_row([token], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    if let Some((account, region, type_name, Some(identifier))) = resource {
        connection
            .prepare_cached(
                "DELETE FROM resource_lock
                 WHERE account = ? AND region = ? AND type = ? AND identifier = ? AND token = ?",
            )?
            .execute(params![account, region, type_name, identifier, token])?;
    }
    for table in ["outbox", "event", "bearer_token", "sealed", "operation"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE token = ?"))?
            .execute([token])?;
    }
    Ok(())
}

/// Gives those of `components` that no operation refers to.
pub(super) fn unused(
    connection: &Connection,
    components: Vec<Digest>,
) -> Result<Vec<Digest>, Fault> {
    let referred: HashSet<Option<i64>> = connection
        .prepare("SELECT DISTINCT component FROM operation")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut unused = components;
    unused.retain(|component| !referred.contains(&Some(row::component_number(*component))));
    Ok(unused)
}
