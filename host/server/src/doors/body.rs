//! Request bodies, whole and bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use formwork_host::clock::Clock;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a body may take to arrive, all of it: a slow client shall not hold
/// a connection for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// From how many bytes on a body waits for room to arrive in.
const LARGE: usize = 64 * 1_024;

/// How many KiB of large bodies arrive at once: whoever sends the most that it
/// may on every connection, and never all of it, has the server keep no more.
static ROOM: Semaphore = Semaphore::const_new(256 * 1_024);

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

/// Reads the body of a request, at most `limit` bytes. One that is larger is
/// read on, and not kept, for as long as any may take: a client that writes
/// first and reads then would lose the answer if the connection were closed on it.
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
    let mut bytes = Vec::new();
    let mut length = 0;
    let arrives = async {
        let _room = room(declared.unwrap_or(limit).min(limit)).await;
        whole(request.into_body(), limit, &mut bytes, &mut length).await
    };
    let late = tokio::select! {
        read = arrives => {
            read?;
            false
        }
        () = clock.sleep(PATIENCE) => true,
    };
    if length > limit {
        return Err(BodyError::TooLarge { limit });
    }
    if late {
        return Err(BodyError::TooSlow);
    }
    Ok(bytes)
}

/// Waits for room for a body of that length.
async fn room(length: usize) -> Option<SemaphorePermit<'static>> {
    if length < LARGE {
        return None;
    }
    let kibibytes = u32::try_from(length.div_ceil(1_024)).expect("no limit is that large");
    let room = ROOM.acquire_many(kibibytes).await;
    Some(room.expect("it is never closed"))
}

async fn whole(
    mut body: Body,
    limit: usize,
    bytes: &mut Vec<u8>,
    length: &mut usize,
) -> Result<(), BodyError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        // Trailers say nothing that anybody here asks for.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        *length = length.saturating_add(data.len());
        if *length <= limit {
            bytes.extend_from_slice(&data);
        } else {
            *bytes = Vec::new();
        }
    }
    Ok(())
}

/// Reads a body that nobody wants, so that the client hears the answer.
pub(super) async fn discard(request: Request, clock: &Arc<dyn Clock>) {
    // The answer is the same whatever the body is.
    let _unwanted = read(request, 1 << 20, clock).await;
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use formwork_host::clock::ManualClock;
    use formwork_host::model::Timestamp;
    use tokio_stream::StreamExt as _;
    use tokio_stream::iter;

    use super::*;

    fn request(chunks: usize) -> Request {
        let chunks = iter((0..chunks).map(|_| Ok::<_, std::io::Error>(Bytes::from("12345"))));
        Request::new(Body::from_stream(chunks))
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::new(Timestamp::from_millis(0)))
    }

    #[tokio::test]
    async fn a_body_is_whole_or_too_large() {
        for (chunks, expected) in [
            (0, Ok(0)),
            (2, Ok(10)),
            (3, Err(BodyError::TooLarge { limit: 10 })),
            (1_000_000, Err(BodyError::TooLarge { limit: 10 })),
        ] {
            let body = read(request(chunks), 10, &clock()).await;
            assert_eq!(body.map(|body| body.len()), expected, "{chunks}");
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        for (begun, expected) in [
            ("1", BodyError::TooSlow),
            ("12345678901", BodyError::TooLarge { limit: 10 }),
        ] {
            let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
            let begun = iter([Ok::<_, std::io::Error>(Bytes::from(begun))]);
            let silent = begun.chain(tokio_stream::pending());
            let request = Request::new(Body::from_stream(silent));
            let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
            let (body, ()) = tokio::join!(read(request, 10, &shared), async {
                clock.advance(PATIENCE);
            });
            assert_eq!(body, Err(expected));
        }
    }
}
