//! Conversion between the handler contract and the model: the only place that
//! knows both.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bindings::formwork::handler::types as wit;
use crate::model::{
    AccountId, Callback, Credentials, HandlerErrorCode, Invocation, JsonObject, JsonObjectError,
    ListPage, ListRequest, ProgressEvent, ReadFailure, Region,
};

/// Says which member of an answer is not what the contract demands.
#[derive(Debug, thiserror::Error)]
#[error("`{member}` of the answer is {source}")]
pub(super) struct InvalidAnswer {
    member: &'static str,
    source: JsonObjectError,
}

/// The parts of a request that the contract wants in another shape than the
/// model has them; a [`wit::Request`] borrows from here.
pub(super) struct RequestParts<'a> {
    token: String,
    desired_tags: Vec<wit::Tag<'a>>,
    previous_tags: Vec<wit::Tag<'a>>,
    system_tags: Vec<wit::Tag<'a>>,
    previous_system_tags: Vec<wit::Tag<'a>>,
}

impl<'a> RequestParts<'a> {
    pub(super) fn new(invocation: &'a Invocation) -> Self {
        let details = &invocation.details;
        Self {
            token: invocation.token.to_string(),
            desired_tags: tags(&details.desired_tags),
            previous_tags: tags(&details.previous_tags),
            system_tags: tags(&details.system_tags),
            previous_system_tags: tags(&details.previous_system_tags),
        }
    }

    /// Gives the request. The caller's credentials are in it only if
    /// `with_credentials`.
    pub(super) fn request(
        &'a self,
        invocation: &'a Invocation,
        with_credentials: bool,
    ) -> wit::Request<'a> {
        let details = &invocation.details;
        let scope = &invocation.scope;
        wit::Request {
            client_request_token: &self.token,
            type_name: invocation.type_name.as_str(),
            start_time: invocation.start_time.as_millis(),
            deadline: invocation.deadline.as_millis(),
            invocation: invocation.invocation,
            attempt: invocation.attempt,
            region: scope.region.as_ref().map(Region::as_str),
            account_id: scope.account.as_ref().map(AccountId::as_str),
            partition: scope.region.as_ref().map(Region::partition),
            stack_id: details.stack_id.as_deref(),
            logical_resource_id: details.logical_resource_id.as_deref(),
            desired_tags: &self.desired_tags,
            previous_tags: &self.previous_tags,
            system_tags: &self.system_tags,
            previous_system_tags: &self.previous_system_tags,
            type_configuration: text(details.type_configuration.as_ref()),
            credentials: details
                .credentials
                .as_ref()
                .filter(|_| with_credentials)
                .map(credentials),
            snapshot_requested: details.snapshot_requested,
            rollback: details.rollback,
            driftable: details.driftable,
            features: text(details.features.as_ref()),
            update_policy: text(details.update_policy.as_ref()),
            creation_policy: text(details.creation_policy.as_ref()),
        }
    }
}

fn tags(tags: &BTreeMap<String, String>) -> Vec<wit::Tag<'_>> {
    tags.iter()
        .map(|(key, value)| wit::Tag { key, value })
        .collect()
}

fn credentials(credentials: &Credentials) -> wit::Credentials<'_> {
    wit::Credentials {
        access_key_id: &credentials.access_key_id,
        secret_access_key: &credentials.secret_access_key,
        session_token: credentials.session_token.as_deref(),
    }
}

/// How many bytes of a message are kept.
const MESSAGE_BYTES: usize = 8 * 1024;

/// Gives the text of an optional object.
pub(super) fn text(object: Option<&JsonObject>) -> Option<&str> {
    object.map(JsonObject::as_str)
}

/// Gives what a LIST is asked for.
pub(super) fn list_request(request: &ListRequest) -> wit::ListRequest<'_> {
    wit::ListRequest {
        filter: text(request.filter.as_ref()),
        next_token: request.next_token.as_deref(),
        max_results: request.max_results,
    }
}

