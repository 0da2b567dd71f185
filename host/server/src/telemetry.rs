//! What a server tells its operators: metrics for Prometheus and OpenTelemetry,
//! traces for OpenTelemetry.
//!
//! The engine says what happens ([`Telemetry`]); who listens is decided here.
//! Nothing is told twice: one happening is counted and, where traces are wanted,
//! becomes spans.

mod caller;
mod depth;
mod metrics;
mod otlp;
mod traces;

use std::sync::Arc;

use formwork_host::engine::{Happening, Telemetry};

pub(crate) use caller::Caller;
pub(crate) use depth::Page;
pub(crate) use metrics::Metrics;
pub(crate) use otlp::metrics;
pub(crate) use traces::Traces;

/// The media type of the page of metrics.
pub(crate) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Passes on what happens to all who want to hear of it.
pub(crate) struct Told(pub(crate) Vec<Arc<dyn Telemetry>>);

impl Telemetry for Told {
    fn happened(&self, what: &Happening<'_>) {
        for listener in &self.0 {
            listener.happened(what);
        }
    }
}
