//! Who has the lock of each resource.
//!
//! *Invariant*: the row of a lock outlives its operation's end, and goes with
//! the operation: it tells which one worked on the resource last.

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::model::RequestToken;
use crate::store::resource::Resource;
use crate::store::{AcceptError, Basis};

use super::columns::{resource, token, uuid};
use super::fault::Fault;
use super::transaction::{Step, step};

/// Finds locks, and keeps others from changing them.
pub(super) const FIND: &str = "
    SELECT resource, token, held FROM resource_lock
    WHERE resource = ANY ($1) ORDER BY resource FOR UPDATE";

/// Finds a lock.
pub(super) const LOOK: &str =
    "SELECT resource, token, held FROM resource_lock WHERE resource = ANY ($1)";

const ADD: &str = "
    INSERT INTO resource_lock (resource, token, held)
    SELECT resource, token, true FROM unnest($1::uuid[], $2::uuid[]) AS i (resource, token)
    ORDER BY resource";

const TAKE: &str = "
    UPDATE resource_lock l SET token = i.token, held = true
    FROM unnest($1::uuid[], $2::uuid[]) AS i (resource, token)
    WHERE l.resource = i.resource AND NOT l.held";

const LET_GO: &str = "
    UPDATE resource_lock l SET held = false
    FROM unnest($1::uuid[], $2::uuid[]) AS i (resource, token)
    WHERE l.resource = i.resource AND l.token = i.token";

/// The locks that there are of some resources.
pub(super) struct Locks(HashMap<Uuid, Lock>);

struct Lock {
    token: RequestToken,
    held: bool,
}

impl Locks {
    /// Reads the rows of [`FIND`] or [`LOOK`].
    pub(super) fn of(rows: &[Row]) -> Result<Self, Fault> {
        let mut locks = HashMap::new();
        for row in rows {
            let lock = Lock {
                token: token(row.try_get(1)?),
                held: row.try_get(2)?,
            };
            locks.insert(row.try_get(0)?, lock);
        }
        Ok(Self(locks))
    }

    /// Gives who has the lock, if somebody has.
    pub(super) fn holder(&self, named: &Resource) -> Option<RequestToken> {
        let lock = self.0.get(&resource(named))?;
        lock.held.then_some(lock.token)
    }

    /// Gives what the state of a resource is based on that no live operation
    /// works on.
    pub(super) fn basis(&self, named: &Resource) -> Result<Basis, AcceptError> {
        match self.0.get(&resource(named)) {
            Some(Lock { token, held: true }) => Err(AcceptError::Busy { holder: *token }),
            last => Ok(Basis(last.map(|lock| lock.token))),
        }
    }
}

/// Locks to take, which are free.
#[derive(Default)]
pub(super) struct Taken {
    /// Those of resources that nobody ever worked on.
    added: (Vec<Uuid>, Vec<Uuid>),
    /// Those that somebody has let go of.
    taken: (Vec<Uuid>, Vec<Uuid>),
}

impl Taken {
    pub(super) fn push(&mut self, known: &Locks, named: &Resource, token: RequestToken) {
        let named = resource(named);
        let to = if known.0.contains_key(&named) {
            &mut self.taken
        } else {
            &mut self.added
        };
        to.0.push(named);
        to.1.push(uuid(token));
    }

    pub(super) fn steps<'t>(&'t self, steps: &mut Vec<Step<'t>>) {
        if !self.added.0.is_empty() {
            steps.push(step(ADD, &[&self.added.0, &self.added.1]));
        }
        if !self.taken.0.is_empty() {
            steps.push(step(TAKE, &[&self.taken.0, &self.taken.1]));
        }
    }
}

/// Locks to let go of.
#[derive(Default)]
pub(super) struct LetGo(Vec<Uuid>, Vec<Uuid>);

impl LetGo {
    pub(super) fn push(&mut self, named: &Resource, token: RequestToken) {
        self.0.push(resource(named));
        self.1.push(uuid(token));
    }

    pub(super) fn steps<'t>(&'t self, steps: &mut Vec<Step<'t>>) {
        if !self.0.is_empty() {
            steps.push(step(LET_GO, &[&self.0, &self.1]));
        }
    }
}
