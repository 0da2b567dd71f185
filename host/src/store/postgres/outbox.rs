//! What becomes of reports.
//!
//! *Invariant*: a report is delivered by the host that has leased it, and settled
//! by it; who was paused until another took it over settles nothing.
//!
//! *Invariant*: which report of an operation is the oldest is decided with the
//! operation locked, here as in a commit.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::{RequestToken, Timestamp};
use crate::operation::{PendingReport, Settlement};
use crate::store::{ReportAt, row};

use super::Context;
use super::columns::uuid;
use super::connections::Connection;
use super::events::{self, delete_reports};
use super::fault::Fault;
use super::gather::{Kind, Name, name};
use super::read;
use super::transaction::step;

const LOCK: &str = "
    SELECT token FROM operation WHERE token = ANY ($1) ORDER BY token FOR UPDATE";

const DELIVERED: &str = "
    WITH gone AS (
        DELETE FROM outbox o
        USING unnest($1::uuid[], $2::bigint[], $4::bigint[]) AS i (token, version, at)
        WHERE o.token = i.token AND o.version = i.version
          AND (o.lease_host IS NULL OR o.lease_host = $3)
        RETURNING o.token, o.version, i.at)
    UPDATE event e SET model = NULL, delivered_at = g.at FROM gone g
    WHERE e.token = g.token AND e.version = g.version";

const SUPERSEDED: &str = delete_reports!(
    "DELETE FROM outbox o
     USING unnest($1::uuid[], $2::bigint[]) AS i (token, version)
     WHERE o.token = i.token AND EXISTS (
         SELECT 1 FROM outbox h WHERE h.token = i.token AND h.version = i.version
            AND (h.lease_host IS NULL OR h.lease_host = $3))"
);

const RETRY: &str = "
    UPDATE outbox o
    SET attempts = o.attempts + 1, due = i.due, ambiguous = i.ambiguous,
        lease_until = NULL, lease_host = NULL
    FROM unnest($1::uuid[], $2::bigint[], $4::bigint[], $5::boolean[])
         AS i (token, version, due, ambiguous)
    WHERE o.token = i.token AND o.version = i.version
      AND (o.lease_host IS NULL OR o.lease_host = $3)";

const PARK: &str = "
    UPDATE outbox o
    SET attempts = o.attempts + 1, parked = i.reason, lease_until = NULL, lease_host = NULL
    FROM unnest($1::uuid[], $2::bigint[], $4::bytea[]) AS i (token, version, reason)
    WHERE o.token = i.token AND o.version = i.version
      AND (o.lease_host IS NULL OR o.lease_host = $3)";

const HEADS: &str = "
    UPDATE outbox o SET head = true
    WHERE o.token = ANY ($1) AND NOT o.head
      AND o.version = (SELECT min(version) FROM outbox h WHERE h.token = o.token)";

const UNPARK: &str = "
    UPDATE outbox SET parked = NULL, due = $2, attempts = 0
    WHERE token = $1 AND parked IS NOT NULL
    RETURNING version";

const DROP_PARKED: &str = "
    WITH gone AS (
        DELETE FROM outbox o
        WHERE o.token = $1 AND EXISTS (
            SELECT 1 FROM outbox h WHERE h.token = $1 AND h.head AND h.parked IS NOT NULL)
        RETURNING o.token, o.version),
    erased AS (
        UPDATE event e SET model = NULL FROM gone g
        WHERE e.token = g.token AND e.version = g.version AND e.model IS NOT NULL)
    SELECT version FROM gone";

/// A lease that lapsed was that of a host that may have sent the report.
const CLAIM: &str = "
    UPDATE outbox o
    SET lease_until = $2, lease_host = $3,
        ambiguous = o.ambiguous OR o.lease_until IS NOT NULL
    FROM (SELECT token, version FROM outbox
          WHERE head AND parked IS NULL AND due <= $1
            AND (lease_until IS NULL OR lease_until <= $1) AND NOT token = ANY ($5)
          ORDER BY due, token LIMIT $4
          FOR UPDATE SKIP LOCKED) AS d
    WHERE o.token = d.token AND o.version = d.version
    RETURNING o.token, o.version";

/// What became of a delivery.
pub(super) struct Settling {
    token: RequestToken,
    version: u64,
    settlement: Settlement,
}

impl Settling {
    pub(super) const fn new(token: RequestToken, version: u64, settlement: Settlement) -> Self {
        Self {
            token,
            version,
            settlement,
        }
    }
}

