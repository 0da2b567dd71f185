//! The loop that leases due operations and has them invoked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::model::{Timestamp, TypeName};
use crate::operation::{Input, Operation};
use crate::store::StoreError;

use super::pulse::Loop;
use super::share::{Demand, shares};
use super::{Inner, Mode, invoke};

/// Look this often even without news. Bounds how late the change of another
/// process is noticed; less costs queries.
const SCAN: Duration = Duration::from_secs(1);

/// A lease outlasts the wall limit of its invocation by this, for the answer
/// to be committed. More delays recovery from a lost host.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// How many lapsed or outlived operations are read at once.
const SWEEP: usize = 256;

/// Runs until the mode says otherwise.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode.clone()) => {}
        () = work(&inner, mode) => inner.pulse.stopped(Loop::Dispatch),
    }
}

async fn work(inner: &Arc<Inner>, mut mode: watch::Receiver<Mode>) {
    let mut running = Running::default();
    let mut turn = 0;
    let mut swept = None;
    while *mode.borrow_and_update() == Mode::Run {
        let news = inner.pulse.look();
        let now = inner.clock.now();
        turn += 1;
        let began = begin(inner, &mut running, now, turn)
            .await
            .unwrap_or_else(|error| failed(&error));
        let overdue = swept.is_none_or(|at| now >= Timestamp::after(at, SCAN));
        let mended = if began == 0 || overdue {
            swept = Some(now);
            sweep(inner, now)
                .await
                .unwrap_or_else(|error| failed(&error))
        } else {
            0
        };
        if began > 0 || mended > 0 {
            continue;
        }
        let next = next_wake(inner).await.unwrap_or_else(|error| {
            failed(&error);
            None
        });
        if running.is_empty() {
            inner.pulse.nothing(Loop::Dispatch, news, next);
        }
        let scan = now.after(SCAN);
        // What is due already waits for a slot, not for time.
        let wake = next
            .filter(|next| *next > now)
            .map_or(scan, |next| next.min(scan));
        tokio::select! {
            _ = mode.changed() => {}
            () = running.ended() => {}
            () = inner.pulse.news(Loop::Dispatch) => {}
            () = inner.clock.sleep_until(wake) => inner.watchers.tell_all(),
        }
    }
    while !running.is_empty() {
        running.ended().await;
    }
}

fn failed(error: &StoreError) -> usize {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the store failed; trying again"
    );
    0
}

/// Leases what is due, as far as there is room, and has it invoked.
async fn begin(
    inner: &Arc<Inner>,
    running: &mut Running,
    now: Timestamp,
    turn: usize,
) -> Result<usize, StoreError> {
    let types = inner.registry.types();
    let walls = types
        .iter()
        .map(|(_, known)| known.settings.limits.mutation_wall);
    let lease = walls.max().unwrap_or_default() + LEASE_MARGIN;
    let demands: Vec<Demand> = types
        .into_iter()
        .map(|(type_name, known)| Demand {
            type_name,
            limit: known.settings.concurrency,
        })
        .collect();
    let shares = shares(&demands, &running.by_type, inner.concurrency, turn);
    if shares.is_empty() {
        return Ok(0);
    }
    let free = inner.concurrency.saturating_sub(running.len());
    let claimed = inner.store.claim(&shares, free, now, lease).await?;
    let began = claimed.len();
    for operation in claimed {
        running.begin(Arc::clone(inner), operation);
    }
    Ok(began)
}

/// Ends or retries what no worker will finish.
async fn sweep(inner: &Arc<Inner>, now: Timestamp) -> Result<usize, StoreError> {
    let found = inner.store.sweep(now, SWEEP).await?;
    let mut mended = 0;
    for operation in found {
        let input = if operation.lease.is_some() {
            Input::LeaseLapsed
        } else {
            Input::DeadlinePassed
        };
        mended += usize::from(invoke::settle(inner, operation, input).await);
    }
    Ok(mended)
}

async fn next_wake(inner: &Arc<Inner>) -> Result<Option<Timestamp>, StoreError> {
    let types: Vec<TypeName> = inner
        .registry
        .types()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    inner.store.next_wake(&types).await
}

/// The invocations that are being made.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    types: HashMap<Id, TypeName>,
    by_type: HashMap<TypeName, usize>,
}

impl Running {
    fn begin(&mut self, inner: Arc<Inner>, operation: Operation) {
        let type_name = operation.type_name.clone();
        let task = self.tasks.spawn(invoke::run(inner, operation));
        *self.by_type.entry(type_name.clone()).or_default() += 1;
        self.types.insert(task.id(), type_name);
    }

    /// Waits until at least one has ended; for ever if none runs.
    async fn ended(&mut self) {
        let Some(first) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        self.forget(first);
        while let Some(more) = self.tasks.try_join_next_with_id() {
            self.forget(more);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "an invocation's task broke; its lease will lapse");
                error.id()
            }
        };
        let type_name = self
            .types
            .remove(&id)
            .expect("each task was noted when it began");
        let count = self
            .by_type
            .get_mut(&type_name)
            .expect("each task was counted when it began");
        *count -= 1;
        if *count == 0 {
            self.by_type.remove(&type_name);
        }
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }
}
