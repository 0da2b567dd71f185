//! The calls on requests: how far they are, which there are, and cancelling.

use formwork_host::engine::ChangeError;
use formwork_host::model::{Action, RequestToken};
use formwork_host::operation::{Operation, Refusal as Unchanged, Status};
use formwork_host::store::Filter;

use crate::access::Permission;

use super::convert::{self, ListRequests};
use super::page::Position;
use super::refusal::{Exception, Refusal};
use super::shapes::{
    GetResourceRequestStatusOutput, ListResourceRequestsOutput, ProgressEventOutput,
};
use super::{Caller, unknown_token, wait};

/// Tells how far a request is, after the hold.
pub(super) async fn status(
    caller: &Caller<'_>,
    text: &str,
) -> Result<GetResourceRequestStatusOutput, Refusal> {
    let token = convert::token(text).ok_or_else(|| unknown_token(text))?;
    let operation = find(caller, token).await?;
    let action = Action::from(operation.mutation);
    caller.may(
        Permission::Act(action),
        action.as_str(),
        &operation.type_name,
    )?;
    let operation = wait::settled(caller.house, operation).await?;
    Ok(GetResourceRequestStatusOutput {
        progress_event: convert::progress_event(&operation, None),
        hooks_progress_event: [],
    })
}

/// Cancels a request: the handler is not invoked again. To cancel what is
/// cancelled changes nothing.
pub(super) async fn cancel(
    caller: &Caller<'_>,
    text: &str,
) -> Result<ProgressEventOutput, Refusal> {
    let token = convert::token(text).ok_or_else(|| unknown_token(text))?;
    let operation = find(caller, token).await?;
    caller.may(Permission::Cancel, "cancel", &operation.type_name)?;
    let operation = match caller.house.engine.cancel(token).await {
        Ok(operation) => operation,
        Err(ChangeError::Unknown { .. }) => return Err(unknown_token(text)),
        Err(ChangeError::Refused {
            source: Unchanged::Ended | Unchanged::AlreadyCancelling,
            ..
        }) => find(caller, token).await?,
        Err(error) => return Err(Refusal::host(&error)),
    };
    match operation.status {
        Status::Success | Status::Failed => Err(Refusal::new(
            Exception::Validation,
            format!("Request {text} is already in status {}", operation.status),
        )),
        Status::Pending
        | Status::InProgress
        | Status::CancelInProgress
        | Status::CancelComplete => Ok(ProgressEventOutput {
            progress_event: convert::progress_event(&operation, None),
        }),
    }
}

/// Gives a page of the requests, the newest first, without those that the caller
/// might not have made.
pub(super) async fn list(
    caller: &Caller<'_>,
    list: ListRequests,
) -> Result<ListResourceRequestsOutput, Refusal> {
    let filter = Filter {
        scope: Some(caller.scope.clone()),
        mutations: list.mutations,
        statuses: list.statuses,
        before: list.after.map(|Position(token)| token),
        // One more than a page tells whether there is a next one.
        limit: list.max_results + 1,
        ..Filter::default()
    };
    let found = caller.house.engine.operations(&filter).await;
    let mut found = found.map_err(|error| Refusal::host(&error))?;
    let more = found.len() > list.max_results;
    found.truncate(list.max_results);
    let last = found.last().filter(|_| more);
    Ok(ListResourceRequestsOutput {
        next_token: last.map(|operation| Position(operation.token).print()),
        resource_request_status_summaries: found
            .iter()
            .filter(|operation| {
                let seen = Permission::Act(operation.mutation.into());
                caller.identity.may(seen, &operation.type_name)
            })
            .map(|operation| convert::progress_event(operation, None))
            .collect(),
    })
}

/// Finds an operation of the caller's account and region.
async fn find(caller: &Caller<'_>, token: RequestToken) -> Result<Operation, Refusal> {
    let operation = caller.house.engine.status(token).await;
    operation
        .map_err(|error| Refusal::host(&error))?
        .filter(|operation| operation.scope == caller.scope)
        .ok_or_else(|| unknown_token(&token.to_string()))
}