/// Settlements of one kind, each column a list for `unnest`.
#[derive(Default)]
struct Those {
    token: Vec<Uuid>,
    version: Vec<i64>,
}

impl Those {
    fn push(&mut self, settling: &Settling) {
        self.token.push(uuid(settling.token));
        self.version.push(row::number(settling.version));
    }
}

impl Kind for Settling {
    type Outcome = ();

    fn about(&self) -> Vec<Name> {
        vec![name(self.token)]
    }

    fn bytes(&self) -> usize {
        match &self.settlement {
            Settlement::Parked { reason } => reason.len(),
            Settlement::Delivered { .. } | Settlement::Superseded | Settlement::Retry { .. } => 0,
        }
    }

    async fn write(
        context: &Context,
        on: &Connection,
        batch: &[Arc<Self>],
        _again: bool,
    ) -> Result<Vec<()>, Fault> {
        let (mut delivered, mut delivered_at) = (Those::default(), vec![]);
        let mut superseded = Those::default();
        let (mut retried, mut due, mut ambiguous) = (Those::default(), vec![], vec![]);
        let (mut parked, mut reasons) = (Those::default(), vec![]);
        for settling in batch {
            match &settling.settlement {
                Settlement::Delivered { at } => {
                    delivered.push(settling);
                    delivered_at.push(row::number(at.as_millis()));
                }
                Settlement::Superseded => superseded.push(settling),
                Settlement::Retry {
                    due: at,
                    ambiguous: doubt,
                    reason: _,
                } => {
                    retried.push(settling);
                    due.push(row::number(at.as_millis()));
                    ambiguous.push(*doubt);
                }
                Settlement::Parked { reason } => {
                    parked.push(settling);
                    let (token, version) = (settling.token, settling.version);
                    reasons.push(row::seal_reason(&context.sealer, token, version, reason));
                }
            }
        }
        let host = context.host;
        let all: Vec<Uuid> = batch.iter().map(|it| uuid(it.token)).collect();
        on.begin(vec![step(LOCK, &[&all])]).await?;
        let mut steps = Vec::new();
        if !delivered.token.is_empty() {
            steps.push(step(
                DELIVERED,
                &[&delivered.token, &delivered.version, &host, &delivered_at],
            ));
        }
        if !superseded.token.is_empty() {
            steps.push(step(
                SUPERSEDED,
                &[&superseded.token, &superseded.version, &host],
            ));
        }
        if !retried.token.is_empty() {
            steps.push(step(
                RETRY,
                &[&retried.token, &retried.version, &host, &due, &ambiguous],
            ));
        }
        if !parked.token.is_empty() {
            steps.push(step(
                PARK,
                &[&parked.token, &parked.version, &host, &reasons],
            ));
        }
        steps.push(step(HEADS, &[&all]));
        steps.push(step(events::ERASE_TARGETS, &[&all]));
        on.commit(steps).await?;
        Ok(vec![(); batch.len()])
    }
}

pub(super) async fn unpark(
    on: &Connection,
    token: RequestToken,
    now: Timestamp,
) -> Result<usize, Fault> {
    let now = row::number(now.as_millis());
    let unparked = on.write(UNPARK, &[&uuid(token), &now]).await?;
    Ok(unparked.len())
}

pub(super) async fn drop_parked(on: &Connection, token: RequestToken) -> Result<usize, Fault> {
    let all = vec![uuid(token)];
    on.begin(vec![step(LOCK, &[&all])]).await?;
    let dropping = vec![
        step(DROP_PARKED, &[&all[0]]),
        step(events::ERASE_TARGETS, &[&all]),
    ];
    let found = on.commit(dropping).await?;
    Ok(found.first().map_or(0, Vec::len))
}

/// Leases reports that are due to this host.
pub(super) async fn claim(
    on: &Connection,
    context: &Context,
    now: Timestamp,
    limit: usize,
    lease: Duration,
    under_way: &[RequestToken],
) -> Result<Vec<Result<PendingReport, ReportAt>>, Fault> {
    let until = row::number(now.after(lease).as_millis());
    let now = row::number(now.as_millis());
    let under_way: Vec<Uuid> = under_way.iter().map(|it| uuid(*it)).collect();
    let limit = row::limit(limit);
    let rows = on
        .write(CLAIM, &[&now, &until, &context.host, &limit, &under_way])
        .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (mut tokens, mut versions) = (Vec::<Uuid>::new(), Vec::<i64>::new());
    for row in rows {
        tokens.push(row.try_get(0)?);
        versions.push(row.try_get(1)?);
    }
    read::these_reports(on, context, &tokens, &versions).await
}
