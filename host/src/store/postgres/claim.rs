//! Claims and leases.
//!
//! *Invariant*: of hosts that claim at once, each gets what no other has locked,
//! and waits for nobody.
//!
//! *Invariant*: an operation that cannot be read takes nobody's room. One that is
//! damaged is met once; one that another program may well read is left alone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::model::{RequestToken, Timestamp};
use crate::operation::{Input, Operation, Policy};
use crate::store::row::{self, Columns};
use crate::store::unreadable::{At, Unreadable};
use crate::store::{Held, Share};

use super::Context;
use super::columns::{Changing, get, token, uuid};
use super::connections::Connection;
use super::fault::Fault;
use super::transaction::{self, step};

/// Which types have something due, but for these.
const WAITING: &str = "
    SELECT s.number FROM unnest($1::text[]) WITH ORDINALITY AS s (type, number)
    CROSS JOIN LATERAL (
        SELECT 1 FROM operation o
        WHERE o.type = s.type AND o.due <= $2 AND o.live AND o.lease_until IS NULL
          AND o.deadline > $2
          AND (o.token, o.version) NOT IN (SELECT * FROM unnest($3::uuid[], $4::bigint[]))
        ORDER BY o.due LIMIT 1) AS d
    ORDER BY s.number";

const TAKE: &str = "
    SELECT o.token, o.account, o.region, o.type, o.identifier, o.status, o.version, o.due,
           o.deadline, o.attempt
    FROM operation o
    WHERE o.type = $1 AND o.due <= $2 AND o.live AND o.lease_until IS NULL AND o.deadline > $2
      AND (o.token, o.version) NOT IN (SELECT * FROM unnest($4::uuid[], $5::bigint[]))
    ORDER BY o.due, o.token LIMIT $3
    FOR UPDATE SKIP LOCKED";

const SEALED: &str = "SELECT token, version, record, target FROM sealed WHERE token = ANY ($1)";

const LEASE: &str = "
    UPDATE operation o
    SET status = i.status, version = i.version, attempt = i.attempt,
        lease_number = i.lease_number, lease_until = i.lease_until, lease_host = $6::uuid
    FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::integer[], $5::bigint[], $7::bigint[])
         AS i (token, status, version, attempt, lease_number, lease_until)
    WHERE o.token = i.token AND o.version = i.version - 1";

const QUARANTINE: &str = "
    UPDATE operation o SET live = false, ended_at = o.deadline
    FROM unnest($1::uuid[], $2::bigint[]) AS i (token, version)
    WHERE o.token = i.token AND o.version = i.version";

/// Which leases are ours: no two claims of a host make the same version.
const OWN: &str = "
    SELECT o.token FROM operation o
    JOIN unnest($1::uuid[], $2::bigint[]) AS i (token, version)
      ON o.token = i.token AND o.version = i.version
    WHERE o.lease_host = $3";

const RENEW: &str = "
    UPDATE operation o SET lease_until = $3
    FROM (SELECT o.token FROM operation o
          JOIN unnest($1::uuid[], $2::bigint[]) AS i (token, number)
            ON o.token = i.token AND o.lease_number = i.number
          WHERE o.live ORDER BY o.token FOR UPDATE OF o) AS h
    WHERE o.token = h.token AND o.lease_host = $4
    RETURNING o.token";

/// All statements that [`renew`] runs.
pub(super) const RENEWAL: [&str; 4] = transaction::alone(RENEW);

/// What a claim came to.
pub(super) struct Claimed {
    pub(super) operations: Vec<Operation>,
    /// Why the claim may not hold, if its commit was not confirmed.
    pub(super) doubt: Option<Fault>,
}