/// Takes over the answer of a create or an update.
pub(super) fn progress_event(event: wit::ProgressEvent) -> Result<ProgressEvent, InvalidAnswer> {
    match event {
        wit::ProgressEvent::InProgress(event) => in_progress(event),
        wit::ProgressEvent::Success(event) => Ok(ProgressEvent::Success {
            message: sentence(event.message),
            model: Some(object("model", event.model)?),
        }),
        wit::ProgressEvent::Failed(failure) => failed(failure),
    }
}

/// Takes over the answer of a delete.
pub(super) fn delete_event(event: wit::DeleteEvent) -> Result<ProgressEvent, InvalidAnswer> {
    match event {
        wit::DeleteEvent::InProgress(event) => in_progress(event),
        wit::DeleteEvent::Deleted(event) => Ok(ProgressEvent::Success {
            message: sentence(event.message),
            model: None,
        }),
        wit::DeleteEvent::Failed(failure) => failed(failure),
    }
}

/// Takes over the answer of a read.
pub(super) fn read_answer(
    answer: Result<String, wit::ReadFailure>,
) -> Result<Result<JsonObject, ReadFailure>, InvalidAnswer> {
    match answer {
        Ok(model) => Ok(Ok(object("model", model)?)),
        Err(failure) => Ok(Err(read_failure(failure))),
    }
}

/// Takes over the answer of a list.
pub(super) fn list_answer(
    answer: Result<wit::Page, wit::ReadFailure>,
) -> Result<Result<ListPage, ReadFailure>, InvalidAnswer> {
    match answer {
        Ok(page) => Ok(Ok(ListPage {
            models: page
                .models
                .into_iter()
                .map(|model| object("models", model))
                .collect::<Result<_, _>>()?,
            next_token: page.next_token,
        })),
        Err(failure) => Ok(Err(read_failure(failure))),
    }
}

fn in_progress(event: wit::InProgress) -> Result<ProgressEvent, InvalidAnswer> {
    Ok(ProgressEvent::InProgress {
        callback: match event.callback {
            wit::Callback::After(seconds) => Callback::After(Duration::from_secs(seconds.into())),
            wit::Callback::None => Callback::None,
        },
        callback_context: optional_object("callback-context", event.callback_context)?,
        message: sentence(event.message),
        model: optional_object("model", event.model)?,
    })
}

fn failed(failure: wit::Failure) -> Result<ProgressEvent, InvalidAnswer> {
    Ok(ProgressEvent::Failed {
        code: error_code(failure.code),
        message: said(failure.message),
        model: optional_object("model", failure.model)?,
    })
}

fn read_failure(failure: wit::ReadFailure) -> ReadFailure {
    ReadFailure {
        code: error_code(failure.code),
        message: said(failure.message),
    }
}

fn object(member: &'static str, text: String) -> Result<JsonObject, InvalidAnswer> {
    JsonObject::parse(text).map_err(|source| InvalidAnswer { member, source })
}

fn optional_object(
    member: &'static str,
    text: Option<String>,
) -> Result<Option<JsonObject>, InvalidAnswer> {
    text.map(|text| object(member, text)).transpose()
}

/// Takes an empty sentence for none.
fn sentence(message: Option<String>) -> Option<String> {
    let message = message.filter(|message| !message.trim().is_empty());
    message.map(said)
}

/// Gives what is kept of a message: each event of an operation has one, and callers are
/// given 1,024 characters of it.
fn said(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        message.push('…');
    }
    message
}

