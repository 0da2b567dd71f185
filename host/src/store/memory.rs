//! Operations in memory: for tests, trials, and the contract-test runner.
//!
//! *Invariant*: it keeps the contract of [`Store`] in everything but durability;
//! what it holds ends with the process.
//!
//! *Invariant*: no call takes longer than the logarithm of what is kept, times
//! what it gives back; [`Store::list`] looks through what its type leaves out,
//! [`Store::prune`] through what reports hold back, [`Store::backlog`] through
//! what is due, leased or unreported, and [`Store::prune_components`] through
//! everything.

mod listed;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    BearerToken, Digest, JsonObject, PrimaryIdentifier, RequestToken, Scope, Timestamp, TypeName,
};
use crate::operation::{Event, Operation, PendingReport, Settlement, Transition};

use super::{
    Accept, AcceptError, Accepted, Backlog, Basis, CommitError, Filter, ForgetError, Held, Horizon,
    IdempotencyKey, Keyed, Moment, ReportAt, Share, Store, StoreError, fingerprint::FingerprintKey,
};
use state::State;

/// Keeps operations in memory.
pub struct MemoryStore {
    key: FingerprintKey,
    state: Mutex<State>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: FingerprintKey::random(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic half way through a change would be a fault of ours; what is
        // left is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        let claim = accept
            .key
            .map(|(key, request)| self.key.claim(key, &request));
        self.state().accept(
            accept.transition,
            claim,
            accept.basis,
            accept.tokens_expired,
        )
    }

    async fn replayed(&self, key: Keyed) -> Result<Option<Operation>, AcceptError> {
        let claim = self
            .key
            .claim(IdempotencyKey::Client(key.token), &key.request);
        self.state().replayed(&key.scope, claim, key.tokens_expired)
    }

    async fn basis(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Basis, AcceptError> {
        let resource = (scope.clone(), type_name.clone(), identifier.clone());
        self.state().basis(&resource)
    }

    async fn claim(
        &self,
        shares: &[Share],
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Operation>, StoreError> {
        let mut state = self.state();
        let mut claimed = Vec::new();
        for share in shares {
            let limit = share.limit.min(limit - claimed.len());
            claimed.extend(state.claim(&share.type_name, limit, now, now.after(lease)));
        }
        Ok(claimed)
    }

    async fn renew(
        &self,
        held: &[Held],
        until: Timestamp,
    ) -> Result<Vec<RequestToken>, StoreError> {
        Ok(self.state().renew(held, until))
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Operation>, StoreError> {
        Ok(self.state().sweep(now, limit))
    }

    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        self.state().commit(transition)
    }

    async fn upcoming(
        &self,
        types: &[TypeName],
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<Moment>, StoreError> {
        Ok(self.state().upcoming(types, after, limit))
    }

    async fn get(&self, token: RequestToken) -> Result<Option<Operation>, StoreError> {
        Ok(self.state().get(token))
    }

    async fn taken_over(&self, bearer: &BearerToken) -> Result<Option<RequestToken>, StoreError> {
        Ok(self.state().taken_over(self.key.of_bearer(bearer)))
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Operation>, StoreError> {
        Ok(self.state().list(filter))
    }

    async fn write_only(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Option<JsonObject>, StoreError> {
        let resource = (scope.clone(), type_name.clone(), identifier.clone());
        Ok(self.state().write_only.get(&resource).cloned())
    }

    async fn events(&self, token: RequestToken, after: u64) -> Result<Vec<Event>, StoreError> {
        Ok(self.state().events(token, after))
    }

    async fn due_reports(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingReport>, StoreError> {
        Ok(self.state().due_reports(now, limit))
    }

    async fn next_report(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().next_report(after))
    }

    async fn settle(
        &self,
        token: RequestToken,
        version: u64,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        self.state().settle(token, version, settlement);
        Ok(())
    }

    async fn reports(&self, token: RequestToken) -> Result<Vec<PendingReport>, StoreError> {
        Ok(self.state().reports(token))
    }

    async fn parked_reports(
        &self,
        limit: usize,
    ) -> Result<Vec<Result<PendingReport, ReportAt>>, StoreError> {
        let parked = self.state().parked_reports(limit);
        Ok(parked.into_iter().map(Ok).collect())
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        Ok(self.state().backlog(now))
    }

    async fn unpark(&self, token: RequestToken, now: Timestamp) -> Result<usize, StoreError> {
        Ok(self.state().unpark(token, now))
    }

    async fn drop_parked(&self, token: RequestToken) -> Result<usize, StoreError> {
        Ok(self.state().drop_parked(token))
    }

    async fn prune(&self, horizon: &Horizon, limit: usize) -> Result<usize, StoreError> {
        Ok(self.state().prune(horizon, limit))
    }

    async fn forget(&self, token: RequestToken) -> Result<(), ForgetError> {
        self.state().forget_ended(token)
    }

    async fn prune_components(&self, used: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        Ok(self.state().prune_components(used))
    }

    async fn put_component(&self, bytes: Arc<[u8]>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        self.state().components.entry(digest).or_insert(bytes);
        Ok(digest)
    }

    async fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.state().components.get(&digest).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::store::conformance::suite!(|| Arc::new(MemoryStore::new()) as Arc<dyn Store>);
}
