//! Where operations are kept.
//!
//! [`Store`] is the crash contract; [`MemoryStore`], `SqliteStore` and
//! `PostgresStore` keep it, and one conformance suite (`store/conformance.rs`)
//! holds every store to it.
//!
//! *Invariant*: [`Store::commit`] compares the version that it replaces, and the
//! loser of a race writes nothing and learns so.
//!
//! *Invariant*: a transition, its due time, its event and its report are one
//! transaction.
//!
//! *Invariant*: an operation has at most one live lease; a lapsed lease may be
//! ended by anyone.
//!
//! *Invariant*: an idempotency key maps to one request for its lifetime; the same
//! key with another request is refused. A client token lives until its
//! [`Horizon`], a bearer token as long as its operation is kept.
//!
//! *Invariant*: what is forgotten is forgotten whole, and never while it is live
//! or has a report to deliver.
//!
//! *Invariant*: at most one live operation works on a primary identifier within
//! a scope and type. The lock is taken at accept when the identifier follows
//! from the request, else by the commit that first learns it. Who had it last is
//! known for as long as that operation is kept, so that a request that follows
//! from a READ is refused once the state has been overtaken.
//!
//! *Invariant*: what can be secret is sealed wherever it is at rest, and erased
//! by the terminal commit, save what the outbox still needs.

mod accept;
mod backlog;
#[cfg(test)]
mod conformance;
#[cfg(feature = "sqlite")]
mod files;
mod fingerprint;
mod horizon;
mod memory;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod pressure;
#[cfg(feature = "sqlite")]
mod recent;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod record;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod resource;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod seal;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sealed;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::model::{
    BearerToken, Digest, JsonObject, Mutation, PrimaryIdentifier, RequestToken, Scope, Timestamp,
    TypeName,
};
use crate::operation::{Event, Operation, PendingReport, Settlement, Status, Transition};

pub use accept::{Accept, AcceptError, Accepted, Basis, IdempotencyKey, Keyed};
pub use backlog::{Backlog, Queue};
pub use horizon::Horizon;
pub use memory::MemoryStore;
pub use pool::Pool;
#[cfg(feature = "postgres")]
pub use postgres::{ConnectError, Database, PostgresStore, is_url};
#[cfg(feature = "sqlite")]
pub use seal::KeyError;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use seal::{InvalidKey, SealingKey};
#[cfg(feature = "sqlite")]
pub use sqlite::{BackedUp, BackupError, OpenError, SqliteStore};

