//! The time that a guest spends on a processor.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A single turn of this length tells that a guest computes: whole invocations take
/// a tenth of it as a rule.
const LONG_TURN: Duration = Duration::from_micros(250);

/// So much in many short turns tells it too.
const LONG: Duration = Duration::from_millis(10);

/// Adds up the time that a guest is on a processor.
///
/// *Invariant*: only the time inside of polls counts, by the clock of the thread, so
/// waiting costs nothing: in the host, for one's turn, and for a processor that others
/// have.
pub(super) struct Meter {
    budget: Duration,
    /// Nanoseconds of finished polls.
    spent: AtomicU64,
    /// Nanoseconds of the longest one.
    longest: AtomicU64,
    /// When the present poll began, by the clock of its thread, in nanoseconds.
    began: AtomicU64,
}

impl Meter {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            spent: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            began: AtomicU64::new(0),
        }
    }

    /// Tells, from within a poll, whether the budget is used up.
    pub(super) fn is_used_up(&self) -> bool {
        self.spent().saturating_add(self.present()) >= self.budget
    }

    /// Tells, between polls, whether the guest has computed rather than waited.
    pub(super) fn has_computed(&self) -> bool {
        let longest = Duration::from_nanos(self.longest.load(Ordering::Relaxed));
        longest >= LONG_TURN || self.spent() >= LONG
    }

    fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    fn present(&self) -> Duration {
        let began = self.began.load(Ordering::Relaxed);
        Duration::from_nanos(clock_of_this_thread().saturating_sub(began))
    }

    fn begin(&self) {
        self.began.store(clock_of_this_thread(), Ordering::Relaxed);
    }

    fn end(&self) {
        let present = u64::try_from(self.present().as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(present, Ordering::Relaxed);
        self.longest.fetch_max(present, Ordering::Relaxed);
    }
}

/// Gives nanoseconds.
fn clock_of_this_thread() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// Runs a guest under `meter`.
pub(super) struct Metered<F> {
    guest: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F> Metered<F> {
    pub(super) fn new(guest: F, meter: Arc<Meter>) -> Self {
        Self {
            guest: Box::pin(guest),
            meter,
        }
    }

    pub(super) fn has_computed(&self) -> bool {
        self.meter.has_computed()
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin();
        let outcome = self.guest.as_mut().poll(context);
        self.meter.end();
        outcome
    }
}