fn error_code(code: wit::ErrorCode) -> HandlerErrorCode {
    match code {
        wit::ErrorCode::NotUpdatable => HandlerErrorCode::NotUpdatable,
        wit::ErrorCode::InvalidRequest => HandlerErrorCode::InvalidRequest,
        wit::ErrorCode::AccessDenied => HandlerErrorCode::AccessDenied,
        wit::ErrorCode::InvalidCredentials => HandlerErrorCode::InvalidCredentials,
        wit::ErrorCode::AlreadyExists => HandlerErrorCode::AlreadyExists,
        wit::ErrorCode::NotFound => HandlerErrorCode::NotFound,
        wit::ErrorCode::ResourceConflict => HandlerErrorCode::ResourceConflict,
        wit::ErrorCode::Throttling => HandlerErrorCode::Throttling,
        wit::ErrorCode::ServiceLimitExceeded => HandlerErrorCode::ServiceLimitExceeded,
        wit::ErrorCode::NotStabilized => HandlerErrorCode::NotStabilized,
        wit::ErrorCode::GeneralServiceException => HandlerErrorCode::GeneralServiceException,
        wit::ErrorCode::ServiceInternalError => HandlerErrorCode::ServiceInternalError,
        wit::ErrorCode::NetworkFailure => HandlerErrorCode::NetworkFailure,
        wit::ErrorCode::InternalFailure => HandlerErrorCode::InternalFailure,
        wit::ErrorCode::InvalidTypeConfiguration => HandlerErrorCode::InvalidTypeConfiguration,
        wit::ErrorCode::HandlerInternalFailure => HandlerErrorCode::HandlerInternalFailure,
        wit::ErrorCode::NonCompliant => HandlerErrorCode::NonCompliant,
        wit::ErrorCode::UnsupportedTarget => HandlerErrorCode::UnsupportedTarget,
        wit::ErrorCode::Unknown => HandlerErrorCode::Unknown,
        wit::ErrorCode::UnauthorizedTaggingOperation => {
            HandlerErrorCode::UnauthorizedTaggingOperation
        }
        wit::ErrorCode::ServiceTimeout => HandlerErrorCode::ServiceTimeout,
    }
}

/// Counts the bytes of text in an answer.
pub(super) trait TextBytes {
    fn text_bytes(&self) -> usize;
}

impl TextBytes for String {
    fn text_bytes(&self) -> usize {
        self.len()
    }
}

impl<T: TextBytes> TextBytes for Option<T> {
    fn text_bytes(&self) -> usize {
        self.as_ref().map_or(0, TextBytes::text_bytes)
    }
}

impl<T: TextBytes> TextBytes for Vec<T> {
    fn text_bytes(&self) -> usize {
        self.iter().map(TextBytes::text_bytes).sum()
    }
}

impl<T: TextBytes, E: TextBytes> TextBytes for Result<T, E> {
    fn text_bytes(&self) -> usize {
        match self {
            Ok(answer) => answer.text_bytes(),
            Err(failure) => failure.text_bytes(),
        }
    }
}

impl TextBytes for wit::ProgressEvent {
    fn text_bytes(&self) -> usize {
        match self {
            Self::InProgress(event) => event.text_bytes(),
            Self::Success(event) => event.model.text_bytes() + event.message.text_bytes(),
            Self::Failed(failure) => failure.text_bytes(),
        }
    }
}

impl TextBytes for wit::DeleteEvent {
    fn text_bytes(&self) -> usize {
        match self {
            Self::InProgress(event) => event.text_bytes(),
            Self::Deleted(event) => event.message.text_bytes(),
            Self::Failed(failure) => failure.text_bytes(),
        }
    }
}

impl TextBytes for wit::InProgress {
    fn text_bytes(&self) -> usize {
        self.callback_context.text_bytes() + self.message.text_bytes() + self.model.text_bytes()
    }
}

impl TextBytes for wit::Failure {
    fn text_bytes(&self) -> usize {
        self.message.text_bytes() + self.model.text_bytes()
    }
}

impl TextBytes for wit::ReadFailure {
    fn text_bytes(&self) -> usize {
        self.message.text_bytes()
    }
}

impl TextBytes for wit::Page {
    fn text_bytes(&self) -> usize {
        self.models.text_bytes() + self.next_token.text_bytes()
    }
}

impl TextBytes for wit::Description {
    fn text_bytes(&self) -> usize {
        self.schema.text_bytes() + self.outgoing_hosts.text_bytes()
    }
}

#[cfg(test)]
mod tests;
