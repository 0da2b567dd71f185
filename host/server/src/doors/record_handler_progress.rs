//! The other half of RecordHandlerProgress: somebody elsewhere records the
//! progress of an operation that this engine began or took over, and so can
//! complete it.
//!
//! The order of the checks is validation, bearer token, client request token,
//! expected status, transition. AWS publishes neither it nor the transitions;
//! they are those of the handlers that called it in the first protocol version,
//! read strictly.
//!
//! *Invariant*: a bearer token is in no answer, error or log.

use formwork_cloudformation::wire_failure;
use formwork_host::engine::{CurrentStatus, Record, RecordError, RecordedStatus};
use formwork_host::model::{BearerToken, HandlerErrorCode, JsonObject};
use formwork_host::store::StoreError;
use http::StatusCode;

use super::constraint::{
    BEARER_TOKEN, CLIENT_REQUEST_TOKEN, Members, RECORDED_MODEL, STATUS_MESSAGE,
};
use super::query::{Caller, Form, Node, Refusal};
use super::why;
use crate::access::Permission;

pub(super) const ACTION: &str = "RecordHandlerProgress";

/// Records progress.
pub(super) async fn answer(caller: &Caller<'_>, form: Form) -> Result<Node, Refusal> {
    let record = read(form)?;
    permitted(caller, &record.bearer_token).await?;
    let conflict =
        |code, error: &RecordError| Err(Refusal::new(StatusCode::BAD_REQUEST, code, why(error)));
    match caller.house.engine.record_progress(record).await {
        Ok(_) => Ok(Node::Members(Vec::new())),
        Err(RecordError::Unknown) => Err(unknown()),
        Err(error @ RecordError::CheckFailed { .. }) => conflict("ConditionalCheckFailed", &error),
        Err(error @ RecordError::InvalidTransition { .. }) => {
            conflict("InvalidStateTransition", &error)
        }
        Err(error @ RecordError::Busy) => Err(Refusal::invalid(why(&error))),
        Err(error) => {
            tracing::error!(error = why(&error), "progress could not be recorded");
            Err(Refusal::host())
        }
    }
}

/// Reads the parameters.
fn read(mut form: Form) -> Result<Record, Refusal> {
    let mut members = Members::default();
    let bearer_token = members
        .required("bearerToken", form.take("BearerToken"), &BEARER_TOKEN)
        .and_then(|text| members.parsed("bearerToken", text, |text| text.parse()));
    let status = form.take("OperationStatus");
    if status.is_none() {
        members.missing("operationStatus");
    }
    let status = members.value("operationStatus", status, &STATUSES, status_name);
    let current_status = members.value(
        "currentOperationStatus",
        form.take("CurrentOperationStatus"),
        &STATUSES,
        status_name,
    );
    let message = members.optional("statusMessage", form.take("StatusMessage"), &STATUS_MESSAGE);
    // The call has 19 of the codes, which are their own names on the wire.
    let codes: Vec<_> = HandlerErrorCode::ALL
        .into_iter()
        .filter(|code| wire_failure(*code, "").0 == code.as_str())
        .collect();
    let code = members.value(
        "errorCode",
        form.take("ErrorCode"),
        &codes,
        HandlerErrorCode::as_str,
    );
    let model = members
        .optional("resourceModel", form.take("ResourceModel"), &RECORDED_MODEL)
        .and_then(|text| {
            members.parsed("resourceModel", text, |text| {
                JsonObject::parse(text).map_err(|_| "Member must be the text of one JSON object")
            })
        });
    let client_token = members
        .optional(
            "clientRequestToken",
            form.take("ClientRequestToken"),
            &CLIENT_REQUEST_TOKEN,
        )
        .and_then(|text| members.parsed("clientRequestToken", text, |text| text.parse()));
    members.end().map_err(Refusal::invalid)?;
    let (Some(bearer_token), Some(status)) = (bearer_token, status) else {
        unreachable!("what is required is there, or named as missing");
    };
    Ok(Record {
        bearer_token,
        status: recorded(status, code),
        current_status,
        message,
        model,
        client_token,
    })
}

const STATUSES: [CurrentStatus; 4] = [
    CurrentStatus::Pending,
    CurrentStatus::InProgress,
    CurrentStatus::Success,
    CurrentStatus::Failed,
];

const fn status_name(status: CurrentStatus) -> &'static str {
    match status {
        CurrentStatus::Pending => "PENDING",
        CurrentStatus::InProgress => "IN_PROGRESS",
        CurrentStatus::Success => "SUCCESS",
        CurrentStatus::Failed => "FAILED",
    }
}

/// Joins status and code. A failure without a code is an internal one; with
/// another status a code says nothing.
fn recorded(status: CurrentStatus, code: Option<HandlerErrorCode>) -> RecordedStatus {
    match status {
        CurrentStatus::Pending => RecordedStatus::Pending,
        CurrentStatus::InProgress => RecordedStatus::InProgress,
        CurrentStatus::Success => RecordedStatus::Success,
        CurrentStatus::Failed => {
            RecordedStatus::Failed(code.unwrap_or(HandlerErrorCode::InternalFailure))
        }
    }
}

/// Sees that the caller may record progress of the type that the token is of.
async fn permitted(caller: &Caller<'_>, bearer_token: &BearerToken) -> Result<(), Refusal> {
    let Caller {
        house, identity, ..
    } = caller;
    if identity.key_id().is_none() {
        return Ok(());
    }
    let failed = |error: StoreError| {
        tracing::error!(error = why(&error), "a bearer token could not be looked up");
        Refusal::host()
    };
    let store = house.engine.store();
    let token = store.taken_over(bearer_token).await.map_err(failed)?;
    let token = token.ok_or_else(unknown)?;
    let operation = store.get(token).await.map_err(failed)?;
    let operation = operation.ok_or_else(unknown)?;
    if identity.may(Permission::Record, &operation.type_name) {
        return Ok(());
    }
    let type_name = &operation.type_name;
    Err(Refusal::not_permitted(identity, ACTION, type_name))
}

fn unknown() -> Refusal {
    Refusal::invalid("The bearer token is not that of an operation of this server")
}
