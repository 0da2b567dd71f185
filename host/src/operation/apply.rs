//! The one function that changes an operation.

use crate::model::{
    Answer, Callback, ClientToken, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier,
    ProgressEvent, Timestamp, Trap,
};

use super::{Event, EventKind, Fault, Lease, Operation, OperationState, Policy, Status};

/// What can happen to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A worker takes it, until the given moment.
    Leased {
        /// When the lease lapses.
        until: Timestamp,
    },
    /// The leased invocation answered.
    Answered(Answer),
    /// The leased invocation answered a resource that another operation is
    /// working on.
    IdentifierTaken {
        /// The answer.
        answer: Answer,
    },
    /// The guest of the leased invocation trapped.
    Trapped(Trap),
    /// The host could not run the leased invocation.
    HostFailed {
        /// Why, for the user.
        message: String,
    },
    /// The lease lapsed: its worker is gone.
    LeaseLapsed,
    /// The request was wrong from the beginning.
    Refused(Fault),
    /// Progress was recorded from outside.
    Recorded {
        /// The progress.
        answer: Answer,
        /// The idempotency key of the record.
        client_token: Option<ClientToken>,
    },
    /// Somebody asks to cancel.
    CancelAsked(CancelReason),
    /// The deadline is there.
    DeadlinePassed,
}

/// Who wants an operation cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller.
    Caller,
    /// CloudFormation holds another status for it, so nobody waits for ours.
    Superseded,
}

/// A change that is decided and not yet committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The operation as it shall be. Its version is one more than the version
    /// that the change was decided on.
    pub operation: Operation,
    /// What there is to hear of the change. It is reported if the operation has
    /// a report target and [`Event::report_status`] says so.
    pub event: Option<Event>,
    /// What becomes of the write-only values that are kept of the resource.
    pub write_only: WriteOnly,
}

/// What becomes of the write-only values that are kept of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOnly {
    /// They stay.
    AsIs,
    /// They are out of date: the resource is another one, or gone.
    Forget,
    /// These take their place.
    Keep(JsonObject),
}

/// Says why an input changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The operation has ended.
    #[error("the operation has ended")]
    Ended,
    /// A worker holds a live lease.
    #[error("a worker is running the operation")]
    Leased,
    /// Nobody holds a lease, so nobody can have an answer.
    #[error("no worker holds a lease on the operation")]
    NotLeased,
    /// It is too early.
    #[error("the operation is not due yet")]
    Early,
    /// The deadline has passed, so nothing is begun any more.
    #[error("the deadline of the operation has passed")]
    DeadlinePassed,
    /// It is being cancelled already.
    #[error("the operation is being cancelled already")]
    AlreadyCancelling,
}

impl Transition {
    /// Has a worker take the operation in the same change, until the given
    /// moment: what is due at once need not be looked for. What is told of the
    /// change stays as it is, and what is not due stays as it is as well.
    #[must_use]
    pub fn leased(self, until: Timestamp, now: Timestamp) -> Self {
        let operation = &self.operation;
        if operation.status.is_terminal() || operation.may_be_leased(now).is_err() {
            return self;
        }
        let state = self.operation.0;
        let leased = Next { state, now }.leased(until);
        Self {
            operation: leased.operation,
            ..self
        }
    }
}

