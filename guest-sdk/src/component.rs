//! Carries a [`ResourceHandler`] over the contract: text in, text out.
//!
//! *Invariant*: nothing here catches a panic; it is a trap, never an answer.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::formwork::handler::resource::Guest;
use crate::bindings::formwork::handler::types as wit;
use crate::error::{ErrorCode, HandlerError, Result};
use crate::event::{Callback, DeleteEvent, InProgress, Page, ProgressEvent};
use crate::handler::ResourceHandler;
use crate::json::{self, PropertyPath};
use crate::request::{ListRequest, Request};

/// A handler in the form that a component exports.
///
/// The attribute [`resource`](macro@crate::resource) exports it; only a
/// component that wraps a handler needs to name it.
#[derive(Debug)]
pub struct Component<H>(PhantomData<H>);

impl<H: ResourceHandler> Guest for Component<H> {
    fn describe() -> wit::Description {
        wit::Description {
            schema: H::SCHEMA.to_owned(),
            outgoing_hosts: H::OUTGOING_HOSTS
                .iter()
                .copied()
                .map(String::from)
                .collect(),
        }
    }

    fn create(
        request: wit::Request,
        desired: String,
        context: Option<String>,
    ) -> wit::ProgressEvent {
        let request = Request::from(request);
        parse_desired::<H>(&desired)
            .and_then(|model| H::create(&request, model, parse_context::<H>(context)?))
            .and_then(progress_event::<H>)
            .unwrap_or_else(|error| {
                let error = name_what_was_made(error, &request, &desired);
                wit::ProgressEvent::Failed(failure(error, H::WRITE_ONLY))
            })
    }

    fn read(request: wit::Request, identifier: String) -> Result<String, wit::ReadFailure> {
        let request = Request::from(request);
        json::parse("identifier", &identifier, H::WRITE_ONLY)
            .and_then(|identifier| H::read(&request, identifier))
            .and_then(|model| json::finished_model(&model, H::WRITE_ONLY))
            .map(json::text)
            .map_err(read_failure)
    }

    fn update(
        request: wit::Request,
        desired: String,
        previous: Option<String>,
        context: Option<String>,
    ) -> wit::ProgressEvent {
        let request = Request::from(request);
        let update = || {
            let previous = previous
                .map(|previous| json::parse("previous state", &previous, H::WRITE_ONLY))
                .transpose()?;
            let context = parse_context::<H>(context)?;
            H::update(&request, parse_desired::<H>(&desired)?, previous, context)
        };
        update()
            .and_then(progress_event::<H>)
            .unwrap_or_else(|error| wit::ProgressEvent::Failed(failure(error, H::WRITE_ONLY)))
    }

    fn delete(request: wit::Request, state: String, context: Option<String>) -> wit::DeleteEvent {
        let request = Request::from(request);
        json::parse("identifier", &state, H::WRITE_ONLY)
            .and_then(|identifier| H::delete(&request, identifier, parse_context::<H>(context)?))
            .and_then(|event| match event {
                DeleteEvent::InProgress(event) => {
                    in_progress(event).map(wit::DeleteEvent::InProgress)
                }
                DeleteEvent::Deleted { message } => {
                    Ok(wit::DeleteEvent::Deleted(wit::Deleted { message }))
                }
            })
            .unwrap_or_else(|error| wit::DeleteEvent::Failed(failure(error, H::WRITE_ONLY)))
    }

    fn list(request: wit::Request, page: wit::ListRequest) -> Result<wit::Page, wit::ReadFailure> {
        let request = Request::from(request);
        H::list(&request, ListRequest::from(page))
            .and_then(|Page { models, next_token }| {
                let models = models
                    .iter()
                    .map(|model| json::finished_model(model, H::WRITE_ONLY).map(json::text))
                    .collect::<Result<_>>()?;
                Ok(wit::Page { models, next_token })
            })
            .map_err(read_failure)
    }
}

fn parse_desired<H: ResourceHandler>(text: &str) -> Result<H::Model> {
    json::parse("desired state", text, H::WRITE_ONLY)
}

fn parse_context<H: ResourceHandler>(text: Option<String>) -> Result<H::CallbackContext> {
    // The handler wrote the context itself, so what is wrong with it is not the caller's doing.
    text.map_or_else(
        || Ok(H::CallbackContext::default()),
        |text| parse_own("callback context", &text),
    )
}

fn parse_own<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    json::parse(what, text, &[]).map_err(|error| HandlerError::internal_failure(error.message()))
}

/// Sees to it that a failed create names what it made, if the handler did not.
///
/// What [`Request::created`] noted is certain. From the second invocation on, an
/// in-progress event has announced the resource, so its state is named too; but
/// never with `AlreadyExists`, because the resource is then somebody else's and a
/// rollback would delete it.
fn name_what_was_made(error: HandlerError, request: &Request, desired: &str) -> HandlerError {
    if error.model().is_some() {
        return error;
    }
    if let Some(created) = request.take_created() {
        return error.with_object(created);
    }
    if request.invocation > 1 && error.code() != ErrorCode::AlreadyExists {
        return match serde_json::from_str(desired) {
            Ok(model) => error.with_object(model),
            Err(_) => error,
        };
    }
    error
}

fn progress_event<H: ResourceHandler>(
    event: ProgressEvent<H::Model, H::CallbackContext>,
) -> Result<wit::ProgressEvent> {
    match event {
        ProgressEvent::InProgress(event) => in_progress(event).map(wit::ProgressEvent::InProgress),
        ProgressEvent::Success { model, message } => {
            let model = json::text(json::finished_model(&model, H::WRITE_ONLY)?);
            Ok(wit::ProgressEvent::Success(wit::Success { model, message }))
        }
    }
}

fn in_progress<M: Serialize, C: Serialize>(event: InProgress<M, C>) -> Result<wit::InProgress> {
    Ok(wit::InProgress {
        callback: match event.callback {
            Callback::After(delay) => wit::Callback::After(whole_seconds(delay)),
            Callback::None => wit::Callback::None,
        },
        callback_context: event
            .context
            .map(|context| json::verbatim_object("the callback context", &context).map(json::text))
            .transpose()?,
        message: event.message,
        // Write-only properties stay: the next invocation may need them.
        model: event
            .model
            .map(|model| json::object("the model", &model).map(json::text))
            .transpose()?,
    })
}

/// Rounds up, because an invocation must never come earlier than asked for.
fn whole_seconds(delay: Duration) -> u32 {
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn failure(error: HandlerError, write_only: &[PropertyPath]) -> wit::Failure {
    let (code, message, model) = error.into_parts();
    wit::Failure {
        code: code.into(),
        message,
        model: model.map(|mut model| {
            json::remove_all(&mut model, write_only);
            json::text(model)
        }),
    }
}

fn read_failure(error: HandlerError) -> wit::ReadFailure {
    let (code, message, _) = error.into_parts();
    wit::ReadFailure {
        code: code.into(),
        message,
    }
}
