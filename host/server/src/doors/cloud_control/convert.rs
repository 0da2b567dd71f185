//! Between Cloud Control's shapes and the model's types.
//!
//! *Invariant*: total, without a wildcard over a protocol's names.

use formwork_host::model::{
    ClientToken, HandlerErrorCode, JsonObject, Mutation, RequestToken, Timestamp, TypeName,
};
use formwork_host::operation::{Operation, Status};

use super::super::constraint::{
    HANDLER_NEXT_TOKEN, IDENTIFIER, JSON, Members, NEXT_TOKEN, ROLE_ARN, TOKEN, TYPE_NAME,
    TYPE_VERSION_ID,
};
use super::page::Position;
use super::refusal::{Exception, Refusal};
use super::shapes;

/// The longest `StatusMessage`.
const STATUS_MESSAGE: usize = 2_048;

/// How many requests a page has whose request does not say.
const MAX_RESULTS: u32 = 20;

/// Which type a request is about.
pub(super) struct Target {
    pub(super) type_name: TypeName,
    pub(super) version_id: Option<String>,
}

pub(super) struct Create {
    pub(super) target: Target,
    pub(super) client_token: Option<ClientToken>,
    /// JSON, as yet unread.
    pub(super) desired_state: String,
}

pub(super) struct Update {
    pub(super) target: Target,
    pub(super) client_token: Option<ClientToken>,
    pub(super) identifier: String,
    /// JSON, as yet unread.
    pub(super) patch: String,
}

pub(super) struct Delete {
    pub(super) target: Target,
    pub(super) client_token: Option<ClientToken>,
    pub(super) identifier: String,
}

pub(super) struct Get {
    pub(super) target: Target,
    pub(super) identifier: String,
}

pub(super) struct List {
    pub(super) target: Target,
    pub(super) next_token: Option<String>,
    pub(super) max_results: Option<u32>,
    /// JSON, as yet unread.
    pub(super) resource_model: Option<String>,
}

pub(super) struct ListRequests {
    pub(super) mutations: Vec<Mutation>,
    pub(super) statuses: Vec<Status>,
    pub(super) max_results: usize,
    pub(super) after: Option<Position>,
}

/// The three members by which the calls on resources name their type. The role
/// is checked and not assumed: handlers have the credentials that they are
/// granted.
fn target(
    members: &mut Members,
    type_name: Option<String>,
    version_id: Option<String>,
    role_arn: Option<String>,
) -> Option<Target> {
    let type_name = members.required("typeName", type_name, &TYPE_NAME);
    let version_id = members.optional("typeVersionId", version_id, &TYPE_VERSION_ID);
    members.optional("roleArn", role_arn, &ROLE_ARN);
    Some(Target {
        type_name: type_name?.parse().ok()?,
        version_id,
    })
}

fn client_token(members: &mut Members, token: Option<String>) -> Option<ClientToken> {
    members.optional("clientToken", token, &TOKEN)?.parse().ok()
}

fn end(members: Members) -> Result<(), Refusal> {
    members
        .end()
        .map_err(|wrong| Refusal::new(Exception::Validation, wrong))
}

/// Why a member is there once nothing was found wrong.
const TAKEN: &str = "a request without all of its members is refused";

pub(super) fn create(input: shapes::CreateResourceInput) -> Result<Create, Refusal> {
    let mut members = Members::default();
    let target = target(
        &mut members,
        input.type_name,
        input.type_version_id,
        input.role_arn,
    );
    let client_token = client_token(&mut members, input.client_token);
    let desired_state = members.required("desiredState", input.desired_state, &JSON);
    end(members)?;
    Ok(Create {
        target: target.expect(TAKEN),
        client_token,
        desired_state: desired_state.expect(TAKEN),
    })
}

