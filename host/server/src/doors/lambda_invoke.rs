//! Lambda's `Invoke`: one call to a handler, as `cfn test` and `cfn invoke` make it.
//!
//! | invocation type | what is done |
//! | --- | --- |
//! | `RequestResponse` | one invocation, answered by its progress event; the caller does the waiting and invokes again, giving model and context back. It is in no ledger, takes no lock and is not tried again; a client that leaves ends it |
//! | `Event` | answered by 202; the engine makes the whole chain and reports it through RecordHandlerProgress to the request's `responseEndpoint`, or to the configured one. What is wrong with such a request becomes an operation that acknowledges and then fails, for after the 202 nobody else would hear of it |
//! | `DryRun` | answered by 204 if nothing is wrong with the request as far as it can be told without the handler |
//!
//! An event that says what is wrong with a request is an answer like any other,
//! status 200: callers of handlers read events. What is no request at all is
//! refused as by Lambda.
//!
//! *Invariant*: credentials and bearer tokens are in no answer, error or log.

mod convert;
mod envelope;
mod event;
mod function;
mod refusal;
mod shapes;

use std::any::Any;
use std::error::Error;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use formwork_host::engine::{InvokeError, ListQuery, ReadError, ReadQuery, SubmitError};
use formwork_host::model::{Action, HandlerErrorCode, TypeName};
use formwork_host::operation::{Fault, ReportTarget};
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{House, body, crowd, hefty, not_permitted, trace, why};
use crate::access::{Identity, Permission};
use convert::{Asked, Question};
use event::WireEvent;
use shapes::Payload;

pub(super) use refusal::Refusal;

/// What the paths of the calls begin with.
pub(super) const PATH: &str = "/2015-03-31/functions/";

/// The largest payload, in bytes: Lambda's for a synchronous invocation.
pub(super) const PAYLOAD: usize = 6 * 1_024 * 1_024;

/// The largest payload that is taken over, in bytes: Lambda's for an
/// asynchronous invocation.
pub(super) const EVENT_PAYLOAD: usize = 1_024 * 1_024;

/// How an invocation is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

/// Answers an invocation.
pub(super) async fn invoke(
    State(house): State<Arc<House>>,
    Extension(identity): Extension<Identity>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(&house, &identity, name, request)
        .await
        .unwrap_or_else(Refusal::into_response)
}

/// Refuses a method that is not for invocations.
pub(super) async fn wrong_method(State(house): State<Arc<House>>, request: Request) -> Response {
    let method = request.method().clone();
    body::discard(request, &house.clock).await;
    Refusal::Method { method }.into_response()
}

/// Answers where this door broke.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request to invoke a handler broke this server's code");
    Refusal::Host.into_response()
}

async fn answer(
    house: &House,
    identity: &Identity,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let invocation_type = invocation_type(request.headers());
    let of_browser = request.headers().contains_key(ORIGIN);
    let body = body::read(request, PAYLOAD, &house.clock).await?;
    if of_browser {
        return Err(Refusal::Browser);
    }
    let Path(name) = name.map_err(|_| {
        Refusal::Parameter("the name of the function must be percent-encoded UTF-8".to_owned())
    })?;
    let types = house.engine.types();
    let type_name = function::find(&name, &types).ok_or_else(|| Refusal::NoFunction {
        name: trace::shown(&name),
        known: function::known(&types),
    })?;
    let invocation_type = invocation_type?;
    let size = envelope::largest(&body, PAYLOAD);
    let made = made(house, identity, &body, invocation_type, type_name);
    hefty::run(size, made).await
}

