//! The door for operators: which operations there are, how each went, and
//! cancelling, as `formwork operations --server` asks.
//!
//! Its protocol is that of Cloud Control, AWS JSON 1.0, with an `X-Amz-Target` of
//! its own, since Cloud Control tells neither invocations nor reports. Requests
//! are signed for the service `formwork`.
//!
//! *Invariant*: a caller sees and cancels what it may by Cloud Control too:
//! operations of its account whose action and type its key permits. Where callers
//! have no keys, it sees all.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use formwork_host::engine::ChangeError;
use formwork_host::model::RequestToken;
use formwork_host::operation::{Operation, Refusal as Unchanged};
use http::HeaderMap;
use http::header::ORIGIN;

use super::cloud_control::{Exception, Refusal, TARGET, json, parse};
use super::{House, body, hefty, not_permitted};
use crate::access::{Identity, Permission};
use crate::operations::shapes::{
    ListRequest, OperationDetails, OperationLine, OperationList, TokenRequest,
};
use crate::operations::{Details, search};

/// What stands before the call in the header.
const SERVICE: &str = "Formwork.";

/// The largest request, in bytes.
pub(super) const BODY: usize = 64 * 1_024;

/// Tells whether a request is for this door.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    call_of(headers).is_some()
}

fn call_of(headers: &HeaderMap) -> Option<&str> {
    let target = headers.get(TARGET)?.to_str().ok()?;
    target.strip_prefix(SERVICE)
}

/// Answers a call.
pub(super) async fn call(
    State(house): State<Arc<House>>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    answer(&house, &identity, request)
        .await
        .unwrap_or_else(Refusal::into_response)
}

async fn answer(house: &House, identity: &Identity, request: Request) -> Result<Response, Refusal> {
    let of_browser = request.headers().contains_key(ORIGIN);
    let call = call_of(request.headers()).unwrap_or_default().to_owned();
    let body = body::read(request, BODY, &house.clock).await?;
    if of_browser {
        return Err(Refusal::new(
            Exception::AccessDenied,
            "Requests of web pages are refused: leave the header `Origin` out",
        ));
    }
    hefty::run(body.len(), carry_out(house, identity, &call, &body)).await
}

async fn carry_out(
    house: &House,
    identity: &Identity,
    call: &str,
    body: &[u8],
) -> Result<Response, Refusal> {
    match call {
        "ListOperations" => {
            let request = parse::<ListRequest>(body)?.read();
            let (criteria, reach) = request.map_err(|error| invalid(&error))?;
            let sees = |operation: &Operation| is_seen(identity, operation);
            let found = search(house.engine.store().as_ref(), &criteria, reach, sees).await;
            let found = found.map_err(|error| Refusal::host(&error))?;
            Ok(json(&OperationList::new(&found)))
        }
        "GetOperation" => {
            let token = token(&parse::<TokenRequest>(body)?.request_token)?;
            let details = Details::of(house.engine.store().as_ref(), token).await;
            let details = details
                .map_err(|error| Refusal::host(&error))?
                .filter(|details| is_seen(identity, &details.operation))
                .ok_or_else(|| unknown(token))?;
            Ok(json(&OperationDetails::new(&details)))
        }
        "CancelOperation" => {
            let token = token(&parse::<TokenRequest>(body)?.request_token)?;
            let operation = find(house, identity, token).await?;
            if !identity.may(Permission::Cancel, &operation.type_name) {
                let message = not_permitted(identity, "cancel", &operation.type_name);
                return Err(Refusal::new(Exception::AccessDenied, message));
            }
            let operation = match house.engine.cancel(token).await {
                Ok(operation) => operation,
                Err(ChangeError::Refused {
                    source: Unchanged::Ended | Unchanged::AlreadyCancelling,
                    ..
                }) => find(house, identity, token).await?,
                Err(ChangeError::Unknown { .. }) => return Err(unknown(token)),
                Err(error) => return Err(Refusal::host(&error)),
            };
            Ok(json(&OperationLine::new(&operation)))
        }
        _ => Err(Refusal::new(
            Exception::UnknownOperation,
            "The header `X-Amz-Target` must name Formwork.ListOperations, Formwork.GetOperation or Formwork.CancelOperation",
        )),
    }
}

async fn find(
    house: &House,
    identity: &Identity,
    token: RequestToken,
) -> Result<Operation, Refusal> {
    let found = house.engine.status(token).await;
    found
        .map_err(|error| Refusal::host(&error))?
        .filter(|operation| is_seen(identity, operation))
        .ok_or_else(|| unknown(token))
}

/// Tells whether a caller sees an operation.
fn is_seen(identity: &Identity, operation: &Operation) -> bool {
    let own = identity
        .account()
        .is_none_or(|account| operation.scope.account.as_ref() == Some(account));
    let action = Permission::Act(operation.mutation.into());
    own && identity.may(action, &operation.type_name)
}

fn token(text: &str) -> Result<RequestToken, Refusal> {
    text.parse().map_err(|error| invalid(&error))
}

fn invalid(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(Exception::Validation, error.to_string())
}

fn unknown(token: RequestToken) -> Refusal {
    Refusal::new(
        Exception::RequestTokenNotFound,
        format!("There is no operation {token}"),
    )
}
