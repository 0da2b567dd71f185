//! Putting an engine together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, Semaphore, watch};

use crate::clock::Clock;
use crate::model::RequestTokens;
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::store::{MemoryStore, Store};

use super::leases::{self, LEASE};
use super::pulse::{Pulse, Watchers};
use super::retention::{self, Retention};
use super::shared_clock::clock_of;
use super::slots::Slots;
use super::upcoming::Upcoming;
use super::{
    Engine, Inner, Mode, Observer, Reporter, StopOnDrop, Telemetry, dispatch, hints, outbox, sweep,
    workers,
};

/// Chooses the parts of an [`Engine`].
pub struct EngineBuilder {
    sandbox: Sandbox,
    store: Arc<dyn Store>,
    clock: Option<Arc<dyn Clock>>,
    reporter: Option<Arc<dyn Reporter>>,
    observer: Option<Arc<dyn Observer>>,
    telemetry: Option<Arc<dyn Telemetry>>,
    concurrency: usize,
    lease: Duration,
    retention: Retention,
}

impl Engine {
    /// Begins to choose the parts of an engine that runs handlers in `sandbox`.
    #[must_use]
    pub fn builder(sandbox: Sandbox) -> EngineBuilder {
        EngineBuilder {
            sandbox,
            store: Arc::new(MemoryStore::default()),
            clock: None,
            reporter: None,
            observer: None,
            telemetry: None,
            concurrency: 128,
            lease: LEASE,
            retention: Retention::default(),
        }
    }
}

impl EngineBuilder {
    /// Keeps operations in `store`. Default: in memory, lost with the process.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
    }

    /// Takes time from `clock`. Default: the clock that the engines on the store
    /// share ([`clock_of`]), or the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Reports operations that have a report target to `reporter`. Default: to
    /// nobody; their reports stay in the outbox until an engine has one.
    #[must_use]
    pub fn reporter(mut self, reporter: Arc<dyn Reporter>) -> Self {
        self.reporter = Some(reporter);
        self
    }

    /// Shows every invocation to `observer`. Default: to nobody.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Tells `telemetry` what the engine does. Default: nobody.
    #[must_use]
    pub fn telemetry(mut self, telemetry: Arc<dyn Telemetry>) -> Self {
        self.telemetry = Some(telemetry);
        self
    }

    /// Invokes at most so many operations at once, of all types together, at
    /// least one and at most three quarters of the sandbox's slots; a quarter is
    /// for READs and LISTs. Default: 128.
    #[must_use]
    pub fn concurrency(mut self, invocations: usize) -> Self {
        self.concurrency = invocations.max(1);
        self
    }

    /// Leaves an operation so long to an engine that is not heard of: then others on
    /// the store go on with it. At least a second. Default: 30 seconds.
    ///
    /// An engine renews its leases four times in this time. Less finds a lost host
    /// sooner, and takes a database that is slow or restarts for one.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_secs(1));
        self
    }

    /// Keeps what has ended for so long. Default: what [`Retention`] says.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Starts the engine on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(self) -> Engine {
        let (set, mode) = watch::channel(Mode::Run);
        // An operation that is leased never waits for a slot of the sandbox,
        // lest its lease lapse meanwhile: reads have slots of their own.
        let slots = self.sandbox.concurrency();
        let reads = (slots / 4).max(1);
        let clock = self.clock.unwrap_or_else(|| clock_of(&self.store));
        let concurrency = self.concurrency.min(slots - reads).max(1);
        let pulse = Arc::new(Pulse::new());
        let (leased, handed) = workers::handover();
        let inner = Arc::new(Inner {
            sandbox: self.sandbox,
            store: self.store,
            clock,
            reporter: self.reporter,
            observer: self.observer,
            telemetry: self.telemetry,
            registry: Registry::default(),
            tokens: RequestTokens::default(),
            retention: self.retention,
            loading: RwLock::default(),
            concurrency,
            slots: Arc::new(Slots::new(concurrency, Arc::clone(&pulse))),
            upcoming: Upcoming::new(),
            leased,
            reads: Semaphore::new(reads),
            reads_of_type: (reads / 2).max(1),
            pulse,
            watchers: Watchers::default(),
            leases: Arc::default(),
            lease: self.lease,
        });
        tokio::spawn(dispatch::run(Arc::clone(&inner), handed, mode.clone()));
        tokio::spawn(sweep::run(Arc::clone(&inner), mode.clone()));
        tokio::spawn(outbox::run(Arc::clone(&inner), mode.clone()));
        tokio::spawn(leases::run(Arc::clone(&inner), mode.clone()));
        tokio::spawn(hints::run(Arc::clone(&inner), mode.clone()));
        tokio::spawn(retention::run(Arc::clone(&inner), mode));
        Engine {
            inner,
            running: Arc::new(StopOnDrop(set)),
        }
    }
}
