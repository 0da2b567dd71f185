//! Counting what is live and what is unreported.
//!
//! *Invariant*: no record is opened but those of a few events: the counts are of
//! indexes and narrow rows.

use crate::model::{Timestamp, TypeName};
use crate::store::row;
use crate::store::{Backlog, Queue};

use super::Context;
use super::columns::token;
use super::connections::Connection;
use super::fault::Fault;

/// How many events are looked at for the oldest one.
const HEADS: i64 = 256;

const LIVE: &str = "
    SELECT type,
           count(*) FILTER (WHERE lease_until IS NULL AND due <= $1),
           count(*) FILTER (WHERE lease_until IS NULL AND due > $1),
           count(*) FILTER (WHERE lease_until IS NOT NULL)
    FROM operation WHERE live GROUP BY type";

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
    for row in on.query(LIVE, &[&row::number(now.as_millis())]).await? {
        let name: &str = row.try_get(0)?;
        let type_name: TypeName = name.parse().map_err(|_| Fault::Damaged {
            what: "the type of an operation".to_owned(),
        })?;
        let counted = |at| -> Result<u64, Fault> { Ok(row.try_get::<_, i64>(at)?.unsigned_abs()) };
        let queue = Queue {
            due: counted(1)?,
            waiting: counted(2)?,
            leased: counted(3)?,
        };
        backlog.types.insert(type_name, queue);
    }
    for row in on.query(REPORTS, &[]).await? {
        backlog.reports = row.try_get::<_, i64>(0)?.unsigned_abs();
        backlog.parked = row.try_get::<_, i64>(1)?.unsigned_abs();
    }
    if backlog.reports > backlog.parked {
        for row in on.query(OLDEST, &[&HEADS]).await? {
            let (token, version) = (
                token(row.try_get(0)?),
                row.try_get::<_, i64>(1)?.unsigned_abs(),
            );
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
