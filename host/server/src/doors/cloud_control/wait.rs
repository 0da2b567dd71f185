//! The short hold: an answer waits a moment for an operation that may end in it.
//!
//! The waiters of the SDKs poll every five seconds, so that a handler of some
//! milliseconds would cost its caller five seconds if the first answer were
//! always `IN_PROGRESS`.

use formwork_host::engine::OperationHandle;
use formwork_host::model::Timestamp;
use formwork_host::operation::Operation;

use super::super::House;
use super::refusal::Refusal;

/// Gives an operation, which was just read, as it is after the hold.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub(super) async fn settled(house: &House, operation: Operation) -> Result<Operation, Refusal> {
    if !moves(&operation, house.clock.now().after(house.settings.hold)) {
        return Ok(operation);
    }
    let handle = house.engine.operation(operation.token).await;
    match handle.map_err(|error| Refusal::host(&error))? {
        Some(handle) => held(house, &handle).await,
        // It was forgotten meanwhile, since it had ended long ago.
        None => Ok(operation),
    }
}

/// Gives an operation as it is when it has ended, or when nothing about it is
/// going to change any more before the hold is over.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub(super) async fn held(house: &House, handle: &OperationHandle) -> Result<Operation, Refusal> {
    let until = house.clock.now().after(house.settings.hold);
    tokio::select! {
        settled = handle.wait_for(|operation| !moves(operation, until)) => {
            // An engine that was shut down tells nothing more; it is as it is.
            if let Ok(operation) = settled {
                return Ok(operation);
            }
        }
        () = house.clock.sleep(house.settings.hold) => {}
    }
    let operation = house.engine.status(handle.token()).await;
    operation
        .map_err(|error| Refusal::host(&error))?
        .ok_or_else(|| super::unknown_token(&handle.token().to_string()))
}

/// Tells whether something about an operation may change until then.
fn moves(operation: &Operation, until: Timestamp) -> bool {
    !operation.status.is_terminal() && (operation.lease.is_some() || operation.due <= until)
}
