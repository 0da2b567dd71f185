//! The leases that this engine holds, and their heartbeat.
//!
//! *Invariant*: a lease is renewed from before its invocation begins until what
//! came of it is committed, so that it lapses only with its engine; an invocation
//! whose lease is lost all the same is cut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::RequestToken;
use crate::operation::Operation;
use crate::store::Held;

use super::outage::Outage;
use super::{Inner, Mode};

/// How long a lease lasts without a heartbeat. Bounds how long after the loss of a
/// host others go on with what it was doing; less takes a slow database for a lost
/// host.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How often leases are renewed: often enough for two heartbeats to fail.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// The leases of invocations under way.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<RequestToken, Kept>>);

struct Kept {
    number: u64,
    lost: Arc<Notify>,
}

/// One lease, for as long as it is held.
pub(super) struct Holding<'l> {
    leases: &'l Leases,
    token: RequestToken,
    number: u64,
    lost: Arc<Notify>,
}

impl Leases {
    /// Holds the lease of an operation.
    pub(super) fn hold(&self, operation: &Operation) -> Holding<'_> {
        let number = operation.lease.map_or(0, |lease| lease.number);
        let lost = Arc::new(Notify::new());
        let kept = Kept {
            number,
            lost: Arc::clone(&lost),
        };
        self.kept().insert(operation.token, kept);
        Holding {
            leases: self,
            token: operation.token,
            number,
            lost,
        }
    }

    fn held(&self) -> Vec<Held> {
        let kept = self.kept();
        let held = kept.iter().map(|(token, kept)| Held {
            token: *token,
            number: kept.number,
        });
        held.collect()
    }

    /// Says that a lease is not ours any more.
    fn lose(&self, held: &Held) {
        let kept = self.kept();
        if let Some(kept) = kept.get(&held.token).filter(|it| it.number == held.number) {
            kept.lost.notify_one();
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<RequestToken, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding<'_> {
    /// Waits until the lease is lost.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        let mut kept = self.leases.kept();
        if kept
            .get(&self.token)
            .is_some_and(|it| it.number == self.number)
        {
            kept.remove(&self.token);
        }
    }
}

/// Runs until the engine is to drop everything: one that drains still holds leases.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode) => {}
        () = beat(&inner) => {}
    }
}

async fn beat(inner: &Inner) {
    let mut outage = Outage::default();
    loop {
        inner.clock.sleep(HEARTBEAT).await;
        let held = inner.leases.held();
        if held.is_empty() {
            continue;
        }
        let until = inner.clock.now().after(LEASE);
        let renewed = inner.store.renew(&held, until).await;
        let lost = outage.note(renewed).unwrap_or_default();
        for held in held.iter().filter(|held| lost.contains(&held.token)) {
            inner.leases.lose(held);
        }
    }
}
