//! The figures of one server: what its engine has done, counted as it is told.
//!
//! They are OpenTelemetry's instruments, read by whoever asks for the page of
//! Prometheus and, where there is a receiver of OTLP, sent to it. Prometheus has
//! `_` for each dot of their names.
//!
//! *Invariant*: an attribute is a name of the program's own or that of a type that
//! was loaded: nothing that a caller or a handler writes makes a new series.

use std::time::Duration;

use formwork_host::engine::{Happening, InvocationOutcome, Invoked, LeaseLoss, Telemetry};
use formwork_host::model::{Action, HandlerErrorCode, TrapKind, TypeName};
use formwork_host::operation::{Settlement, Status};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use prometheus::{Registry, TextEncoder};

use super::depth::Depth;
use super::otlp;

/// How long a stop waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many series one figure may have: enough for a thousand types. What is beyond
/// is one series together.
const SERIES: usize = 20_000;

/// The bounds of a call, a commit, a lag, a compilation, in seconds.
const SHORT: [f64; 14] = [
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];

/// The bounds of an operation and of the age of a report, in seconds.
const LONG: [f64; 13] = [
    0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 7_200.0,
];

/// All that is counted.
pub(crate) struct Metrics {
    provider: SdkMeterProvider,
    /// What the page is made from.
    registry: Registry,
    accepted: Counter<u64>,
    ended: Counter<u64>,
    operation_duration: Histogram<f64>,
    invocations: Counter<u64>,
    invocation_duration: Histogram<f64>,
    retries: Counter<u64>,
    errors: Counter<u64>,
    traps: Counter<u64>,
    fire_lag: Histogram<f64>,
    commit_duration: Histogram<f64>,
    leases_lost: Counter<u64>,
    reports: Counter<u64>,
    report_age: Histogram<f64>,
    loaded: Counter<u64>,
    compile_duration: Histogram<f64>,
    /// What is looked up when somebody asks.
    pub(super) depth: Depth,
}

impl Metrics {
    /// Begins to count, and to send what is counted where `sender` says.
    pub(crate) fn new(sender: Option<otlp::MetricSender>) -> Self {
        let registry = Registry::new();
        let page = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .expect("the registry is new");
        let mut provider = SdkMeterProvider::builder()
            .with_resource(otlp::resource())
            .with_view(|_: &Instrument| {
                let stream = Stream::builder().with_cardinality_limit(SERIES);
                stream.build().ok()
            })
            .with_reader(page);
        if let Some(sender) = sender {
            provider = provider.with_reader(sender);
        }
        let provider = provider.build();
        let meter = provider.meter("formwork");
        meter
            .u64_gauge("formwork.build.info")
            .with_description("The program")
            .build()
            .record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        Self {
            accepted: counter(
                &meter,
                "formwork.operations.accepted",
                "Operations accepted here",
            ),
            ended: counter(
                &meter,
                "formwork.operations.ended",
                "Operations that ended in a commit of this server",
            ),
            operation_duration: histogram(
                &meter,
                &LONG,
                "formwork.operation.duration",
                "From the acceptance of an operation to its end",
            ),
            invocations: counter(
                &meter,
                "formwork.invocations",
                "Calls of handlers, by what came of them",
            ),
            invocation_duration: histogram(
                &meter,
                &SHORT,
                "formwork.invocation.duration",
                "Calls of handlers, with their wait for a slot",
            ),
            retries: counter(
                &meter,
                "formwork.retries",
                "Calls of handlers that were not the first attempt",
            ),
            errors: counter(
                &meter,
                "formwork.handler.errors",
                "Calls to which the handler said no",
            ),
            traps: counter(&meter, "formwork.traps", "Calls in which the handler broke"),
            fire_lag: histogram(
                &meter,
                &SHORT,
                "formwork.fire.lag",
                "How much later than due invocations of operations began",
            ),
            commit_duration: histogram(
                &meter,
                &SHORT,
                "formwork.commit.duration",
                "Commits of what came of an invocation",
            ),
            leases_lost: counter(
                &meter,
                "formwork.leases.lost",
                "Leases that ended without an answer",
            ),
            reports: counter(
                &meter,
                "formwork.reports",
                "Reports that were sent, by what came of them",
            ),
            report_age: histogram(
                &meter,
                &LONG,
                "formwork.report.age",
                "From an event to the acceptance of its report",
            ),
            loaded: counter(
                &meter,
                "formwork.components.loaded",
                "Components that were loaded",
            ),
            compile_duration: histogram(
                &meter,
                &SHORT,
                "formwork.compile.duration",
                "Compilations of components",
            ),
            depth: Depth::new(&meter),
            provider,
            registry,
        }
    }

    /// Sends what is still to be sent. Blocks, for some seconds at most.
    pub(crate) fn stop(&self) {
        // A receiver that takes nothing was warned of.
        let _ = self.provider.shutdown_with_timeout(PATIENCE);
    }

