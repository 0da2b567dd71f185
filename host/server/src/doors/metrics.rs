//! Figures for Prometheus: `GET /metrics`.
//!
//! *Invariant*: where callers have keys, the addresses of the callers tell no
//! figures. An address of its own does, to whoever reaches it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CONTENT_TYPE, ORIGIN};

use super::{House, health, ready};
use crate::telemetry::PROMETHEUS;

const CLOSED: &str = "the callers of this server have keys, and Prometheus has none: give the \
                      metrics an address of their own, `listen` of `[telemetry]` in formwork.toml\n";

const OF_A_PAGE: &str = "requests of web pages are refused: leave the header `Origin` out\n";

/// Gives the way to what operators read, for an address that is theirs.
pub(crate) fn operators(house: Arc<House>) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .with_state(house)
}

/// Gives the figures where callers are served too.
pub(super) async fn beside_callers(State(house): State<Arc<House>>, request: Request) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, OF_A_PAGE).into_response();
    }
    if !house.access.is_open() {
        return (StatusCode::FORBIDDEN, CLOSED).into_response();
    }
    page(State(house)).await
}

async fn page(State(house): State<Arc<House>>) -> Response {
    ([(CONTENT_TYPE, PROMETHEUS)], house.page.text().await).into_response()
}
