//! The reads, and the connections that they have to themselves.
//!
//! *Invariant*: a read sees one moment, and never waits for the writer.
//!
//! *Invariant*: one row that cannot be read hides none of the others.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use tokio::sync::Semaphore;

use super::columns::{self, COLUMNS};
use super::fault::{Fault, unavailable};
use super::{Context, connect};
use crate::model::{JsonObject, RequestToken, Timestamp, TypeName};
use crate::operation::{Event, Operation, PendingReport};
use crate::store::unreadable::{self, Unreadable};
use crate::store::{Moment, Pool, ReportAt, StoreError, row};

/// How many reads run at a time: more than the cores of a small host, few
/// enough for their caches to be of use.
const CONNECTIONS: usize = 4;

/// Runs reads on threads of the runtime.
pub(super) struct Readers {
    database: PathBuf,
    context: Arc<Context>,
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(database: PathBuf, context: Arc<Context>) -> Self {
        Self {
            database,
            context,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Tells how they are used.
    pub(super) fn used(&self) -> Pool {
        Pool {
            name: "readers",
            size: CONNECTIONS,
            in_use: CONNECTIONS - self.places.available_permits(),
            idle: self.idle().len(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the data directory.
    pub(super) fn directory(&self) -> PathBuf {
        let directory = self.database.parent();
        directory.map(Path::to_path_buf).unwrap_or_default()
    }

    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Context) -> Result<T, Fault> + Send + 'static,
    {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await;
        let place = place.expect("the places are never closed");
        let readers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = readers.run(read);
            drop(place);
            outcome.map_err(|fault| fault.undone(&readers.context.place))
        });
        reading.await.unwrap_or_else(|error| {
            let advice = "the read was broken off: try again";
            Err(unavailable(&self.context.place, advice, error))
        })
    }

    fn run<T>(
        &self,
        read: impl FnOnce(&Connection, &Context) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let kept = self.idle().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.database)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        let execute = |sql| connection.prepare_cached(sql)?.raw_execute().map(drop);
        execute("BEGIN")?;
        let outcome = read(&connection, &self.context);
        execute("COMMIT")?;
        // A connection that failed is not used again.
        if !matches!(outcome, Err(Fault::Sql(_))) {
            self.idle().push(connection);
        }
        outcome
    }
}

/// An operation, or where one is that cannot be read.
pub(super) type Found = Result<Operation, Unreadable>;

/// Selects operations; `rest` is what follows the tables.
fn select(
    connection: &Connection,
    context: &Context,
    rest: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<Found>, Fault> {
    let sql =
        format!("SELECT {COLUMNS} FROM operation o JOIN sealed s ON s.token = o.token {rest}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match columns::operation(&context.sealer, row) {
            Ok(operation) => found.push(Ok(operation)),
            Err(Fault::Damaged { what, is_foreign }) => {
                let token = row.get_ref(0)?.as_blob().unwrap_or_default();
                let Ok(token) = row::token(token) else {
                    tracing::error!(place = %context.place, what, "an operation cannot be read");
                    continue;
                };
                let met = Unreadable {
                    token,
                    version: row.get_ref(6)?.as_i64().unwrap_or(-1),
                    is_foreign,
                };
                context.foreign.say(&context.place, &what, &met);
                found.push(Err(met));
            }
            Err(fault @ Fault::Sql(_)) => return Err(fault),
        }
    }
    Ok(found)
}

const LAPSED: &str = "WHERE o.live = 1 AND o.lease_until IS NOT NULL AND o.lease_until <= ?
    ORDER BY o.lease_until, o.token LIMIT ?";

const OUTLIVED: &str = "WHERE o.live = 1 AND o.lease_until IS NULL AND o.deadline <= ?
    ORDER BY o.deadline, o.token LIMIT ?";

/// Gives what is to be swept, but for these.
pub(super) fn sweep(
    connection: &Connection,
    context: &Context,
    now: Timestamp,
    limit: usize,
    but: &HashSet<unreadable::At>,
) -> Result<Vec<Found>, Fault> {
    let now = row::number(now.as_millis());
    let mut found = Vec::new();
    for rest in [LAPSED, OUTLIVED] {
        let room = (limit - found.len()).saturating_add(but.len());
        let more = select(connection, context, rest, &[&now, &row::limit(room)])?;
        let is_left = |it: &Found| matches!(it, Err(met) if but.contains(&met.at()));
        found.extend(more.into_iter().filter(|it| !is_left(it)));
        found.truncate(limit);
    }
    Ok(found)
}

/// When operations of a type are due, when leases lapse, and when operations
/// without a lease end: each in the order of an index.
pub(super) const UPCOMING: [&str; 3] = [
    "SELECT due, token FROM operation
     WHERE type = ?3 AND live = 1 AND lease_until IS NULL AND due > ?1
     ORDER BY due, token LIMIT ?2",
    "SELECT lease_until, token FROM operation
     WHERE live = 1 AND lease_until IS NOT NULL AND lease_until > ?1
     ORDER BY lease_until, token LIMIT ?2",
    "SELECT deadline, token FROM operation
     WHERE live = 1 AND lease_until IS NULL AND deadline > ?1
     ORDER BY deadline, token LIMIT ?2",
];

pub(super) fn upcoming(
    connection: &Connection,
    types: &[TypeName],
    after: Timestamp,
    limit: usize,
) -> Result<Vec<Moment>, Fault> {
    let [due, lapses, deadlines] = UPCOMING;
    let after = row::number(after.as_millis());
    let mut found = Vec::new();
    let mut collect = |sql: &str, values: &[&dyn ToSql]| -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let token = row::token(row.get_ref(1)?.as_blob()?)?;
            found.push((moment(row.get(0)?), token));
        }
        Ok(())
    };
    let limited = row::limit(limit);
    for name in types {
        collect(due, &[&after, &limited, &name.as_str()])?;
    }
    collect(lapses, &[&after, &limited])?;
    collect(deadlines, &[&after, &limited])?;
    found.sort_unstable();
    found.truncate(limit);
    Ok(found)
}