impl Operation {
    /// Decides what becomes of the operation, or why `input` changes nothing.
    ///
    /// Total: there is an answer for each pair of status and input. Nothing
    /// holds until the transition is committed.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when the input does not apply; nothing is to be committed then.
    pub fn apply(
        &self,
        input: Input,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Transition, Refusal> {
        if self.status.is_terminal() {
            return Err(Refusal::Ended);
        }
        let mut next = Next {
            state: self.0.clone(),
            now,
        };
        next.state.version += 1;
        match input {
            Input::Leased { until } => {
                self.may_be_leased(now)?;
                Ok(next.leased(until))
            }
            Input::Answered(answer) => {
                self.lease.ok_or(Refusal::NotLeased)?;
                Ok(next.answered(answer, policy))
            }
            Input::IdentifierTaken { answer } => {
                self.lease.ok_or(Refusal::NotLeased)?;
                Ok(next.taken(answer))
            }
            Input::Trapped(trap) => {
                self.lease.ok_or(Refusal::NotLeased)?;
                Ok(next.attempt_failed(trap.to_string(), trap.kind.is_retriable(), policy))
            }
            Input::HostFailed { message } => {
                self.lease.ok_or(Refusal::NotLeased)?;
                Ok(next.attempt_failed(message, true, policy))
            }
            Input::LeaseLapsed => {
                self.lease.ok_or(Refusal::NotLeased)?;
                if self.is_leased(now) {
                    return Err(Refusal::Leased);
                }
                let message = "the host was lost during the invocation".to_owned();
                Ok(next.attempt_failed(message, true, policy))
            }
            Input::Refused(Fault { code, message }) => {
                self.lease.ok_or(Refusal::NotLeased)?;
                Ok(next.failed(code, message))
            }
            Input::Recorded {
                answer,
                client_token,
            } => {
                let mut transition = next.recorded(answer);
                if let Some(event) = &mut transition.event {
                    event.client_token = client_token;
                }
                Ok(transition)
            }
            Input::CancelAsked(reason) => self.cancel(next, reason),
            Input::DeadlinePassed => {
                if now < self.deadline {
                    return Err(Refusal::Early);
                }
                if self.is_leased(now) {
                    return Err(Refusal::Leased);
                }
                Ok(next.outlived())
            }
        }
    }

    fn may_be_leased(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.lease.is_some() {
            Err(Refusal::Leased)
        } else if now >= self.deadline {
            Err(Refusal::DeadlinePassed)
        } else if now < self.due {
            Err(Refusal::Early)
        } else {
            Ok(())
        }
    }

    fn cancel(&self, mut next: Next, reason: CancelReason) -> Result<Transition, Refusal> {
        match reason {
            CancelReason::Caller => {}
            CancelReason::Superseded => next.state.reporting = None,
        }
        if !self.is_leased(next.now) {
            let message = match reason {
                CancelReason::Caller => "cancelled",
                CancelReason::Superseded => {
                    "cancelled: CloudFormation holds another status for this operation"
                }
            };
            return Ok(next.cancelled(message));
        }
        if self.status == Status::CancelInProgress {
            if next.state.reporting == self.reporting {
                return Err(Refusal::AlreadyCancelling);
            }
            // Commit that nobody is told any more: the running call has not ended yet.
            return Ok(Transition {
                operation: Operation(next.state),
                event: None,
                write_only: WriteOnly::AsIs,
            });
        }
        next.state.status = Status::CancelInProgress;
        Ok(next.told(EventKind::CancelAsked, None))
    }
}

/// Says that a handler changed the identifier of a resource.
pub(crate) fn identifier_changed(
    from: Option<&PrimaryIdentifier>,
    to: Option<&PrimaryIdentifier>,
) -> String {
    let show = |name: Option<&PrimaryIdentifier>| name.map(ToString::to_string).unwrap_or_default();
    format!(
        "the handler broke its contract: it changed the primary identifier from `{}` to `{}`",
        show(from),
        show(to),
    )
}

/// The operation on its way to its next version.
struct Next {
    state: OperationState,
    now: Timestamp,
}

impl Next {
    fn leased(mut self, until: Timestamp) -> Transition {
        self.state.lease = Some(Lease {
            number: self.state.version,
            until,
        });
        self.state.attempt += 1;
        if self.state.status == Status::Pending {
            self.state.status = Status::InProgress;
        }
        Transition {
            operation: Operation(self.state),
            event: None,
            write_only: WriteOnly::AsIs,
        }
    }

