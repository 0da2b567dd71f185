//! The loop that leases due operations and has them invoked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::model::{Timestamp, TypeName};
use crate::operation::Operation;
use crate::store::{Share, StoreError};

use super::outage::Outage;
use super::pulse::Loop;
use super::share::Demand;
use super::slots::Slot;
use super::workers::{self, Leased};
use super::{Inner, Mode, upcoming};

/// Look this often even without news. Bounds how late the change of another
/// process is noticed; less costs queries.
const SCAN: Duration = Duration::from_secs(1);

/// Runs until the mode says otherwise.
pub(super) async fn run(
    inner: Arc<Inner>,
    handed: UnboundedReceiver<Leased>,
    mode: watch::Receiver<Mode>,
) {
    let work = async {
        tokio::join!(
            look_for_work(&inner, mode.clone()),
            workers::run(&inner, handed, mode.clone()),
        );
        inner.pulse.stopped(Loop::Dispatch);
    };
    tokio::select! {
        () = super::stopped(mode.clone()) => {}
        () = work => {}
    }
}

async fn look_for_work(inner: &Arc<Inner>, mut mode: watch::Receiver<Mode>) {
    let mut rounds = Rounds::default();
    let mut told = inner.clock.now();
    let mut outage = Outage::default();
    while *mode.borrow_and_update() == Mode::Run {
        let news = inner.pulse.look(Loop::Dispatch);
        let now = inner.clock.now();
        if now >= told.after(SCAN) {
            told = now;
            inner.watchers.tell_all();
        }
        let next = match outage.note(rounds.look(inner, now).await) {
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
            () = inner.pulse.news(Loop::Dispatch), if !outage.lasts() => {}
            () = inner.clock.sleep_until(wake) => {}
        }
    }
}

/// What one look at the store came to.
enum Found {
    /// Something was begun, and there may be more.
    Work,
    /// There is nothing to do before `next`.
    Nothing { next: Option<Timestamp> },
}

/// What is remembered from look to look.
#[derive(Default)]
struct Rounds {
    /// Which type is asked first.
    turn: usize,
    /// When the store was last asked what comes.
    asked: Option<Timestamp>,
    /// When a sweep was last asked for.
    swept: Option<Timestamp>,
    /// How many types there were then.
    types: usize,
    /// Whether something is due that was not looked for yet.
    owed: bool,
}

impl Rounds {
    async fn look(&mut self, inner: &Arc<Inner>, now: Timestamp) -> Result<Found, StoreError> {
        // A type that is loaded from here on is asked for by the next look.
        let asking = inner.upcoming.ask();
        let demands = demands(inner);
        if is_time(self.asked, now) || inner.upcoming.is_asking(now) {
            self.owed = true;
            let types: Vec<TypeName> = demands.iter().map(|it| it.type_name.clone()).collect();
            let found = inner.store.upcoming(&types, now, upcoming::ASKED).await?;
            inner.upcoming.learn(asking, &found);
            self.asked = Some(now);
        }
        // What is committed from here on is noted, and looked for by the next look.
        self.owed |= inner.upcoming.take_due(now);
        if !self.owed && !inner.slots.awaited(&demands) {
            return Ok(Found::Nothing {
                next: inner.upcoming.next(),
            });
        }
        self.turn += 1;
        let began = begin(inner, &demands, now, self.turn).await?;
        if began == 0 || is_time(self.swept, now) || demands.len() != self.types {
            self.types = demands.len();
            self.swept = Some(now);
            inner.pulse.work(Loop::Sweep);
        }
        // What waits for room is remembered where the room is.
        self.owed = false;
        if began > 0 {
            return Ok(Found::Work);
        }
        Ok(Found::Nothing {
            next: inner.upcoming.next(),
        })
    }
}

fn is_time(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now >= last.after(SCAN))
}

fn demands(inner: &Inner) -> Vec<Demand> {
    let demand = |(type_name, known): (TypeName, crate::registry::ResourceType)| Demand {
        type_name,
        limit: known.settings.concurrency.max(1),
    };
    inner.registry.types().into_iter().map(demand).collect()
}

/// Leases what is due, as far as there is room, and has it invoked.
async fn begin(
    inner: &Arc<Inner>,
    demands: &[Demand],
    now: Timestamp,
    turn: usize,
) -> Result<usize, StoreError> {
    // Nobody else takes the places that are asked for, nor sweeps what is given late.
    let _alone = inner.slots.claiming();
    let _expecting = inner.leases.expecting(now.after(inner.lease));
    let (shares, free) = inner.slots.room(demands, turn);
    if shares.is_empty() {
        inner.slots.looked(demands, |_| true);
        return Ok(0);
    }
    let claimed = inner.store.claim(&shares, free, now, inner.lease).await?;
    let began = claimed.len();
    let mut of_type: HashMap<TypeName, usize> = HashMap::new();
    for operation in claimed {
        *of_type.entry(operation.type_name.clone()).or_default() += 1;
        inner.upcoming.note(&operation);
        let slot = inner.slots.take(operation.type_name.clone());
        inner.begin(operation, slot);
    }
    let may_be_more = |type_name: &TypeName| {
        let asked = shares.iter().find(|share| share.type_name == *type_name);
        let given = of_type.get(type_name).copied().unwrap_or(0);
        asked.is_none_or(|share: &Share| given >= share.limit) || began >= free
    };
    inner.slots.looked(demands, may_be_more);
    Ok(began)
}

impl Inner {
    /// Has an operation invoked that is leased to this engine.
    pub(super) fn begin(&self, operation: Operation, slot: Slot) {
        let Some(lease) = operation.lease else {
            return;
        };
        let holding = self.leases.hold(operation.token, lease);
        // Nobody takes it once the engine is stopped, as in a crash.
        let _ = self.leased.send(Leased {
            operation,
            holding,
            slot,
        });
    }

    /// Gives a place for an operation that is to be accepted, if it may be
    /// leased at once.
    pub(super) fn place_for(&self, type_name: &TypeName) -> Option<Slot> {
        let known = self.registry.get(type_name)?;
        let limit = known.settings.concurrency.max(1);
        self.slots
            .take_free(type_name, limit, self.registry.count())
    }

    /// Tells whether an operation that is due at once may go on in its place.
    pub(super) fn goes_on(&self, type_name: &TypeName, slot: &Slot) -> bool {
        let known = self.registry.get(type_name);
        known.is_some_and(|known| slot.may_go_on(known.settings.concurrency.max(1)))
    }
}
