//! Request bodies, whole and bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use formwork_host::clock::Clock;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;

/// How long a body may take to arrive, all of it: a slow client shall not hold
/// a connection for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a body that is too large is still read, as a multiple of the
/// limit. A client that writes first and reads then would lose the answer if
/// the connection were closed on it.
const READ_ON: usize = 4;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It has more bytes than are allowed.
    TooLarge {
        /// How many are allowed.
        limit: usize,
    },
    /// It did not arrive in time.
    TooSlow,
    /// It ended before its end, or is no well-formed message.
    Broken,
}

/// Reads the body of a request, at most `limit` bytes.
///
/// # Cancel safety
///
/// Dropping the future loses what was read.
pub(super) async fn read(
    request: Request,
    limit: usize,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<u8>, BodyError> {
    let headers = request.headers();
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // Such a client waits for our word before it sends the body.
    if headers.contains_key(EXPECT) && declared.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    tokio::select! {
        read = whole(request.into_body(), limit) => read,
        () = clock.sleep(PATIENCE) => Err(BodyError::TooSlow),
    }
}

async fn whole(mut body: Body, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        // Trailers say nothing that anybody here asks for.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
            if length > limit.saturating_mul(READ_ON) {
                break;
            }
        }
    }
    if length > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(bytes)
}

/// Reads a body that nobody wants, so that the client hears the answer.
pub(super) async fn discard(request: Request, clock: &Arc<dyn Clock>) {
    // The answer is the same whatever the body is.
    let _unwanted = read(request, 1 << 20, clock).await;
}