/// Leases what is due, in one transaction, and waits for no other host.
pub(super) async fn claim(
    on: &Connection,
    context: &Context,
    shares: &[Share],
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Claimed, Fault> {
    let mut claimed = Claimed {
        operations: Vec::new(),
        doubt: None,
    };
    let at = row::number(now.as_millis());
    let names: Vec<&str> = shares.iter().map(|it| it.type_name.as_str()).collect();
    let mut foreign = context.foreign.known();
    let (tokens, versions) = columns(foreign.iter().copied());
    let waiting = on
        .query(WAITING, &[&names, &at, &tokens, &versions])
        .await?;
    if waiting.is_empty() || limit == 0 {
        return Ok(claimed);
    }
    on.begin(Vec::new()).await?;
    for number in waiting {
        let number: i64 = number.try_get(0)?;
        let share = usize::try_from(number - 1)
            .ok()
            .and_then(|it| shares.get(it));
        let Some(share) = share else { continue };
        let mut room = share.limit.min(limit - claimed.operations.len());
        while room > 0 {
            // What this claim has taken is leased at its end.
            let taken = claimed.operations.iter();
            let taken = taken.map(|it| (it.token, row::number(it.version)));
            let but = taken.chain(foreign.iter().copied()).collect();
            let found = take(on, context, share, room, at, &but).await?;
            room -= found.operations.len();
            claimed.operations.extend(found.operations);
            // What cannot be read took the room of others.
            if found.unreadable.is_empty() {
                break;
            }
            let (strange, damaged): (Vec<_>, Vec<_>) =
                found.unreadable.into_iter().partition(|it| it.is_foreign);
            foreign.extend(strange.iter().map(Unreadable::at));
            let (tokens, versions) = columns(damaged.iter().map(Unreadable::at));
            on.go_on(&[step(QUARANTINE, &[&tokens, &versions])]).await?;
        }
    }
    let until = now.after(lease);
    let mut leased = Vec::with_capacity(claimed.operations.len());
    for operation in claimed.operations {
        let input = Input::Leased { until };
        leased.extend(
            operation
                .apply(input, now, &Policy::default())
                .map(|transition| transition.operation),
        );
    }
    claimed.operations = leased;
    let mut changing = Changing::default();
    claimed.operations.iter().for_each(|it| changing.push(it));
    let mut steps = Vec::new();
    if !changing.token.is_empty() {
        steps.push(step(
            LEASE,
            &[
                &changing.token,
                &changing.status,
                &changing.version,
                &changing.attempt,
                &changing.lease_number,
                &context.host,
                &changing.lease_until,
            ],
        ));
    }
    match on.commit(steps).await {
        Ok(_) => Ok(claimed),
        Err(fault @ Fault::Lost { unsure: true, .. }) => {
            claimed.doubt = Some(fault);
            Ok(claimed)
        }
        Err(fault) => Err(fault),
    }
}

/// Gives those of `operations` that this host has leased after all.
pub(super) async fn own(
    on: &Connection,
    context: &Context,
    mut operations: Vec<Operation>,
) -> Result<Vec<Operation>, Fault> {
    let mut changing = Changing::default();
    operations.iter().for_each(|it| changing.push(it));
    let rows = on
        .query(OWN, &[&changing.token, &changing.version, &context.host])
        .await?;
    let mut own = Vec::with_capacity(rows.len());
    for row in rows {
        own.push(token(row.try_get(0)?));
    }
    operations.retain(|it| own.contains(&it.token));
    Ok(operations)
}

struct Taken {
    operations: Vec<Operation>,
    unreadable: Vec<Unreadable>,
}

/// Locks what is due of a type, but for these, and reads it.
async fn take(
    on: &Connection,
    context: &Context,
    share: &Share,
    room: usize,
    at: i64,
    but: &HashSet<At>,
) -> Result<Taken, Fault> {
    let name = share.type_name.as_str();
    let (but, versions) = columns(but.iter().copied());
    let found = on
        .go_on(&[step(
            TAKE,
            &[&name, &at, &row::limit(room), &but, &versions],
        )])
        .await?
        .pop()
        .unwrap_or_default();
    let mut tokens: Vec<Uuid> = Vec::with_capacity(found.len());
    for row in &found {
        tokens.push(row.try_get(0)?);
    }
    // Only now that they are locked: before, somebody may have sealed them anew.
    let sealed = on
        .go_on(&[step(SEALED, &[&tokens])])
        .await?
        .pop()
        .unwrap_or_default();
    let mut records = HashMap::new();
    for row in &sealed {
        records.insert(row.try_get::<_, Uuid>(0)?, row);
    }
    let mut taken = Taken {
        operations: Vec::with_capacity(found.len()),
        unreadable: Vec::new(),
    };
    for (found, own) in found.iter().zip(tokens) {
        match read(context, found, records.get(&own).copied()) {
            Ok(operation) => taken.operations.push(operation),
            Err(Fault::Damaged { what, is_foreign }) => {
                let met = Unreadable {
                    token: token(own),
                    version: found.try_get(6)?,
                    is_foreign,
                };
                context.foreign.say(&context.place, &what, &met);
                taken.unreadable.push(met);
            }
            Err(fault) => return on.or_undo(Err(fault)).await,
        }
    }
    Ok(taken)
}

/// Reads an operation that nobody has leased from its two rows.
fn read(context: &Context, found: &Row, sealed: Option<&Row>) -> Result<Operation, Fault> {
    let own = token(found.try_get(0)?);
    let sealed = sealed.ok_or_else(|| row::damaged(own, "its record is gone"))?;
    let columns = Columns {
        token: own,
        account: get(found, 1, own)?,
        region: get(found, 2, own)?,
        type_name: get(found, 3, own)?,
        identifier: get(found, 4, own)?,
        status: i64::from(get::<i16>(found, 5, own)?),
        version: get(found, 6, own)?,
        due: get(found, 7, own)?,
        deadline: get(found, 8, own)?,
        attempt: i64::from(get::<i32>(found, 9, own)?),
        lease_number: None,
        lease_until: None,
        sealed_at: get(sealed, 1, own)?,
        record: get(sealed, 2, own)?,
        target: get(sealed, 3, own)?,
    };
    Ok(row::operation(&context.sealer, &columns)?)
}

/// Takes damaged operations out of what is claimed and swept, if they still are as
/// they were met. They count as ended at their deadline, and keep their resource
/// locked until they are forgotten. One that another program may well read is not
/// damaged.
pub(super) async fn quarantine(on: &Connection, damaged: &[Unreadable]) -> Result<(), Fault> {
    let (tokens, versions) = columns(damaged.iter().map(Unreadable::at));
    on.write(QUARANTINE, &[&tokens, &versions]).await?;
    Ok(())
}

/// Gives tokens and versions, each a list for `unnest`.
pub(super) fn columns(all: impl Iterator<Item = At>) -> (Vec<Uuid>, Vec<i64>) {
    all.map(|(token, version)| (uuid(token), version)).unzip()
}

/// Prolongs leases of this host, and gives the operations whose lease it has lost.
pub(super) async fn renew(
    on: &Connection,
    context: &Context,
    held: &[Held],
    until: Timestamp,
) -> Result<Vec<RequestToken>, Fault> {
    let tokens: Vec<Uuid> = held.iter().map(|it| uuid(it.token)).collect();
    let numbers: Vec<i64> = held.iter().map(|it| row::number(it.number)).collect();
    let until = row::number(until.as_millis());
    let rows = on
        .write(RENEW, &[&tokens, &numbers, &until, &context.host])
        .await?;
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        kept.push(token(row.try_get(0)?));
    }
    let lost = held.iter().map(|it| it.token);
    Ok(lost.filter(|it| !kept.contains(it)).collect())
}
