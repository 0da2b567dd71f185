//! The reads.
//!
//! *Invariant*: a read is one statement, and so sees one moment.
//!
//! *Invariant*: one row that cannot be read hides none of the others.

use std::collections::HashSet;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::model::{JsonObject, RequestToken, Scope, Timestamp, TypeName};
use crate::operation::{Event, Operation, PendingReport};
use crate::store::fingerprint::{Claim, Held};
use crate::store::resource::Resource;
use crate::store::row;
use crate::store::sealed::open_write_only;
use crate::store::unreadable::{self, Unreadable};
use crate::store::{AcceptError, Basis, Moment, ReportAt};

use super::Context;
use super::accept::{Holder, Key};
use super::claim;
use super::columns::{columns, get as column, operation, resource, token, uuid};
use super::connections::Connection;
use super::fault::Fault;
use super::locks::{self, Locks};
use super::transaction::Value;

/// An operation, or where one is that cannot be read.
pub(super) type Found = Result<Operation, Unreadable>;

const GET: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM operation o JOIN sealed s ON s.token = o.token WHERE o.token = ANY ($1)"
);

const LAPSED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT token FROM operation
            WHERE live AND lease_until IS NOT NULL AND lease_until <= $1
              AND (token, version) NOT IN (SELECT * FROM unnest($3::uuid[], $4::bigint[]))
            ORDER BY lease_until, token LIMIT $2) AS d
     JOIN operation o ON o.token = d.token JOIN sealed s ON s.token = o.token
     ORDER BY o.lease_until, o.token"
);

const OUTLIVED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT token FROM operation
            WHERE live AND lease_until IS NULL AND deadline <= $1
              AND (token, version) NOT IN (SELECT * FROM unnest($3::uuid[], $4::bigint[]))
            ORDER BY deadline, token LIMIT $2) AS d
     JOIN operation o ON o.token = d.token JOIN sealed s ON s.token = o.token
     ORDER BY o.deadline, o.token"
);

const UPCOMING: &str = "
    SELECT at, token FROM (
        (SELECT lease_until AS at, token FROM operation
         WHERE live AND lease_until IS NOT NULL AND lease_until > $2
         ORDER BY lease_until LIMIT $3)
        UNION ALL
        (SELECT deadline, token FROM operation
         WHERE live AND lease_until IS NULL AND deadline > $2
         ORDER BY deadline LIMIT $3)
        UNION ALL
        (SELECT d.due, d.token FROM unnest($1::text[]) AS t (type)
         CROSS JOIN LATERAL (
             SELECT o.due, o.token FROM operation o
             WHERE o.type = t.type AND o.live AND o.lease_until IS NULL AND o.due > $2
             ORDER BY o.due, o.token LIMIT $3) AS d)) AS moments
    ORDER BY at, token LIMIT $3";

const CLIENT_TOKEN: &str = "
    SELECT token, fingerprint, used_at, true FROM client_token
    WHERE account = $1 AND region = $2 AND client_token = $3";

const BEARER_TOKEN: &str =
    "SELECT token, fingerprint, NULL::bigint, true FROM bearer_token WHERE bearer_token = $1";

/// The model of the last event stands with the operation.
const EVENTS: &str = "
    SELECT e.version, e.record, e.model, s.version, s.record, e.delivered_at FROM event e
    LEFT JOIN sealed s
      ON s.token = e.token AND e.version = (SELECT max(version) FROM event WHERE token = $1)
    WHERE e.token = $1 AND e.version > $2 ORDER BY e.version";

macro_rules! report {
    ($rest:literal) => {
        concat!(
            "SELECT o.type, o.deadline, s.target, e.record, e.model,
                    r.attempts, r.ambiguous, r.due, r.parked, r.token, r.version, o.status,
                    o.mutation
             FROM outbox r
             JOIN operation o ON o.token = r.token
             JOIN sealed s ON s.token = r.token
             JOIN event e ON e.token = r.token AND e.version = r.version ",
            $rest
        )
    };
}

const DUE_REPORTS: &str = report!(
    "WHERE r.head AND r.parked IS NULL AND r.due <= $1
       AND (r.lease_until IS NULL OR r.lease_until <= $1)
     ORDER BY r.due, r.token LIMIT $2"
);

const PARKED_REPORTS: &str =
    report!("WHERE r.head AND r.parked IS NOT NULL ORDER BY r.token LIMIT $1");

const REPORTS: &str = report!("WHERE r.token = $1 ORDER BY r.version");

const THESE_REPORTS: &str = report!(
    "JOIN unnest($1::uuid[], $2::bigint[]) AS i (token, version)
       ON i.token = r.token AND i.version = r.version
     ORDER BY r.due, r.token"
);

