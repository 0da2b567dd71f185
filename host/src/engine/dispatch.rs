//! The loop that leases due operations and has them invoked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::{RequestToken, Timestamp, TypeName};
use crate::operation::{Input, Lease};
use crate::store::{Share, StoreError};

use super::leases::LEASE;
use super::outage::Outage;
use super::pulse::Loop;
use super::share::{Demand, shares};
use super::tasks::Tasks;
use super::turn::Turn;
use super::{Inner, Mode, invoke};

/// Look this often even without news. Bounds how late the change of another
/// process is noticed; less costs queries.
const SCAN: Duration = Duration::from_secs(1);

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
    let mut running = Tasks::new();
    let mut rounds = Rounds {
        turn: 0,
        swept: None,
        types: 0,
        left: 0,
    };
    let mut told = inner.clock.now();
    let mut outage = Outage::default();
    while *mode.borrow_and_update() == Mode::Run {
        let news = inner.pulse.look(Loop::Dispatch);
        let now = inner.clock.now();
        if now >= told.after(SCAN) {
            told = now;
            inner.watchers.tell_all();
        }
        let next = match outage.note(rounds.look(inner, &mut running, now).await) {
            Some(Found::Work) => continue,
            Some(Found::Nothing { next }) => {
                inner.pulse.nothing(Loop::Dispatch, news, next);
                next
            }
            None => None,
        };
        let scan = now.after(SCAN);
        let wake = next.map_or(scan, |next| next.min(scan));
        tokio::select! {
            _ = mode.changed() => {}
            () = running.ended() => {}
            () = inner.pulse.news(Loop::Dispatch), if !outage.lasts() => {}
            () = inner.clock.sleep_until(wake) => {}
        }
    }
    while !running.is_empty() {
        running.ended().await;
    }
}

/// What one look at the store came to.
enum Found {
    /// Something was begun or mended, and there may be more.
    Work,
    /// There is nothing to do before `next`.
    Nothing { next: Option<Timestamp> },
}

/// What is remembered from look to look.
struct Rounds {
    /// Which type is asked first.
    turn: usize,
    /// When the store was last swept.
    swept: Option<Timestamp>,
    /// How many types there were then.
    types: usize,
    /// How many operations were left then to hosts that have their type.
    left: usize,
}

impl Rounds {
    async fn look(
        &mut self,
        inner: &Arc<Inner>,
        running: &mut Tasks<Made>,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        self.turn += 1;
        let began = begin(inner, running, now, self.turn).await?;
        let types = inner.registry.types().len();
        let overdue = self.swept.is_none_or(|at| now >= at.after(SCAN)) || types != self.types;
        let mended = if began == 0 || overdue {
            self.swept = Some(now);
            self.types = types;
            self.sweep(inner, running, now).await?
        } else {
            0
        };
        if began > 0 || mended > 0 {
            return Ok(Found::Work);
        }
        let next = next_wake(inner, running, now).await?;
        Ok(Found::Nothing { next })
    }

    /// Ends or retries what no worker will finish.
    ///
    /// A lease that lapsed while this very engine still runs the invocation, since
    /// the store was out of reach or the machine was asleep, is left to it: its
    /// answer must not be lost. Whether a lost invocation is tried again is a
    /// setting of its type, so it is left to a host that has the type, or to the
    /// moment at which this one has loaded it; at its deadline anyone ends it.
    async fn sweep(
        &mut self,
        inner: &Arc<Inner>,
        running: &Tasks<Made>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let limit = SWEEP + running.len() + self.left;
        let found = inner.store.sweep(now, limit).await?;
        let mut mended = 0;
        self.left = 0;
        for operation in found {
            let input = match operation.lease {
                Some(lease) if holds(running, operation.token, lease) => continue,
                _ if now >= operation.deadline => Input::DeadlinePassed,
                Some(_) if inner.registry.get(&operation.type_name).is_none() => {
                    self.left += 1;
                    continue;
                }
                Some(_) => Input::LeaseLapsed,
                None => Input::DeadlinePassed,
            };
            mended += usize::from(invoke::settle(inner, operation, input).await);
        }
        Ok(mended)
    }
}

/// Leases what is due, as far as there is room, and has it invoked.
async fn begin(
    inner: &Arc<Inner>,
    running: &mut Tasks<Made>,
    now: Timestamp,
    turn: usize,
) -> Result<usize, StoreError> {
    let shares = room(inner, running, turn);
    if shares.is_empty() {
        return Ok(0);
    }
    let free = inner.concurrency.saturating_sub(running.len());
    let claimed = inner.store.claim(&shares, free, now, LEASE).await?;
    let began = claimed.len();
    for operation in claimed {
        let turn = Turn::leased(&inner.pulse);
        let made = Made {
            token: operation.token,
            lease: operation.lease,
            type_name: operation.type_name.clone(),
            _turn: Arc::clone(&turn),
        };
        running.begin(made, invoke::run(Arc::clone(inner), operation, turn));
    }
    Ok(began)
}

/// Tells how many operations of each type may begin now.
fn room(inner: &Inner, running: &Tasks<Made>, turn: usize) -> Vec<Share> {
    let demands: Vec<Demand> = inner
        .registry
        .types()
        .into_iter()
        .map(|(type_name, known)| Demand {
            type_name,
            limit: known.settings.concurrency.max(1),
        })
        .collect();
    let mut by_type = HashMap::new();
    for made in running.labels() {
        *by_type.entry(made.type_name.clone()).or_default() += 1;
    }
    shares(&demands, &by_type, inner.concurrency, turn)
}

/// Gives the next moment at which there will be more to do than now, in the
/// room that there is.
async fn next_wake(
    inner: &Arc<Inner>,
    running: &Tasks<Made>,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let shares = room(inner, running, 0);
    let types: Vec<TypeName> = shares.into_iter().map(|share| share.type_name).collect();
    inner.store.next_wake(&types, now).await
}

/// An invocation that is being made.
struct Made {
    token: RequestToken,
    lease: Option<Lease>,
    type_name: TypeName,
    /// An engine is not idle before its room is seen.
    _turn: Arc<Turn>,
}

/// Tells whether the invocation of that lease is being made.
fn holds(running: &Tasks<Made>, token: RequestToken, lease: Lease) -> bool {
    let mut made = running.labels();
    made.any(|made| made.token == token && made.lease == Some(lease))
}
