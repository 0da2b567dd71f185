//! The other half of RecordHandlerProgress: somebody elsewhere records the
//! progress of an operation that this engine began or took over, and so can
//! complete it.
//!
//! It is CloudFormation's Query protocol: a form at `POST /`, answered in XML.
//! Requests are served signed and unsigned; signatures are not verified, the
//! bearer token is what counts.
//!
//! The order of the checks is validation, bearer token, client request token,
//! expected status, transition. AWS publishes neither it nor the transitions;
//! they are those of the handlers that called it in the first protocol version,
//! read strictly.
//!
//! *Invariant*: a bearer token is in no answer, error or log.

mod convert;
mod shapes;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use formwork_host::engine::RecordError;
use formwork_host::model::BearerToken;
use formwork_host::store::StoreError;
use http::header::{ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, StatusCode};
use uuid::Uuid;

use super::body::{self, BodyError};
use super::trace::RequestId;
use super::{House, not_permitted, why};
use crate::access::{Identity, Permission};
use shapes::{Form, Refusal};

/// The largest form, in bytes: every parameter at its longest has some 60 KiB
/// when each of its bytes is percent-encoded.
const FORM: usize = 256 * 1_024;

/// Records progress.
pub(super) async fn record(
    State(house): State<Arc<House>>,
    Extension(RequestId(id)): Extension<RequestId>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    match answer(&house, &identity, request).await {
        Ok(()) => xml(StatusCode::OK, shapes::recorded(id)),
        Err(refusal) => refused(&refusal, id),
    }
}

/// Refuses a method that this door does not take.
pub(super) async fn wrong_method(
    State(house): State<Arc<House>>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    body::discard(request, &house.clock).await;
    let mut response = refused(&Refusal::Method, id);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn answer(house: &House, identity: &Identity, request: Request) -> Result<(), Refusal> {
    let of_browser = request.headers().contains_key(ORIGIN);
    let body = body::read(request, FORM, &house.clock)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { limit } => Refusal::TooLarge { limit },
            BodyError::TooSlow => Refusal::TooSlow,
            BodyError::Broken => Refusal::Broken,
        })?;
    if of_browser {
        return Err(Refusal::Browser);
    }
    let record = convert::record(Form::read(&body))?;
    permitted(house, identity, &record.bearer_token).await?;
    match house.engine.record_progress(record).await {
        Ok(_) => Ok(()),
        Err(RecordError::Unknown) => Err(Refusal::UnknownBearer),
        Err(error @ RecordError::CheckFailed { .. }) => Err(Refusal::CheckFailed(why(&error))),
        Err(error @ RecordError::InvalidTransition { .. }) => {
            Err(Refusal::InvalidTransition(why(&error)))
        }
        Err(error @ RecordError::Busy) => Err(Refusal::Invalid(vec![why(&error)])),
        Err(error) => {
            tracing::error!(error = why(&error), "progress could not be recorded");
            Err(Refusal::Host)
        }
    }
}

/// Sees that the caller may record progress of the type that the token is of.
async fn permitted(
    house: &House,
    identity: &Identity,
    bearer_token: &BearerToken,
) -> Result<(), Refusal> {
    if identity.key_id().is_none() {
        return Ok(());
    }
    let failed = |error: StoreError| {
        tracing::error!(error = why(&error), "a bearer token could not be looked up");
        Refusal::Host
    };
    let store = house.engine.store();
    let token = store.taken_over(bearer_token).await.map_err(failed)?;
    let token = token.ok_or(Refusal::UnknownBearer)?;
    let operation = store.get(token).await.map_err(failed)?;
    let operation = operation.ok_or(Refusal::UnknownBearer)?;
    if identity.may(Permission::Record, &operation.type_name) {
        return Ok(());
    }
    Err(Refusal::NotPermitted(not_permitted(
        identity,
        "RecordHandlerProgress",
        &operation.type_name,
    )))
}

fn refused(refusal: &Refusal, id: Uuid) -> Response {
    xml(refusal.status(), shapes::refused(refusal, id))
}

fn xml(status: StatusCode, document: Vec<u8>) -> Response {
    let mut response = (status, document).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}
