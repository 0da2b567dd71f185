//! Why a request is refused: Cloud Control's exceptions, and those that all
//! services of AWS have in common.
//!
//! *Invariant*: the status is 400 where the request or its resource is at fault
//! and 500 where the handler or this server is, as AWS's API reference has it
//! and its service answers; the other numbers of the Smithy model are on no
//! wire. Clients take a 404 for a resource that is gone.

use std::error::Error;

use axum::response::{IntoResponse as _, Response};
use formwork_host::model::{HandlerErrorCode, TypeName};
use http::{HeaderValue, StatusCode};

use super::super::body::BodyError;
use super::super::why;
use super::convert::cut;
use super::json;
use super::shapes::{CommonError, ModelledError};

/// The longest message, by Cloud Control's `ErrorMessage`.
const MESSAGE: usize = 2_048;

/// The name of a refusal, by which SDKs tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::doors) enum Exception {
    AccessDenied,
    AlreadyExists,
    ClientTokenConflict,
    ConcurrentOperation,
    GeneralService,
    HandlerFailure,
    HandlerInternalFailure,
    InvalidCredentials,
    InvalidRequest,
    NetworkFailure,
    NotStabilized,
    NotUpdatable,
    RequestEntityTooLarge,
    RequestTimeout,
    RequestTokenNotFound,
    ResourceConflict,
    ResourceNotFound,
    Serialization,
    ServiceInternalError,
    ServiceLimitExceeded,
    Throttling,
    TypeNotFound,
    UnknownOperation,
    UnsupportedAction,
    Validation,
}

/// Whose an exception is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Cloud Control's model has it.
    Modelled,
    /// Every service of AWS has it.
    Common,
}

impl Exception {
    const fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::AlreadyExists => "AlreadyExistsException",
            Self::ClientTokenConflict => "ClientTokenConflictException",
            Self::ConcurrentOperation => "ConcurrentOperationException",
            Self::GeneralService => "GeneralServiceException",
            Self::HandlerFailure => "HandlerFailureException",
            Self::HandlerInternalFailure => "HandlerInternalFailureException",
            Self::InvalidCredentials => "InvalidCredentialsException",
            Self::InvalidRequest => "InvalidRequestException",
            Self::NetworkFailure => "NetworkFailureException",
            Self::NotStabilized => "NotStabilizedException",
            Self::NotUpdatable => "NotUpdatableException",
            Self::RequestEntityTooLarge => "RequestEntityTooLargeException",
            Self::RequestTimeout => "RequestTimeoutException",
            Self::RequestTokenNotFound => "RequestTokenNotFoundException",
            Self::ResourceConflict => "ResourceConflictException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::ServiceInternalError => "ServiceInternalErrorException",
            Self::ServiceLimitExceeded => "ServiceLimitExceededException",
            Self::Throttling => "ThrottlingException",
            Self::TypeNotFound => "TypeNotFoundException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnsupportedAction => "UnsupportedActionException",
            Self::Validation => "ValidationException",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::HandlerFailure
            | Self::HandlerInternalFailure
            | Self::NetworkFailure
            | Self::ServiceInternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AccessDenied
            | Self::AlreadyExists
            | Self::ClientTokenConflict
            | Self::ConcurrentOperation
            | Self::GeneralService
            | Self::InvalidCredentials
            | Self::InvalidRequest
            | Self::NotStabilized
            | Self::NotUpdatable
            | Self::RequestEntityTooLarge
            | Self::RequestTimeout
            | Self::RequestTokenNotFound
            | Self::ResourceConflict
            | Self::ResourceNotFound
            | Self::Serialization
            | Self::ServiceLimitExceeded
            | Self::Throttling
            | Self::TypeNotFound
            | Self::UnknownOperation
            | Self::UnsupportedAction
            | Self::Validation => StatusCode::BAD_REQUEST,
        }
    }

    const fn origin(self) -> Origin {
        match self {
            Self::AccessDenied
            | Self::RequestEntityTooLarge
            | Self::RequestTimeout
            | Self::Serialization
            | Self::UnknownOperation
            | Self::Validation => Origin::Common,
            Self::AlreadyExists
            | Self::ClientTokenConflict
            | Self::ConcurrentOperation
            | Self::GeneralService
            | Self::HandlerFailure
            | Self::HandlerInternalFailure
            | Self::InvalidCredentials
            | Self::InvalidRequest
            | Self::NetworkFailure
            | Self::NotStabilized
            | Self::NotUpdatable
            | Self::RequestTokenNotFound
            | Self::ResourceConflict
            | Self::ResourceNotFound
            | Self::ServiceInternalError
            | Self::ServiceLimitExceeded
            | Self::Throttling
            | Self::TypeNotFound
            | Self::UnsupportedAction => Origin::Modelled,
        }
    }

    /// Gives the exception for what a handler said of a READ or a LIST.
    pub(super) const fn of(code: HandlerErrorCode) -> Self {
        match code {
            HandlerErrorCode::NotUpdatable => Self::NotUpdatable,
            HandlerErrorCode::InvalidRequest
            | HandlerErrorCode::InvalidTypeConfiguration
            | HandlerErrorCode::UnsupportedTarget => Self::InvalidRequest,
            HandlerErrorCode::AccessDenied | HandlerErrorCode::UnauthorizedTaggingOperation => {
                Self::AccessDenied
            }
            HandlerErrorCode::InvalidCredentials => Self::InvalidCredentials,
            HandlerErrorCode::AlreadyExists => Self::AlreadyExists,
            HandlerErrorCode::NotFound => Self::ResourceNotFound,
            HandlerErrorCode::ResourceConflict => Self::ResourceConflict,
            HandlerErrorCode::Throttling => Self::Throttling,
            HandlerErrorCode::ServiceLimitExceeded => Self::ServiceLimitExceeded,
            HandlerErrorCode::NotStabilized => Self::NotStabilized,
            HandlerErrorCode::GeneralServiceException | HandlerErrorCode::NonCompliant => {
                Self::GeneralService
            }
            HandlerErrorCode::ServiceInternalError => Self::ServiceInternalError,
            HandlerErrorCode::NetworkFailure => Self::NetworkFailure,
            HandlerErrorCode::InternalFailure | HandlerErrorCode::HandlerInternalFailure => {
                Self::HandlerInternalFailure
            }
            HandlerErrorCode::Unknown | HandlerErrorCode::ServiceTimeout => Self::HandlerFailure,
        }
    }
}

