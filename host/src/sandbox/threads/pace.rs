//! Which guests compute, and which mostly wait.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use crate::sandbox::meter::Metered;

/// So many invocations in a row that computed tell that the next one will.
const IN_A_ROW: u32 = 2;

/// How many of a component's last invocations computed, in a row.
#[derive(Debug, Default)]
pub(in super::super) struct Pace(AtomicU32);

impl Pace {
    fn computes(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= IN_A_ROW
    }

    fn record(&self, computed: bool) {
        let in_a_row = if computed {
            self.0.load(Ordering::Relaxed).saturating_add(1)
        } else {
            0
        };
        self.0.store(in_a_row, Ordering::Relaxed);
    }
}

/// A guest, and how its like have run.
pub(super) struct Paced<F> {
    guest: Metered<F>,
    pace: Arc<Pace>,
}

impl<F> Paced<F> {
    pub(super) fn new(guest: Metered<F>, pace: Arc<Pace>) -> Self {
        Self { guest, pace }
    }

    pub(super) fn is_known_to_compute(&self) -> bool {
        self.pace.computes()
    }

    /// Runs it until it ends, or waits for its next turn having computed.
    pub(super) fn until_it_computes(self) -> UntilItComputes<F> {
        UntilItComputes(Some(self))
    }
}

impl<F: Future> Future for Paced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let outcome = Pin::new(&mut self.guest).poll(context);
        if outcome.is_ready() {
            self.pace.record(self.guest.has_computed());
        }
        outcome
    }
}

/// How a guest's time among those that mostly wait ended.
pub(super) enum Stay<F: Future> {
    Ended(F::Output),
    Computes(Paced<F>),
}

pub(super) struct UntilItComputes<F>(Option<Paced<F>>);

impl<F: Future> Future for UntilItComputes<F> {
    type Output = Stay<F>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Stay<F>> {
        let mut guest = self.0.take().expect("nobody asks again after the end");
        match Pin::new(&mut guest).poll(context) {
            Poll::Ready(ended) => Poll::Ready(Stay::Ended(ended)),
            Poll::Pending if guest.guest.has_computed() => Poll::Ready(Stay::Computes(guest)),
            Poll::Pending => {
                self.0 = Some(guest);
                Poll::Pending
            }
        }
    }
}
