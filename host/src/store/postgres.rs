//! Operations in a PostgreSQL database, for any number of engines.
//!
//! Works with PostgreSQL 15 and newer without extensions, and with a user that
//! may create tables.
//!
//! *Invariant*: engines come and go without telling each other. What one has
//! leased and does not renew is anyone's once the lease has lapsed; opening the
//! database voids nobody's leases.
//!
//! *Invariant*: each write of an operation names the version that it replaces,
//! and a lease is a version: an engine that was paused until another took over
//! writes nothing.
//!
//! *Invariant*: the server's clock is the time that leases, due times and
//! deadlines go by, on every host.
//!
//! *Invariant*: what waits to be written is bounded: whoever asks for more waits,
//! and then hears that the database is unavailable.

mod accept;
mod backlog;
mod claim;
mod columns;
mod commit;
mod components;
mod connections;
mod events;
mod fault;
mod gather;
mod hints;
mod list;
mod locks;
mod migrate;
mod open;
mod outbox;
mod presence;
mod prune;
mod read;
mod schema;
mod server;
mod time;
mod tls;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::model::{
    BearerToken, Digest, JsonObject, PrimaryIdentifier, RequestToken, Scope, Timestamp, TypeName,
};
use crate::operation::{Event, Operation, PendingReport, Settlement, Transition};

use super::resource::Resource;
use super::seal::Sealer;
use super::unreadable::{Foreign, Swept};
use super::{
    Accept, AcceptError, Accepted, Backlog, Basis, CommitError, Filter, ForgetError, Held, Horizon,
    IdempotencyKey, Keyed, Moment, Pool, ReportAt, Share, Store, StoreError, fingerprint,
};
use accept::Accepting;
use commit::Committing;
use connections::Connections;
use fault::Fault;
use gather::Gatherer;
use hints::Hints;
pub use open::{ConnectError, Database, is_url};
use outbox::Settling;
use server::Server;
use time::ServerTime;

/// Keeps operations in a database.
///
/// Its calls need a tokio runtime.
pub struct PostgresStore {
    accepts: Gatherer<Accepting>,
    commits: Gatherer<Committing>,
    settlements: Gatherer<Settling>,
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
}

/// What calls and tasks share.
struct Inner {
    readers: Arc<Connections>,
    writers: Arc<Connections>,
    keepers: Arc<Connections>,
    context: Arc<Context>,
    time: ServerTime,
    hints: Hints,
    server: Arc<Server>,
}

/// What every read and write needs.
struct Context {
    /// The database, for messages.
    place: String,
    sealer: Sealer,
    /// What tells this engine from all others, also from those of earlier
    /// processes here.
    host: Uuid,
    /// What operators call it.
    name: String,
    foreign: Foreign,
}

impl PostgresStore {
    /// Opens a database for an engine beside others, and makes its tables if
    /// there are none.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, when it is sealed with another key, or when a
    /// newer program has changed it beyond what this one knows.
    pub async fn open(database: &Database) -> Result<Self, ConnectError> {
        open::open(database, open::As::Engine).await
    }

    /// Opens a database for a client beside its engines: changes no tables, and
    /// counts as no host.
    ///
    /// # Errors
    ///
    /// When no engine has ever opened it, and as [`PostgresStore::open`] does.
    pub async fn attach(database: &Database) -> Result<Self, ConnectError> {
        open::open(database, open::As::Client).await
    }

