//! Changes of the outbox, each inside of a transaction of the writer.
//!
//! *Invariant*: the oldest report of an operation, and it alone, is its head.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::{RequestToken, Timestamp};
use crate::operation::Settlement;

use super::Context;
use super::fault::Fault;
use super::write::{erase_models, erase_target};
use crate::store::row;

pub(super) fn settle(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
    version: u64,
    settlement: &Settlement,
) -> Result<(), Fault> {
    let blob = token.as_bytes();
    let number = row::number(version);
    match settlement {
        Settlement::Delivered { at } => {
            let gone = connection
                .prepare_cached("DELETE FROM outbox WHERE token = ? AND version = ?")?
                .execute(params![blob, number])?;
            if gone > 0 {
                connection
                    .prepare_cached(
                        "UPDATE event SET model = NULL, delivered_at = ?
                         WHERE token = ? AND version = ?",
                    )?
                    .execute(params![row::number(at.as_millis()), blob, number])?;
            }
        }
        Settlement::Superseded => {
            let gone = connection
                .prepare_cached(
                    "DELETE FROM outbox WHERE token = ?1
                     AND EXISTS (SELECT 1 FROM outbox WHERE token = ?1 AND version = ?2)",
                )?
                .execute(params![blob, number])?;
            if gone > 0 {
                erase_models(connection, blob)?;
            }
        }
        Settlement::Retry {
            due,
            ambiguous,
            reason: _,
        } => {
            connection
                .prepare_cached(
                    "UPDATE outbox SET attempts = attempts + 1, due = ?, ambiguous = ?
                     WHERE token = ? AND version = ?",
                )?
                .execute(params![
                    row::number(due.as_millis()),
                    ambiguous,
                    blob,
                    number
                ])?;
            return Ok(());
        }
        Settlement::Parked { reason } => {
            let reason = row::seal_reason(&context.sealer, token, version, reason);
            connection
                .prepare_cached(
                    "UPDATE outbox SET attempts = attempts + 1, parked = ?
                     WHERE token = ? AND version = ?",
                )?
                .execute(params![reason, blob, number])?;
            return Ok(());
        }
    }
    connection
        .prepare_cached(
            "UPDATE outbox SET head = 1 WHERE token = ?1 AND head = 0
             AND version = (SELECT min(version) FROM outbox WHERE token = ?1)",
        )?
        .execute([blob])?;
    erase_target_of_ended(connection, blob)
}

/// Erases whom to report to, if the operation has ended and has no reports.
fn erase_target_of_ended(connection: &Connection, token: &[u8; 16]) -> Result<(), Fault> {
    let ended: Option<bool> = connection
        .prepare_cached("SELECT status >= 3 FROM operation WHERE token = ?")?
        .query_row([token], |row| row.get(0))
        .optional()?;
    if ended == Some(true) {
        erase_target(connection, token)?;
    }
    Ok(())
}

pub(super) fn unpark(
    connection: &Connection,
    token: RequestToken,
    now: Timestamp,
) -> Result<usize, Fault> {
    let unparked = connection
        .prepare_cached(
            "UPDATE outbox SET parked = NULL, due = ?, attempts = 0
             WHERE token = ? AND parked IS NOT NULL",
        )?
        .execute(params![row::number(now.as_millis()), token.as_bytes()])?;
    Ok(unparked)
}

pub(super) fn drop_parked(connection: &Connection, token: RequestToken) -> Result<usize, Fault> {
    let blob = token.as_bytes();
    let dropped = connection
        .prepare_cached(
            "DELETE FROM outbox WHERE token = ?1 AND EXISTS (
                 SELECT 1 FROM outbox WHERE token = ?1 AND head = 1 AND parked IS NOT NULL)",
        )?
        .execute([blob])?;
    if dropped > 0 {
        erase_models(connection, blob)?;
        erase_target_of_ended(connection, blob)?;
    }
    Ok(dropped)
}
