//! Runs what is leased.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::operation::Operation;

use super::leases::Holding;
use super::slots::Slot;
use super::tasks::Tasks;
use super::{Inner, Mode, invoke};

/// An operation that is leased to this engine, its lease and its place.
pub(super) struct Leased {
    pub(super) operation: Operation,
    pub(super) holding: Holding,
    pub(super) slot: Slot,
}

/// Hands over what is leased. Who has a place may hand over one: places bound
/// what waits here.
pub(super) fn handover() -> (UnboundedSender<Leased>, UnboundedReceiver<Leased>) {
    unbounded_channel()
}

/// Runs what is handed over, until the engine drains and all places are free.
pub(super) async fn run(
    inner: &Arc<Inner>,
    mut handed: UnboundedReceiver<Leased>,
    mut mode: watch::Receiver<Mode>,
) {
    let mut running = Tasks::new();
    let drained = async {
        // An engine that is gone is stopped, and ends this otherwise.
        let _ = mode.wait_for(|mode| *mode != Mode::Run).await;
        inner.slots.empty().await;
    };
    tokio::pin!(drained);
    loop {
        tokio::select! {
            Some(leased) = handed.recv() => {
                running.begin((), invoke::run(Arc::clone(inner), leased));
            }
            () = running.ended() => {}
            () = &mut drained => return,
        }
    }
}
