//! Claims, each inside of a transaction of the writer.
//!
//! *Invariant*: a claim touches the narrow rows alone.
//!
//! *Invariant*: an operation that cannot be read takes nobody's room. One that is
//! damaged is met once; one that another program may well read is left alone.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use crate::model::{RequestToken, Timestamp, TypeName};
use crate::operation::{Input, Operation, Policy, Transition};
use crate::store::unreadable::{At, Unreadable};
use crate::store::{Held, Share, row};

use super::Context;
use super::fault::Fault;
use super::read;

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
    let mut foreign = context.foreign.known();
    for share in shares {
        let room = share.limit.min(limit - claimed.len());
        claimed.extend(claim_type(
            connection,
            context,
            &share.type_name,
            room,
            now,
            until,
            &mut foreign,
        )?);
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
    foreign: &mut HashSet<At>,
) -> Result<Vec<Operation>, Fault> {
    let mut claimed = Vec::new();
    while room > 0 {
        let found = ready(
            connection,
            type_name,
            room.saturating_add(foreign.len()),
            now,
        )?;
        let mut is_whole = true;
        for (token, version) in found {
            if foreign.contains(&(token, version)) {
                continue;
            }
            let operation = match operation(connection, context, token, version)? {
                Ok(operation) => operation,
                Err(unreadable) => {
                    is_whole = false;
                    if unreadable.is_foreign {
                        foreign.insert(unreadable.at());
                    } else {
                        quarantine(connection, &unreadable)?;
                    }
                    continue;
                }
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
        // What cannot be read took the room of others.
        if is_whole {
            break;
        }
    }
    Ok(claimed)
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

/// Gives an operation as it is remembered or kept.
fn operation(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
    version: i64,
) -> Result<read::Found, Fault> {
    let remembered = u64::try_from(version).ok();
    let remembered = remembered.and_then(|version| context.recent.get(token, version));
    if let Some(operation) = remembered {
        return Ok(Ok(operation));
    }
    // Without a record it is damaged too.
    let unreadable = Unreadable {
        token,
        version,
        is_foreign: false,
    };
    let found = read::find(connection, context, token)?;
    Ok(found.unwrap_or(Err(unreadable)))
}

/// Takes a damaged operation out of what is claimed and swept, if it still is as it
/// was met. It counts as ended at its deadline, and keeps its resource locked until
/// it is forgotten. One that another program may well read is not damaged.
pub(super) fn quarantine(connection: &Connection, damaged: &Unreadable) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "UPDATE operation SET live = 0, ended_at = deadline WHERE token = ? AND version = ?",
        )?
        .execute(params![damaged.token.as_bytes(), damaged.version])?;
    Ok(())
}
