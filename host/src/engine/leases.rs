//! The leases that this engine holds, and their heartbeat.
//!
//! *Invariant*: a lease is renewed from before its invocation begins until what
//! came of it is committed, so that it lapses only with its engine; an invocation
//! whose lease is lost all the same is cut.
//!
//! *Invariant*: no invocation begins on a lease that has lapsed, or soon will, as
//! one does that waited long for its turn: it is renewed before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::RequestToken;
use crate::operation::Operation;
use crate::store::{Held, StoreError};

use super::backoff::Backoff;
use super::causes::Causes;
use super::outage::Outage;
use super::telemetry::{Happening, LeaseLoss, line};
use super::{Inner, Mode};

/// How long a lease lasts without a heartbeat, if nobody says otherwise. Bounds how
/// long after the loss of a host others go on with what it was doing; less takes a
/// slow database for a lost host.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How many heartbeats there are to a lease.
const HEARTBEATS: u32 = 4;

/// How often each may be tried: a try that is not answered ends in time for the
/// next.
const TRIES: u32 = 2;

/// An invocation begins with this part of its lease left at least.
const LEAST: u32 = 3;

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

/// Beats by the clock, however long the store takes to answer.
async fn beat(inner: &Inner) {
    let every = inner.lease / HEARTBEATS;
    let mut outage = Outage::default();
    let mut next = inner.clock.uptime() + every;
    loop {
        let now = inner.clock.uptime();
        inner.clock.sleep(next.saturating_sub(now)).await;
        // Beats that were missed, since the machine was asleep, are not made up for.
        next = (next + every).max(inner.clock.uptime());
        for _ in 0..TRIES {
            let held = inner.leases.held();
            if held.is_empty() {
                break;
            }
            if let Some(lost) = outage.note(inner.renew(&held).await) {
                for held in held.iter().filter(|held| lost.contains(&held.token)) {
                    inner.leases.lose(held);
                }
                break;
            }
        }
    }
}

impl Inner {
    /// Sees to it that there is time to begin an invocation, and tells whether its
    /// lease is still ours.
    pub(super) async fn may_begin(&self, operation: &Operation) -> bool {
        let Some(lease) = operation.lease else {
            return false;
        };
        if lease.until.since(self.clock.now()) >= self.lease / LEAST {
            return true;
        }
        let held = Held {
            token: operation.token,
            number: lease.number,
        };
        let mut backoff = Backoff::new();
        loop {
            match self.renew(&[held]).await {
                Ok(lost) if lost.is_empty() => return true,
                Ok(_) => {
                    line!(
                        warn,
                        operation,
                        "the lease was lost to another host before its invocation began"
                    );
                    self.taken(operation);
                    return false;
                }
                Err(error @ StoreError::Corrupt { .. }) => {
                    line!(error, operation, error = %Causes(&error), "a lease cannot be renewed, and is left to lapse");
                    return false;
                }
                Err(error) => {
                    line!(error, operation, error = %Causes(&error), "a lease could not be renewed; trying again");
                    backoff.pause(self.clock.as_ref()).await;
                }
            }
        }
    }

    /// Tells that somebody else has taken a lease over.
    pub(super) fn taken(&self, operation: &Operation) {
        self.tell(|| Happening::LeaseLost {
            subject: operation.into(),
            loss: LeaseLoss::Taken,
        });
    }

    /// Prolongs leases, and gives the operations whose lease is lost. Does not wait
    /// longer than until it is time to try again.
    async fn renew(&self, held: &[Held]) -> Result<Vec<RequestToken>, StoreError> {
        let until = self.clock.now().after(self.lease);
        let patience = self.lease / HEARTBEATS / TRIES;
        tokio::select! {
            biased;
            renewed = self.store.renew(held, until) => renewed,
            () = self.clock.sleep(patience) => Err(StoreError::Unavailable {
                place: "this engine".to_owned(),
                source: format!("leases were not renewed within {patience:?}").into(),
            }),
        }
    }
}
