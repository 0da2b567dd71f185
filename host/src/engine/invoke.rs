//! One invocation: from a leased operation to its next committed version.

use std::error::Error;
use std::sync::Arc;

use crate::operation::{Input, Operation};

use super::Inner;
use super::call::{Mutated, configured};
use super::causes::Causes;
use super::commit::{self, Fate};
use super::telemetry::{Happening, InvocationOutcome, Invoked, Stopwatch, Subject, line};
use super::turn::Turn;
use super::upgrade::Chosen;
use super::workers::Leased;

/// Makes the invocation that an operation is leased for, and commits its answer;
/// and so on, for as long as it is due at once and keeps its place.
pub(super) async fn run(inner: Arc<Inner>, leased: Leased) {
    let Leased {
        mut operation,
        holding,
        mut slot,
    } = leased;
    loop {
        if !inner.may_begin(&operation, &holding).await {
            return;
        }
        let mut watch = Stopwatch::start(inner.clock.as_ref());
        let input = tokio::select! {
            input = invoke(&inner, &operation, slot.turn()) => Some(input),
            () = holding.lost() => None,
        };
        let call = watch.lap();
        let began = watch.span().began;
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
        let mut outcome = InvocationOutcome::Lost;
        let mut commit = None;
        let fate = match input {
            Some(input) => {
                let came = self::outcome(&input);
                let fate =
                    commit::commit(&inner, operation, input, began, &holding, &mut slot).await;
                commit = Some(watch.lap());
                if !matches!(fate, Fate::Dropped) {
                    outcome = came;
                }
                fate
            }
            None => {
                line!(
                    warn,
                    &operation,
                    "the lease was lost to another host, and its invocation is cut"
                );
                inner.taken(&operation);
                Fate::Dropped
            }
        };
        inner.tell(|| {
            Happening::Invoked(Invoked {
                subject,
                attempt,
                due: Some(due),
                span: watch.span(),
                call,
                commit,
                outcome,
            })
        });
        match fate {
            Fate::GoesOn(leased) => operation = *leased,
            Fate::Committed | Fate::Dropped => return,
        }
    }
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
