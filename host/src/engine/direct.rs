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
        // An empty context is what some callers send for none.
        let callback_context = callback_context.filter(|context| !context.to_map().is_empty());
        let known = self.acceptor(&request.type_name)?;
        let schema = known.current.schema();
        let checked = check(schema, &request, callback_context.is_some())?;
        let _places = self.inner.place_to_answer(&known).await;
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
            call: call(&request.change, checked, callback_context),
        };
        let turn = Turn::begin(&self.inner.pulse);
        let mutated = self
            .inner
            .mutate(&known.current, &known.settings, Arc::new(invocation), &turn)
            .await
            .map_err(InvokeError::Host)?;
        match mutated {
            Mutated::Answered(answer) => Ok(match (known_as, &answer.identifier) {
                (Some(known_as), Some(found)) if known_as != *found => changed(&known_as, found),
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
    let (desired_state, previous_state) = match change {
        Change::Create { desired_state } => (desired_state, None),
        Change::Update {
            desired_state,
            previous_state,
        } => (desired_state, previous_state.as_ref()),
        Change::Delete { state } => (state, None),
    };
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

fn call(change: &Change, checked: Checked, callback_context: Option<JsonObject>) -> Call {
    let Checked {
        desired_state,
        previous_state,
        identifier: _,
    } = checked;
    match change {
        Change::Create { .. } => Call::Create {
            desired_state,
            callback_context,
        },
        Change::Update { .. } => Call::Update {
            desired_state,
            previous_state,
            callback_context,
        },
        Change::Delete { .. } => Call::Delete {
            state: desired_state,
            callback_context,
        },
    }
}

/// Says that the handler changed the identifier, as an operation would.
fn changed(from: &PrimaryIdentifier, to: &PrimaryIdentifier) -> ProgressEvent {
    ProgressEvent::Failed {
        code: HandlerErrorCode::InternalFailure,
        message: identifier_changed(Some(from), Some(to)),
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
