//! What an engine tells of its work, for metrics and traces.

use std::time::Duration;

use crate::clock::Clock;
use crate::model::{
    Action, Digest, HandlerErrorCode, Invocation, ProgressEvent, RequestToken, Timestamp, TrapKind,
    TypeName,
};
use crate::operation::{Operation, PendingReport, Settlement};

/// Is told what an engine does, as it does it.
///
/// Called on the engine's own threads, between its steps: it should be quick, and
/// must not block. It hears of this engine alone; what others do on the same
/// store, they tell theirs.
pub trait Telemetry: Send + Sync + 'static {
    /// Hears of something.
    fn happened(&self, what: &Happening<'_>);
}

/// Something that an engine has done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Happening<'a> {
    /// A component was loaded.
    Loaded {
        /// The type that it is the handler of.
        type_name: &'a TypeName,
        /// The component.
        component: Digest,
        /// How long it was compiled; none if it was compiled before.
        compiled: Option<Duration>,
    },
    /// A request was accepted, and no repeat of an earlier one.
    Accepted {
        /// The operation, as it was accepted.
        operation: &'a Operation,
        /// From when on the store was asked, and how long that took.
        span: Span,
    },
    /// A handler was invoked, and what came of it is committed, or dropped
    /// ([`InvocationOutcome::Lost`]).
    Invoked(Invoked<'a>),
    /// An operation has ended, in a commit of this engine.
    Ended {
        /// The operation, as it ended.
        operation: &'a Operation,
    },
    /// A lease ended without an answer.
    LeaseLost {
        /// The invocation.
        subject: Subject<'a>,
        /// How.
        loss: LeaseLoss,
    },
    /// A report was sent, and what came of it is noted.
    Reported {
        /// The report, as it was before.
        report: &'a PendingReport,
        /// What is done about it now.
        settlement: &'a Settlement,
        /// From when on it was sent, and how long that took.
        span: Span,
    },
}

/// Which invocation something is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The operation. For a READ or a LIST what its caller knows it by.
    pub token: RequestToken,
    /// The resource type.
    pub type_name: &'a TypeName,
    /// What is done.
    pub action: Action,
    /// The number of the invocation, from 1.
    pub invocation: u32,
}

/// One invocation of a handler.
#[derive(Clone, Copy, Debug)]
pub struct Invoked<'a> {
    /// Which one.
    pub subject: Subject<'a>,
    /// Which attempt of it, from 1.
    pub attempt: u32,
    /// When it was to begin; none if somebody waited for the answer.
    pub due: Option<Timestamp>,
    /// From its beginning until what came of it was committed or dropped.
    pub span: Span,
    /// The call into the sandbox, with the wait for a slot.
    pub call: Phase,
    /// The commit of what came of it, however often it was tried; none if there was
    /// none.
    pub commit: Option<Phase>,
    /// What came of the call.
    pub outcome: InvocationOutcome,
}

/// What came of calling a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvocationOutcome {
    /// It is to be called again.
    InProgress,
    /// It did what was asked.
    Success,
    /// It said no.
    Failed(HandlerErrorCode),
    /// It broke.
    Trapped(TrapKind),
    /// The host could not call it.
    HostFailed,
    /// The request was wrong from the beginning, and it was not called.
    NotCalled,
    /// Nothing is kept of it: somebody else had the operation by then, or the store
    /// could not keep it.
    Lost,
}

/// How a lease ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseLoss {
    /// It lapsed, and this engine has taken note.
    Lapsed,
    /// The answer came when somebody else had the operation, and is dropped.
    Late,
    /// Somebody else has the operation, and the call was cut or not begun.
    Taken,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
}

/// A part of a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// How long after the beginning of the whole it began.
    pub after: Duration,
    /// How long it took.
    pub took: Duration,
}

impl From<&ProgressEvent> for InvocationOutcome {
    fn from(event: &ProgressEvent) -> Self {
        match event {
            ProgressEvent::InProgress { .. } => Self::InProgress,
            ProgressEvent::Success { .. } => Self::Success,
            ProgressEvent::Failed { code, .. } => Self::Failed(*code),
        }
    }
}

impl<'a> From<&'a Operation> for Subject<'a> {
    fn from(operation: &'a Operation) -> Self {
        Self {
            token: operation.token,
            type_name: &operation.type_name,
            action: operation.mutation.into(),
            invocation: operation.invocation,
        }
    }
}

impl<'a> From<&'a Invocation> for Subject<'a> {
    fn from(invocation: &'a Invocation) -> Self {
        Self {
            token: invocation.token,
            type_name: &invocation.type_name,
            action: invocation.call.action(),
            invocation: invocation.invocation,
        }
    }
}

impl<'a> From<&'a PendingReport> for Subject<'a> {
    fn from(report: &'a PendingReport) -> Self {
        Self {
            token: report.event.token,
            type_name: &report.type_name,
            action: report.mutation.into(),
            invocation: report.event.invocation,
        }
    }
}

/// Measures a span and its phases.
pub(super) struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    began: Timestamp,
    start: Duration,
    lap: Duration,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            began: clock.now(),
            start: clock.uptime(),
            lap: Duration::ZERO,
        }
    }

    /// Ends a phase, which began with the end of the one before.
    pub(super) fn lap(&mut self) -> Phase {
        let now = self.clock.uptime().saturating_sub(self.start);
        let after = std::mem::replace(&mut self.lap, now);
        Phase {
            after,
            took: now.saturating_sub(after),
        }
    }

    pub(super) fn span(&self) -> Span {
        Span {
            began: self.began,
            took: self.clock.uptime().saturating_sub(self.start),
        }
    }
}

/// Writes a line of the log about an operation, with the fields that each such
/// line has.
macro_rules! line {
    ($level:ident, $subject:expr, $($rest:tt)+) => {{
        let subject: $crate::engine::Subject<'_> = $subject.into();
        tracing::$level!(
            request_token = %subject.token,
            type_name = %subject.type_name,
            action = %subject.action,
            invocation = subject.invocation,
            $($rest)+
        )
    }};
}
pub(super) use line;