    /// Counts the transactions that were committed since the store was opened.
    /// Each may hold many writes.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.inner.writers.commits()
    }

    fn failed(&self, fault: Fault) -> StoreError {
        fault.into_error(&self.inner.context.place)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Runs what reads on a connection of the readers, and once more on another one
/// if the first breaks.
macro_rules! reading {
    ($store:expr, |$on:ident, $context:ident| $read:expr) => {{
        let $context = &*$store.inner.context;
        let mut is_first = true;
        loop {
            let taken = $store.inner.readers.take().await;
            let taken = taken.map_err(|fault| $store.failed(fault))?;
            let $on = &*taken;
            let outcome = $read.await;
            match taken.done(outcome) {
                Err(Fault::Lost { .. }) if is_first => is_first = false,
                outcome => break outcome.map_err(|fault| $store.failed(fault)),
            }
        }
    }};
}

/// Runs what writes on a connection of the writers, or of others that are named,
/// once.
macro_rules! writing {
    ($store:expr, |$on:ident, $context:ident| $write:expr) => {
        writing!($store, writers, |$on, $context| $write)
    };
    ($store:expr, $connections:ident, |$on:ident, $context:ident| $write:expr) => {{
        let $context = &*$store.inner.context;
        let taken = $store.inner.$connections.take().await;
        let taken = taken.map_err(|fault| $store.failed(fault))?;
        let $on = &*taken;
        let outcome = $write.await;
        taken.done(outcome).map_err(|fault| $store.failed(fault))
    }};
}

#[async_trait]
impl Store for PostgresStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        let accepting = Accepting::new(&self.inner.context, accept);
        let accepted = self.accepts.write(accepting).await??;
        if matches!(accepted, Accepted::New) {
            self.inner.hints.give();
        }
        Ok(accepted)
    }

    async fn replayed(&self, key: Keyed) -> Result<Option<Operation>, AcceptError> {
        let fingerprints = self.inner.context.sealer.fingerprints();
        let claim = fingerprints.claim(IdempotencyKey::Client(key.token), &key.request);
        let (scope, expired) = (&key.scope, key.tokens_expired);
        reading!(self, |on, context| read::replayed(
            on, context, scope, &claim, expired
        ))?
    }

    async fn basis(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Basis, AcceptError> {
        let resource = Resource::new(scope, type_name, identifier);
        reading!(self, |on, _context| read::basis(on, &resource))?
    }

    async fn claim(
        &self,
        shares: &[Share],
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Operation>, StoreError> {
        let claimed = writing!(self, |on, context| claim::claim(
            on, context, shares, limit, now, lease
        ))?;
        let Some(doubt) = claimed.doubt else {
            return Ok(claimed.operations);
        };
        // What is leased and not known of would have to lapse.
        let operations = claimed.operations;
        let own = reading!(self, |on, context| claim::own(
            on,
            context,
            operations.clone()
        ));
        own.map_err(|_| self.failed(doubt))
    }

    async fn renew(
        &self,
        held: &[Held],
        until: Timestamp,
    ) -> Result<Vec<RequestToken>, StoreError> {
        writing!(self, keepers, |on, context| claim::renew(
            on, context, held, until
        ))
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Operation>, StoreError> {
        let mut foreign = self.inner.context.foreign.known();
        loop {
            let found = reading!(self, |on, context| read::sweep(
                on, context, now, limit, &foreign
            ))?;
            let swept = Swept::of(found);
            if !swept.damaged.is_empty() {
                writing!(self, |on, _context| claim::quarantine(on, &swept.damaged))?;
            }
            if !swept.is_crowded(limit) {
                return Ok(swept.operations);
            }
            foreign.extend(swept.foreign);
        }
    }

    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        let committing = Committing::new(&self.inner.context, transition);
        self.commits.write(committing).await??;
        self.inner.hints.give();
        Ok(())
    }

    async fn upcoming(
        &self,
        types: &[TypeName],
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<Moment>, StoreError> {
        reading!(self, |on, _context| read::upcoming(on, types, after, limit))
    }

    async fn get(&self, token: RequestToken) -> Result<Option<Operation>, StoreError> {
        reading!(self, |on, context| read::get(on, context, token))
    }

    async fn taken_over(&self, bearer: &BearerToken) -> Result<Option<RequestToken>, StoreError> {
        let key = self.inner.context.sealer.fingerprints().of_bearer(bearer);
        let key = fingerprint::Held::Bearer(key);
        let scope = Scope::default();
        let holder = reading!(self, |on, _context| read::holder(on, &scope, &key))?;
        Ok(holder.map(|holder| holder.token))
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Operation>, StoreError> {
        reading!(self, |on, context| list::list(on, context, filter))
    }

    async fn write_only(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Option<JsonObject>, StoreError> {
        let resource = Resource::new(scope, type_name, identifier);
        reading!(self, |on, context| read::write_only(on, context, &resource))
    }

    async fn events(&self, token: RequestToken, after: u64) -> Result<Vec<Event>, StoreError> {
        reading!(self, |on, context| read::events(on, context, token, after))
    }

    async fn due_reports(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingReport>, StoreError> {
        let found = reading!(self, |on, context| read::due_reports(
            on, context, now, limit
        ))?;
        self.readable(found).await
    }

    async fn claim_reports(
        &self,
        now: Timestamp,
        limit: usize,
        lease: Duration,
        under_way: &[RequestToken],
    ) -> Result<Vec<PendingReport>, StoreError> {
        let found = writing!(self, |on, context| outbox::claim(
            on, context, now, limit, lease, under_way
        ))?;
        self.readable(found).await
    }

    async fn next_report(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        reading!(self, |on, _context| read::next_report(on, after))
    }

    async fn settle(
        &self,
        token: RequestToken,
        version: u64,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        let settling = Settling::new(token, version, settlement);
        self.settlements.write(settling).await
    }

    async fn reports(&self, token: RequestToken) -> Result<Vec<PendingReport>, StoreError> {
        reading!(self, |on, context| read::reports(on, context, token))
    }

    async fn parked_reports(
        &self,
        limit: usize,
    ) -> Result<Vec<Result<PendingReport, ReportAt>>, StoreError> {
        reading!(self, |on, context| read::parked_reports(on, context, limit))
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        reading!(self, |on, context| backlog::count(on, context, now))
    }

    async fn unpark(&self, token: RequestToken, now: Timestamp) -> Result<usize, StoreError> {
        let unparked = writing!(self, |on, _context| outbox::unpark(on, token, now))?;
        self.inner.hints.give();
        Ok(unparked)
    }

    async fn drop_parked(&self, token: RequestToken) -> Result<usize, StoreError> {
        writing!(self, |on, _context| outbox::drop_parked(on, token))
    }

    async fn prune(&self, horizon: &Horizon, limit: usize) -> Result<usize, StoreError> {
        writing!(self, |on, _context| prune::prune(on, horizon, limit))
    }

    async fn forget(&self, token: RequestToken) -> Result<(), ForgetError> {
        writing!(self, |on, context| prune::forget_ended(on, context, token))?
    }

    async fn prune_components(&self, used: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        writing!(self, |on, context| components::prune(on, context, used))
    }

    async fn put_component(&self, bytes: Arc<[u8]>) -> Result<Digest, StoreError> {
        writing!(self, |on, context| components::put(on, context, &bytes))
    }

    async fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        reading!(self, |on, _context| components::get(on, digest))
    }

    fn time(&self) -> Option<Timestamp> {
        self.inner.time.now()
    }

    fn pools(&self) -> Vec<Pool> {
        let Inner {
            readers,
            writers,
            keepers,
            ..
        } = &*self.inner;
        [readers, writers, keepers].map(|it| it.used()).into()
    }

    fn hints(&self) -> Option<watch::Receiver<u64>> {
        Some(self.inner.hints.heard())
    }
}

impl PostgresStore {
    /// Gives the reports that can be read, and parks those that cannot.
    async fn readable(
        &self,
        found: Vec<Result<PendingReport, ReportAt>>,
    ) -> Result<Vec<PendingReport>, StoreError> {
        let mut due = Vec::new();
        for found in found {
            match found {
                Ok(report) => due.push(report),
                Err((token, version)) => {
                    let reason = "what is stored of it cannot be read".to_owned();
                    self.settle(token, version, Settlement::Parked { reason })
                        .await?;
                }
            }
        }
        Ok(due)
    }
}

#[cfg(test)]
mod tests;
