//! The Cloud Control API: create, read, update, delete and list resources, and
//! follow requests, as the AWS command line, the SDKs and Terraform do.
//!
//! Its protocol is AWS JSON 1.0: `POST /` with the header `X-Amz-Target`, models
//! and patches as JSON in strings, moments as numbers. A request is checked
//! before it is accepted, member by member and by the type's schema; what is
//! accepted is an operation of the engine, and its token is the request token.
//!
//! *Invariant*: an answer has status 200, 400 or 500, a refusal the exception
//! that AWS gives.
//!
//! *Invariant*: no error of `GetResource` says "not found" unless the resource is
//! gone, since Terraform would plan to make it again.
//!
//! *Invariant*: a caller sees the requests of its own account and region.

mod convert;
mod identifier;
mod mutate;
mod page;
mod patch;
mod read;
mod refusal;
mod requests;
mod shapes;
mod violation;
mod wait;

use std::any::Any;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
#[cfg(feature = "fuzzing")]
use formwork_host::model::JsonObject;
use formwork_host::model::{Action, RequestToken, Scope, TypeName, TypeSchema};
use formwork_host::registry::HandlerVersion;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, ORIGIN};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::body::BodyError;
use super::trace::RequestId;
use super::{House, body, hefty, not_permitted, scope};
use crate::access::{Identity, Permission};
use convert::Target;
pub(super) use refusal::{Exception, Refusal};

/// The header that names the operation.
pub(super) const TARGET: &str = "x-amz-target";

/// What stands before the operation in the header.
const SERVICE: &str = "CloudApiService.";

/// The protocol, in the media type of requests and answers.
pub(super) const JSON: &str = "application/x-amz-json-1.0";

/// The largest request, in bytes: one state of the longest, each character of
/// it as six of an escape, and the rest.
pub(super) const BODY: usize = 2 * 1_024 * 1_024;

/// Answers a call.
pub(super) async fn call(
    State(house): State<Arc<House>>,
    Extension(RequestId(id)): Extension<RequestId>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    answer(&house, id, identity, request)
        .await
        .unwrap_or_else(Refusal::into_response)
}

/// Refuses a method that this door does not take.
pub(super) async fn wrong_method(State(house): State<Arc<House>>, request: Request) -> Response {
    body::discard(request, &house.clock).await;
    Refusal::new(Exception::UnknownOperation, "Requests are sent by POST").into_response()
}

/// Refuses a path that this door is not at: never by a status of 404, by which
/// some clients take a resource for gone.
pub(super) async fn elsewhere(house: &House, request: Request) -> Response {
    body::discard(request, &house.clock).await;
    let message = "Requests are sent to the path `/`";
    Refusal::new(Exception::UnknownOperation, message).into_response()
}

/// Refuses a request whose body was not read.
pub(super) fn unread(error: BodyError) -> Response {
    Refusal::from(error).into_response()
}

/// Answers where this door broke.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request of Cloud Control broke this server's code");
    Refusal::new(
        Exception::ServiceInternalError,
        "The request could not be carried out; the log of this server says why",
    )
    .into_response()
}

/// Whoever made a request.
struct Caller<'a> {
    house: &'a House,
    identity: Identity,
    scope: Scope,
    /// The id of the request.
    id: Uuid,
}

async fn answer(
    house: &House,
    id: Uuid,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    let of_browser = headers.contains_key(ORIGIN);
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(JSON));
    let target = headers.get(TARGET).cloned();
    let caller = Caller {
        house,
        scope: scope::of(&identity, headers, &house.settings),
        identity,
        id,
    };
    let body = body::read(request, BODY, &house.clock).await?;
    if of_browser {
        return Err(Refusal::new(
            Exception::AccessDenied,
            "Requests of web pages are refused: leave the header `Origin` out",
        ));
    }
    let operation = target
        .as_ref()
        .and_then(|target| target.to_str().ok()?.strip_prefix(SERVICE))
        .unwrap_or_default();
    if !is_json {
        return Err(Refusal::new(
            Exception::Serialization,
            format!("The `Content-Type` of a request must be {JSON}"),
        ));
    }
    hefty::run(body.len(), carry_out(&caller, operation, &body)).await
}