/// Makes an invocation.
async fn made(
    house: &House,
    identity: &Identity,
    body: &[u8],
    invocation_type: InvocationType,
    type_name: &TypeName,
) -> Result<Response, Refusal> {
    match invocation_type {
        InvocationType::RequestResponse => {
            let asked = Asked::of(payload(body, PAYLOAD)?, type_name);
            permitted(identity, &asked, type_name)?;
            let waiting = house.crowd.enter(type_name);
            let _waiting = waiting.ok_or(Refusal::TooMany(crowd::MESSAGE))?;
            let event = run(house, asked, type_name).await?;
            Ok(ran(&event))
        }
        InvocationType::Event => {
            if body.len() > EVENT_PAYLOAD {
                return Err(Refusal::TooLarge {
                    limit: EVENT_PAYLOAD,
                    what: "the payload of an `Event`",
                });
            }
            let asked = Asked::of(payload(body, EVENT_PAYLOAD)?, type_name);
            permitted(identity, &asked, type_name)?;
            take_over(house, asked, type_name).await?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
        InvocationType::DryRun => {
            let asked = Asked::of(payload(body, PAYLOAD)?, type_name);
            permitted(identity, &asked, type_name)?;
            check(house, asked, type_name)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

/// Sees that the caller may do what it asks for. What names no action is none.
fn permitted(identity: &Identity, asked: &Asked, type_name: &TypeName) -> Result<(), Refusal> {
    match asked.action {
        Some(action) if !identity.may(Permission::Act(action), type_name) => {
            let message = not_permitted(identity, action.as_str(), type_name);
            Err(Refusal::NotPermitted(message))
        }
        Some(_) | None => Ok(()),
    }
}

fn payload(body: &[u8], limit: usize) -> Result<Payload, Refusal> {
    envelope::open(body, limit).map(|payload| Payload::read(&payload))
}

fn invocation_type(headers: &HeaderMap) -> Result<InvocationType, Refusal> {
    match headers
        .get("x-amz-invocation-type")
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"RequestResponse") => Ok(InvocationType::RequestResponse),
        Some(b"Event") => Ok(InvocationType::Event),
        Some(b"DryRun") => Ok(InvocationType::DryRun),
        Some(_) => Err(Refusal::Parameter(
            "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun".to_owned(),
        )),
    }
}

fn ran(event: &WireEvent) -> Response {
    let mut response = event.to_json().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        "x-amz-executed-version",
        HeaderValue::from_static("$LATEST"),
    );
    response
}

/// Makes one invocation.
async fn run(house: &House, mut asked: Asked, type_name: &TypeName) -> Result<WireEvent, Refusal> {
    let unreportable = std::mem::take(&mut asked.unreportable);
    asked.faults.extend(unreportable);
    let Some(action) = asked.action.filter(|_| asked.faults.is_empty()) else {
        return Ok(invalid(&asked.faults.to_string()));
    };
    let token = asked.request_token();
    let callback_context = asked.callback_context.take();
    match asked.question(type_name.clone(), action) {
        Question::Change(request) => {
            match house.engine.invoke(request, token, callback_context).await {
                Ok(event) => Ok(WireEvent::changed(event)),
                Err(InvokeError::Refused(error)) => refused(house, error),
                Err(InvokeError::Trapped(trap)) => Ok(WireEvent::trapped(&trap)),
                Err(error) => Err(broken(&error)),
            }
        }
        Question::Read(query) => read(house, query).await,
        Question::List(query) => list(house, query).await,
    }
}

async fn read(house: &House, query: ReadQuery) -> Result<WireEvent, Refusal> {
    match house.engine.read(query).await {
        Ok(model) => Ok(WireEvent::read(&model)),
        Err(error) => not_read(house, error),
    }
}

async fn list(house: &House, query: ListQuery) -> Result<WireEvent, Refusal> {
    match house.engine.list(query).await {
        Ok(page) => Ok(WireEvent::listed(page)),
        Err(error) => not_read(house, error),
    }
}

fn not_read(house: &House, error: ReadError) -> Result<WireEvent, Refusal> {
    match error {
        ReadError::Failed(failure) => Ok(WireEvent::not_read(&failure)),
        ReadError::Trapped(trap) => Ok(WireEvent::trapped(&trap)),
        ReadError::Invalid { .. } => Ok(invalid(&why(&error))),
        ReadError::Configuration(_) => Ok(WireEvent::failed(
            HandlerErrorCode::InvalidTypeConfiguration,
            &error.to_string(),
        )),
        ReadError::Unsupported { type_name, action } => {
            Ok(invalid(&unsupported(house, &type_name, action)))
        }
        ReadError::UnknownType { type_name } => Err(no_function(house, &type_name)),
        _ => Err(broken(&error)),
    }
}

/// Says what the engine found wrong with a request.
fn refused(house: &House, error: SubmitError) -> Result<WireEvent, Refusal> {
    match error {
        SubmitError::Unsupported { type_name, action } => {
            Ok(invalid(&unsupported(house, &type_name, action)))
        }
        SubmitError::UnknownType { .. } => Err(not_taken(house, error)),
        // The official contract tests update a resource without a name, and
        // want to hear that there is none.
        error @ SubmitError::Unnamed { .. } => {
            Ok(WireEvent::failed(HandlerErrorCode::NotFound, &why(&error)))
        }
        error => match error.fault() {
            Some(fault) => Ok(WireEvent::failed(fault.code, &fault.message)),
            None => Err(not_taken(house, error)),
        },
    }
}

/// Says why the engine took nothing.
fn not_taken(house: &House, error: SubmitError) -> Refusal {
    match error {
        SubmitError::UnknownType { type_name } => no_function(house, &type_name),
        SubmitError::TokenReused { holder } => Refusal::TokenReused { holder },
        SubmitError::Stopped => Refusal::Stopped,
        error => broken(&error),
    }
}

/// Lets the engine make the whole chain.
async fn take_over(house: &House, mut asked: Asked, type_name: &TypeName) -> Result<(), Refusal> {
    let unfit = |what: String| Err(Refusal::Content(what));
    let Some(action) = asked.action else {
        return unfit(asked.faults.to_string());
    };
    if !asked.unreportable.is_empty() {
        return unfit(asked.unreportable.to_string());
    }
    let Some(bearer_token) = asked.token.take() else {
        return unfit(
            "`bearerToken` is missing, and an `Event` is reported by it: give 1 to 128 characters"
                .to_owned(),
        );
    };
    let endpoint = asked.endpoint.take();
    if let Some(endpoint) = &endpoint {
        formwork_cloudformation::check_endpoint(endpoint, false)
            .map_err(|error| Refusal::Content(format!("`responseEndpoint`: {}", why(&error))))?;
    }
    if asked.callback_context.is_some() {
        asked.faults.add(
            "`callbackContext` is for a chain that the caller makes; an `Event` begins one here"
                .to_owned(),
        );
    }
    let credentials = asked.platform_credentials.take();
    let fault = (!asked.faults.is_empty()).then(|| Fault {
        code: HandlerErrorCode::InvalidRequest,
        message: asked.faults.to_string(),
    });
    let Question::Change(mut request) = asked.question(type_name.clone(), action) else {
        return unfit(format!(
            "{action} is no operation that is reported: invoke it as RequestResponse"
        ));
    };
    request.reporting = Some(ReportTarget {
        bearer_token,
        endpoint,
        region: request.scope.region.clone(),
        credentials,
    });
    house
        .engine
        .take_over(request, fault)
        .await
        .map_err(|error| not_taken(house, error))?;
    Ok(())
}

/// Looks for what is wrong with a request without making it.
fn check(house: &House, mut asked: Asked, type_name: &TypeName) -> Result<(), Refusal> {
    let unreportable = std::mem::take(&mut asked.unreportable);
    asked.faults.extend(unreportable);
    let Some(action) = asked.action.filter(|_| asked.faults.is_empty()) else {
        return Err(Refusal::Content(asked.faults.to_string()));
    };
    let version = house
        .engine
        .version(type_name)
        .ok_or_else(|| no_function(house, type_name))?;
    if !version.schema().handles(action) {
        return Err(Refusal::Content(unsupported(house, type_name, action)));
    }
    let callback_context = asked.callback_context.take();
    let request = match asked.question(type_name.clone(), action) {
        Question::Change(request) => request,
        Question::Read(query) => {
            return house
                .engine
                .check_read(&query)
                .map_err(|error| Refusal::Content(why(&error)));
        }
        Question::List(query) => {
            return house
                .engine
                .check_list(&query)
                .map_err(|error| Refusal::Content(why(&error)));
        }
    };
    let checked = house.engine.check(&request, callback_context.as_ref());
    checked.map_err(|error| match error.fault() {
        Some(fault) => Refusal::Content(fault.message),
        None => not_taken(house, error),
    })
}

fn invalid(message: &str) -> WireEvent {
    WireEvent::failed(HandlerErrorCode::InvalidRequest, message)
}

fn unsupported(house: &House, type_name: &TypeName, action: Action) -> String {
    let actions: Vec<String> = house
        .engine
        .version(type_name)
        .map(|version| {
            version
                .schema()
                .actions()
                .map(|action| action.to_string())
                .collect()
        })
        .unwrap_or_default();
    let actions = if actions.is_empty() {
        "none".to_owned()
    } else {
        actions.join(", ")
    };
    format!("`{type_name}` does not support {action}: the `handlers` of its schema name {actions}")
}

fn no_function(house: &House, type_name: &TypeName) -> Refusal {
    Refusal::NoFunction {
        name: type_name.to_string(),
        known: function::known(&house.engine.types()),
    }
}

/// Says that this host broke; why is for the operator.
fn broken(error: &dyn Error) -> Refusal {
    tracing::error!(error = why(error), "a handler could not be run");
    Refusal::Host
}
