//! A store that stops at a commit point, as a killed process does, refuses writes
//! for a while, as a full disk does, or does what a test decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use formwork_host::model::{
    BearerToken, Digest, JsonObject, PrimaryIdentifier, RequestToken, Scope, Timestamp, TypeName,
};
use formwork_host::operation::{Event, Operation, PendingReport, Settlement, Transition};
use formwork_host::store::{
    Accept, AcceptError, Accepted, Backlog, Basis, CommitError, Filter, ForgetError, Held, Horizon,
    Keyed, Moment, Pool, ReportAt, Share, Store, StoreError,
};
use tokio::sync::{Notify, watch};

use crate::fate::{Asked, Fates};

/// Passes everything on, and after a given number of writes nothing any more:
/// the write takes effect, and neither it nor any later call returns.
pub struct CrashingStore {
    store: Arc<dyn Store>,
    only: Only,
    writes_left: AtomicUsize,
    crashed: Notify,
    full: AtomicBool,
    gets: AtomicUsize,
    refused: watch::Sender<usize>,
    fates: Fates,
}

/// Which writes count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    Any,
    Leases,
}

impl CrashingStore {
    /// Stops `store` with its write number `writes`, counted from 1.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, writes: usize) -> Self {
        Self {
            store,
            only: Only::Any,
            writes_left: AtomicUsize::new(writes),
            crashed: Notify::new(),
            full: AtomicBool::new(false),
            gets: AtomicUsize::new(0),
            refused: watch::Sender::new(0),
            fates: Fates::default(),
        }
    }

    /// Gives who decides about single writes.
    #[must_use]
    pub const fn fates(&self) -> &Fates {
        &self.fates
    }

    /// Stops `store` when it has leased the first operations: the invocation
    /// is never answered.
    #[must_use]
    pub fn at_first_lease(store: Arc<dyn Store>) -> Self {
        Self {
            only: Only::Leases,
            ..Self::new(store, 1)
        }
    }

    /// Passes everything on for ever, but refuses commits, renewals and settlements
    /// while it is full.
    #[must_use]
    pub fn never(store: Arc<dyn Store>) -> Self {
        Self::new(store, usize::MAX)
    }

    /// Says whether commits, renewals and settlements are refused.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Says how often a single operation was read.
    #[must_use]
    pub fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    /// Waits until so many of them have been refused.
    ///
    /// # Panics
    ///
    /// Never: the store lives as long as it is borrowed.
    pub async fn refused(&self, count: usize) {
        let mut refused = self.refused.subscribe();
        let enough = refused.wait_for(|refused| *refused >= count).await;
        enough.expect("the store is borrowed");
    }

    /// Gives the store that is passed on to, for a look after the stop.
    #[must_use]
    pub fn inner(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Waits until the tasks of a dropped engine have let go of the store, and
    /// lets go of it too: what is behind it can be opened again.
    pub async fn gone(self: Arc<Self>) {
        while Arc::strong_count(&self) > 1 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the stop.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    async fn alive(&self) {
        if self.writes_left.load(Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
    }

    fn has_room(&self) -> Result<(), StoreError> {
        if !self.full.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.send_modify(|refused| *refused += 1);
        Err(StoreError::Unavailable {
            place: "this test".to_owned(),
            source: "it is full".into(),
        })
    }

    async fn wrote(&self) {
        if self.only == Only::Any {
            self.counted().await;
        }
    }

    /// Says that a transition was written, which may have made a lease.
    async fn changed(&self, leases: bool) {
        if leases || self.only == Only::Any {
            self.counted().await;
        }
    }

    async fn counted(&self) {
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for CrashingStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        self.alive().await;
        let operation = accept.transition.operation.clone();
        let replayed = Ok(Accepted::Replayed(operation.clone()));
        let accepting = self.store.accept(accept);
        let asked = Asked::Accept(&operation);
        let accepted = self.fates.meet(asked, accepting, replayed).await?;
        self.changed(operation.lease.is_some()).await;
        Ok(accepted)
    }

    async fn replayed(&self, key: Keyed) -> Result<Option<Operation>, AcceptError> {
        self.alive().await;
        self.store.replayed(key).await
    }

    async fn basis(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Basis, AcceptError> {
        self.alive().await;
        self.store.basis(scope, type_name, identifier).await
    }

    async fn claim(
        &self,
        shares: &[Share],
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Operation>, StoreError> {
        self.alive().await;
        let claiming = self.store.claim(shares, limit, now, lease);
        let none = Ok(Vec::new());
        let claimed = self.fates.meet(Asked::Claim, claiming, none).await?;
        if !claimed.is_empty() {
            self.counted().await;
        }
        Ok(claimed)
    }

    async fn renew(
        &self,
        held: &[Held],
        until: Timestamp,
    ) -> Result<Vec<RequestToken>, StoreError> {
        self.alive().await;
        self.has_room()?;
        let all = held.iter().map(|held| held.token).collect();
        let renewing = self.store.renew(held, until);
        self.fates.meet(Asked::Renew(held), renewing, Ok(all)).await
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Operation>, StoreError> {
        self.alive().await;
        self.store.sweep(now, limit).await
    }

    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        self.alive().await;
        self.has_room().map_err(CommitError::Store)?;
        let operation = transition.operation.clone();
        let expected = operation.version - 1;
        let leases = operation
            .lease
            .is_some_and(|lease| lease.number == operation.version);
        let conflict = Err(CommitError::Conflict { expected });
        let committing = self.store.commit(transition);
        let asked = Asked::Commit(&operation);
        self.fates.meet(asked, committing, conflict).await?;
        self.changed(leases).await;
        Ok(())
    }

    async fn upcoming(
        &self,
        types: &[TypeName],
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<Moment>, StoreError> {
        self.alive().await;
        self.store.upcoming(types, after, limit).await
    }

    async fn get(&self, token: RequestToken) -> Result<Option<Operation>, StoreError> {
        self.alive().await;
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.store.get(token).await
    }

    async fn taken_over(&self, bearer: &BearerToken) -> Result<Option<RequestToken>, StoreError> {
        self.alive().await;
        self.store.taken_over(bearer).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Operation>, StoreError> {
        self.alive().await;
        self.store.list(filter).await
    }

    async fn write_only(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Option<JsonObject>, StoreError> {
        self.alive().await;
        self.store.write_only(scope, type_name, identifier).await
    }

    async fn events(&self, token: RequestToken, after: u64) -> Result<Vec<Event>, StoreError> {
        self.alive().await;
        self.store.events(token, after).await
    }

    async fn due_reports(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingReport>, StoreError> {
        self.alive().await;
        self.store.due_reports(now, limit).await
    }

    async fn claim_reports(
        &self,
        now: Timestamp,
        limit: usize,
        lease: Duration,
        under_way: &[RequestToken],
    ) -> Result<Vec<PendingReport>, StoreError> {
        self.alive().await;
        let claiming = self.store.claim_reports(now, limit, lease, under_way);
        let claimed = claiming.await?;
        let asked = Asked::Reports(&claimed);
        let given = std::future::ready(Ok(claimed.clone()));
        self.fates.meet(asked, given, Ok(Vec::new())).await
    }

    async fn next_report(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.alive().await;
        self.store.next_report(after).await
    }

    async fn settle(
        &self,
        token: RequestToken,
        version: u64,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        self.alive().await;
        self.has_room()?;
        self.store.settle(token, version, settlement).await?;
        self.wrote().await;
        Ok(())
    }

    async fn reports(&self, token: RequestToken) -> Result<Vec<PendingReport>, StoreError> {
        self.alive().await;
        self.store.reports(token).await
    }

    async fn parked_reports(
        &self,
        limit: usize,
    ) -> Result<Vec<Result<PendingReport, ReportAt>>, StoreError> {
        self.alive().await;
        self.store.parked_reports(limit).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.alive().await;
        self.store.backlog(now).await
    }

    async fn unpark(&self, token: RequestToken, now: Timestamp) -> Result<usize, StoreError> {
        self.alive().await;
        let unparked = self.store.unpark(token, now).await?;
        self.wrote().await;
        Ok(unparked)
    }

    async fn drop_parked(&self, token: RequestToken) -> Result<usize, StoreError> {
        self.alive().await;
        let dropped = self.store.drop_parked(token).await?;
        self.wrote().await;
        Ok(dropped)
    }

    async fn prune(&self, horizon: &Horizon, limit: usize) -> Result<usize, StoreError> {
        self.alive().await;
        let pruned = self.store.prune(horizon, limit).await?;
        if pruned > 0 {
            self.wrote().await;
        }
        Ok(pruned)
    }

    async fn forget(&self, token: RequestToken) -> Result<(), ForgetError> {
        self.alive().await;
        self.store.forget(token).await?;
        self.wrote().await;
        Ok(())
    }

    async fn prune_components(&self, used: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.alive().await;
        self.store.prune_components(used).await
    }

    async fn put_component(&self, bytes: Arc<[u8]>) -> Result<Digest, StoreError> {
        self.store.put_component(bytes).await
    }

    async fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.store.component(digest).await
    }

    fn time(&self) -> Option<Timestamp> {
        self.store.time()
    }

    fn pools(&self) -> Vec<Pool> {
        self.store.pools()
    }

    fn hints(&self) -> Option<watch::Receiver<u64>> {
        self.store.hints()
    }
}
