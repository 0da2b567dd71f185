//! How long what has ended is kept, and the loop that forgets it.
//!
//! *Invariant*: forgetting is never waited for: an engine is idle, drained and
//! stopped whatever is still to be forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::{Digest, Timestamp};
use crate::operation::PendingReport;
use crate::store::{Horizon, StoreError};

use super::causes::Causes;
use super::{Engine, Inner, Mode};

/// Look this often for what is kept no longer. Bounds how much later than its
/// time it goes; less costs queries.
const EVERY: Duration = Duration::from_secs(60);

/// Look this often for components that nobody needs, and not before this time
/// after the start, so that whoever loads types first has loaded them.
const COMPONENTS_EVERY: Duration = Duration::from_secs(60 * 60);

/// How much is forgotten in one write, so that others need not wait for it.
const BATCH: usize = 64;

/// How long an engine keeps what has ended.
///
/// Bearer tokens and events are kept as long as their operation. A report that
/// is not yet delivered holds its operation back; one that is parked does so
/// until the engine would have given up (48 hours after the operation's
/// deadline) and `operations` after that, so that an operator has that time to
/// retry it. What is forgotten is gone within a minute of its time, by the
/// engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long operations are kept after their end. Default: 7 days, as Cloud
    /// Control keeps requests.
    pub operations: Duration,
    /// How long a client token stands for its request, from its first use, while
    /// its operation is kept; then it can be used anew. Default: 36 hours, as
    /// Cloud Control does.
    pub client_tokens: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            operations: Duration::from_secs(7 * 24 * 60 * 60),
            client_tokens: Duration::from_secs(36 * 60 * 60),
        }
    }
}

impl Retention {
    /// Gives the moments before which is forgotten at `now`.
    pub(super) fn horizon(self, now: Timestamp) -> Horizon {
        let ended = now.before(self.operations);
        Horizon {
            ended,
            client_tokens: now.before(self.client_tokens),
            parked: ended.before(PendingReport::GIVE_UP_AFTER),
        }
    }
}

/// Runs until the mode says otherwise.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode.clone()) => {}
        () = work(&inner, mode) => {}
    }
}

async fn work(inner: &Inner, mut mode: watch::Receiver<Mode>) {
    let mut components_at = inner.clock.now().after(COMPONENTS_EVERY);
    while *mode.borrow_and_update() == Mode::Run {
        let now = inner.clock.now();
        let horizon = inner.retention.horizon(now);
        match inner.store.prune(&horizon, BATCH).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::debug!(count, "forgot what had ended");
                continue;
            }
            Err(error) => tracing::warn!(
                error = %Causes(&error),
                "what has ended could not be forgotten; trying again in a minute"
            ),
        }
        if now >= components_at {
            components_at = now.after(COMPONENTS_EVERY);
            if let Err(error) = inner.prune_components().await {
                tracing::warn!(
                    error = %Causes(&error),
                    "unused components could not be removed; trying again in an hour"
                );
            }
        }
        tokio::select! {
            _ = mode.changed() => {}
            () = inner.clock.sleep_until(now.after(EVERY)) => {}
        }
    }
}

impl Engine {
    /// Removes the components that nobody needs any more, and gives their
    /// digests: those that are no loaded type's, and that no operation, also
    /// none that has ended and is kept, was accepted with.
    ///
    /// An engine does so by itself each hour, first an hour after its start. A
    /// component that shall be loaded with [`Engine::load_kept`] has to be by then.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open which components were removed.
    pub async fn prune_components(&self) -> Result<Vec<Digest>, StoreError> {
        self.inner.prune_components().await
    }
}

impl Inner {
    async fn prune_components(&self) -> Result<Vec<Digest>, StoreError> {
        // A component that is being loaded is kept before it is in the registry.
        let _alone = self.loading.write().await;
        // Whoever accepts an operation holds its version until that is committed.
        let held = self.registry.held();
        let removed = self.store.prune_components(&held).await?;
        self.registry.drop_unheld(&removed);
        for component in &removed {
            tracing::info!(%component, "removed a component that nobody needs any more");
        }
        Ok(removed)
    }
}