pub(super) fn update(input: shapes::UpdateResourceInput) -> Result<Update, Refusal> {
    let mut members = Members::default();
    let target = target(
        &mut members,
        input.type_name,
        input.type_version_id,
        input.role_arn,
    );
    let client_token = client_token(&mut members, input.client_token);
    let identifier = members.required("identifier", input.identifier, &IDENTIFIER);
    let patch = members.required("patchDocument", input.patch_document, &JSON);
    end(members)?;
    Ok(Update {
        target: target.expect(TAKEN),
        client_token,
        identifier: identifier.expect(TAKEN),
        patch: patch.expect(TAKEN),
    })
}

pub(super) fn delete(input: shapes::DeleteResourceInput) -> Result<Delete, Refusal> {
    let mut members = Members::default();
    let target = target(
        &mut members,
        input.type_name,
        input.type_version_id,
        input.role_arn,
    );
    let client_token = client_token(&mut members, input.client_token);
    let identifier = members.required("identifier", input.identifier, &IDENTIFIER);
    end(members)?;
    Ok(Delete {
        target: target.expect(TAKEN),
        client_token,
        identifier: identifier.expect(TAKEN),
    })
}

pub(super) fn get(input: shapes::GetResourceInput) -> Result<Get, Refusal> {
    let mut members = Members::default();
    let target = target(
        &mut members,
        input.type_name,
        input.type_version_id,
        input.role_arn,
    );
    let identifier = members.required("identifier", input.identifier, &IDENTIFIER);
    end(members)?;
    Ok(Get {
        target: target.expect(TAKEN),
        identifier: identifier.expect(TAKEN),
    })
}

pub(super) fn list(input: shapes::ListResourcesInput) -> Result<List, Refusal> {
    let mut members = Members::default();
    let target = target(
        &mut members,
        input.type_name,
        input.type_version_id,
        input.role_arn,
    );
    let next_token = members.optional("nextToken", input.next_token, &HANDLER_NEXT_TOKEN);
    let max_results = members.number("maxResults", input.max_results, 1, 100);
    let resource_model = members.optional("resourceModel", input.resource_model, &JSON);
    end(members)?;
    Ok(List {
        target: target.expect(TAKEN),
        next_token,
        max_results,
        resource_model,
    })
}

/// Gives the text of a request token. Whether it is one of ours is another
/// question.
pub(super) fn request_token(input: shapes::RequestTokenInput) -> Result<String, Refusal> {
    let mut members = Members::default();
    let token = members.required("requestToken", input.request_token, &TOKEN);
    end(members)?;
    Ok(token.expect(TAKEN))
}

pub(super) fn list_requests(
    input: shapes::ListResourceRequestsInput,
) -> Result<ListRequests, Refusal> {
    let mut members = Members::default();
    let max_results = members.number("maxResults", input.max_results, 1, 100);
    let next_token = members.optional("nextToken", input.next_token, &NEXT_TOKEN);
    let (operations, statuses) = input
        .resource_request_status_filter
        .map(|filter| (filter.operations, filter.operation_statuses))
        .unwrap_or_default();
    let mutations = members.values(
        "resourceRequestStatusFilter.operations",
        operations,
        &Mutation::ALL,
        operation,
    );
    let statuses = members.values(
        "resourceRequestStatusFilter.operationStatuses",
        statuses,
        &Status::ALL,
        status,
    );
    end(members)?;
    let after = next_token.as_deref().map(Position::read).transpose()?;
    Ok(ListRequests {
        mutations,
        statuses,
        max_results: max_results.unwrap_or(MAX_RESULTS) as usize,
        after,
    })
}

