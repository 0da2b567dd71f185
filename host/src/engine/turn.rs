//! An invocation under way: whether it works, or only waits for time to pass.
//!
//! *Invariant*: an engine counts as idle only while each of its guests waits for
//! the clock, so that who moves a manual clock never moves it past work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::model::Timestamp;

use super::pulse::Pulse;

/// One invocation, from before it begins until what came of it is committed.
pub(super) struct Turn {
    pulse: Arc<Pulse>,
    sleeps: Mutex<Sleeps>,
}

#[derive(Default)]
struct Sleeps {
    /// The moments that the guest waits for.
    until: Vec<Timestamp>,
    /// When the wall limit cuts it.
    cut: Option<Timestamp>,
    /// The moment that the pulse was told.
    told: Option<Timestamp>,
}

impl Turn {
    /// Begins a turn.
    pub(super) fn begin(pulse: &Arc<Pulse>) -> Arc<Self> {
        pulse.busy();
        Arc::new(Self {
            pulse: Arc::clone(pulse),
            sleeps: Mutex::default(),
        })
    }

    /// Gives the clock for the guest of this turn, which is cut at `cut`.
    pub(super) fn clock(self: &Arc<Self>, clock: Arc<dyn Clock>, cut: Timestamp) -> GuestClock {
        self.change(|sleeps| sleeps.cut = Some(cut));
        GuestClock {
            clock,
            turn: Arc::clone(self),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Sleeps)) {
        let mut sleeps = self.sleeps.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sleeps);
        let first = sleeps.until.iter().copied().chain(sleeps.cut).min();
        let wakes = first.filter(|_| !sleeps.until.is_empty());
        if wakes != sleeps.told {
            self.pulse.sleeps(sleeps.told, wakes);
            sleeps.told = wakes;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.change(|sleeps| sleeps.until.clear());
        self.pulse.done();
    }
}

/// The engine's clock, which tells the engine while the guest waits on it.
pub(super) struct GuestClock {
    clock: Arc<dyn Clock>,
    turn: Arc<Turn>,
}

#[async_trait]
impl Clock for GuestClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    async fn sleep_until(&self, due: Timestamp) {
        let _asleep = Asleep::until(&self.turn, due);
        self.clock.sleep_until(due).await;
    }

    async fn sleep(&self, span: Duration) {
        // Counted from before the sleep is known: then the clock may be moved.
        let due = self.clock.uptime().saturating_add(span);
        let _asleep = Asleep::until(&self.turn, self.clock.now().after(span));
        self.clock
            .sleep(due.saturating_sub(self.clock.uptime()))
            .await;
    }
}

/// One wait of a guest, for as long as it lasts.
struct Asleep<'a> {
    turn: &'a Turn,
    until: Timestamp,
}

impl<'a> Asleep<'a> {
    fn until(turn: &'a Turn, until: Timestamp) -> Self {
        turn.change(|sleeps| sleeps.until.push(until));
        Self { turn, until }
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.turn.change(|sleeps| {
            if let Some(at) = sleeps.until.iter().position(|until| *until == self.until) {
                sleeps.until.swap_remove(at);
            }
        });
    }
}
