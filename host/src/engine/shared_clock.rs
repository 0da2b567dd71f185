//! The clock of engines that share a store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, SystemClock};
use crate::model::Timestamp;
use crate::store::Store;

/// The longest wait without a look at the time. Bounds how late a jump is noticed.
const SLICE: Duration = Duration::from_secs(5);

/// Gives the clock that engines on a store go by: the one that they share, or the
/// system's where an engine has its store to itself.
#[must_use]
pub fn clock_of(store: &Arc<dyn Store>) -> Arc<dyn Clock> {
    let system = SystemClock::new();
    if store.time().is_none() {
        return Arc::new(system);
    }
    Arc::new(SharedClock {
        store: Arc::clone(store),
        system,
    })
}

/// Takes the time from the store, and waits by the system's monotonic clock.
struct SharedClock {
    store: Arc<dyn Store>,
    system: SystemClock,
}

#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.store.time().unwrap_or_else(|| self.system.now())
    }

    fn uptime(&self) -> Duration {
        self.system.uptime()
    }

    async fn sleep_until(&self, due: Timestamp) {
        loop {
            let left = due.since(self.now());
            if left.is_zero() {
                return;
            }
            self.system.sleep(left.min(SLICE)).await;
        }
    }

    async fn sleep(&self, span: Duration) {
        self.system.sleep(span).await;
    }
}