/// Gives an operation as a progress event. `named` is how the caller named the
/// resource, for as long as its identifier is not known.
pub(super) fn progress_event(operation: &Operation, named: Option<&str>) -> shapes::ProgressEvent {
    let identifier = operation.identifier.as_ref().map(ToString::to_string);
    let message = operation.message.as_deref().filter(|text| !text.is_empty());
    let (error_code, message) = match operation.code {
        Some(code) => {
            let (name, message) = failure(code, message.unwrap_or_default());
            (Some(name), Some(message))
        }
        None => (None, message.map(str::to_owned)),
    };
    // A model that is too long for the member is read by GetResource.
    let model = operation
        .model
        .as_ref()
        .map(JsonObject::as_str)
        .filter(|text| JSON.allows(text));
    shapes::ProgressEvent {
        type_name: operation.type_name.to_string(),
        identifier: identifier.or_else(|| named.map(str::to_owned)),
        request_token: operation.token.to_string(),
        operation: self::operation(operation.mutation),
        operation_status: status(operation.status),
        event_time: seconds(operation.accepted_at),
        resource_model: model.map(str::to_owned),
        status_message: message.map(|text| cut(&text, STATUS_MESSAGE).to_owned()),
        error_code,
        retry_after: next_callback(operation).map(seconds),
    }
}

/// Gives the moment of the next callback: none while the handler runs, and none
/// where only a record from outside or the deadline goes on with it.
fn next_callback(operation: &Operation) -> Option<Timestamp> {
    let waits = operation.status == Status::InProgress && operation.lease.is_none();
    (waits && operation.due < operation.deadline).then_some(operation.due)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a moment have 41 bits, and a mantissa 53"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1_000.0
}

/// Gives a mutation's name among the values of `Operation`.
const fn operation(mutation: Mutation) -> &'static str {
    match mutation {
        Mutation::Create => "CREATE",
        Mutation::Update => "UPDATE",
        Mutation::Delete => "DELETE",
    }
}

/// Gives a status's name among the values of `OperationStatus`.
const fn status(status: Status) -> &'static str {
    match status {
        Status::Pending => "PENDING",
        Status::InProgress => "IN_PROGRESS",
        Status::Success => "SUCCESS",
        Status::Failed => "FAILED",
        Status::CancelInProgress => "CANCEL_IN_PROGRESS",
        Status::CancelComplete => "CANCEL_COMPLETE",
    }
}

/// Gives a failure in the 16 codes of Cloud Control. A code that it does not
/// have becomes the nearest one, and stands before the message.
pub(super) fn failure(code: HandlerErrorCode, message: &str) -> (&'static str, String) {
    let name = match code {
        HandlerErrorCode::NotUpdatable
        | HandlerErrorCode::InvalidRequest
        | HandlerErrorCode::AccessDenied
        | HandlerErrorCode::UnauthorizedTaggingOperation
        | HandlerErrorCode::InvalidCredentials
        | HandlerErrorCode::AlreadyExists
        | HandlerErrorCode::NotFound
        | HandlerErrorCode::ResourceConflict
        | HandlerErrorCode::Throttling
        | HandlerErrorCode::ServiceLimitExceeded
        | HandlerErrorCode::NotStabilized
        | HandlerErrorCode::GeneralServiceException
        | HandlerErrorCode::ServiceInternalError
        | HandlerErrorCode::ServiceTimeout
        | HandlerErrorCode::NetworkFailure
        | HandlerErrorCode::InternalFailure => return (code.as_str(), message.to_owned()),
        HandlerErrorCode::InvalidTypeConfiguration | HandlerErrorCode::UnsupportedTarget => {
            HandlerErrorCode::InvalidRequest
        }
        HandlerErrorCode::NonCompliant => HandlerErrorCode::GeneralServiceException,
        HandlerErrorCode::HandlerInternalFailure | HandlerErrorCode::Unknown => {
            HandlerErrorCode::InternalFailure
        }
    };
    (name.as_str(), format!("{code}: {message}"))
}

/// Gives the beginning of a text, at most so many UTF-16 code units.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut length = 0;
    let end = text.char_indices().find(|(_, char)| {
        length += char.len_utf16();
        length > most
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// Reads a request token, if it is one that this engine could have given.
pub(super) fn token(text: &str) -> Option<RequestToken> {
    // A token has one spelling; a UUID has several.
    let token: RequestToken = text.parse().ok()?;
    (token.to_string() == text).then_some(token)
}
