//! One invocation: from a leased operation to its next committed version.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::operation::{Input, Operation};
use crate::store::CommitError;

use super::Inner;
use super::call::{Mutated, configured};
use super::causes::Causes;
use super::turn::Turn;
use super::upgrade::Chosen;

/// The first and the longest pause before a failed commit is tried again.
const COMMIT_BACKOFF: Duration = Duration::from_millis(100);
const COMMIT_BACKOFF_CAP: Duration = Duration::from_secs(5);

/// Makes the invocation that `operation` is leased for, and commits its answer.
pub(super) async fn run(inner: Arc<Inner>, operation: Operation, turn: Arc<Turn>) {
    let holding = inner.leases.hold(&operation);
    let input = tokio::select! {
        input = invoke(&inner, &operation, &turn) => input,
        () = holding.lost() => {
            tracing::warn!(
                request_token = %operation.token,
                type_name = %operation.type_name,
                "the lease was lost to another host, and its invocation is cut"
            );
            return;
        }
    };
    settle(&inner, operation, input).await;
}

/// Calls the handler and says what happened.
async fn invoke(inner: &Inner, operation: &Operation, turn: &Arc<Turn>) -> Input {
    if let Some(fault) = operation.work.as_ref().and_then(|work| work.fault.clone()) {
        return Input::Refused(fault);
    }
    let settings = inner
        .registry
        .get(&operation.type_name)
        .map(|known| known.settings)
        .unwrap_or_default();
    let version = match inner.choose(operation, &settings).await {
        Ok(Chosen::Version(version)) => version,
        Ok(Chosen::Nothing(fault)) => return Input::Refused(fault),
        Err(error) => return host_failed(operation, &error),
    };
    let mut invocation = operation
        .invocation_of()
        .expect("an operation that is leased has not ended");
    invocation.details = configured(invocation.details, &settings);
    match inner
        .mutate(&version, &settings, Arc::new(invocation), turn)
        .await
    {
        Ok(Mutated::Answered(answer)) => Input::Answered(answer),
        Ok(Mutated::Trapped(trap)) => Input::Trapped(trap),
        Err(error) => host_failed(operation, &error),
    }
}

/// Says that the host failed. The reason is for the operator, not for callers:
/// it can name places of this machine.
fn host_failed(operation: &Operation, error: &dyn Error) -> Input {
    tracing::error!(
        error = %Causes(error),
        request_token = %operation.token,
        type_name = %operation.type_name,
        "the host could not run a handler"
    );
    Input::HostFailed {
        message: "the host could not run the handler; its log says why".to_owned(),
    }
}

/// Commits what happened to an operation that was read or leased, and tells
/// whether it did.
///
/// Whoever commits in between does not undo it: the input is applied again to
/// what they made of the operation, as long as our lease stands there.
pub(super) async fn settle(inner: &Inner, mut operation: Operation, mut input: Input) -> bool {
    let lease = operation.lease.map(|lease| lease.number);
    let policy = inner.policy(&operation.type_name);
    let mut pause = COMMIT_BACKOFF;
    loop {
        let transition = match operation.apply(input.clone(), inner.clock.now(), &policy) {
            Ok(transition) => transition,
            Err(refusal) => {
                tracing::warn!(request_token = %operation.token, %refusal, "an answer came too late and is dropped");
                return false;
            }
        };
        let transition = inner.keeping(&operation, transition);
        let changed = transition.operation.clone();
        match inner.store.commit(transition).await {
            Ok(()) => {
                inner.committed(&changed);
                return true;
            }
            Err(CommitError::IdentifierTaken { holder }) => {
                let Input::Answered(answer) = input else {
                    return false;
                };
                tracing::info!(
                    request_token = %operation.token,
                    %holder,
                    "the handler answered a resource that another operation works on"
                );
                input = Input::IdentifierTaken { answer };
            }
            Err(CommitError::Conflict { expected: _ }) => {
                match inner.store.get(operation.token).await {
                    Ok(Some(current)) if current.lease.map(|lease| lease.number) == lease => {
                        operation = current;
                    }
                    Ok(_) => {
                        tracing::warn!(request_token = %operation.token, "an answer came after its lease and is dropped");
                        return false;
                    }
                    Err(error) => {
                        tracing::error!(
                            error = %Causes(&error),
                            "the store failed; trying again"
                        );
                        inner.clock.sleep(pause).await;
                        pause = (pause * 2).min(COMMIT_BACKOFF_CAP);
                    }
                }
            }
            // The answer is not lost as long as this process lives: the store
            // may have space or a connection again in a moment.
            Err(CommitError::Store(error)) => {
                tracing::error!(
                    error = %Causes(&error),
                    request_token = %operation.token,
                    "an answer could not be committed; trying again"
                );
                inner.clock.sleep(pause).await;
                pause = (pause * 2).min(COMMIT_BACKOFF_CAP);
            }
        }
    }
}
