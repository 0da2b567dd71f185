//! One invocation for a caller who chains by himself.

use std::sync::Arc;

use crate::model::{
    Answer, Call, HandlerErrorCode, Invocation, JsonObject, PrimaryIdentifier, ProgressEvent,
    RequestToken, Trap, TypeSchema,
};
use crate::operation::identifier_changed;
use crate::sandbox::SandboxError;

use super::accept::{self, Checked};
use super::call::{Mutated, configured};
use super::error::check_configuration;
use super::telemetry::{Happening, InvocationOutcome, Invoked, Stopwatch};
use super::turn::Turn;
use super::{Change, Engine, Request, SubmitError};

/// Says why a single invocation gave no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The request is wrong; the handler was not invoked.
    #[error(transparent)]
    Refused(#[from] SubmitError),
    /// The guest broke.
    #[error("the handler did not answer: {0}")]
    Trapped(Trap),
    /// The host broke.
    #[error("the handler cannot be run")]
    Host(#[source] SandboxError),
}

impl Engine {
    /// Makes one invocation of a create, an update or a delete, and gives what
    /// the handler answered, after the output rules. Nothing is kept, locked,
    /// tried again or reported; client token and report target are ignored.
    ///
    /// The caller chains by himself, as CloudFormation does with a function: he
    /// waits for the callback delay and makes the next invocation with the same
    /// `token`, with the callback context of the event, and with its model as
    /// the desired state. The model of an in-progress event therefore holds
    /// write-only properties; that of a terminal one does not.
    ///
    /// Without a callback context the desired state is checked against the
    /// schema. With one it is only coerced: it is the handler's own model.
    ///
    /// # Errors
    ///
    /// When the request is wrong, the guest traps, or the host breaks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the invocation.
    pub async fn invoke(
        &self,
        request: Request,
        token: RequestToken,
        callback_context: Option<JsonObject>,
    ) -> Result<ProgressEvent, InvokeError> {
        let known = self.acceptor(&request.type_name)?;
        let schema = known.current.schema();
        let checked = check(schema, &request, callback_context.is_some())?;
        let mut watch = Stopwatch::start(self.inner.clock.as_ref());
        let _places = self.inner.place_to_answer(&known).await;
        watch.lap();
        let now = self.inner.clock.now();
        let state = checked.desired_state.clone();
        let known_as = checked.identifier.clone();
        let invocation = Invocation {
            token,
            type_name: request.type_name,
            scope: request.scope,
            start_time: now,
            deadline: now.after(schema.timeout(request.change.mutation())),
            invocation: 1,
            attempt: 1,
            details: configured(request.details, &known.settings),
            call: Call::changing(
                request.change.mutation(),
                checked.desired_state,
                checked.previous_state,
                callback_context,
            ),
        };
        let invocation = Arc::new(invocation);
        let turn = Turn::begin(&self.inner.pulse);
        let mutated = self
            .inner
            .mutate(
                &known.current,
                &known.settings,
                Arc::clone(&invocation),
                &turn,
            )
            .await;
        let call = watch.lap();
        self.inner.tell(|| {
            Happening::Invoked(Invoked {
                subject: invocation.as_ref().into(),
                attempt: 1,
                due: None,
                span: watch.span(),
                call,
                commit: None,
                outcome: match &mutated {
                    Ok(Mutated::Answered(answer)) => (&answer.event).into(),
                    Ok(Mutated::Trapped(trap)) => InvocationOutcome::Trapped(trap.kind),
                    Err(_) => InvocationOutcome::HostFailed,
                },
            })
        });
        match mutated.map_err(InvokeError::Host)? {
            Mutated::Answered(answer) => Ok(match (known_as, answer.identifier.clone()) {
                (Some(known_as), Some(found)) if known_as != found => {
                    of_another(answer, &known_as, &found)
                }
                (Some(_) | None, _) => to_feed_back(answer, state),
            }),
            Mutated::Trapped(trap) => Err(InvokeError::Trapped(trap)),
        }
    }

    /// Looks for what [`Engine::invoke`] would refuse, and invokes nothing.
    ///
    /// # Errors
    ///
    /// When the request is wrong.
    pub fn check(
        &self,
        request: &Request,
        callback_context: Option<&JsonObject>,
    ) -> Result<(), SubmitError> {
        let known = self.acceptor(&request.type_name)?;
        check(known.current.schema(), request, callback_context.is_some())?;
        Ok(())
    }
}

/// Coerces and checks what is asked for.
///
/// Read-only properties are let pass: who feeds a model back without a context
/// sends them too.
fn check(schema: &TypeSchema, request: &Request, chained: bool) -> Result<Checked, SubmitError> {
    let change = &request.change;
    let mutation = change.mutation();
    accept::supported(schema, mutation)?;
    check_configuration(schema, request.details.type_configuration.as_ref())?;
    let (desired_state, previous_state) = change.states();
    let desired_state = match change {
        Change::Create { .. } | Change::Update { .. } if !chained => {
            accept::checked(schema, desired_state)?
        }
        Change::Create { .. } | Change::Update { .. } | Change::Delete { .. } => {
            accept::coerced(schema, desired_state)?
        }
    };
    let previous_state = previous_state
        .map(|state| accept::coerced(schema, state))
        .transpose()?;
    accept::named(schema, mutation, desired_state, previous_state)
}

/// Gives what an answer about another resource comes to, as an operation would:
/// a failure keeps its words, anything else is one.
fn of_another(answer: Answer, from: &PrimaryIdentifier, to: &PrimaryIdentifier) -> ProgressEvent {
    let (code, message) = match answer.event {
        ProgressEvent::Failed { code, message, .. } => (code, message),
        ProgressEvent::InProgress { .. } | ProgressEvent::Success { .. } => (
            HandlerErrorCode::InternalFailure,
            identifier_changed(Some(from), Some(to)),
        ),
    };
    ProgressEvent::Failed {
        code,
        message,
        model: None,
    }
}

/// Gives the event whose model, if it is in progress, is the next desired state.
fn to_feed_back(answer: Answer, state: JsonObject) -> ProgressEvent {
    match answer.event {
        ProgressEvent::InProgress {
            callback,
            callback_context,
            message,
            model: _,
        } => ProgressEvent::InProgress {
            callback,
            callback_context,
            message,
            model: Some(answer.next_state.unwrap_or(state)),
        },
        event @ (ProgressEvent::Success { .. } | ProgressEvent::Failed { .. }) => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(name: &str) -> PrimaryIdentifier {
        PrimaryIdentifier::new(vec![name.to_owned()]).expect("an identifier")
    }

    #[test]
    fn an_answer_about_another_resource_fails_and_a_failure_keeps_its_words() {
        let answer = |event| Answer {
            event,
            next_state: None,
            identifier: Some(identifier("b")),
            filled_in: false,
            warnings: Vec::new(),
        };
        let end = |event| match of_another(answer(event), &identifier("a"), &identifier("b")) {
            ProgressEvent::Failed {
                code,
                message,
                model: None,
            } => (code, message),
            other => panic!("{other:?}"),
        };
        let (code, message) = end(ProgressEvent::Failed {
            code: HandlerErrorCode::AccessDenied,
            message: "no".to_owned(),
            model: JsonObject::parse(r#"{"Name":"b"}"#).ok(),
        });
        assert_eq!(
            (code, message.as_str()),
            (HandlerErrorCode::AccessDenied, "no")
        );
        let (code, message) = end(ProgressEvent::Success {
            message: None,
            model: None,
        });
        assert_eq!(code, HandlerErrorCode::InternalFailure);
        assert!(message.contains("from `a` to `b`"), "{message}");
    }
}
