//! The figures of one server: what its engine has done, counted as it is told.
//!
//! *Invariant*: a label is a name of the program's own or that of a type that was
//! loaded: nothing that a caller or a handler writes makes a new series.

use std::fmt::{self, Write as _};
use std::time::Duration;

use formwork_host::engine::{Happening, InvocationOutcome, Invoked, LeaseLoss, Telemetry};
use formwork_host::model::{Action, HandlerErrorCode, TrapKind, TypeName};
use formwork_host::operation::{Settlement, Status};
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::depth::Depth;

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
    registry: Registry,
    accepted: Family<Of, Counter>,
    ended: Family<Ended, Counter>,
    operation_duration: Family<Of, Histogram>,
    invocations: Family<Invocation, Counter>,
    invocation_duration: Family<Of, Histogram>,
    retries: Family<Of, Counter>,
    errors: Family<Failure, Counter>,
    traps: Family<Trapped, Counter>,
    fire_lag: Family<OfType, Histogram>,
    commit_duration: Histogram,
    leases_lost: Family<Lost, Counter>,
    reports: Family<Reported, Counter>,
    report_age: Histogram,
    loaded: Family<Loaded, Counter>,
    compile_duration: Histogram,
    /// What is looked up when somebody asks.
    pub(super) depth: Depth,
}

/// The name of a type as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) TypeName);

