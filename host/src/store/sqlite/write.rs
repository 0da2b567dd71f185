//! Accepts and commits, each inside of a transaction of the writer.
//!
//! *Invariant*: a write that is refused has changed nothing.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::model::{RequestToken, Scope, Timestamp};
use crate::operation::Operation;
use crate::store::fingerprint::{Claim, Held};
use crate::store::resource::Resource;
use crate::store::row;
use crate::store::sealed::{Sealed, SealedEvent};
use crate::store::{AcceptError, Accepted, Basis, CommitError};

use super::Context;
use super::fault::Fault;
use super::read;
use super::resource::Lock;
use super::write_only;

impl Sealed {
    fn write_event(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(SealedEvent {
            event,
            record,
            model,
        }) = &self.event
        else {
            return Ok(());
        };
        let (token, version) = (event.token.as_bytes(), row::number(event.version));
        connection
            .prepare_cached(
                "INSERT INTO event (token, version, record, model) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![token, version, record, model])?;
        if self.queues_report {
            connection
                .prepare_cached(
                    "INSERT INTO outbox (token, version, head, due, attempts, ambiguous)
                     SELECT ?1, ?2, NOT EXISTS (SELECT 1 FROM outbox WHERE token = ?1), ?3, 0, 0",
                )?
                .execute(params![token, version, row::number(event.at.as_millis())])?;
        }
        Ok(())
    }
}

pub(super) fn accept(
    connection: &Connection,
    context: &Context,
    sealed: &Sealed,
    claim: Option<&Claim>,
    basis: Option<Basis>,
    tokens_expired: Timestamp,
) -> Result<Result<Accepted, AcceptError>, Fault> {
    let operation = &sealed.operation;
    let (account, region) = row::scope_columns(&operation.scope);
    if let Some(claim) = claim {
        match replayed(connection, context, &operation.scope, claim, tokens_expired)? {
            Ok(None) => {}
            Ok(Some(kept)) => return Ok(Ok(Accepted::Replayed(kept))),
            Err(error) => return Ok(Err(error)),
        }
    }
    if is_kept(connection, operation.token)?
        && let Some(kept) = read::get(connection, context, operation.token)?
    {
        return Ok(Ok(Accepted::Replayed(kept)));
    }
    if let Some(resource) = Resource::of(operation) {
        let found = match self::basis(connection, &resource)? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(by) = basis.and_then(|basis| basis.overtaken_by(found)) {
            return Ok(Err(AcceptError::Overtaken { by }));
        }
        if !operation.status.is_terminal() {
            resource.lock(connection, operation.token)?;
        }
    }
    let token = operation.token.as_bytes();
    match claim.map(|claim| (&claim.key, &claim.request)) {
        Some((Held::Client(client), request)) => connection
            .prepare_cached("INSERT OR REPLACE INTO client_token VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![
                account,
                region,
                client.as_str(),
                token,
                request,
                row::number(operation.accepted_at.as_millis()),
            ])?,
        Some((Held::Bearer(bearer), request)) => connection
            .prepare_cached("INSERT OR REPLACE INTO bearer_token VALUES (?, ?, ?)")?
            .execute(params![bearer, token, request])?,
        None => 0,
    };
    connection
        .prepare_cached(
            "INSERT INTO operation (token, account, region, type, identifier, status, live,
                                    version, due, deadline, attempt, lease_number,
                                    lease_until, mutation, ended_at, component)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            token,
            account,
            region,
            operation.type_name.as_str(),
            operation.identifier.as_ref().map(row::identifier_column),
            row::status_number(operation.status),
            !operation.status.is_terminal(),
            row::number(operation.version),
            row::number(operation.due.as_millis()),
            row::number(operation.deadline.as_millis()),
            operation.attempt,
            operation.lease.map(|lease| row::number(lease.number)),
            operation
                .lease
                .map(|lease| row::number(lease.until.as_millis())),
            row::mutation_number(operation.mutation),
            operation.ended_at.map(|at| row::number(at.as_millis())),
            row::component_number(operation.component),
        ])?;
    connection
        .prepare_cached("INSERT INTO sealed (token, version, record, target) VALUES (?, ?, ?, ?)")?
        .execute(params![
            token,
            row::number(operation.version),
            sealed.record,
            sealed.target
        ])?;
    sealed.write_event(connection)?;
    Ok(Ok(Accepted::New))
}

