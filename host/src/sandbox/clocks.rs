//! The engine's clock as guests see it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::clock::Clock;

/// The resolution of the engine's wall clock.
const RESOLUTION: Duration = Duration::from_millis(1);

/// The wall clock of a guest.
pub(super) struct GuestWallClock(pub(super) Arc<dyn Clock>);

impl HostWallClock for GuestWallClock {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().as_millis())
    }
}

/// The monotonic clock of a guest. It replaces that of the WASI library, whose
/// waits are in real time.
pub(super) struct GuestMonotonicClock;

impl HasData for GuestMonotonicClock {
    type Data<'a> = ClockView<'a>;
}

pub(super) struct ClockView<'a> {
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) table: &'a mut ResourceTable,
}

impl ClockView<'_> {
    fn wait_until(&mut self, due: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = self.table.push(Deadline {
            clock: Arc::clone(self.clock),
            due,
            yielded: false,
        })?;
        subscribe(self.table, deadline)
    }
}

impl monotonic_clock::Host for ClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.clock.uptime().as_nanos()).unwrap_or(u64::MAX))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wait_until(Duration::from_nanos(when))
    }

    fn subscribe_duration(&mut self, span: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let due = self
            .clock
            .uptime()
            .saturating_add(Duration::from_nanos(span));
        self.wait_until(due)
    }
}

struct Deadline {
    clock: Arc<dyn Clock>,
    due: Duration,
    yielded: bool,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        loop {
            let left = self.due.saturating_sub(self.clock.uptime());
            if left.is_zero() {
                break;
            }
            self.clock.sleep(left).await;
            self.yielded = true;
        }
        // A guest that polls in a busy loop gives its thread back each time.
        if !std::mem::replace(&mut self.yielded, true) {
            tokio::task::yield_now().await;
        }
    }
}
