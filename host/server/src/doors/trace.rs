//! What is known of each request besides its answer: an id, and a line in the log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use uuid::Uuid;

use super::House;
use crate::telemetry::Caller;

/// The header that all answers of AWS's services carry.
const HEADER: &str = "x-amzn-requestid";

/// The longest path that is shown.
const PATH_LENGTH: usize = 200;

/// The id of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(pub(super) Uuid);

/// Gives the request an id, and writes a line once it is answered.
///
/// A client that leaves before the answer leaves no line; what it asked for
/// ends with it.
pub(super) async fn traced(
    State(house): State<Arc<House>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = Uuid::new_v4();
    let begun = house.clock.uptime();
    let method = request.method().clone();
    let path = shown(request.uri().path());
    request.extensions_mut().insert(RequestId(id));
    let caller = Caller::of(request.headers());
    let mut response = Caller::within(caller, next.run(request)).await;
    let value = HeaderValue::try_from(id.to_string()).expect("an id is ASCII");
    response.headers_mut().insert(HEADER, value);
    let took = house.clock.uptime().saturating_sub(begun);
    tracing::info!(
        %method,
        path,
        status = response.status().as_u16(),
        milliseconds = %format_args!("{:.3}", took.as_secs_f64() * 1e3),
        request_id = %id,
        "answered"
    );
    response
}

/// Gives a path as it is shown: not longer than a line, and as it came, so that
/// it holds nothing but visible ASCII.
pub(super) fn shown(path: &str) -> String {
    let visible: String = path
        .chars()
        .filter(char::is_ascii_graphic)
        .take(PATH_LENGTH)
        .collect();
    if visible.len() < path.len() {
        visible + "..."
    } else {
        visible
    }
}
