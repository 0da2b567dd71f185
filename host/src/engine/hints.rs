//! What other engines on the same store hint at.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pulse::Loop;
use super::{Inner, Mode};

/// The least time between two looks at what was hinted at.
const LEAST: Duration = Duration::from_millis(100);

/// Runs until the mode says otherwise; at once if the store gives no hints.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode) => {}
        () = heed(&inner) => {}
    }
}

async fn heed(inner: &Inner) {
    let Some(mut hints) = inner.store.hints() else {
        return;
    };
    while hints.changed().await.is_ok() {
        inner.watchers.tell_all();
        inner.upcoming.doubt();
        inner.pulse.work(Loop::Dispatch);
        inner.pulse.work(Loop::Outbox);
        inner.clock.sleep(LEAST).await;
    }
}