    /// Gives all figures in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .expect("a string takes all that is written");
        text
    }

    fn invoked(&self, invoked: &Invoked<'_>) {
        let of = of(invoked.subject.type_name, invoked.subject.action);
        let outcome = match invoked.outcome {
            InvocationOutcome::InProgress => "in_progress",
            InvocationOutcome::Success => "success",
            InvocationOutcome::Failed(code) => {
                let code = KeyValue::new("code", HandlerErrorCode::as_str(code));
                self.errors.add(1, &with(&of, code));
                "failed"
            }
            InvocationOutcome::Trapped(kind) => {
                self.traps
                    .add(1, &with(&of, KeyValue::new("kind", trap(kind))));
                "trapped"
            }
            InvocationOutcome::HostFailed => "host_failed",
            InvocationOutcome::NotCalled => "not_called",
            InvocationOutcome::Lost => "lost",
        };
        if let Some(due) = invoked.due {
            let lag = invoked.span.began.since(due);
            let [of_type, _] = &of;
            self.fire_lag
                .record(lag.as_secs_f64(), std::slice::from_ref(of_type));
        }
        self.invocation_duration
            .record(invoked.call.took.as_secs_f64(), &of);
        if let Some(commit) = invoked.commit {
            self.commit_duration.record(commit.took.as_secs_f64(), &[]);
        }
        if invoked.attempt > 1 {
            self.retries.add(1, &of);
        }
        self.invocations
            .add(1, &with(&of, KeyValue::new("outcome", outcome)));
    }
}

impl Telemetry for Metrics {
    fn happened(&self, what: &Happening<'_>) {
        match what {
            Happening::Loaded {
                type_name,
                compiled,
                ..
            } => {
                let from = if compiled.is_some() {
                    "compiler"
                } else {
                    "cache"
                };
                self.loaded
                    .add(1, &[of_type(type_name), KeyValue::new("from", from)]);
                if let Some(took) = *compiled {
                    self.compile_duration.record(took.as_secs_f64(), &[]);
                }
            }
            Happening::Accepted { operation, .. } => {
                self.accepted
                    .add(1, &of(&operation.type_name, operation.mutation.into()));
            }
            Happening::Invoked(invoked) => self.invoked(invoked),
            Happening::Ended { operation } => {
                let of = of(&operation.type_name, operation.mutation.into());
                let ended_at = operation.ended_at.unwrap_or(operation.accepted_at);
                let took = ended_at.since(operation.accepted_at);
                self.operation_duration.record(took.as_secs_f64(), &of);
                let status = KeyValue::new("status", Status::as_str(operation.status));
                self.ended.add(1, &with(&of, status));
            }
            Happening::LeaseLost { loss, .. } => {
                let how = match loss {
                    LeaseLoss::Lapsed => "lapsed",
                    LeaseLoss::Late => "late",
                    LeaseLoss::Taken => "taken",
                };
                self.leases_lost.add(1, &[KeyValue::new("how", how)]);
            }
            Happening::Reported {
                report,
                settlement,
                span,
            } => {
                let outcome = match settlement {
                    Settlement::Delivered { .. } => "delivered",
                    Settlement::Superseded => "superseded",
                    Settlement::Retry { .. } => "retried",
                    Settlement::Parked { .. } => "parked",
                };
                self.reports.add(1, &[KeyValue::new("outcome", outcome)]);
                if matches!(settlement, Settlement::Delivered { .. }) {
                    let waited = span.began.since(report.event.at);
                    let age = waited.saturating_add(span.took);
                    self.report_age.record(age.as_secs_f64(), &[]);
                }
            }
            _ => {}
        }
    }
}

fn counter(meter: &Meter, name: &'static str, what: &'static str) -> Counter<u64> {
    meter.u64_counter(name).with_description(what).build()
}

fn histogram(
    meter: &Meter,
    bounds: &[f64],
    name: &'static str,
    what: &'static str,
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(what)
        .with_boundaries(bounds.to_vec())
        .build()
}

pub(super) fn of_type(type_name: &TypeName) -> KeyValue {
    KeyValue::new("type", type_name.as_str().to_owned())
}

fn of(type_name: &TypeName, action: Action) -> [KeyValue; 2] {
    [of_type(type_name), KeyValue::new("action", action.as_str())]
}

fn with([of_type, action]: &[KeyValue; 2], more: KeyValue) -> [KeyValue; 3] {
    [of_type.clone(), action.clone(), more]
}

/// Gives the word for a kind of trap.
const fn trap(kind: TrapKind) -> &'static str {
    match kind {
        TrapKind::Panic => "panic",
        TrapKind::Memory => "memory",
        TrapKind::Stack => "stack",
        TrapKind::Limit => "limit",
        TrapKind::Cpu => "cpu",
        TrapKind::Wall => "wall",
        TrapKind::AnswerSize => "answer_size",
        TrapKind::Answer => "answer",
    }
}
