//! The time that a guest spends on a CPU.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use std::sync::Arc;

/// Adds up the time that a guest holds a thread.
///
/// *Invariant*: only the time inside of polls counts, so waiting in the host
/// and waiting for one's turn cost nothing.
pub(super) struct Meter {
    budget: Duration,
    origin: Instant,
    /// Nanoseconds of finished polls.
    spent: AtomicU64,
    /// When the present poll began, in nanoseconds since `origin`.
    began: AtomicU64,
}

impl Meter {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            origin: Instant::now(),
            spent: AtomicU64::new(0),
            began: AtomicU64::new(0),
        }
    }

    /// Tells, from within a poll, whether the budget is used up.
    pub(super) fn is_used_up(&self) -> bool {
        let present = self.clock() - self.began.load(Ordering::Relaxed);
        let spent = self.spent.load(Ordering::Relaxed).saturating_add(present);
        Duration::from_nanos(spent) >= self.budget
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin(&self) {
        self.began.store(self.clock(), Ordering::Relaxed);
    }

    fn end(&self) {
        let present = self.clock() - self.began.load(Ordering::Relaxed);
        self.spent.fetch_add(present, Ordering::Relaxed);
    }
}

/// Runs `inner` under `meter`.
pub(super) struct Metered<'a, F> {
    inner: Pin<&'a mut F>,
    meter: Arc<Meter>,
}

impl<'a, F: Future> Metered<'a, F> {
    pub(super) fn new(inner: Pin<&'a mut F>, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin();
        let outcome = self.inner.as_mut().poll(context);
        self.meter.end();
        outcome
    }
}