/// A refusal, with what is said to the caller.
#[derive(Debug)]
pub(in crate::doors) struct Refusal {
    pub(super) exception: Exception,
    pub(super) message: String,
}

impl Refusal {
    pub(in crate::doors) fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self {
            exception,
            message: message.into(),
        }
    }

    /// Says that there is no such type, in AWS's words.
    pub(super) fn no_type(type_name: &TypeName) -> Self {
        Self::new(
            Exception::TypeNotFound,
            format!("The type '{type_name}' cannot be found."),
        )
    }

    /// Says that this server broke; why is for its operator.
    pub(in crate::doors) fn host(error: &dyn Error) -> Self {
        tracing::error!(error = why(error), "a request could not be carried out");
        Self::new(
            Exception::ServiceInternalError,
            "The request could not be carried out; the log of this server says why",
        )
    }

    pub(in crate::doors) fn into_response(self) -> Response {
        let name = self.exception.name();
        let message = cut(&self.message, MESSAGE);
        let body = match self.exception.origin() {
            Origin::Modelled => json(&ModelledError {
                exception: format!("com.amazonaws.cloudcontrol#{name}"),
                message,
            }),
            Origin::Common => json(&CommonError {
                exception: format!("com.amazon.coral.service#{name}"),
                message,
            }),
        };
        let mut response = (self.exception.status(), body).into_response();
        response
            .headers_mut()
            .insert("x-amzn-errortype", HeaderValue::from_static(name));
        response
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::new(
                Exception::RequestEntityTooLarge,
                format!("The request has more than {limit} bytes"),
            ),
            BodyError::TooSlow => Self::new(
                Exception::RequestTimeout,
                "The request did not arrive in time; send it whole",
            ),
            BodyError::Broken => Self::new(Exception::Serialization, "The request ended early"),
        }
    }
}
