//! Commits, several in a transaction.
//!
//! *Invariant*: a write that is refused has changed nothing.
//!
//! *Invariant*: a commit names the version that it replaces, and a lease is a
//! version: who was paused until another took the lease over commits nothing.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::RequestToken;
use crate::operation::Transition;
use crate::store::CommitError;
use crate::store::resource::Resource;
use crate::store::row;
use crate::store::sealed::{Sealed, SealedWriteOnly};

use super::Context;
use super::columns::{Changing, Events, resource, token, uuid};
use super::connections::Connection;
use super::events::{self, delete_reports};
use super::fault::Fault;
use super::gather::{Kind, Name, name};
use super::locks::{self, Locks};
use super::transaction::step;

const FIND: &str = "
    SELECT token, version, resource IS NULL FROM operation
    WHERE token = ANY ($1) ORDER BY token FOR UPDATE";

const RECORDS: &str = "SELECT token, version, record FROM sealed WHERE token = ANY ($1)";

const CHANGE: &str = "
    UPDATE operation o
    SET resource = i.resource, identifier = i.identifier, status = i.status, live = i.live,
        version = i.version, due = i.due, attempt = i.attempt, lease_number = i.lease_number,
        lease_until = i.lease_until, ended_at = i.ended_at,
        lease_host = CASE WHEN i.lease_number IS NULL THEN NULL
                          WHEN i.lease_number = o.lease_number THEN o.lease_host
                          ELSE $12::uuid END
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::boolean[], $6::bigint[],
                $7::bigint[], $8::integer[], $9::bigint[], $10::bigint[], $11::bigint[])
         AS i (token, resource, identifier, status, live, version, due, attempt,
               lease_number, lease_until, ended_at)
    WHERE o.token = i.token AND o.version = i.version - 1";

/// Whom to report to goes with the last report of what has ended, and at once if
/// nobody is to be told any more.
const CHANGE_SEALED: &str = "
    UPDATE sealed s
    SET version = i.version, record = i.record,
        target = CASE WHEN i.is_told THEN s.target END
    FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::boolean[])
         AS i (token, version, record, is_told)
    WHERE s.token = i.token";

const TELL_NOBODY: &str = delete_reports!("DELETE FROM outbox o WHERE o.token = ANY ($1)");

const KEEP_WRITE_ONLY: &str = "
    INSERT INTO write_only (resource, record)
    SELECT * FROM unnest($1::uuid[], $2::bytea[])
    ON CONFLICT (resource) DO UPDATE SET record = excluded.record";

const FORGET_WRITE_ONLY: &str = "DELETE FROM write_only WHERE resource = ANY ($1)";

/// A transition to commit, sealed.
pub(super) struct Committing {
    sealed: Sealed,
    resource: Option<Resource>,
}

impl Committing {
    pub(super) fn new(context: &Context, transition: Transition) -> Self {
        let sealed = Sealed::new(&context.sealer, transition);
        Self {
            resource: Resource::of(&sealed.operation),
            sealed,
        }
    }

    fn token(&self) -> RequestToken {
        self.sealed.operation.token
    }

    /// The version that the transition was decided on.
    fn expected(&self) -> u64 {
        self.sealed.operation.version.saturating_sub(1)
    }
}

impl Kind for Committing {
    type Outcome = Result<(), CommitError>;

    fn about(&self) -> Vec<Name> {
        let mut about = vec![name(self.token())];
        about.extend(self.resource.as_ref().map(|it| name(it.token())));
        about
    }

    fn bytes(&self) -> usize {
        self.sealed.bytes()
    }

    async fn write(
        context: &Context,
        on: &Connection,
        batch: &[Arc<Self>],
        again: bool,
    ) -> Result<Vec<Self::Outcome>, Fault> {
        let found = Found::read(on, batch, again).await?;
        let verdicts: Vec<Verdict> = batch.iter().map(|it| found.judge(it, again)).collect();
        let good: Vec<&Self> = batch
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Good))
            .map(|(committing, _)| &**committing)
            .collect();
        if good.is_empty() {
            on.undo().await?;
        } else {
            found.write(context, on, &good).await?;
        }
        let outcomes = verdicts.into_iter().map(|verdict| match verdict {
            Verdict::Good | Verdict::Done => Ok(()),
            Verdict::No(error) => Err(error),
            Verdict::Unknown => Err(Fault::overtaken().into_error(&context.place).into()),
        });
        Ok(outcomes.collect())
    }
}

/// What is thought of a transition.
enum Verdict {
    Good,
    /// An earlier try was committed after all.
    Done,
    No(CommitError),
    /// An earlier try may have been committed, and others have gone on since.
    Unknown,
}

/// What the first half of the transaction has found and locked.
struct Found {
    /// The version of each operation, and whether its resource is unknown.
    operations: HashMap<RequestToken, (i64, bool)>,
    locks: Locks,
    /// The records, if an earlier try may have written some.
    records: HashMap<RequestToken, (i64, Vec<u8>)>,
}