/// A name of the program's own as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word(pub(super) &'static str);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    r#type: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    r#type: Name,
    action: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    r#type: Name,
    action: Word,
    status: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Invocation {
    r#type: Name,
    action: Word,
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    r#type: Name,
    action: Word,
    code: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trapped {
    r#type: Name,
    action: Word,
    kind: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lost {
    how: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reported {
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loaded {
    r#type: Name,
    from: Word,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let short = || Histogram::new(SHORT);
        let long = || Histogram::new(LONG);
        let mut metrics = Self {
            registry: Registry::with_prefix("formwork"),
            accepted: Family::default(),
            ended: Family::default(),
            operation_duration: Family::new_with_constructor(long),
            invocations: Family::default(),
            invocation_duration: Family::new_with_constructor(short),
            retries: Family::default(),
            errors: Family::default(),
            traps: Family::default(),
            fire_lag: Family::new_with_constructor(short),
            commit_duration: short(),
            leases_lost: Family::default(),
            reports: Family::default(),
            report_age: long(),
            loaded: Family::default(),
            compile_duration: short(),
            depth: Depth::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", version);
        registry.register(
            "operations_accepted",
            "Operations accepted here",
            self.accepted.clone(),
        );
        registry.register(
            "operations_ended",
            "Operations that ended in a commit of this server",
            self.ended.clone(),
        );
        registry.register_with_unit(
            "operation_duration",
            "From the acceptance of an operation to its end",
            Unit::Seconds,
            self.operation_duration.clone(),
        );
        registry.register(
            "invocations",
            "Calls of handlers, by what came of them",
            self.invocations.clone(),
        );
        registry.register_with_unit(
            "invocation_duration",
            "Calls of handlers, with their wait for a slot",
            Unit::Seconds,
            self.invocation_duration.clone(),
        );
        registry.register(
            "retries",
            "Calls of handlers that were not the first attempt",
            self.retries.clone(),
        );
        registry.register(
            "handler_errors",
            "Calls to which the handler said no",
            self.errors.clone(),
        );
        registry.register(
            "traps",
            "Calls in which the handler broke",
            self.traps.clone(),
        );
        registry.register_with_unit(
            "fire_lag",
            "How much later than due invocations of operations began",
            Unit::Seconds,
            self.fire_lag.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "Commits of what came of an invocation",
            Unit::Seconds,
            self.commit_duration.clone(),
        );
        registry.register(
            "leases_lost",
            "Leases that ended without an answer",
            self.leases_lost.clone(),
        );
        registry.register(
            "reports",
            "Reports that were sent, by what came of them",
            self.reports.clone(),
        );
        registry.register_with_unit(
            "report_age",
            "From an event to the acceptance of its report",
            Unit::Seconds,
            self.report_age.clone(),
        );
        registry.register(
            "components_loaded",
            "Components that were loaded",
            self.loaded.clone(),
        );
        registry.register_with_unit(
            "compile_duration",
            "Compilations of components",
            Unit::Seconds,
            self.compile_duration.clone(),
        );
        self.depth.register(registry);
    }

    /// Gives all figures in the text format `OpenMetrics` 1.0.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written");
        text
    }

    fn invoked(&self, invoked: &Invoked<'_>) {
        let of = Of::new(invoked.subject.type_name, invoked.subject.action);
        let Of { r#type, action } = of.clone();
        let outcome = match invoked.outcome {
            InvocationOutcome::InProgress => "in_progress",
            InvocationOutcome::Success => "success",
            InvocationOutcome::Failed(code) => {
                let failure = Failure {
                    r#type: r#type.clone(),
                    action,
                    code: Word(HandlerErrorCode::as_str(code)),
                };
                self.errors.get_or_create(&failure).inc();
                "failed"
            }
            InvocationOutcome::Trapped(kind) => {
                let trapped = Trapped {
                    r#type: r#type.clone(),
                    action,
                    kind: Word(trap(kind)),
                };
                self.traps.get_or_create(&trapped).inc();
                "trapped"
            }
            InvocationOutcome::HostFailed => "host_failed",
            InvocationOutcome::NotCalled => "not_called",
            InvocationOutcome::Lost => "lost",
        };
        if let Some(due) = invoked.due {
            let lag = invoked.span.began.since(due);
            let of_type = OfType {
                r#type: r#type.clone(),
            };
            observe(&self.fire_lag.get_or_create(&of_type), lag);
        }
        observe(
            &self.invocation_duration.get_or_create(&of),
            invoked.call.took,
        );
        if let Some(commit) = invoked.commit {
            observe(&self.commit_duration, commit.took);
        }
        if invoked.attempt > 1 {
            self.retries.get_or_create(&of).inc();
        }
        let invocation = Invocation {
            r#type,
            action,
            outcome: Word(outcome),
        };
        self.invocations.get_or_create(&invocation).inc();
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
                let loaded = Loaded {
                    r#type: Name(TypeName::clone(type_name)),
                    from: Word(if compiled.is_some() {
                        "compiler"
                    } else {
                        "cache"
                    }),
                };
                self.loaded.get_or_create(&loaded).inc();
                if let Some(took) = *compiled {
                    observe(&self.compile_duration, took);
                }
            }
            Happening::Accepted { operation, .. } => {
                let of = Of::new(&operation.type_name, operation.mutation.into());
                self.accepted.get_or_create(&of).inc();
            }
            Happening::Invoked(invoked) => self.invoked(invoked),
            Happening::Ended { operation } => {
                let of = Of::new(&operation.type_name, operation.mutation.into());
                let ended_at = operation.ended_at.unwrap_or(operation.accepted_at);
                let took = ended_at.since(operation.accepted_at);
                observe(&self.operation_duration.get_or_create(&of), took);
                let ended = Ended {
                    r#type: of.r#type,
                    action: of.action,
                    status: Word(Status::as_str(operation.status)),
                };
                self.ended.get_or_create(&ended).inc();
            }
            Happening::LeaseLost { loss, .. } => {
                let how = Word(match loss {
                    LeaseLoss::Lapsed => "lapsed",
                    LeaseLoss::Late => "late",
                    LeaseLoss::Taken => "taken",
                });
                self.leases_lost.get_or_create(&Lost { how }).inc();
            }
            Happening::Reported {
                report,
                settlement,
                span,
            } => {
                let outcome = Word(match settlement {
                    Settlement::Delivered => "delivered",
                    Settlement::Superseded => "superseded",
                    Settlement::Retry { .. } => "retried",
                    Settlement::Parked { .. } => "parked",
                });
                self.reports.get_or_create(&Reported { outcome }).inc();
                if matches!(settlement, Settlement::Delivered) {
                    let waited = span.began.since(report.event.at);
                    observe(&self.report_age, waited.saturating_add(span.took));
                }
            }
            _ => {}
        }
    }
}

impl Of {
    fn new(type_name: &TypeName, action: Action) -> Self {
        Self {
            r#type: Name(type_name.clone()),
            action: Word(action.as_str()),
        }
    }
}

fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}

/// Gives the label of a kind of trap.
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

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.0.as_str())
    }
}

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.0)
    }
}
