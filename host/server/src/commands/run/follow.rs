//! Follows operations to their end, or until somebody interrupts.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use formwork_host::engine::{ChangeError, Engine, OperationHandle};
use formwork_host::model::{HandlerErrorCode, Mutation, RequestToken};
use formwork_host::operation::{Event, Operation, Status};
use formwork_host::store::StoreError;
use tokio_stream::{StreamExt as _, StreamMap};

use crate::operations::shapes::EventLine;

use super::super::Exit;
use super::super::interrupts::Interrupts;
use super::super::output::Output;
use super::super::progress::View;
use super::super::text::quoted;
use super::{Session, report, show_model};

/// How long a gentle stop waits for running invocations: longer than any may
/// take by default.
const PATIENCE: Duration = Duration::from_secs(90);

/// Follows the operations, shows their events, and gives how they ended, the
/// worst of all.
pub(super) async fn run(
    session: &Session<'_>,
    engine: &Engine,
    handles: Vec<OperationHandle>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen()?;
    let mut operations = Vec::with_capacity(handles.len());
    let mut events = StreamMap::new();
    for handle in &handles {
        let token = handle.token();
        let operation = engine.status(token).await?;
        operations.push(operation.with_context(|| format!("operation {token} is gone"))?);
        events.insert(token, handle.progress());
    }
    let mut follower = Follower {
        view: View::new(session.console, session.args.json, &operations),
        exit: Exit::Done,
        open: operations
            .iter()
            .map(|operation| (operation.token, 0))
            .collect(),
        interrupted: false,
        session,
        engine,
        output,
    };
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some((_, event)) => follower.event(event).await?,
                None => break,
            },
            () = interrupts.next() => {
                if follower.interrupted {
                    return Ok(follower.leave());
                }
                follower.interrupted = true;
                if session.args.data.is_some() {
                    return follower.stop(&mut interrupts).await;
                }
                follower.cancel(&handles).await?;
            }
        }
    }
    follower.view.end();
    let exit = follower.exit;
    tokio::select! {
        () = report_all(session, engine, &operations) => {}
        () = interrupts.next() => report::tell_left(session, engine, &reported(&operations)).await,
    }
    tokio::select! {
        _ = engine.shutdown(PATIENCE) => {}
        () = interrupts.next() => {}
    }
    Ok(exit)
}

/// Waits for the reports of those operations that are reported.
async fn report_all(session: &Session<'_>, engine: &Engine, operations: &[Operation]) {
    let tokens = reported(operations);
    if !tokens.is_empty() {
        report::drain(session, engine, &tokens, report::PATIENCE).await;
    }
}

fn reported(operations: &[Operation]) -> Vec<RequestToken> {
    let reported = operations
        .iter()
        .filter(|operation| operation.reporting.is_some());
    reported.map(|operation| operation.token).collect()
}

struct Follower<'a, 'b> {
    session: &'a Session<'b>,
    engine: &'a Engine,
    output: &'a mut Output,
    view: View,
    exit: Exit,
    /// Those that have not ended, with the version that was shown last.
    open: BTreeMap<RequestToken, u64>,
    interrupted: bool,
}

impl Follower<'_, '_> {
    async fn event(&mut self, event: Result<Event, StoreError>) -> anyhow::Result<()> {
        let event = event.context("cannot follow the operation")?;
        self.view.show(&event);
        if self.session.args.json {
            self.output.json(&EventLine::new(&event));
        }
        if !event.status.is_terminal() {
            self.open.insert(event.token, event.version);
            return Ok(());
        }
        self.open.remove(&event.token);
        self.exit = self.exit.max(exit_of(event.status, self.interrupted));
        if let (Some(model), false) = (&event.model, self.session.args.json) {
            show_model(model, self.output);
        }
        if event.status != Status::Success
            && let Some(operation) = self.engine.status(event.token).await?
        {
            self.tell_what_is_left(&operation);
            if matches!(
                event.code,
                Some(HandlerErrorCode::NotFound | HandlerErrorCode::AccessDenied)
            ) {
                self.session.hint_at_grants();
            }
        }
        Ok(())
    }

    /// Says what a failed create may have left behind.
    fn tell_what_is_left(&self, operation: &Operation) {
        // These name a resource that is somebody else's.
        let elses = [
            HandlerErrorCode::AlreadyExists,
            HandlerErrorCode::ResourceConflict,
        ];
        if let (Mutation::Create, Some(identifier), Some(_), Some(component)) = (
            operation.mutation,
            &operation.identifier,
            &operation.model,
            &self.session.args.component,
        ) && !operation.code.is_some_and(|code| elses.contains(&code))
        {
            let mut command = format!(
                "formwork run delete {} --identifier {}",
                quoted(component.display()),
                quoted(identifier)
            );
            for grant in &self.session.args.grants.grants {
                command.push_str(&format!(" --grant {}", quoted(grant)));
            }
            self.session.console.say(format_args!(
                "The resource may be there in part. To remove it:\n  {command}"
            ));
        }
    }

    async fn cancel(&mut self, handles: &[OperationHandle]) -> anyhow::Result<()> {
        self.session
            .console
            .say("Cancelling. Ctrl-C again leaves at once.");
        for handle in handles
            .iter()
            .filter(|handle| self.open.contains_key(&handle.token()))
        {
            match handle.cancel().await {
                // It has ended by itself, or somebody else cancels it.
                Ok(_) | Err(ChangeError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stops between two invocations and leaves the operations as they are.
    async fn stop(mut self, interrupts: &mut Interrupts) -> anyhow::Result<Exit> {
        self.session
            .console
            .say("Stopping. A running invocation is waited for; Ctrl-C again leaves at once.");
        tokio::select! {
            stopped = self.engine.shutdown(PATIENCE) => if !stopped {
                self.session.console.say("An invocation has not answered; it is made again on resumption.");
            },
            () = interrupts.next() => {
                self.session.console.say("Left a running invocation; it is made again on resumption.");
            }
        }
        // The last invocation may have ended its operation.
        for (token, version) in self.open.clone() {
            for event in self.engine.store().events(token, version).await? {
                self.event(Ok(event)).await?;
            }
        }
        if self.open.is_empty() {
            Ok(self.exit)
        } else {
            Ok(self.leave())
        }
    }

    /// Says how to go on with what has not ended.
    fn leave(mut self) -> Exit {
        self.view.end();
        if self.session.args.data.is_some() {
            for token in self.open.keys() {
                self.session.console.say(format_args!(
                    "Operation {token} can be resumed:\n  {}",
                    self.session.resume_command(*token)
                ));
            }
        }
        Exit::Interrupted
    }
}

/// Gives what the end of an operation means for the caller.
fn exit_of(status: Status, interrupted: bool) -> Exit {
    match status {
        Status::Success => Exit::Done,
        Status::CancelComplete if interrupted => Exit::Interrupted,
        Status::Failed | Status::CancelComplete => Exit::No,
        Status::Pending | Status::InProgress | Status::CancelInProgress => Exit::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_decides() {
        for (status, interrupted, exit) in [
            (Status::Success, false, Exit::Done),
            (Status::Success, true, Exit::Done),
            (Status::Failed, true, Exit::No),
            (Status::CancelComplete, false, Exit::No),
            (Status::CancelComplete, true, Exit::Interrupted),
        ] {
            assert_eq!(exit_of(status, interrupted), exit, "{status}");
        }
        assert!(Exit::Done < Exit::No && Exit::No < Exit::Interrupted);
    }
}
