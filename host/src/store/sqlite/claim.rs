//! Claims, each inside of a transaction of the writer.
//!
//! *Invariant*: a claim touches the narrow rows alone.
//!
//! *Invariant*: an operation that cannot be read takes nobody's room, and is
//! met once.

use rusqlite::{Connection, params};

use crate::model::{RequestToken, Timestamp, TypeName};
use crate::operation::{Input, Operation, Policy, Transition};
use crate::store::{Held, Share};

use super::Context;
use super::fault::Fault;
use super::read;
use crate::store::row;

pub(super) const READY: &str = "SELECT token, version FROM operation
    WHERE type = ?1 AND due <= ?2 AND live = 1 AND lease_until IS NULL AND deadline > ?2
    ORDER BY due, token LIMIT ?3";

pub(super) fn claim(
    connection: &Connection,
    context: &Context,
    shares: &[Share],
    limit: usize,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Operation>, Fault> {
    let mut claimed = Vec::new();
    for share in shares {
        let room = share.limit.min(limit - claimed.len());
        claim_type(
            connection,
            context,
            &share.type_name,
            room,
            now,
            until,
            &mut claimed,
        )?;
    }
    Ok(claimed)
}

fn claim_type(
    connection: &Connection,
    context: &Context,
    type_name: &TypeName,
    mut room: usize,
    now: Timestamp,
    until: Timestamp,
    claimed: &mut Vec<Operation>,
) -> Result<(), Fault> {
    while room > 0 {
        let found = ready(connection, type_name, room, now)?;
        let mut damaged = false;
        for (token, version) in found {
            let Some(operation) = operation(connection, context, token, version)? else {
                quarantine(connection, token)?;
                damaged = true;
                continue;
            };
            let input = Input::Leased { until };
            let Ok(Transition { operation, .. }) = operation.apply(input, now, &Policy::default())
            else {
                continue;
            };
            let lease = operation.lease;
            connection
                .prepare_cached(
                    "UPDATE operation SET status = ?, version = ?, attempt = ?,
                                          lease_number = ?, lease_until = ?
                     WHERE token = ?",
                )?
                .execute(params![
                    row::status_number(operation.status),
                    row::number(operation.version),
                    operation.attempt,
                    lease.map(|lease| row::number(lease.number)),
                    lease.map(|lease| row::number(lease.until.as_millis())),
                    operation.token.as_bytes(),
                ])?;
            claimed.push(operation);
            room -= 1;
        }
        // What was damaged took the room of others.
        if !damaged {
            return Ok(());
        }
    }
    Ok(())
}

/// Prolongs leases, and gives the operations whose lease is lost.
pub(super) fn renew(
    connection: &Connection,
    held: &[Held],
    until: Timestamp,
) -> Result<Vec<RequestToken>, Fault> {
    let mut renew = connection.prepare_cached(
        "UPDATE operation SET lease_until = ? WHERE token = ? AND live = 1 AND lease_number = ?",
    )?;
    let mut lost = Vec::new();
    for held in held {
        let until = row::number(until.as_millis());
        let number = row::number(held.number);
        if renew.execute(params![until, held.token.as_bytes(), number])? == 0 {
            lost.push(held.token);
        }
    }
    Ok(lost)
}

/// Gives the tokens and versions of what is due of a type, oldest first.
fn ready(
    connection: &Connection,
    type_name: &TypeName,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(RequestToken, i64)>, Fault> {
    let mut statement = connection.prepare_cached(READY)?;
    let now = row::number(now.as_millis());
    let mut rows = statement.query(params![type_name.as_str(), now, row::limit(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let token = row::token(row.get_ref(0)?.as_blob()?)?;
        found.push((token, row.get(1)?));
    }
    Ok(found)
}

/// Gives an operation as it is remembered or kept, or none if it cannot be read.
fn operation(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
    version: i64,
) -> Result<Option<Operation>, Fault> {
    let remembered = u64::try_from(version).ok();
    let remembered = remembered.and_then(|version| context.recent.get(token, version));
    if let Some(operation) = remembered {
        return Ok(Some(operation));
    }
    let found = read::find(connection, context, token)?;
    Ok(found.and_then(Result::ok))
}

/// Takes an operation that cannot be read out of what is claimed and swept. It
/// counts as ended at its deadline, and keeps its resource locked until it is
/// forgotten.
pub(super) fn quarantine(connection: &Connection, token: RequestToken) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE operation SET live = 0, ended_at = deadline WHERE token = ?")?
        .execute([token.as_bytes()])?;
    Ok(())
}