const NEXT_REPORT: &str = "
    SELECT min(at) FROM (
        SELECT min(due) AS at FROM outbox
            WHERE head AND parked IS NULL AND due > $1
        UNION ALL
        SELECT min(lease_until) FROM outbox
            WHERE head AND parked IS NULL AND due <= $1 AND lease_until > $1) AS moments";

const WRITE_ONLY: &str = "SELECT record FROM write_only WHERE resource = $1";

fn moment(number: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(number).unwrap_or(0))
}

fn version(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Gives an operation, or says why it cannot be read.
pub(super) async fn get(
    on: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Option<Operation>, Fault> {
    let rows = on.query(GET, &[&vec![uuid(token)]]).await?;
    let row = rows.first();
    row.map(|row| operation(&context.sealer, row)).transpose()
}

/// Gives those of the operations that are there and can be read, in this order.
pub(super) async fn these(
    on: &Connection,
    context: &Context,
    tokens: &[RequestToken],
) -> Result<Vec<Operation>, Fault> {
    let asked: Vec<Uuid> = tokens.iter().map(|it| uuid(*it)).collect();
    let found = select(on, context, GET, &[&asked]).await?;
    let mut found: Vec<Operation> = found.into_iter().filter_map(Result::ok).collect();
    found.sort_by_key(|it| tokens.iter().position(|token| *token == it.token));
    Ok(found)
}

/// Selects operations.
async fn select(
    on: &Connection,
    context: &Context,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for row in on.query(sql, values).await? {
        match operation(&context.sealer, &row) {
            Ok(operation) => found.push(Ok(operation)),
            Err(Fault::Damaged { what, is_foreign }) => {
                let met = Unreadable {
                    token: token(row.try_get(0)?),
                    version: row.try_get(6)?,
                    is_foreign,
                };
                context.foreign.say(&context.place, &what, &met);
                found.push(Err(met));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(found)
}

/// Gives what is to be swept, but for these.
pub(super) async fn sweep(
    on: &Connection,
    context: &Context,
    now: Timestamp,
    limit: usize,
    but: &HashSet<unreadable::At>,
) -> Result<Vec<Found>, Fault> {
    let now = row::number(now.as_millis());
    let (but, versions) = claim::columns(but.iter().copied());
    let mut found = Vec::new();
    for sql in [LAPSED, OUTLIVED] {
        let room = row::limit(limit.saturating_sub(found.len()));
        if room > 0 {
            found.extend(select(on, context, sql, &[&now, &room, &but, &versions]).await?);
        }
    }
    Ok(found)
}

pub(super) async fn upcoming(
    on: &Connection,
    types: &[TypeName],
    after: Timestamp,
    limit: usize,
) -> Result<Vec<Moment>, Fault> {
    let types: Vec<&str> = types.iter().map(TypeName::as_str).collect();
    let (after, limit) = (row::number(after.as_millis()), row::limit(limit));
    let mut found = Vec::new();
    for row in on.query(UPCOMING, &[&types, &after, &limit]).await? {
        found.push((moment(row.try_get(0)?), token(row.try_get(1)?)));
    }
    Ok(found)
}

fn earliest(rows: &[Row]) -> Result<Option<Timestamp>, Fault> {
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(row.try_get::<_, Option<i64>>(0)?.map(moment))
}

/// Gives what an idempotency key stands for.
pub(super) async fn holder(
    on: &Connection,
    scope: &Scope,
    held: &Held,
) -> Result<Option<Holder>, Fault> {
    let rows = match Key::of(scope, held) {
        Key::Client(account, region, client) => {
            on.query(CLIENT_TOKEN, &[&account, &region, &client])
                .await?
        }
        Key::Bearer(bearer) => on.query(BEARER_TOKEN, &[&bearer.as_slice()]).await?,
    };
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Holder {
        token: token(row.try_get(0)?),
        request: row.try_get(1)?,
        used_at: row.try_get(2)?,
        is_kept: row.try_get(3)?,
    }))
}

/// Gives the operation that a key stands for, if it is of this request.
pub(super) async fn replayed(
    on: &Connection,
    context: &Context,
    scope: &Scope,
    claim: &Claim,
    tokens_expired: Timestamp,
) -> Result<Result<Option<Operation>, AcceptError>, Fault> {
    let expired = row::number(tokens_expired.as_millis());
    let known = holder(on, scope, &claim.key).await?;
    let Some(known) = known.filter(|known| known.stands(expired)) else {
        return Ok(Ok(None));
    };
    let kept = get(on, context, known.token).await?;
    Ok(if kept.is_some() && known.request != claim.request {
        Err(AcceptError::TokenReused {
            holder: known.token,
        })
    } else {
        Ok(kept)
    })
}

pub(super) async fn basis(
    on: &Connection,
    named: &Resource,
) -> Result<Result<Basis, AcceptError>, Fault> {
    let rows = on.query(locks::LOOK, &[&vec![resource(named)]]).await?;
    Ok(Locks::of(&rows)?.basis(named))
}

pub(super) async fn events(
    on: &Connection,
    context: &Context,
    token: RequestToken,
    after: u64,
) -> Result<Vec<Event>, Fault> {
    let mut events = Vec::new();
    let rows = on
        .query(EVENTS, &[&uuid(token), &row::number(after)])
        .await?;
    for row in rows {
        let (record, model) = (column(&row, 1, token)?, column(&row, 2, token)?);
        let version = version(row.try_get(0)?);
        let mut event = row::event(&context.sealer, token, version, record, model)?;
        event.delivered = column::<Option<i64>>(&row, 5, token)?.map(moment);
        let last = column::<Option<i64>>(&row, 3, token)?;
        if let (Some(sealed_at), Some(record)) = (last, column(&row, 4, token)?) {
            event.model = row::last_model(&context.sealer, token, sealed_at, record)?;
        }
        events.push(event);
    }
    Ok(events)
}

/// Gives what is due, or where there is something that cannot be read.
pub(super) async fn due_reports(
    on: &Connection,
    context: &Context,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let now = row::number(now.as_millis());
    let rows = on.query(DUE_REPORTS, &[&now, &row::limit(limit)]).await?;
    pending(on, context, &rows).await
}

pub(super) async fn parked_reports(
    on: &Connection,
    context: &Context,
    limit: usize,
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let rows = on.query(PARKED_REPORTS, &[&row::limit(limit)]).await?;
    pending(on, context, &rows).await
}

/// Gives the reports at these places.
pub(super) async fn these_reports(
    on: &Connection,
    context: &Context,
    tokens: &[Uuid],
    versions: &[i64],
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let rows = on.query(THESE_REPORTS, &[&tokens, &versions]).await?;
    pending(on, context, &rows).await
}

async fn pending(
    on: &Connection,
    context: &Context,
    rows: &[Row],
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let mut due = Vec::new();
    for row in rows {
        let at = (token(row.try_get(9)?), version(row.try_get(10)?));
        match report(on, context, row, at).await {
            Ok(found) => due.extend(found.map(Ok)),
            Err(Fault::Damaged { what, .. }) => {
                tracing::error!(place = %context.place, what, "a report cannot be read");
                due.push(Err(at));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(due)
}

pub(super) async fn next_report(
    on: &Connection,
    after: Timestamp,
) -> Result<Option<Timestamp>, Fault> {
    let after = row::number(after.as_millis());
    earliest(&on.query(NEXT_REPORT, &[&after]).await?)
}

pub(super) async fn reports(
    on: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Vec<PendingReport>, Fault> {
    let rows = on.query(REPORTS, &[&uuid(token)]).await?;
    let mut pending = Vec::new();
    for row in rows {
        let at = (token, version(row.try_get(10)?));
        pending.extend(report(on, context, &row, at).await?);
    }
    Ok(pending)
}

async fn report(
    on: &Connection,
    context: &Context,
    row: &Row,
    (token, version): ReportAt,
) -> Result<Option<PendingReport>, Fault> {
    let sealer = &context.sealer;
    let Some(target) = column::<Option<&[u8]>>(row, 2, token)? else {
        return Ok(None);
    };
    let (record, model) = (column(row, 3, token)?, column(row, 4, token)?);
    let mut event = row::event(sealer, token, version, record, model)?;
    // It has ended with it, and changes no more.
    if event.status.is_terminal() {
        let operation = get(on, context, token).await?;
        event.model = operation.and_then(|operation| operation.model.clone());
    }
    let parked = match column::<Option<&[u8]>>(row, 8, token)? {
        Some(reason) => Some(row::open_reason(sealer, token, version, reason)?),
        None => None,
    };
    let type_name = column::<&str>(row, 0, token)?.parse();
    let mutation = column::<Option<i16>>(row, 12, token)?;
    let damaged = |what: &str| row::damaged(token, format!("the {what} of its report {version}"));
    Ok(Some(PendingReport {
        type_name: type_name.map_err(|_| damaged("type"))?,
        mutation: row::mutation(mutation.map(i64::from)).ok_or_else(|| damaged("action"))?,
        deadline: moment(column(row, 1, token)?),
        target: row::open_target(sealer, token, target)?,
        event,
        attempts: u32::try_from(column::<i32>(row, 5, token)?).unwrap_or(0),
        ambiguous: column(row, 6, token)?,
        due: moment(column(row, 7, token)?),
        parked,
    }))
}

pub(super) async fn write_only(
    on: &Connection,
    context: &Context,
    named: &Resource,
) -> Result<Option<JsonObject>, Fault> {
    let rows = on.query(WRITE_ONLY, &[&resource(named)]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let record: &[u8] = row.try_get(0)?;
    Ok(Some(open_write_only(&context.sealer, named, record)?))
}