fn moment(number: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(number).unwrap_or(0))
}

pub(super) fn get(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Option<Operation>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM operation o JOIN sealed s ON s.token = o.token WHERE o.token = ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([token.as_bytes()])?;
    match rows.next()? {
        Some(row) => columns::operation(&context.sealer, row).map(Some),
        None => Ok(None),
    }
}

/// Gives an operation, or says that it cannot be read.
pub(super) fn find(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Option<Found>, Fault> {
    let found = select(
        connection,
        context,
        "WHERE o.token = ?",
        &[token.as_bytes()],
    )?;
    Ok(found.into_iter().next())
}

pub(super) fn events(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
    after: u64,
) -> Result<Vec<Event>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT version, record, model, delivered_at FROM event
         WHERE token = ? AND version > ? ORDER BY version",
    )?;
    let mut rows = statement.query(params![token.as_bytes(), row::number(after)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let version = row.get::<_, i64>(0)?;
        let version = u64::try_from(version).unwrap_or(0);
        let (record, model) = (
            row.get_ref(1)?.as_blob()?,
            row.get_ref(2)?.as_blob_or_null()?,
        );
        let mut event = row::event(&context.sealer, token, version, record, model)?;
        event.delivered = row.get::<_, Option<i64>>(3)?.map(moment);
        events.push(event);
    }
    if let Some(last) = events.last_mut() {
        last.model = last_model(connection, context, token)?;
    }
    Ok(events)
}