/// Keeps operations, their events, their reports and the components they run.
///
/// What a call has returned `Ok` for survives a crash of the host, save in a
/// [`MemoryStore`]. A call that returned an error has changed nothing, unless
/// the error is [`StoreError::Unknown`] or the call says otherwise. Times are passed in; where several engines
/// share a store, they go by its [`time`](Store::time).
///
/// # Cancel safety
///
/// Dropping a future of a call leaves it undecided whether the call took
/// effect; it never takes effect by half.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a new operation with its first event and report, and claims its
    /// idempotency key and its primary identifier, all or nothing. A client
    /// token that has expired, and any key whose operation was forgotten, is
    /// free to be claimed. One that has ended already
    /// ([`Operation::unchanged`]) takes no lock, but finds it free.
    ///
    /// # Errors
    ///
    /// [`AcceptError::Busy`] when another live operation works on the resource,
    /// [`AcceptError::Overtaken`] when one has worked on it since the basis,
    /// [`AcceptError::TokenReused`] when the key stands for another request.
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError>;

    /// Gives the operation that [`Store::accept`] would answer a key and its
    /// request with, or none if the key is free. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`AcceptError::TokenReused`] when the key stands for another request.
    async fn replayed(&self, key: Keyed) -> Result<Option<Operation>, AcceptError>;

    /// Gives what the state of a resource that is read from now on is based on.
    ///
    /// # Errors
    ///
    /// [`AcceptError::Busy`] when a live operation works on the resource.
    async fn basis(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Basis, AcceptError>;

    /// Leases due operations to the caller: for each share in turn, the oldest
    /// due ones of its type, at most its limit, and at most `limit` of all
    /// shares together. Applies [`Input::Leased`] and commits it.
    ///
    /// [`Input::Leased`]: crate::operation::Input::Leased
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    async fn claim(
        &self,
        shares: &[Share],
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Prolongs leases until a moment, and gives those of the operations whose
    /// lease is lost: somebody has ended it. An operation is given once for each of
    /// its leases that is.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn renew(&self, held: &[Held], until: Timestamp)
    -> Result<Vec<RequestToken>, StoreError>;

    /// Gives live operations that no worker will finish: those with a lapsed
    /// lease, and those without a lease whose deadline is there. Of any type,
    /// at most `limit`. What is found damaged is set aside, so that it is met once.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written; some may have been set aside.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Operation>, StoreError>;

    /// Commits a transition, if the stored version is the one before it.
    ///
    /// Queues the report if the operation has a report target and the event is
    /// one to report; takes the lock of a newly learned identifier; lets go of
    /// it and erases what can be secret if the operation has ended. Does to the
    /// write-only values of the resource what the transition says, where the
    /// resource has a name.
    ///
    /// # Errors
    ///
    /// [`CommitError::Conflict`] when somebody else committed first,
    /// [`CommitError::IdentifierTaken`] when another live operation works on
    /// the newly learned identifier.
    async fn commit(&self, transition: Transition) -> Result<(), CommitError>;

    /// Gives the earliest moments after `after` at which [`Store::claim`] of the
    /// given types or [`Store::sweep`] will have something more, each with the
    /// operation that it is about, in order, at most `limit`. An operation can
    /// have two: when it is due, and its deadline.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn upcoming(
        &self,
        types: &[TypeName],
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<Moment>, StoreError>;

    /// Gives an operation, or none if there is none of that token.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn get(&self, token: RequestToken) -> Result<Option<Operation>, StoreError>;

    /// Gives the operation that was accepted with a bearer token as its key, or
    /// none; also after it has ended.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn taken_over(&self, bearer: &BearerToken) -> Result<Option<RequestToken>, StoreError>;

    /// Gives operations that pass the filter, newest token first.
    ///
    /// A page of a scope, or of everything, costs no more than the page,
    /// whatever else is kept and whichever statuses and mutations are asked
    /// for. What is left out for its type is looked through. One that cannot
    /// be read is left out too, and never makes a page shorter than its limit
    /// while there are more.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn list(&self, filter: &Filter) -> Result<Vec<Operation>, StoreError>;

    /// Gives the write-only values that are kept of a resource, or none.
    ///
    /// They are kept until a transition says otherwise, however long the
    /// operation that brought them has been forgotten.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn write_only(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Option<JsonObject>, StoreError>;

    /// Gives the events of an operation with a version above `after`, in order. The
    /// last event of the operation has its model, and so has each whose report is
    /// not yet accepted.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn events(&self, token: RequestToken, after: u64) -> Result<Vec<Event>, StoreError>;

    /// Gives reports to deliver: of each operation the oldest pending one, if
    /// it is due and not parked. At most `limit`, those due longest first. What
    /// cannot be read is parked.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written; some may have been parked.
    async fn due_reports(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingReport>, StoreError>;

    /// Leases reports to deliver to the caller: those that [`Store::due_reports`]
    /// gives. Until they are settled or the lease lapses, no other engine is
    /// given them; one that was leased and never settled may have arrived. An
    /// engine that has the store to itself may be given them again, and so
    /// says of which operations it is sending some `under_way`, to be left out.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written; some may have been parked, and
    /// leases taken, which lapse.
    async fn claim_reports(
        &self,
        now: Timestamp,
        limit: usize,
        lease: Duration,
        under_way: &[RequestToken],
    ) -> Result<Vec<PendingReport>, StoreError> {
        let _ = lease;
        let enough = limit.saturating_add(under_way.len());
        let mut due = self.due_reports(now, enough).await?;
        due.retain(|report| !under_way.contains(&report.event.token));
        due.truncate(limit);
        Ok(due)
    }

    /// Gives the earliest moment after `after` at which [`Store::due_reports`]
    /// will have something more, or none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn next_report(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Writes what became of a delivery. Settling a report that is not there
    /// (any more) changes nothing.
    ///
    /// A parked report holds back the later ones of its operation. A
    /// superseded one is forgotten with all the others of its operation. The
    /// report target is erased once the operation has ended and has no reports.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn settle(
        &self,
        token: RequestToken,
        version: u64,
        settlement: Settlement,
    ) -> Result<(), StoreError>;

    /// Gives the reports of an operation that are not yet accepted, oldest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn reports(&self, token: RequestToken) -> Result<Vec<PendingReport>, StoreError>;

    /// Gives parked reports, of each operation the oldest, which holds back the later
    /// ones: at most `limit`, those of the smallest tokens first. Of one that cannot
    /// be read it gives where it is.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn parked_reports(
        &self,
        limit: usize,
    ) -> Result<Vec<Result<PendingReport, ReportAt>>, StoreError>;

    /// Counts what is live and what is unreported at `now`.
    ///
    /// Takes time in proportion to that, some tenths of a second for a million
    /// operations, and holds up nobody meanwhile: ask for it seldom.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError>;

    /// Makes the parked reports of an operation due at `now`, with no attempt made
    /// yet. Gives how many it were.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn unpark(&self, token: RequestToken, now: Timestamp) -> Result<usize, StoreError>;

    /// Forgets all reports of an operation of which the oldest is parked, also those
    /// that cannot be read. Gives how many it were; 0 if it is not. The report target
    /// is erased if the operation has ended.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn drop_parked(&self, token: RequestToken) -> Result<usize, StoreError>;

    /// Keeps a component by its digest. Keeping it again changes nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn put_component(&self, bytes: Arc<[u8]>) -> Result<Digest, StoreError>;

    /// Forgets operations that ended before the horizon, each with its events,
    /// reports and bearer token, and client tokens that have expired: at most
    /// `limit` of each, those of longest ago first. Gives how many it were; 0
    /// when there are no more.
    ///
    /// An operation is forgotten whole or not at all. Reports that are not yet
    /// accepted hold their operation back, parked ones until the horizon's
    /// [`parked`](Horizon::parked). An operation that cannot be read counts as
    /// ended at its deadline; its resource is free once it is forgotten.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written; some may have been forgotten.
    async fn prune(&self, horizon: &Horizon, limit: usize) -> Result<usize, StoreError>;

    /// Forgets one operation at once, with its events, reports and keys: one
    /// that has ended, or one that cannot be read, whose resource is free then.
    ///
    /// # Errors
    ///
    /// [`ForgetError::Live`] when it can be read and has not ended,
    /// [`ForgetError::Unknown`] when it is not there.
    async fn forget(&self, token: RequestToken) -> Result<(), ForgetError>;

    /// Removes components that are neither in `used` nor referred to by an
    /// operation that is kept, and gives their digests. A call that does not
    /// return may have removed some of them.
    ///
    /// `used` must hold every component that an operation may be accepted with
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written; some may be removed then.
    async fn prune_components(&self, used: &[Digest]) -> Result<Vec<Digest>, StoreError>;

    /// Gives a component, or none if it is not kept.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or when what it holds does not have that digest.
    async fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// Gives the time that all engines go by that share this store, or none where
    /// an engine has the store to itself.
    fn time(&self) -> Option<Timestamp> {
        None
    }

    /// Tells how the connections to the database are used that calls share, if
    /// there are any.
    fn pools(&self) -> Vec<Pool> {
        Vec::new()
    }

    /// Counts hints that another engine may have changed something, or none where
    /// there are no hints. Nothing depends on them.
    fn hints(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}

/// A lease that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The operation.
    pub token: RequestToken,
    /// The number of the lease.
    pub number: u64,
}