/// Tells whether there is an operation of that token.
fn is_kept(connection: &Connection, token: RequestToken) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM operation WHERE token = ?")?
        .exists([token.as_bytes()])
}

/// What a commit has to know of what it replaces.
struct Before {
    version: i64,
    is_named: bool,
    /// Whether there are reports of it.
    is_reported: bool,
}

fn before(connection: &Connection, token: RequestToken) -> rusqlite::Result<Option<Before>> {
    connection
        .prepare_cached(
            "SELECT version, identifier IS NOT NULL, EXISTS (SELECT 1 FROM outbox WHERE token = ?1)
             FROM operation WHERE token = ?1",
        )?
        .query_row([token.as_bytes()], |row| {
            Ok(Before {
                version: row.get(0)?,
                is_named: row.get(1)?,
                is_reported: row.get(2)?,
            })
        })
        .optional()
}

pub(super) fn commit(
    connection: &Connection,
    sealed: &Sealed,
) -> Result<Result<(), CommitError>, Fault> {
    let operation = &sealed.operation;
    let token = operation.token.as_bytes();
    let expected = operation.version.saturating_sub(1);
    let before = before(connection, operation.token)?;
    let Some(before) = before.filter(|before| before.version == row::number(expected)) else {
        return Ok(Err(CommitError::Conflict { expected }));
    };
    if !before.is_named
        && let Some(resource) = Resource::of(operation)
    {
        if let Some(lock) = resource.last(connection)?.filter(|lock| lock.held) {
            let holder = lock.token;
            return Ok(Err(CommitError::IdentifierTaken { holder }));
        }
        resource.lock(connection, operation.token)?;
    }
    connection
        .prepare_cached(
            "UPDATE operation SET identifier = ?, status = ?, live = ?, version = ?, due = ?,
                                  attempt = ?, lease_number = ?, lease_until = ?, ended_at = ?
             WHERE token = ?",
        )?
        .execute(params![
            operation.identifier.as_ref().map(row::identifier_column),
            row::status_number(operation.status),
            !operation.status.is_terminal(),
            row::number(operation.version),
            row::number(operation.due.as_millis()),
            operation.attempt,
            operation.lease.map(|lease| row::number(lease.number)),
            operation
                .lease
                .map(|lease| row::number(lease.until.as_millis())),
            operation.ended_at.map(|at| row::number(at.as_millis())),
            token,
        ])?;
    // Without a target there is nobody to tell.
    let is_told = sealed.target.is_some();
    connection
        .prepare_cached(
            "UPDATE sealed SET version = ?, record = ?, target = iif(?, target, NULL)
             WHERE token = ?",
        )?
        .execute(params![
            row::number(operation.version),
            sealed.record,
            is_told,
            token
        ])?;
    sealed.write_event(connection)?;
    write_only::write(connection, &sealed.write_only)?;
    if before.is_reported && !is_told {
        connection
            .prepare_cached("DELETE FROM outbox WHERE token = ?")?
            .execute([token])?;
        if !operation.status.is_terminal() {
            erase_models(connection, token)?;
        }
    }
    if operation.status.is_terminal() {
        if let Some(resource) = Resource::of(operation) {
            resource.unlock(connection, operation.token)?;
        }
        // An older program kept the model of each event.
        erase_models(connection, token)?;
        if is_told {
            erase_target(connection, token)?;
        }
    }
    Ok(Ok(()))
}

