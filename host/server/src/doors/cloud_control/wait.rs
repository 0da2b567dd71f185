//! The short hold: an answer waits a moment for an operation that may end in it.
//!
//! The waiters of the SDKs poll every five seconds, so that a handler of some
//! milliseconds would cost its caller five seconds if the first answer were
//! always `IN_PROGRESS`.

use formwork_host::engine::Engine;
use formwork_host::model::{RequestToken, Timestamp};
use formwork_host::operation::Operation;
use tokio_stream::StreamExt as _;

use super::super::House;
use super::refusal::Refusal;

/// Gives an operation as it is when it has ended, or when nothing about it is
/// going to change any more before the hold is over.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub(super) async fn settled(
    house: &House,
    token: RequestToken,
) -> Result<Option<Operation>, Refusal> {
    let engine = &house.engine;
    let until = house.clock.now().after(house.settings.hold);
    let Some(operation) = status(engine, token).await? else {
        return Ok(None);
    };
    if !moves(&operation, until) {
        return Ok(Some(operation));
    }
    let moving = async {
        let handle = engine
            .operation(token)
            .await
            .map_err(|e| Refusal::host(&e))?;
        let Some(handle) = handle else {
            return Ok::<_, Refusal>(());
        };
        let mut progress = handle.progress_after(operation.version);
        // The events only say that there is news.
        while progress.next().await.is_some() {
            match status(engine, token).await? {
                Some(operation) if moves(&operation, until) => {}
                Some(_) | None => break,
            }
        }
        Ok(())
    };
    tokio::select! {
        moved = moving => moved?,
        () = house.clock.sleep(house.settings.hold) => {}
    }
    status(engine, token).await
}

/// Tells whether something about an operation may change until then.
fn moves(operation: &Operation, until: Timestamp) -> bool {
    !operation.status.is_terminal() && (operation.lease.is_some() || operation.due <= until)
}

async fn status(engine: &Engine, token: RequestToken) -> Result<Option<Operation>, Refusal> {
    engine.status(token).await.map_err(|e| Refusal::host(&e))
}
