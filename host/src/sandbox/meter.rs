//! The time that a guest spends on a processor.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A single turn of this length tells that a guest computes: whole invocations take
/// a tenth of it as a rule.
const LONG_TURN: Duration = Duration::from_micros(250);

/// So much in many short turns tells it too.
const LONG: Duration = Duration::from_millis(10);

/// The clock of a thread is a call of the system, for which most turns are too short:
/// it is asked no more often than this, and shorter turns count as they passed.
const PRECISION: Duration = Duration::from_micros(100);

/// Adds up the time that a guest is on a processor, within [`PRECISION`] for a turn.
///
/// *Invariant*: only the time inside of polls counts, by the clock of the thread, so
/// waiting costs nothing: in the host, for one's turn, and for a processor that others
/// have.
pub(super) struct Meter {
    budget: Duration,
    origin: Instant,
    /// Nanoseconds of finished polls.
    spent: AtomicU64,
    /// Nanoseconds of the longest one.
    longest: AtomicU64,
    /// When the present poll began, in nanoseconds since `origin`.
    began: AtomicU64,
}

impl Meter {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            origin: now(),
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
        let began = Duration::from_nanos(self.began.load(Ordering::Relaxed));
        let passed = self.origin.elapsed().saturating_sub(began);
        if passed < PRECISION {
            return passed;
        }
        passed.min(Reading::last().map_or(passed, |before| {
            Reading::take().of_thread.saturating_sub(before.of_thread)
        }))
    }

    fn begin(&self) {
        let now = now();
        if Reading::last().is_none_or(|it| now.duration_since(it.at) >= PRECISION) {
            Reading::take().keep();
        }
        let began = nanos(now.duration_since(self.origin));
        self.began.store(began, Ordering::Relaxed);
    }

    fn end(&self) {
        let present = nanos(self.present());
        self.spent.fetch_add(present, Ordering::Relaxed);
        self.longest.fetch_max(present, Ordering::Relaxed);
    }
}

/// What the clock of a thread showed, and when.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    of_thread: Duration,
}

thread_local! {
    /// The last one before the present poll of this thread.
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

impl Reading {
    fn take() -> Self {
        let of_thread = clock_gettime(ClockId::ThreadCPUTime);
        Self {
            at: now(),
            of_thread: Duration::try_from(of_thread).unwrap_or_default(),
        }
    }

    fn last() -> Option<Self> {
        LAST.get()
    }

    fn keep(self) {
        LAST.set(Some(self));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "CPU time is real, whatever the clock"
)]
fn now() -> Instant {
    Instant::now()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(turns: &[fn()]) -> Arc<Meter> {
        let meter = Arc::new(Meter::new(Duration::from_secs(1)));
        let turns = turns.to_vec();
        let guest = async move {
            for turn in turns {
                turn();
                tokio::task::yield_now().await;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let guest = Metered::new(guest, Arc::clone(&meter));
        runtime.expect("a runtime").block_on(guest);
        meter
    }

    fn computes() {
        let begun = Reading::take().of_thread;
        while Reading::take().of_thread.saturating_sub(begun) < Duration::from_millis(1) {}
    }

    /// Holds a thread that others have taken the processor from.
    fn has_no_processor() {
        std::thread::park_timeout(Duration::from_millis(20));
    }

    #[test]
    fn only_the_time_on_a_processor_counts() {
        let meter = run(&[has_no_processor, has_no_processor]);
        assert!(!meter.has_computed());
        assert!(meter.spent() < LONG, "{:?}", meter.spent());
        let meter = run(&[has_no_processor, computes]);
        assert!(meter.has_computed());
        assert!(
            meter.spent() >= Duration::from_millis(1),
            "{:?}",
            meter.spent()
        );
        assert!(!meter.is_used_up());
    }
}