/// Carries out an operation of the service.
async fn carry_out(caller: &Caller<'_>, operation: &str, body: &[u8]) -> Result<Response, Refusal> {
    match operation {
        "CreateResource" => {
            let create = convert::create(parse(body)?)?;
            mutate::create(caller, create).await.map(|out| json(&out))
        }
        "UpdateResource" => {
            let update = convert::update(parse(body)?)?;
            mutate::update(caller, update).await.map(|out| json(&out))
        }
        "DeleteResource" => {
            let delete = convert::delete(parse(body)?)?;
            mutate::delete(caller, delete).await.map(|out| json(&out))
        }
        "GetResource" => {
            let get = convert::get(parse(body)?)?;
            read::get(caller, get).await.map(|out| json(&out))
        }
        "ListResources" => {
            let list = convert::list(parse(body)?)?;
            read::list(caller, list).await.map(|out| json(&out))
        }
        "GetResourceRequestStatus" => {
            let token = convert::request_token(parse(body)?)?;
            requests::status(caller, &token).await.map(|out| json(&out))
        }
        "CancelResourceRequest" => {
            let token = convert::request_token(parse(body)?)?;
            requests::cancel(caller, &token).await.map(|out| json(&out))
        }
        "ListResourceRequests" => {
            let list = convert::list_requests(parse(body)?)?;
            requests::list(caller, list).await.map(|out| json(&out))
        }
        _ => Err(Refusal::new(
            Exception::UnknownOperation,
            "The header `X-Amz-Target` names no operation of `CloudApiService`",
        )),
    }
}

/// Reads the members of a request.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // The members have names: a list of their values is not what is meant.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let read = if is_object {
        serde_json::from_slice(body)
    } else {
        Err(serde::de::Error::custom("no object"))
    };
    // The library's own words would repeat a value.
    read.map_err(|error: serde_json::Error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => {
                "the body is no object of the members that the operation has"
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => "the body is no JSON",
        };
        Refusal::new(
            Exception::Serialization,
            format!("At line {} column {}, {what}", error.line(), error.column()),
        )
    })
}

/// Prints an answer.
pub(super) fn json(answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).expect("a shape with text for its keys prints");
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

impl Caller<'_> {
    /// Gives the id of the request as a READ or a LIST is known by it.
    const fn token(&self) -> RequestToken {
        RequestToken::from_bytes(*self.id.as_bytes())
    }

    /// Gives the handler of the type that a request names. There is one version
    /// of each type.
    fn version(&self, target: &Target) -> Result<Arc<HandlerVersion>, Refusal> {
        let version = self.house.engine.version(&target.type_name);
        version
            .filter(|_| {
                let id = target.version_id.as_deref();
                id.is_none_or(|id| id == super::VERSION_ID)
            })
            .ok_or_else(|| Refusal::no_type(&target.type_name))
    }

    /// Sees that the caller may do this.
    fn may(&self, permission: Permission, what: &str, type_name: &TypeName) -> Result<(), Refusal> {
        if self.identity.may(permission, type_name) {
            return Ok(());
        }
        let message = not_permitted(&self.identity, what, type_name);
        Err(Refusal::new(Exception::AccessDenied, message))
    }

    fn supports(&self, schema: &TypeSchema, action: Action) -> Result<(), Refusal> {
        self.may(Permission::Act(action), action.as_str(), schema.type_name())?;
        if schema.handles(action) {
            Ok(())
        } else {
            Err(unsupported(schema.type_name(), action))
        }
    }
}

fn unsupported(type_name: &TypeName, action: Action) -> Refusal {
    Refusal::new(
        Exception::UnsupportedAction,
        format!("Resource type {type_name} does not support {action} action"),
    )
}

fn unknown_token(token: &str) -> Refusal {
    Refusal::new(
        Exception::RequestTokenNotFound,
        format!("Request with token {token} was not found"),
    )
}

/// Gives the state that a patch document makes of another, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn patched(
    schema: &TypeSchema,
    state: &JsonObject,
    kept: Option<&JsonObject>,
    patch: &str,
) -> Result<JsonObject, String> {
    patch::Patch::read(patch)
        .and_then(|patch| patch.apply(schema, state, kept))
        .map(|patched| patched.desired_state)
        .map_err(|refusal| refusal.message)
}
