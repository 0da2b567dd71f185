//! The doors: where requests in AWS's shapes come in over HTTP.
//!
//! | door | request |
//! | --- | --- |
//! | Lambda's `Invoke` | `POST /2015-03-31/functions/NAME/invocations` |
//! | Cloud Control | `POST /`, `X-Amz-Target: CloudApiService.OPERATION` |
//! | operators | `POST /`, `X-Amz-Target: Formwork.CALL` |
//! | the registry of CloudFormation | `POST /`, such as `Action=DescribeType` |
//! | STS | `POST /`, such as `Action=GetCallerIdentity` |
//! | RecordHandlerProgress | `POST /`, `Action=RecordHandlerProgress` |
//! | health | `GET /health` |
//! | readiness | `GET /ready` |
//! | metrics | `GET /metrics` |
//!
//! Each decodes a request, converts it into the model's types, asks the engine
//! and gives its answer in the surface's own shape.
//!
//! *Invariant*: every request that arrives whole is answered: by an event, or by
//! a status of 400 or above with a reason. What is wrong with a request is never
//! answered by a status of 500 or above.
//!
//! *Invariant*: nothing is done for a page in a browser, whatever site it is from:
//! its requests carry the header `Origin`, and no client of AWS sends that.
//!
//! *Invariant*: with keys, a request reaches a door with the identity of whoever
//! signed it, or not at all.
//!
//! *Invariant*: no body, header or query string reaches a log: they hold
//! credentials and bearer tokens.

mod body;
mod cloud_control;
mod constraint;
mod crowd;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gate;
mod hefty;
mod lambda_invoke;
mod listener;
mod metrics;
mod operations;
mod query;
mod record_handler_progress;
mod registry_api;
mod scope;
mod sts;
mod trace;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Router, middleware};
use formwork_host::clock::Clock;
use formwork_host::engine::{Causes, Engine};
use formwork_host::model::{AccountId, Region, TypeName};
use formwork_host::store::Filter;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::sync::watch;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{Access, Identity};
use crate::telemetry::Page;
use lambda_invoke::Refusal;

#[cfg(feature = "fuzzing")]
pub(crate) use cloud_control::patched;
pub(crate) use crowd::Crowd;
pub(crate) use listener::{Certificate, Listener, Tls, TlsError};
pub(crate) use metrics::operators;
pub(crate) use registry_api::{Configurations, Registrations};

/// What the doors open to.
pub(crate) struct House {
    /// The engine.
    pub(crate) engine: Engine,
    /// The clock that waits are measured by.
    pub(crate) clock: Arc<dyn Clock>,
    /// The configurations of the types.
    pub(crate) configurations: Configurations,
    /// The handlers that were registered.
    pub(crate) registrations: Registrations,
    /// The requests that wait for an invocation.
    pub(crate) crowd: Crowd,
    /// What else there is to decide.
    pub(crate) settings: Settings,
    /// Who may come in.
    pub(crate) access: Arc<Access>,
    /// The page of metrics.
    pub(crate) page: Page,
    /// Whether the doors are closing.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What can be decided about the doors.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The account that callers of Cloud Control are taken to belong to.
    /// Default: 000000000000.
    pub(crate) account: AccountId,
    /// The region of requests that are not signed for one. Default: us-east-1.
    pub(crate) region: Region,
    /// How long an answer of Cloud Control waits for an operation to end.
    /// Default: 1 s.
    pub(crate) hold: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: "000000000000".parse().expect("it has 12 digits"),
            region: "us-east-1".parse().expect("it is a region"),
            hold: Duration::from_secs(1),
        }
    }
}

/// The version of every type: the server has one of each.
const VERSION_ID: &str = "00000001";

/// Gives the way from each path to its door.
pub(crate) fn router(house: Arc<House>) -> Router {
    let lambda = post(lambda_invoke::invoke)
        .fallback(lambda_invoke::wrong_method)
        .layer(CatchPanicLayer::custom(lambda_invoke::panicked));
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", lambda)
        .route("/", root(&house))
        .route("/health", get(health).fallback(elsewhere))
        .route("/ready", get(ready).fallback(elsewhere))
        .route("/metrics", get(metrics::beside_callers).fallback(elsewhere))
        .fallback(elsewhere)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&house),
            gate::identified,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&house),
            trace::traced,
        ))
        .with_state(house)
}

/// Gives the way at `/`, where two protocols of AWS meet: a request in JSON names
/// its operation in a header, one of the Query protocol in its form. Operators speak
/// the first.
fn root(house: &Arc<House>) -> MethodRouter<Arc<House>> {
    let json = post(cloud_control::call)
        .fallback(cloud_control::wrong_method)
        .layer(CatchPanicLayer::custom(cloud_control::panicked))
        .with_state(Arc::clone(house));
    let operators = post(operations::call)
        .fallback(cloud_control::wrong_method)
        .layer(CatchPanicLayer::custom(cloud_control::panicked))
        .with_state(Arc::clone(house));
    let query = post(query::call)
        .get(query::call_by_url)
        .fallback(query::wrong_method)
        .layer(CatchPanicLayer::custom(query::panicked))
        .with_state(Arc::clone(house));
    any(async move |request: Request| {
        let door: MethodRouter = if operations::is_meant(request.headers()) {
            operators
        } else if request.headers().contains_key(cloud_control::TARGET) {
            json
        } else {
            query
        };
        door.oneshot(request).await
    })
}

/// Says that this server answers. It is no statement about the store.
async fn health() -> Response {
    ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}

/// Says whether requests should be sent here: the store can be read, and the
/// doors are not closing.
async fn ready(State(house): State<Arc<House>>) -> Response {
    let any = Filter {
        limit: 1,
        ..Filter::default()
    };
    let (status, body) = if *house.stopping.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#)
    } else if let Err(error) = house.engine.operations(&any).await {
        tracing::warn!(error = why(&error), "the store cannot be read");
        (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"store unavailable"}"#,
        )
    } else {
        (StatusCode::OK, r#"{"status":"ready"}"#)
    };
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Refuses what no door is for.
async fn elsewhere(State(house): State<Arc<House>>, request: Request) -> Response {
    if request.headers().contains_key(cloud_control::TARGET) {
        return cloud_control::elsewhere(&house, request).await;
    }
    let refusal = Refusal::NoSuchCall {
        method: request.method().clone(),
        path: trace::shown(request.uri().path()),
    };
    body::discard(request, &house.clock).await;
    refusal.into_response()
}

/// Says that a caller lacks a permission, and what would give it.
fn not_permitted(identity: &Identity, what: &str, on: &TypeName) -> String {
    let key = identity.key_id().unwrap_or_default();
    format!(
        "The key {key} is not authorized to perform {what} on {on}; `allow` of the key in the configuration says what it may do"
    )
}

/// Says what an error says, and its causes.
fn why(error: &dyn Error) -> String {
    Causes(error).to_string()
}

#[cfg(test)]
mod tests;