    fn answered(mut self, answer: Answer, policy: &Policy) -> Transition {
        let answer = self.with_known_model(answer);
        let other = self.identify(answer.identifier).err();
        match answer.event {
            // Whatever else it says, it has not ended, and so the cancel has its way.
            ProgressEvent::InProgress { model, .. }
                if self.state.status == Status::CancelInProgress =>
            {
                self.keep_model(model.filter(|_| other.is_none()));
                self.cancelled("cancelled")
            }
            ProgressEvent::Failed {
                code,
                message,
                model,
            } => {
                self.keep_model(model.filter(|_| other.is_none()));
                if code.is_retriable() && self.may_retry(policy) {
                    self.retried(format!("{code}: {message}"), policy)
                } else {
                    self.failed(code, message)
                }
            }
            ProgressEvent::InProgress { .. } | ProgressEvent::Success { .. } if other.is_some() => {
                self.identifier_changed(other.as_ref())
            }
            ProgressEvent::Success { message, model } => self.succeeded(message, model),
            ProgressEvent::InProgress {
                callback,
                callback_context,
                message,
                model,
            } => {
                self.keep_model(model);
                self.go_on(callback_context, answer.next_state, message);
                if self.state.invocation >= policy.max_invocations {
                    let cap = policy.max_invocations;
                    return self.failed(
                        HandlerErrorCode::NotStabilized,
                        format!("the handler was still in progress after {cap} invocations, the most that its type allows"),
                    );
                }
                self.wait(callback, policy)
            }
        }
    }

    fn taken(mut self, answer: Answer) -> Transition {
        let name = answer
            .identifier
            .as_ref()
            .map_or_else(String::new, |name| format!(" `{name}`"));
        let busy = format!("the resource{name} is busy with another operation");
        let (code, message, model) = match answer.event {
            // The handler said no by itself, and knows better why.
            ProgressEvent::Failed {
                code,
                message,
                model,
            } => (code, message, model),
            ProgressEvent::InProgress { model, .. }
                if self.state.status == Status::CancelInProgress =>
            {
                self.keep_model(model);
                return self.cancelled("cancelled");
            }
            ProgressEvent::InProgress { model, .. } | ProgressEvent::Success { model, .. } => {
                (HandlerErrorCode::ResourceConflict, busy, model)
            }
        };
        self.keep_model(model);
        self.failed(code, message)
    }

    fn recorded(mut self, answer: Answer) -> Transition {
        let answer = self.with_known_model(answer);
        let Err(other) = self.identify(answer.identifier) else {
            return match answer.event {
                ProgressEvent::Success { message, model } => self.succeeded(message, model),
                ProgressEvent::Failed {
                    code,
                    message,
                    model,
                } => {
                    self.keep_model(model);
                    self.failed(code, message)
                }
                ProgressEvent::InProgress {
                    callback: _,
                    callback_context,
                    message,
                    model,
                } => {
                    self.keep_model(model);
                    self.go_on(callback_context, answer.next_state, message);
                    if self.state.status == Status::Pending {
                        self.state.status = Status::InProgress;
                    }
                    self.told(EventKind::Recorded, None)
                }
            };
        };
        self.identifier_changed(Some(&other))
    }

    /// Ends or repeats the invocation after an attempt that gave no answer.
    fn attempt_failed(self, message: String, retriable: bool, policy: &Policy) -> Transition {
        if self.state.status == Status::CancelInProgress {
            self.cancelled("cancelled")
        } else if self.now >= self.state.deadline {
            self.outlived()
        } else if retriable && self.may_retry(policy) {
            self.retried(message, policy)
        } else {
            self.failed(HandlerErrorCode::InternalFailure, message)
        }
    }

    fn may_retry(&self, policy: &Policy) -> bool {
        self.state.status != Status::CancelInProgress
            && self.now < self.state.deadline
            && self.state.attempt < policy.attempts
    }

    fn retried(mut self, message: String, policy: &Policy) -> Transition {
        self.state.lease = None;
        let at = policy.retry_at(self.state.token, self.state.attempt, self.now);
        self.state.due = at.min(self.state.deadline);
        self.state.message = Some(message);
        self.told(EventKind::Retried, None)
    }