impl Found {
    async fn read(on: &Connection, batch: &[Arc<Committing>], again: bool) -> Result<Self, Fault> {
        let tokens: Vec<Uuid> = batch.iter().map(|it| uuid(it.token())).collect();
        let named = batch.iter().filter_map(|it| it.resource.as_ref());
        let resources: Vec<Uuid> = named.map(resource).collect();
        let mut steps = vec![step(FIND, &[&tokens]), step(locks::FIND, &[&resources])];
        if again {
            steps.push(step(RECORDS, &[&tokens]));
        }
        let found = on.begin(steps).await?;
        on.or_undo(Self::of(&found)).await
    }

    fn of(found: &[Vec<tokio_postgres::Row>]) -> Result<Self, Fault> {
        let [operations, locks, records @ ..] = found else {
            return Err(Fault::silent());
        };
        let mut versions = HashMap::new();
        for row in operations {
            versions.insert(token(row.try_get(0)?), (row.try_get(1)?, row.try_get(2)?));
        }
        let mut known = HashMap::new();
        for row in records.iter().flatten() {
            known.insert(token(row.try_get(0)?), (row.try_get(1)?, row.try_get(2)?));
        }
        Ok(Self {
            operations: versions,
            locks: Locks::of(locks)?,
            records: known,
        })
    }

    fn judge(&self, committing: &Committing, again: bool) -> Verdict {
        let (own, expected) = (committing.token(), committing.expected());
        let version = row::number(committing.sealed.operation.version);
        // No two records are sealed alike.
        let record = self.records.get(&own);
        if record.is_some_and(|(at, it)| *at == version && *it == committing.sealed.record) {
            return Verdict::Done;
        }
        let before = self.operations.get(&own);
        let Some((_, unnamed)) = before.filter(|(at, _)| *at == row::number(expected)) else {
            // What stands at its version tells whose that is; what was sealed later
            // or is gone does not.
            let is_told = record.is_some_and(|(at, _)| *at <= version);
            return if again && !is_told {
                Verdict::Unknown
            } else {
                Verdict::No(CommitError::Conflict { expected })
            };
        };
        if *unnamed
            && let Some(resource) = &committing.resource
            && let Some(holder) = self.locks.holder(resource)
        {
            return Verdict::No(CommitError::IdentifierTaken { holder });
        }
        Verdict::Good
    }

    async fn write(
        &self,
        context: &Context,
        on: &Connection,
        good: &[&Committing],
    ) -> Result<(), Fault> {
        let mut changing = Changing::default();
        let mut record: Vec<&[u8]> = Vec::new();
        let mut is_told = Vec::new();
        let mut events = Events::default();
        let mut taken = locks::Taken::default();
        let mut let_go = locks::LetGo::default();
        let (mut untold, mut ended) = (Vec::new(), Vec::new());
        let mut kept: (Vec<Uuid>, Vec<&[u8]>) = Default::default();
        let mut forgotten = Vec::new();
        for committing in good {
            let sealed = &committing.sealed;
            let operation = &sealed.operation;
            let own = uuid(operation.token);
            let before = self.operations.get(&operation.token);
            if let Some(named) = &committing.resource {
                if before.is_some_and(|(_, unnamed)| *unnamed) {
                    taken.push(&self.locks, named, operation.token);
                }
                if operation.status.is_terminal() {
                    let_go.push(named, operation.token);
                }
            }
            changing.push(operation);
            record.push(&sealed.record);
            is_told.push(sealed.target.is_some());
            events.push(sealed);
            if sealed.target.is_none() {
                untold.push(own);
            }
            if operation.status.is_terminal() {
                ended.push(own);
            }
            match &sealed.write_only {
                SealedWriteOnly::Nothing => {}
                SealedWriteOnly::Forget(named) => forgotten.push(resource(named)),
                SealedWriteOnly::Keep(named, record) => {
                    kept.0.push(resource(named));
                    kept.1.push(record);
                }
            }
        }
        let host = context.host;
        let mut steps = Vec::new();
        taken.steps(&mut steps);
        steps.push(step(
            CHANGE,
            &[
                &changing.token,
                &changing.resource,
                &changing.identifier,
                &changing.status,
                &changing.live,
                &changing.version,
                &changing.due,
                &changing.attempt,
                &changing.lease_number,
                &changing.lease_until,
                &changing.ended_at,
                &host,
            ],
        ));
        steps.push(step(
            CHANGE_SEALED,
            &[&changing.token, &changing.version, &record, &is_told],
        ));
        events::steps(&events, &mut steps);
        if !untold.is_empty() {
            steps.push(step(TELL_NOBODY, &[&untold]));
        }
        if !forgotten.is_empty() {
            steps.push(step(FORGET_WRITE_ONLY, &[&forgotten]));
        }
        if !kept.0.is_empty() {
            steps.push(step(KEEP_WRITE_ONLY, &[&kept.0, &kept.1]));
        }
        let_go.steps(&mut steps);
        if !ended.is_empty() {
            steps.push(step(events::ERASE_MODELS, &[&ended]));
            steps.push(step(events::ERASE_TARGETS, &[&ended]));
        }
        on.commit(steps).await?;
        Ok(())
    }
}
