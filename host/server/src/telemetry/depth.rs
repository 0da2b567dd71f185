//! How deep the queues are: gauges that are set when somebody asks for them.
//!
//! *Invariant*: the store counts for a hundredth of the time at most, however
//! much there is to count, and however often somebody asks.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use formwork_host::clock::Clock;
use formwork_host::engine::{Causes, Engine};
use formwork_host::sandbox::Sandbox;
use formwork_host::store::Backlog;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;

use super::metrics::{Metrics, Name, Word};

/// A count is not made again before this.
const FRESH: Duration = Duration::from_secs(1);

/// Nor before so many times as long as it took.
const REST: u32 = 100;

/// How long a count may take: whoever asks has a patience too, 10 s by default.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queued {
    r#type: Name,
    state: Word,
}

/// The gauges.
#[derive(Default)]
pub(super) struct Depth {
    operations: Family<Queued, Gauge>,
    reports_pending: Gauge,
    reports_parked: Gauge,
    oldest_report: Gauge<f64, AtomicU64>,
    store_up: Gauge,
    slots: Gauge,
    slots_used: Gauge,
}

impl Depth {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "operations",
            "Live operations in the store: due ones, waiting ones, leased ones",
            self.operations.clone(),
        );
        registry.register(
            "reports_pending",
            "Reports in the store that are not yet accepted",
            self.reports_pending.clone(),
        );
        registry.register(
            "reports_parked",
            "Those of them that were refused for good",
            self.reports_parked.clone(),
        );
        registry.register_with_unit(
            "oldest_report_age",
            "For how long the oldest report has been waiting that is next of its operation",
            Unit::Seconds,
            self.oldest_report.clone(),
        );
        registry.register(
            "store_up",
            "Whether the store could be read, 1 or 0",
            self.store_up.clone(),
        );
        registry.register(
            "sandbox_slots",
            "How many handlers may run at once",
            self.slots.clone(),
        );
        registry.register(
            "sandbox_slots_used",
            "How many handlers run",
            self.slots_used.clone(),
        );
    }

    fn set(&self, backlog: &Backlog, age: Duration) {
        self.operations.clear();
        for (type_name, queue) in &backlog.types {
            for (state, count) in [
                ("due", queue.due),
                ("waiting", queue.waiting),
                ("leased", queue.leased),
            ] {
                let queued = Queued {
                    r#type: Name(type_name.clone()),
                    state: Word(state),
                };
                self.operations.get_or_create(&queued).set(whole(count));
            }
        }
        self.reports_pending.set(whole(backlog.reports));
        self.reports_parked.set(whole(backlog.parked));
        self.oldest_report.set(age.as_secs_f64());
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The page that Prometheus reads.
pub(crate) struct Page {
    metrics: Arc<Metrics>,
    engine: Engine,
    sandbox: Sandbox,
    clock: Arc<dyn Clock>,
    counted: Mutex<Option<Counted>>,
}

/// The last count, whether or not it came to an end.
struct Counted {
    at: Duration,
    took: Duration,
    /// What the last one gave that did.
    backlog: Option<Backlog>,
}

impl Page {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        engine: Engine,
        sandbox: Sandbox,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            metrics,
            engine,
            sandbox,
            clock,
            counted: Mutex::default(),
        }
    }

    /// Gives all figures in the text format `OpenMetrics` 1.0. Where the store
    /// cannot be read, those of it are the last that are known.
    pub(crate) async fn text(&self) -> String {
        let mut counted = self.counted.lock().await;
        let begun = self.clock.uptime();
        let is_fresh = counted.as_ref().is_some_and(|last| {
            let rest = last.took.saturating_mul(REST).max(FRESH);
            begun.saturating_sub(last.at) < rest
        });
        let now = self.clock.now();
        let depth = &self.metrics.depth;
        if !is_fresh {
            let counting = tokio::select! {
                counted = self.engine.store().backlog(now) => Some(counted),
                () = self.clock.sleep(PATIENCE) => None,
            };
            let at = self.clock.uptime();
            let mut backlog = counted.take().and_then(|last| last.backlog);
            match counting {
                Some(Ok(new)) => {
                    backlog = Some(new);
                    depth.store_up.set(1);
                }
                Some(Err(error)) => {
                    tracing::warn!(error = %Causes(&error), "what waits in the store cannot be counted");
                    depth.store_up.set(0);
                }
                // What else is known is told all the same.
                None => {
                    tracing::warn!("the store takes too long to count what waits in it");
                    depth.store_up.set(0);
                }
            }
            // One that fails has cost the store as much.
            let took = at.saturating_sub(begun);
            *counted = Some(Counted { at, took, backlog });
        }
        if let Some(backlog) = counted.as_ref().and_then(|last| last.backlog.as_ref()) {
            let oldest = backlog.oldest_report;
            depth.set(backlog, oldest.map_or(Duration::ZERO, |at| now.since(at)));
        }
        depth.slots.set(whole(self.sandbox.concurrency() as u64));
        depth.slots_used.set(whole(self.sandbox.running() as u64));
        self.metrics.text()
    }
}