/// Gives the model of the last event, which stands with the operation.
fn last_model(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Option<JsonObject>, Fault> {
    let operation = get(connection, context, token)?;
    Ok(operation.and_then(|operation| operation.model.clone()))
}

/// Gives what is due, or where there is something that cannot be read.
pub(super) fn due_reports(
    connection: &Connection,
    context: &Context,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let sql = "SELECT token, version FROM outbox
               WHERE head = 1 AND parked IS NULL AND due <= ? ORDER BY due, token LIMIT ?";
    let values = params![row::number(now.as_millis()), row::limit(limit)];
    reports_at(connection, context, sql, values)
}

pub(super) fn parked_reports(
    connection: &Connection,
    context: &Context,
    limit: usize,
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let sql = "SELECT token, version FROM outbox
               WHERE head = 1 AND parked IS NOT NULL ORDER BY token LIMIT ?";
    reports_at(connection, context, sql, params![row::limit(limit)])
}

/// Gives the reports at the places that a query gives, or where there is something
/// that cannot be read.
fn reports_at(
    connection: &Connection,
    context: &Context,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let places: Vec<(Vec<u8>, i64)> = connection
        .prepare_cached(sql)?
        .query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut reports = Vec::new();
    for (token, version) in places {
        let at = (row::token(&token)?, u64::try_from(version).unwrap_or(0));
        match report(connection, context, at) {
            Ok(found) => reports.extend(found.map(Ok)),
            Err(Fault::Damaged { what, .. }) => {
                tracing::error!(place = %context.place, what, "a report cannot be read");
                reports.push(Err(at));
            }
            Err(fault @ Fault::Sql(_)) => return Err(fault),
        }
    }
    Ok(reports)
}

pub(super) fn next_report(
    connection: &Connection,
    after: Timestamp,
) -> Result<Option<Timestamp>, Fault> {
    let due: Option<i64> = connection
        .prepare_cached(
            "SELECT min(due) FROM outbox WHERE head = 1 AND parked IS NULL AND due > ?",
        )?
        .query_row([row::number(after.as_millis())], |row| row.get(0))?;
    Ok(due.map(moment))
}

pub(super) fn reports(
    connection: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Vec<PendingReport>, Fault> {
    let versions: Vec<i64> = connection
        .prepare_cached("SELECT version FROM outbox WHERE token = ? ORDER BY version")?
        .query_map([token.as_bytes()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut pending = Vec::new();
    for version in versions {
        let at = (token, u64::try_from(version).unwrap_or(0));
        pending.extend(report(connection, context, at)?);
    }
    Ok(pending)
}

fn report(
    connection: &Connection,
    context: &Context,
    (token, version): ReportAt,
) -> Result<Option<PendingReport>, Fault> {
    let sealer = &context.sealer;
    let mut statement = connection.prepare_cached(
        "SELECT o.type, o.deadline, s.target, e.record, e.model,
                r.attempts, r.ambiguous, r.due, r.parked, o.mutation
         FROM outbox r
         JOIN operation o ON o.token = r.token
         JOIN sealed s ON s.token = r.token
         JOIN event e ON e.token = r.token AND e.version = r.version
         WHERE r.token = ? AND r.version = ?",
    )?;
    let read = |row: &rusqlite::Row<'_>| -> Result<Option<PendingReport>, Fault> {
        let damaged =
            |what: &str| row::damaged(token, format!("the {what} of its report {version}"));
        let Some(target) = row.get_ref(2)?.as_blob_or_null()? else {
            return Ok(None);
        };
        let (record, model) = (
            row.get_ref(3)?.as_blob()?,
            row.get_ref(4)?.as_blob_or_null()?,
        );
        let mut event = row::event(sealer, token, version, record, model)?;
        if event.status.is_terminal() {
            event.model = last_model(connection, context, token)?;
        }
        let parked = match row.get_ref(8)?.as_blob_or_null()? {
            Some(reason) => Some(row::open_reason(sealer, token, version, reason)?),
            None => None,
        };
        let type_name = row.get_ref(0)?.as_str()?.parse();
        let mutation: Option<i64> = row.get(9)?;
        Ok(Some(PendingReport {
            type_name: type_name.map_err(|_| damaged("type"))?,
            mutation: row::mutation(mutation).ok_or_else(|| damaged("action"))?,
            deadline: moment(row.get(1)?),
            target: row::open_target(sealer, token, target)?,
            event,
            attempts: row.get(5)?,
            ambiguous: row.get(6)?,
            due: moment(row.get(7)?),
            parked,
        }))
    };
    let found = statement
        .query_row(params![token.as_bytes(), row::number(version)], |row| {
            Ok(read(row))
        })
        .optional()?;
    found.unwrap_or(Ok(None))
}