/// Gives the operation that a key stands for, if it is of this request.
pub(super) fn replayed(
    connection: &Connection,
    context: &Context,
    scope: &Scope,
    claim: &Claim,
    tokens_expired: Timestamp,
) -> Result<Result<Option<Operation>, AcceptError>, Fault> {
    let expired = row::number(tokens_expired.as_millis());
    let known = holder(connection, scope, &claim.key)?;
    let Some(known) = known.filter(|known| known.used_at.is_none_or(|used| used >= expired)) else {
        return Ok(Ok(None));
    };
    let kept = read::get(connection, context, known.token)?;
    Ok(if kept.is_some() && known.request != claim.request {
        Err(AcceptError::TokenReused {
            holder: known.token,
        })
    } else {
        Ok(kept)
    })
}

/// Gives what the state of a resource is based on that no live operation works
/// on.
pub(super) fn basis(
    connection: &Connection,
    resource: &Resource,
) -> Result<Result<Basis, AcceptError>, Fault> {
    Ok(match resource.last(connection)? {
        Some(Lock { token, held: true }) => Err(AcceptError::Busy { holder: token }),
        last => Ok(Basis(last.map(|lock| lock.token))),
    })
}

/// What an idempotency key stands for.
pub(super) struct Holder {
    pub(super) token: RequestToken,
    /// The fingerprint of its request.
    request: Vec<u8>,
    /// When it was first used, if it expires.
    used_at: Option<i64>,
}

/// Gives what an idempotency key stands for.
pub(super) fn holder(
    connection: &Connection,
    scope: &Scope,
    key: &Held,
) -> Result<Option<Holder>, Fault> {
    let columns = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?));
    let found = match key {
        Held::Client(client) => {
            let (account, region) = row::scope_columns(scope);
            connection
                .prepare_cached(
                    "SELECT token, fingerprint, used_at FROM client_token
                     WHERE account = ? AND region = ? AND client_token = ?",
                )?
                .query_row(params![account, region, client.as_str()], columns)
        }
        Held::Bearer(bearer) => connection
            .prepare_cached(
                "SELECT token, fingerprint, NULL FROM bearer_token WHERE bearer_token = ?",
            )?
            .query_row(params![bearer], columns),
    };
    found
        .optional()?
        .map(|(token, request, used_at)| {
            Ok(Holder {
                token: row::token(&token)?,
                request,
                used_at,
            })
        })
        .transpose()
}

/// Erases whom to report to, of an operation that has ended and has no reports.
pub(super) fn erase_target(connection: &Connection, token: &[u8; 16]) -> rusqlite::Result<()> {
    let pending: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE token = ?)")?
        .query_row([token], |row| row.get(0))?;
    if pending {
        return Ok(());
    }
    connection
        .prepare_cached("UPDATE sealed SET target = NULL WHERE token = ? AND target IS NOT NULL")?
        .execute([token])?;
    Ok(())
}

/// Erases the models of the events that have no report.
pub(super) fn erase_models(connection: &Connection, token: &[u8; 16]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE event SET model = NULL
             WHERE token = ?1 AND model IS NOT NULL
               AND version NOT IN (SELECT version FROM outbox WHERE token = ?1)",
        )?
        .execute([token])?;
    Ok(())
}

/// What [`recover`] does: nobody holds the leases of an earlier process any more,
/// and what it was sending may have arrived: the oldest report of an operation,
/// since the others wait for that, unless it is parked.
pub(super) const RECOVER: [&str; 2] = [
    "UPDATE operation SET lease_until = 0
     WHERE live = 1 AND lease_until IS NOT NULL AND lease_until > 0",
    "UPDATE outbox SET ambiguous = 1 WHERE head = 1 AND parked IS NULL AND ambiguous = 0",
];

/// Makes what an earlier process left behind ready for this one.
pub(super) fn recover(connection: &Connection) -> rusqlite::Result<()> {
    for statement in RECOVER {
        connection.execute(statement, [])?;
    }
    Ok(())
}
