//! One invocation: from a leased operation to its next committed version.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::operation::{Input, Operation};
use crate::store::CommitError;

use super::Inner;
use super::call::{Mutated, configured};
use super::causes::Causes;
use super::leases::LEASE;
use super::slots::Slot;
use super::telemetry::{
    Happening, InvocationOutcome, Invoked, LeaseLoss, Stopwatch, Subject, line,
};
use super::turn::Turn;
use super::upgrade::Chosen;
use super::workers::Leased;

/// The first and the longest pause before a failed commit is tried again.
const COMMIT_BACKOFF: Duration = Duration::from_millis(100);
const COMMIT_BACKOFF_CAP: Duration = Duration::from_secs(5);

/// Makes the invocation that an operation is leased for, and commits its answer;
/// and so on, for as long as it is due at once and keeps its place.
pub(super) async fn run(inner: Arc<Inner>, leased: Leased) {
    let Leased {
        mut operation,
        mut slot,
    } = leased;
    loop {
        let holding = inner.leases.hold(&operation);
        let mut watch = Stopwatch::start(inner.clock.as_ref());
        let input = tokio::select! {
            input = invoke(&inner, &operation, slot.turn()) => input,
            () = holding.lost() => {
                line!(
                    warn,
                    &operation,
                    "the lease was lost to another host, and its invocation is cut"
                );
                lost(&inner, &operation, LeaseLoss::Taken);
                return;
            }
        };
        let call = watch.lap();
        let outcome = outcome(&input);
        let (type_name, attempt, due) = (
            operation.type_name.clone(),
            operation.attempt,
            operation.due,
        );
        // Told once the operation has gone into the commit.
        let Subject {
            token,
            action,
            invocation,
            ..
        } = Subject::from(&operation);
        let subject = Subject {
            token,
            type_name: &type_name,
            action,
            invocation,
        };
        let changed = commit(&inner, operation, input, Some(&mut slot)).await;
        inner.tell(|| {
            let commit = watch.lap();
            Happening::Invoked(Invoked {
                subject,
                attempt,
                due: Some(due),
                span: watch.span(),
                call,
                commit: Some(commit),
                outcome,
            })
        });
        match changed {
            Some(changed) if is_leased_by(&changed) => operation = changed,
            Some(_) | None => return,
        }
    }
}

/// Tells whether the change that made this version leased it too.
fn is_leased_by(changed: &Operation) -> bool {
    let lease = changed.lease;
    lease.is_some_and(|lease| lease.number == changed.version)
}

/// Tells what came of calling a handler by what is to be decided of it.
fn outcome(input: &Input) -> InvocationOutcome {
    match input {
        Input::Answered(answer) => (&answer.event).into(),
        Input::Trapped(trap) => InvocationOutcome::Trapped(trap.kind),
        Input::Refused(_) => InvocationOutcome::NotCalled,
        Input::HostFailed { .. }
        | Input::Leased { .. }
        | Input::IdentifierTaken { .. }
        | Input::LeaseLapsed
        | Input::Recorded { .. }
        | Input::CancelAsked(_)
        | Input::DeadlinePassed => InvocationOutcome::HostFailed,
    }
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
    line!(
        error,
        operation,
        error = %Causes(error),
        "the host could not run a handler"
    );
    Input::HostFailed {
        message: "the host could not run the handler; its log says why".to_owned(),
    }
}

/// Commits what happened to an operation that was read, and tells whether it did.
pub(super) async fn settle(inner: &Inner, operation: Operation, input: Input) -> bool {
    commit(inner, operation, input, None).await.is_some()
}

/// Commits what happened to an operation that was read or leased, and gives what
/// it came to, if it was committed. One that is due at once and may go on in its
/// place is leased again by the same commit; any other frees its place before it.
///
/// Whoever commits in between does not undo it: the input is applied again to
/// what they made of the operation, as long as our lease stands there.
async fn commit(
    inner: &Inner,
    mut operation: Operation,
    mut input: Input,
    mut slot: Option<&mut Slot>,
) -> Option<Operation> {
    let lease = operation.lease.map(|lease| lease.number);
    let policy = inner.policy(&operation.type_name);
    let mut pause = COMMIT_BACKOFF;
    loop {
        let now = inner.clock.now();
        let transition = match operation.apply(input.clone(), now, &policy) {
            Ok(transition) => transition,
            Err(refusal) => {
                line!(warn, &operation, %refusal, "an answer came too late and is dropped");
                lost(inner, &operation, LeaseLoss::Late);
                return None;
            }
        };
        let mut transition = inner.keeping(&operation, transition);
        if let Some(slot) = &mut slot {
            if inner.goes_on(&operation.type_name, slot) {
                transition = transition.leased(now.after(LEASE), now);
            }
            match transition.operation.lease {
                Some(lease) => slot.leased(operation.token, lease),
                None => slot.answered(),
            }
        }
        let changed = transition.operation.clone();
        match inner.store.commit(transition).await {
            Ok(()) => {
                inner.committed(&changed);
                if matches!(input, Input::LeaseLapsed) {
                    lost(inner, &operation, LeaseLoss::Lapsed);
                }
                return Some(changed);
            }
            Err(CommitError::IdentifierTaken { holder }) => {
                let Input::Answered(answer) = input else {
                    return None;
                };
                line!(
                    info,
                    &operation,
                    %holder,
                    "the handler answered a resource that another operation works on"
                );
                input = Input::IdentifierTaken { answer };
            }
            Err(CommitError::Conflict { expected: _ }) => {
                match inner.store.get(operation.token).await {
                    // A commit that was not confirmed has taken effect: nobody else
                    // could have leased what we held.
                    Ok(Some(current))
                        if is_leased_by(&changed)
                            && is_leased_by(&current)
                            && current.version == changed.version =>
                    {
                        inner.committed(&changed);
                        return Some(changed);
                    }
                    Ok(Some(current)) if current.lease.map(|lease| lease.number) == lease => {
                        operation = current;
                    }
                    Ok(_) => {
                        line!(
                            warn,
                            &operation,
                            "an answer came after its lease and is dropped"
                        );
                        lost(inner, &operation, LeaseLoss::Late);
                        return None;
                    }
                    Err(error) => {
                        line!(
                            error,
                            &operation,
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
                line!(
                    error,
                    &operation,
                    error = %Causes(&error),
                    "an answer could not be committed; trying again"
                );
                inner.clock.sleep(pause).await;
                pause = (pause * 2).min(COMMIT_BACKOFF_CAP);
            }
        }
    }
}

/// Tells that an invocation of a live lease came to nothing. An operation without
/// a lease has lost none.
fn lost(inner: &Inner, operation: &Operation, loss: LeaseLoss) {
    if operation.lease.is_some() {
        inner.tell(|| Happening::LeaseLost {
            subject: operation.into(),
            loss,
        });
    }
}