/// How many operations of a type a worker has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The type.
    pub type_name: TypeName,
    /// How many at most.
    pub limit: usize,
}

/// When there will be something to do, and with which operation.
pub type Moment = (Timestamp, RequestToken);

/// Where a report is: its operation, and the version of its event.
pub type ReportAt = (RequestToken, u64);

/// Which operations to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Only those of this account and this region; of any if none.
    pub scope: Option<Scope>,
    /// Only those of these statuses; of any if empty.
    pub statuses: Vec<Status>,
    /// Only those that do one of these; anything if empty.
    pub mutations: Vec<Mutation>,
    /// Only those of this type.
    pub type_name: Option<TypeName>,
    /// Only those with a token smaller than this: where a page before ended.
    pub before: Option<RequestToken>,
    /// How many at most. Default 100.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            scope: None,
            statuses: Vec::new(),
            mutations: Vec::new(),
            type_name: None,
            before: None,
            limit: 100,
        }
    }
}

impl Filter {
    /// Gives the statuses asked for, each once.
    fn any_status(&self) -> impl Iterator<Item = Status> {
        let all = Status::ALL.into_iter();
        all.filter(|status| self.statuses.is_empty() || self.statuses.contains(status))
    }

    /// Gives the mutations asked for, each once.
    fn any_mutation(&self) -> impl Iterator<Item = Mutation> {
        let all = Mutation::ALL.into_iter();
        all.filter(|mutation| self.mutations.is_empty() || self.mutations.contains(mutation))
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is out of reach, full or locked for now, or its file is damaged;
    /// trying later may help, or once somebody has mended it.
    #[error("the store at {place} is unavailable")]
    Unavailable {
        /// Which store.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record that the store holds cannot be read, and will not be; others can.
    #[error("the store at {place} is damaged: {what}")]
    Corrupt {
        /// Which store.
        place: String,
        /// What cannot be read.
        what: String,
    },
    /// Nobody knows whether the call took effect.
    #[error("the store at {place} did not confirm a write")]
    Unknown {
        /// Which store.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a transition was not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Somebody else committed first, or the operation is not there.
    #[error("the operation is no longer at version {expected}")]
    Conflict {
        /// The version that the transition was decided on.
        expected: u64,
    },
    /// Another live operation works on the newly learned identifier.
    #[error("the resource is busy with operation {holder}")]
    IdentifierTaken {
        /// The other operation.
        holder: RequestToken,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an operation was not forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// It has not ended.
    #[error("operation {token} has not ended; cancel it first")]
    Live {
        /// The operation.
        token: RequestToken,
    },
    /// There is no such operation.
    #[error("there is no operation {token}")]
    Unknown {
        /// What was asked for.
        token: RequestToken,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tells whether committing `transition` queues a report of its event.
fn queues_report(transition: &Transition) -> bool {
    transition.operation.reporting.is_some()
        && transition
            .event
            .as_ref()
            .is_some_and(|event| event.report_status().is_some())
}

/// Takes the report target out of an operation that has ended and has no reports.
pub(crate) fn without_target(operation: Operation) -> Operation {
    let mut state = operation.into_state();
    state.reporting = None;
    Operation::restore(state)
}