    fn wait(mut self, callback: Callback, policy: &Policy) -> Transition {
        let told = Event::of(
            &Operation(self.state.clone()),
            EventKind::Progressed,
            self.now,
        );
        let due = match callback {
            Callback::After(asked) => {
                let (delay, zero_delays) = policy.delay(asked, self.state.zero_delays);
                self.state.zero_delays = zero_delays;
                self.now.after(delay)
            }
            Callback::None => self.state.deadline,
        };
        self.state.due = due.min(self.state.deadline);
        self.state.lease = None;
        self.state.invocation += 1;
        self.state.attempt = 0;
        let event = Event {
            callback: Some(callback),
            due: self.state.due,
            ..told
        };
        Transition {
            operation: Operation(self.state),
            event: Some(event),
            write_only: WriteOnly::AsIs,
        }
    }

    fn succeeded(mut self, message: Option<String>, model: Option<JsonObject>) -> Transition {
        // A deleted resource has no model.
        self.state.model = model;
        self.state.message = message;
        self.ended(Status::Success)
    }

    fn failed(mut self, code: HandlerErrorCode, message: String) -> Transition {
        self.state.code = Some(code);
        self.state.message = Some(message);
        self.ended(Status::Failed)
    }

    fn cancelled(mut self, message: &str) -> Transition {
        self.state.message = Some(message.to_owned());
        self.ended(Status::CancelComplete)
    }

    fn outlived(self) -> Transition {
        if self.state.status == Status::CancelInProgress {
            return self.cancelled("cancelled");
        }
        let minutes = self.state.deadline.since(self.state.accepted_at).as_secs() / 60;
        self.failed(
            HandlerErrorCode::NotStabilized,
            format!("the resource did not stabilize within {minutes} minutes, the timeoutInMinutes of its schema"),
        )
    }

    fn identifier_changed(self, to: Option<&PrimaryIdentifier>) -> Transition {
        let message = identifier_changed(self.state.identifier.as_ref(), to);
        self.failed(HandlerErrorCode::InternalFailure, message)
    }

    fn ended(mut self, status: Status) -> Transition {
        self.state.status = status;
        self.state.work = None;
        self.state.lease = None;
        self.state.due = self.now;
        self.state.ended_at = Some(self.now);
        self.told(EventKind::Ended, None)
    }

    fn told(self, kind: EventKind, callback: Option<Callback>) -> Transition {
        let now = self.now;
        let operation = Operation(self.state);
        let event = Event {
            callback,
            ..Event::of(&operation, kind, now)
        };
        let gone = operation.mutation == Mutation::Delete
            && operation.code == Some(HandlerErrorCode::NotFound);
        let write_only = match operation.status {
            Status::Success => WriteOnly::Forget,
            Status::Failed if gone => WriteOnly::Forget,
            Status::Pending
            | Status::InProgress
            | Status::CancelInProgress
            | Status::Failed
            | Status::CancelComplete => WriteOnly::AsIs,
        };
        Transition {
            operation,
            event: Some(event),
            write_only,
        }
    }

    /// Learns the identifier, or gives back one that is not the known one.
    fn identify(&mut self, found: Option<PrimaryIdentifier>) -> Result<(), PrimaryIdentifier> {
        match (&self.state.identifier, found) {
            (Some(known), Some(found)) if *known != found => Err(found),
            (Some(_), _) | (None, None) => Ok(()),
            (None, Some(found)) => {
                self.state.identifier = Some(found);
                Ok(())
            }
        }
    }

    /// Leaves the last known model in force where an event brought none.
    fn with_known_model(&self, mut answer: Answer) -> Answer {
        if answer.filled_in
            && self.state.model.is_some()
            && let ProgressEvent::InProgress { model, .. } = &mut answer.event
        {
            *model = None;
        }
        answer
    }

    fn keep_model(&mut self, model: Option<JsonObject>) {
        if model.is_some() {
            self.state.model = model;
        }
    }

    /// Takes over what the next invocation shall see.
    fn go_on(
        &mut self,
        context: Option<JsonObject>,
        next_state: Option<JsonObject>,
        message: Option<String>,
    ) {
        self.state.message = message;
        if let Some(work) = &mut self.state.work {
            work.callback_context = context;
            if let Some(state) = next_state {
                work.desired_state = state;
            }
        }
    }
}
