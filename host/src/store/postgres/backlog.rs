//! Counting what is live and what is unreported.
//!
//! *Invariant*: no record is opened but those of a few events: the counts are of
//! indexes and narrow rows.

use tokio_postgres::Row;

use crate::model::{Timestamp, TypeName};
use crate::operation::Status;
use crate::store::row;
use crate::store::{Backlog, Queue};

use super::Context;
use super::columns::{small, token};
use super::connections::Connection;
use super::fault::Fault;

/// How many events are looked at for the oldest one.
const HEADS: i64 = 256;

/// Counts what has no lease, from its index alone, and what has one, which is never
/// much: in one statement, so that an operation is counted once.
pub(super) const LIVE: &str = "
    SELECT type, false, count(*),
           count(*) FILTER (WHERE due <= $1), count(*) FILTER (WHERE status = $2)
    FROM operation WHERE live AND lease_until IS NULL GROUP BY type
    UNION ALL
    SELECT type, true, count(*), 0, count(*) FILTER (WHERE status = $3)
    FROM operation WHERE live AND lease_until IS NOT NULL GROUP BY type";

const REPORTS: &str = "SELECT count(*), count(parked) FROM outbox";

const OLDEST: &str = "
    SELECT r.token, r.version, e.record FROM outbox r
    JOIN event e ON e.token = r.token AND e.version = r.version
    WHERE r.head AND r.parked IS NULL ORDER BY r.token, r.version LIMIT $1";

pub(super) async fn count(
    on: &Connection,
    context: &Context,
    now: Timestamp,
) -> Result<Backlog, Fault> {
    let mut backlog = Backlog::default();
    let [pending, cancelling] =
        [Status::Pending, Status::CancelInProgress].map(|status| small(row::status_number(status)));
    let now = row::number(now.as_millis());
    for row in on.query(LIVE, &[&now, &pending, &cancelling]).await? {
        let (is_leased, all) = (row.try_get(1)?, counted(&row, 2)?);
        let queue = queue(&mut backlog, &row)?;
        if is_leased {
            queue.leased = all;
            queue.cancelling = counted(&row, 4)?;
        } else {
            queue.due = counted(&row, 3)?;
            queue.waiting = all.saturating_sub(queue.due);
            queue.pending = counted(&row, 4)?;
        }
    }
    for row in on.query(REPORTS, &[]).await? {
        backlog.reports = counted(&row, 0)?;
        backlog.parked = counted(&row, 1)?;
    }
    if backlog.reports > backlog.parked {
        for row in on.query(OLDEST, &[&HEADS]).await? {
            let (token, version) = (token(row.try_get(0)?), counted(&row, 1)?);
            // One that cannot be read is parked when it is its turn.
            if let Ok(event) = row::event(&context.sealer, token, version, row.try_get(2)?, None) {
                backlog.oldest_report = Some(
                    backlog
                        .oldest_report
                        .map_or(event.at, |it| it.min(event.at)),
                );
            }
        }
    }
    Ok(backlog)
}

/// Gives the queue of the type that a row is about.
fn queue<'b>(backlog: &'b mut Backlog, row: &Row) -> Result<&'b mut Queue, Fault> {
    let name: &str = row.try_get(0)?;
    let type_name: Result<TypeName, _> = name.parse();
    let type_name =
        type_name.map_err(|_| row::Damaged::new("the type of an operation".to_owned()))?;
    Ok(backlog.types.entry(type_name).or_default())
}

/// Reads a number that cannot be negative.
fn counted(row: &Row, column: usize) -> Result<u64, Fault> {
    Ok(row.try_get::<_, i64>(column)?.unsigned_abs())
}
