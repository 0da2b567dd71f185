//! Counting what is live and what is unreported.
//!
//! *Invariant*: no record is opened but those of a few events: the counts are of
//! indexes and narrow rows.

use rusqlite::{Connection, Row, params};

use super::Context;
use super::fault::Fault;
use crate::model::{Timestamp, TypeName};
use crate::operation::Status;
use crate::store::{Backlog, Queue, row};

/// How many events are looked at for the oldest one.
const HEADS: i64 = 256;

/// Counts what has no lease, from its index alone.
pub(super) const READY: &str = "
    SELECT type, count(*), sum(due <= ?), sum(status = ?)
    FROM operation INDEXED BY operation_ready
    WHERE live = 1 AND lease_until IS NULL GROUP BY type";

pub(super) fn count(
    connection: &Connection,
    context: &Context,
    now: Timestamp,
) -> Result<Backlog, Fault> {
    let mut backlog = Backlog::default();
    let mut queue = |type_name: &str, add: &dyn Fn(&mut Queue)| -> Result<(), Fault> {
        let type_name: TypeName = type_name
            .parse()
            .map_err(|_| row::Damaged::new("the type of an operation".to_owned()))?;
        add(backlog.types.entry(type_name).or_default());
        Ok(())
    };
    let [pending, cancelling] = [Status::Pending, Status::CancelInProgress].map(row::status_number);
    let mut ready = connection.prepare_cached(READY)?;
    let mut rows = ready.query([row::number(now.as_millis()), pending])?;
    while let Some(row) = rows.next()? {
        let (all, due, pending) = (counted(row, 1)?, counted(row, 2)?, counted(row, 3)?);
        queue(row.get_ref(0)?.as_str()?, &|queue| {
            queue.due = due;
            queue.waiting = all.saturating_sub(due);
            queue.pending = pending;
        })?;
    }
    let mut leased = connection.prepare_cached(
        "SELECT type, count(*), sum(status = ?) FROM operation INDEXED BY operation_lease
         WHERE live = 1 AND lease_until IS NOT NULL GROUP BY type",
    )?;
    let mut rows = leased.query([cancelling])?;
    while let Some(row) = rows.next()? {
        let (leased, cancelling) = (counted(row, 1)?, counted(row, 2)?);
        queue(row.get_ref(0)?.as_str()?, &|queue| {
            queue.leased = leased;
            queue.cancelling = cancelling;
        })?;
    }
    (backlog.reports, backlog.parked) = connection
        .prepare_cached("SELECT count(*), count(parked) FROM outbox")?
        .query_row([], |row| Ok((counted(row, 0)?, counted(row, 1)?)))?;
    if backlog.reports > backlog.parked {
        backlog.oldest_report = oldest_report(connection, context)?;
    }
    Ok(backlog)
}

/// Reads a number that cannot be negative.
fn counted(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

fn oldest_report(connection: &Connection, context: &Context) -> Result<Option<Timestamp>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT r.token, r.version, e.record FROM outbox r
         JOIN event e ON e.token = r.token AND e.version = r.version
         WHERE r.head = 1 AND r.parked IS NULL ORDER BY r.token, r.version LIMIT ?",
    )?;
    let mut rows = statement.query(params![HEADS])?;
    let mut oldest = None;
    while let Some(row) = rows.next()? {
        let token = row::token(row.get_ref(0)?.as_blob()?)?;
        let version = counted(row, 1)?;
        let record = row.get_ref(2)?.as_blob()?;
        // One that cannot be read is parked when it is its turn.
        if let Ok(event) = row::event(&context.sealer, token, version, record, None) {
            oldest = Some(oldest.map_or(event.at, |oldest: Timestamp| oldest.min(event.at)));
        }
    }
    Ok(oldest)
}
