//! How deep the queues are: gauges that are set when somebody asks for them.
//!
//! *Invariant*: the store counts for a hundredth of the time at most, however
//! much there is to count, and however often somebody asks; while it fails, for a
//! quarter, so that what is told of it is never much older than 15 seconds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use formwork_host::clock::Clock;
use formwork_host::engine::{Causes, Engine};
use formwork_host::model::TypeName;
use formwork_host::sandbox::Sandbox;
use formwork_host::store::{Backlog, Pool, Queue};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, Meter};
use tokio::sync::Mutex;

use super::metrics::{Metrics, of_type};

/// A count is not made again before this.
const FRESH: Duration = Duration::from_secs(1);

/// Nor before so many times as long as it took; after one that failed, not before
/// a [`ROUND`] at most.
const REST: u32 = 100;

/// How long a count may take: whoever asks has a patience too, 10 s by default.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is counted where figures are sent without being asked for.
const ROUND: Duration = Duration::from_secs(15);

/// The gauges.
pub(super) struct Depth {
    operations: Gauge<u64>,
    statuses: Gauge<u64>,
    /// The types that these tell of.
    types: SyncMutex<HashSet<TypeName>>,
    reports_pending: Gauge<u64>,
    reports_parked: Gauge<u64>,
    oldest_report: Gauge<f64>,
    store_up: Gauge<u64>,
    slots: Gauge<u64>,
    slots_used: Gauge<u64>,
    connections: Gauge<u64>,
    connections_max: Gauge<u64>,
}

impl Depth {
    pub(super) fn new(meter: &Meter) -> Self {
        let gauge = |name, what| meter.u64_gauge(name).with_description(what).build();
        Self {
            operations: gauge(
                "formwork.operations",
                "Live operations in the store: due ones, waiting ones, leased ones",
            ),
            statuses: gauge(
                "formwork.operations.live",
                "Live operations in the store, by their status",
            ),
            types: SyncMutex::default(),
            reports_pending: gauge(
                "formwork.reports.pending",
                "Reports in the store that are not yet accepted",
            ),
            reports_parked: gauge(
                "formwork.reports.parked",
                "Those of them that are no longer sent: refused for good, or given up",
            ),
            oldest_report: meter
                .f64_gauge("formwork.oldest_report.age")
                .with_unit("s")
                .with_description(
                    "For how long the oldest report has been waiting that is next of its operation",
                )
                .build(),
            store_up: gauge(
                "formwork.store.up",
                "Whether the store could be read, 1 or 0",
            ),
            slots: gauge(
                "formwork.sandbox.slots",
                "How many handlers may run at once",
            ),
            slots_used: gauge("formwork.sandbox.slots.used", "How many handlers run"),
            connections: gauge(
                "formwork.database.connections",
                "Connections to the database: those in use, idle ones",
            ),
            connections_max: gauge(
                "formwork.database.connections.max",
                "How many connections to the database there may be",
            ),
        }
    }

    fn set(&self, backlog: &Backlog, age: Duration) {
        let mut gone = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = HashSet::new();
        for (type_name, queue) in &backlog.types {
            self.queued(type_name, queue);
            gone.remove(type_name);
            told.insert(type_name.clone());
        }
        for type_name in gone.drain() {
            self.queued(&type_name, &Queue::default());
            told.insert(type_name);
        }
        *gone = told;
        self.reports_pending.record(backlog.reports, &[]);
        self.reports_parked.record(backlog.parked, &[]);
        self.oldest_report.record(age.as_secs_f64(), &[]);
    }

    fn queued(&self, type_name: &TypeName, queue: &Queue) {
        for (state, count) in [
            ("due", queue.due),
            ("waiting", queue.waiting),
            ("leased", queue.leased),
        ] {
            let state = [of_type(type_name), KeyValue::new("state", state)];
            self.operations.record(count, &state);
        }
        for (status, count) in queue.statuses() {
            let status = [of_type(type_name), KeyValue::new("status", status.as_str())];
            self.statuses.record(count, &status);
        }
    }

    fn pooled(&self, pool: &Pool) {
        let of_pool = KeyValue::new("pool", pool.name);
        for (state, count) in [("in_use", pool.in_use), ("idle", pool.idle)] {
            let state = [of_pool.clone(), KeyValue::new("state", state)];
            self.connections.record(count as u64, &state);
        }
        self.connections_max.record(pool.size as u64, &[of_pool]);
    }
}

/// The figures for whoever reads them.
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
    failed: bool,
    /// What the last one gave that did.
    backlog: Option<Backlog>,
}

impl Counted {
    /// Gives how long the store is left alone after it.
    fn rest(&self) -> Duration {
        let rest = self.took.saturating_mul(REST).max(FRESH);
        if self.failed { rest.min(ROUND) } else { rest }
    }
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

    /// Gives all figures in the text format of Prometheus. Where the store cannot be
    /// read, those of it are the last that are known.
    pub(crate) async fn text(&self) -> String {
        self.count().await;
        self.metrics.text()
    }

    /// Counts now and then, for as long as it is polled: for figures that are sent.
    pub(crate) async fn keep_counted(&self) {
        loop {
            self.count().await;
            self.clock.sleep(ROUND).await;
        }
    }

    async fn count(&self) {
        let mut counted = self.counted.lock().await;
        let begun = self.clock.uptime();
        let is_fresh = counted
            .as_ref()
            .is_some_and(|last| begun.saturating_sub(last.at) < last.rest());
        let now = self.clock.now();
        let depth = &self.metrics.depth;
        if !is_fresh {
            // Whoever goes away meanwhile has asked all the same.
            if let Some(last) = counted.as_mut() {
                last.at = begun;
            }
            let counting = tokio::select! {
                counted = self.engine.store().backlog(now) => Some(counted),
                () = self.clock.sleep(PATIENCE) => None,
            };
            let at = self.clock.uptime();
            let failed = !matches!(counting, Some(Ok(_)));
            let mut backlog = counted.take().and_then(|last| last.backlog);
            match counting {
                Some(Ok(new)) => {
                    backlog = Some(new);
                    depth.store_up.record(1, &[]);
                }
                Some(Err(error)) => {
                    tracing::warn!(error = %Causes(&error), "what waits in the store cannot be counted");
                    depth.store_up.record(0, &[]);
                }
                // What else is known is told all the same.
                None => {
                    tracing::warn!("the store takes too long to count what waits in it");
                    depth.store_up.record(0, &[]);
                }
            }
            // One that fails has cost the store as much.
            let took = at.saturating_sub(begun);
            *counted = Some(Counted {
                at,
                took,
                failed,
                backlog,
            });
        }
        if let Some(backlog) = counted.as_ref().and_then(|last| last.backlog.as_ref()) {
            let oldest = backlog.oldest_report;
            depth.set(backlog, oldest.map_or(Duration::ZERO, |at| now.since(at)));
        }
        depth.slots.record(self.sandbox.concurrency() as u64, &[]);
        depth.slots_used.record(self.sandbox.running() as u64, &[]);
        for pool in self.engine.store().pools() {
            depth.pooled(&pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_rests_long_after_a_long_count_and_not_so_long_after_one_that_failed() {
        for (took, failed, rest) in [
            (1, false, 1_000),
            (50, false, 5_000),
            (4_000, false, 400_000),
            (1, true, 1_000),
            (50, true, 5_000),
            (5_000, true, 15_000),
        ] {
            let counted = Counted {
                at: Duration::ZERO,
                took: Duration::from_millis(took),
                failed,
                backlog: None,
            };
            assert_eq!(counted.rest(), Duration::from_millis(rest), "{took}");
        }
    }
}
