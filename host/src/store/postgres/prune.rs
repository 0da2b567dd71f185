//! What is forgotten.
//!
//! *Invariant*: an operation goes with all that belongs to it, and its lock.

use uuid::Uuid;

use crate::model::RequestToken;
use crate::store::horizon::EVENTS;
use crate::store::{ForgetError, Horizon, row};

use super::Context;
use super::columns::uuid;
use super::connections::Connection;
use super::fault::Fault;
use super::read;
use super::transaction::{Step, step};

/// Ended before $1 and not held back by a report: one that is to be tried, or one
/// that is parked and whose operation's deadline was not before $2. Each with how
/// many events it has.
const LOOK: &str = "
    SELECT o.token, (SELECT count(*) FROM event e WHERE e.token = o.token) FROM operation o
    WHERE o.ended_at < $1 AND NOT EXISTS (
        SELECT 1 FROM outbox r
        WHERE r.token = o.token AND r.head AND (r.parked IS NULL OR o.deadline >= $2))
    ORDER BY o.ended_at, o.token LIMIT $3";

/// The same, once more, with the operations locked.
const STILL: &str = "
    SELECT o.token FROM operation o
    WHERE o.token = ANY ($3) AND o.ended_at < $1 AND NOT EXISTS (
        SELECT 1 FROM outbox r
        WHERE r.token = o.token AND r.head AND (r.parked IS NULL OR o.deadline >= $2))";

const LOCK: &str = "
    SELECT token FROM operation WHERE token = ANY ($1) ORDER BY token FOR UPDATE SKIP LOCKED";

const EXPIRED: &str = "
    DELETE FROM client_token t
    USING (SELECT account, region, client_token FROM client_token
           WHERE used_at < $1 ORDER BY used_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS e
    WHERE t.account = e.account AND t.region = e.region AND t.client_token = e.client_token
    RETURNING 1";

const FORGET: [&str; 6] = [
    "DELETE FROM resource_lock l USING operation o
     WHERE o.token = ANY ($1) AND l.resource = o.resource AND l.token = o.token",
    "DELETE FROM outbox WHERE token = ANY ($1)",
    "DELETE FROM event WHERE token = ANY ($1)",
    "DELETE FROM bearer_token WHERE token = ANY ($1)",
    "DELETE FROM sealed WHERE token = ANY ($1)",
    "DELETE FROM operation WHERE token = ANY ($1)",
];

fn forget<'t>(tokens: &'t Vec<Uuid>, steps: &mut Vec<Step<'t>>) {
    steps.extend(FORGET.iter().map(|sql| step(sql, &[tokens])));
}

/// Forgets what is to be forgotten, and gives how much it was. What is too much for
/// the server is tried again in smaller parts.
pub(super) async fn prune(
    on: &Connection,
    horizon: &Horizon,
    mut limit: usize,
) -> Result<usize, Fault> {
    loop {
        match forget_some(on, horizon, limit).await {
            Err(Fault::Refused(error)) if limit > 1 => {
                tracing::debug!(%error, limit, "so much cannot be forgotten at once");
                limit /= 2;
            }
            outcome => return outcome,
        }
    }
}

async fn forget_some(on: &Connection, horizon: &Horizon, limit: usize) -> Result<usize, Fault> {
    let ended = row::number(horizon.ended.as_millis());
    let parked = row::number(horizon.parked.as_millis());
    let expired = row::number(horizon.client_tokens.as_millis());
    let limit = row::limit(limit);
    let found = on.query(LOOK, &[&ended, &parked, &limit]).await?;
    let found = few(&found)?;
    let gone = on.write(EXPIRED, &[&expired, &limit]).await?.len();
    if found.is_empty() {
        return Ok(gone);
    }
    let locked = on.begin(vec![step(LOCK, &[&found])]).await?;
    let locked = on
        .or_undo(uuids(locked.first().map_or(&[], Vec::as_slice)))
        .await?;
    let still = on
        .go_on(&[step(STILL, &[&ended, &parked, &locked])])
        .await?;
    let still = on
        .or_undo(uuids(still.first().map_or(&[], Vec::as_slice)))
        .await?;
    let mut steps = Vec::new();
    forget(&still, &mut steps);
    on.commit(steps).await?;
    Ok(gone + still.len())
}

/// Gives the first of what was found that have no more events together than go at
/// once.
fn few(rows: &[tokio_postgres::Row]) -> Result<Vec<Uuid>, Fault> {
    let (mut few, mut events) = (Vec::new(), 0);
    for row in rows {
        events += row.try_get::<_, i64>(1)?;
        if events > EVENTS && !few.is_empty() {
            break;
        }
        few.push(row.try_get(0)?);
    }
    Ok(few)
}

fn uuids(rows: &[tokio_postgres::Row]) -> Result<Vec<Uuid>, Fault> {
    let found = rows.iter().map(|row| Ok(row.try_get(0)?));
    found.collect()
}

/// Removes an operation if it has ended or cannot be read.
pub(super) async fn forget_ended(
    on: &Connection,
    context: &Context,
    token: RequestToken,
) -> Result<Result<(), ForgetError>, Fault> {
    let own = vec![uuid(token)];
    // Whoever works on it is done with that first.
    let found = on
        .begin(vec![step(
            "SELECT token FROM operation WHERE token = ANY ($1) FOR UPDATE",
            &[&own],
        )])
        .await?;
    if found.first().is_none_or(Vec::is_empty) {
        on.undo().await?;
        return Ok(Err(ForgetError::Unknown { token }));
    }
    match read::get(on, context, token).await {
        Ok(Some(operation)) if !operation.status.is_terminal() => {
            on.undo().await?;
            return Ok(Err(ForgetError::Live { token }));
        }
        Ok(_) | Err(Fault::Damaged { .. }) => {}
        Err(fault) => return on.or_undo(Err(fault)).await,
    }
    let mut steps = Vec::new();
    forget(&own, &mut steps);
    on.commit(steps).await?;
    Ok(Ok(()))
}
