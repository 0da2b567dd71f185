//! Traces: one for each operation, across its invocations, restarts and hosts.
//!
//! The id of an operation's trace is its request token, so whoever works on it
//! next, on whichever host, goes on with the same trace, and whoever knows one
//! knows the other. Its root span is the operation, and is sent when it has ended.
//!
//! ```text
//! CREATE Acme::Storage::Archive      from acceptance to end
//! ├─ accept                          linked to the caller's span
//! ├─ invocation                      one for each attempt
//! │  ├─ sandbox
//! │  └─ commit
//! └─ report                          one for each delivery
//! ```
//!
//! A READ, a LIST and a single invocation are one span in their caller's trace, or
//! in one of their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use formwork_host::engine::{
    Happening, InvocationOutcome, Invoked, Phase, Span, Subject, Telemetry,
};
use formwork_host::model::{HandlerErrorCode, RequestToken, Timestamp};
use formwork_host::operation::{Operation, PendingReport, Settlement};
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
    SpanProcessor as _,
};

use super::{caller, otlp};

/// How long a stop waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes spans of what happens, and sends them.
pub(crate) struct Traces {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    sample: f64,
}

/// Where a span is.
#[derive(Clone)]
struct Place {
    trace: TraceId,
    parent: SpanId,
}

impl Traces {
    /// Starts to send the traces of that part of the operations, see
    /// [`otlp::spans`].
    pub(crate) fn start(endpoint: Option<&str>, sample: f64) -> anyhow::Result<Self> {
        Ok(Self {
            processor: otlp::spans(endpoint)?,
            scope: InstrumentationScope::builder("formwork")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            sample,
        })
    }

    /// Sends what is still to be sent. Blocks, for some seconds at most.
    pub(crate) fn stop(&self) {
        // A receiver that takes nothing was warned of.
        let _ = self.processor.shutdown_with_timeout(PATIENCE);
    }

    /// Tells whether an operation is traced: each host decides alike.
    fn samples(&self, token: RequestToken) -> bool {
        let [.., a, b, c, d] = *token.as_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.sample * (f64::from(u32::MAX) + 1.0)
    }

    fn accepted(&self, operation: &Operation, span: Span) {
        let mut data = self.span(
            &Place::below_root(operation.token),
            "accept",
            span,
            about(operation.into()),
        );
        data.span_kind = SpanKind::Server;
        if let Some(caller) = caller::current() {
            let mut links = SpanLinks::default();
            links.links.push(Link::new(caller, Vec::new(), 0));
            data.links = links;
        }
        self.processor.on_end(data);
    }

    fn invoked(&self, invoked: &Invoked<'_>) {
        let Invoked { subject, span, .. } = *invoked;
        let mut attributes = about(subject);
        attributes.push(number("formwork.attempt", u64::from(invoked.attempt)));
        if let Some(due) = invoked.due {
            let lag = span.began.since(due).as_millis();
            let lag = u64::try_from(lag).unwrap_or(u64::MAX);
            attributes.push(number("formwork.fire_lag_ms", lag));
        }
        let (outcome, failure) = outcome(invoked.outcome);
        attributes.push(KeyValue::new("formwork.outcome", outcome));
        let place = match invoked.due {
            Some(_) => Place::below_root(subject.token),
            None => Place::of_caller(subject.token),
        };
        let mut whole = self.span(&place, "invocation", span, attributes);
        if invoked.due.is_none() {
            whole.name = format!("{} {}", subject.action, subject.type_name).into();
        }
        if let Some((kind, why)) = failure {
            whole.attributes.push(KeyValue::new("error.type", kind));
            whole.status = Status::error(why);
        }
        let within = Place {
            trace: place.trace,
            parent: whole.span_context.span_id(),
        };
        let phase = |name, phase: Phase| {
            let data = self.span(&within, name, span, Vec::new());
            let start_time = whole.start_time + phase.after;
            SpanData {
                start_time,
                end_time: start_time + phase.took,
                ..data
            }
        };
        self.processor.on_end(phase("sandbox", invoked.call));
        if let Some(commit) = invoked.commit {
            self.processor.on_end(phase("commit", commit));
        }
        self.processor.on_end(whole);
    }

    fn ended(&self, operation: &Operation) {
        let began = operation.accepted_at;
        let took = operation.ended_at.unwrap_or(began).since(began);
        let mut attributes = about(operation.into());
        attributes.push(KeyValue::new("formwork.status", operation.status.as_str()));
        attributes.extend(
            operation
                .scope
                .account
                .as_ref()
                .map(|account| KeyValue::new("cloud.account.id", account.as_str().to_owned())),
        );
        attributes.extend(
            operation
                .scope
                .region
                .as_ref()
                .map(|region| KeyValue::new("cloud.region", region.as_str().to_owned())),
        );
        let place = Place {
            trace: trace(operation.token),
            parent: SpanId::INVALID,
        };
        let mut data = self.span(&place, "operation", Span { began, took }, attributes);
        let context = &data.span_context;
        data.span_context = SpanContext::new(
            context.trace_id(),
            root(operation.token),
            context.trace_flags(),
            false,
            TraceState::NONE,
        );
        data.name = format!("{} {}", operation.mutation, operation.type_name).into();
        if let Some(code) = operation.code {
            let code = HandlerErrorCode::as_str(code);
            data.attributes.push(KeyValue::new("error.type", code));
            data.status = Status::error(code);
        }
        self.processor.on_end(data);
    }

    fn reported(&self, report: &PendingReport, settlement: &Settlement, span: Span) {
        let (outcome, failure) = match settlement {
            Settlement::Delivered { .. } => ("delivered", None),
            Settlement::Superseded => ("superseded", Some("superseded")),
            Settlement::Retry { .. } => ("retried", Some("retried")),
            Settlement::Parked { .. } => ("parked", Some("parked")),
        };
        let mut attributes = about(report.into());
        attributes.push(number("formwork.version", report.event.version));
        attributes.push(KeyValue::new("formwork.outcome", outcome));
        let place = Place::below_root(report.event.token);
        let mut data = self.span(&place, "report", span, attributes);
        data.span_kind = SpanKind::Client;
        if let Some(failure) = failure {
            data.status = Status::error(failure);
        }
        self.processor.on_end(data);
    }

    fn span(
        &self,
        place: &Place,
        name: &'static str,
        span: Span,
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let start_time = moment(span.began);
        SpanData {
            span_context: SpanContext::new(
                place.trace,
                RandomIdGenerator::default().new_span_id(),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: place.parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time,
            end_time: start_time + span.took,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl Telemetry for Traces {
    fn happened(&self, what: &Happening<'_>) {
        match *what {
            Happening::Accepted { operation, span } if self.samples(operation.token) => {
                self.accepted(operation, span);
            }
            Happening::Invoked(invoked) if self.samples(invoked.subject.token) => {
                self.invoked(&invoked);
            }
            Happening::Ended { operation } if self.samples(operation.token) => {
                self.ended(operation);
            }
            Happening::Reported {
                report,
                settlement,
                span,
            } if self.samples(report.event.token) => self.reported(report, settlement, span),
            _ => {}
        }
    }
}

impl Place {
    /// Within an operation.
    fn below_root(token: RequestToken) -> Self {
        Self {
            trace: trace(token),
            parent: root(token),
        }
    }

    /// Where the caller says that it is, or a trace of its own.
    fn of_caller(token: RequestToken) -> Self {
        let own = || Self {
            trace: trace(token),
            parent: SpanId::INVALID,
        };
        caller::current().map_or_else(own, |caller| Self {
            trace: caller.trace_id(),
            parent: caller.span_id(),
        })
    }
}

/// Gives the trace of an operation: its token.
const fn trace(token: RequestToken) -> TraceId {
    TraceId::from_bytes(*token.as_bytes())
}

/// Gives the root span of an operation: the second half of its token, in which a
/// UUID always has a bit that is set.
const fn root(token: RequestToken) -> SpanId {
    let [.., a, b, c, d, e, f, g, h] = *token.as_bytes();
    SpanId::from_bytes([a, b, c, d, e, f, g, h])
}

fn about(subject: Subject<'_>) -> Vec<KeyValue> {
    vec![
        KeyValue::new("formwork.request_token", subject.token.to_string()),
        KeyValue::new("formwork.type", subject.type_name.as_str().to_owned()),
        KeyValue::new("formwork.action", subject.action.as_str()),
        number("formwork.invocation", u64::from(subject.invocation)),
    ]
}

fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}

/// Gives a word for what came of a call and, if that was not well, its kind and why.
fn outcome(outcome: InvocationOutcome) -> (&'static str, Option<(String, String)>) {
    match outcome {
        InvocationOutcome::InProgress => ("in_progress", None),
        InvocationOutcome::Success => ("success", None),
        InvocationOutcome::Failed(code) => {
            let code = HandlerErrorCode::as_str(code).to_owned();
            ("failed", Some((code.clone(), code)))
        }
        InvocationOutcome::Trapped(kind) => {
            let why = format!("the handler broke: {kind}");
            ("trapped", Some(("trap".to_owned(), why)))
        }
        InvocationOutcome::HostFailed => {
            let why = "the host could not run the handler".to_owned();
            ("host_failed", Some(("host".to_owned(), why)))
        }
        InvocationOutcome::NotCalled => ("not_called", None),
        InvocationOutcome::Lost => {
            let why = "nothing is kept of it: its lease was lost".to_owned();
            ("lost", Some(("lease".to_owned(), why)))
        }
    }
}

fn moment(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.as_millis())
}
