//! What the door says where there is no event to give, in Lambda's words.
//!
//! Names and statuses are those of Lambda's `Invoke`; the shape is that of the
//! REST JSON protocol.

use axum::response::{IntoResponse, Response};
use formwork_host::model::RequestToken;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::super::body::BodyError;

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub(in crate::doors) enum Refusal {
    #[error(
        "there is no `{method} {path}` here; invoke a handler by `POST /2015-03-31/functions/NAME/invocations`"
    )]
    NoSuchCall { method: Method, path: String },
    #[error("`{method}` is not for invocations; use POST")]
    Method { method: Method },
    #[error("requests of web pages are refused: leave the header `Origin` out")]
    Browser,
    #[error("{0}")]
    NotPermitted(String),
    #[error("there is no function `{name}`; use {known}")]
    NoFunction { name: String, known: String },
    #[error("{0}")]
    Parameter(String),
    #[error("cannot use the payload: {0}")]
    Content(String),
    #[error("the request has more than {limit} bytes, which {what} may have at most")]
    TooLarge { limit: usize, what: &'static str },
    #[error("{0}")]
    TooMany(&'static str),
    #[error("the request did not arrive in time; send it whole")]
    TooSlow,
    #[error(
        "the bearer token stands for another request, operation {holder}; a new request has a bearer token of its own"
    )]
    TokenReused { holder: RequestToken },
    #[error("this server is shutting down; send the request again to the next one")]
    Stopped,
    #[error("this server could not run the handler; its log says why")]
    Host,
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchCall { .. } | Self::NoFunction { .. } => StatusCode::NOT_FOUND,
            Self::Browser | Self::NotPermitted(_) => StatusCode::FORBIDDEN,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Parameter(_) | Self::Content(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TokenReused { .. } => StatusCode::CONFLICT,
            Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Self::Host => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::NoSuchCall { .. } | Self::Method { .. } => "UnknownOperationException",
            Self::Browser | Self::NotPermitted(_) => "AccessDeniedException",
            Self::NoFunction { .. } => "ResourceNotFoundException",
            Self::Parameter(_) => "InvalidParameterValueException",
            Self::Content(_) => "InvalidRequestContentException",
            Self::TooLarge { .. } => "RequestTooLargeException",
            Self::TooMany(_) => "TooManyRequestsException",
            Self::TooSlow => "RequestTimeoutException",
            Self::TokenReused { .. } => "ResourceConflictException",
            Self::Stopped | Self::Host => "ServiceException",
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::TooLarge {
                limit,
                what: "a payload",
            },
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Broken => Self::Content("it ended early".to_owned()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let fault = if status.is_server_error() {
            "Service"
        } else {
            "User"
        };
        let body = json!({"Type": fault, "Message": self.to_string()}).to_string();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.name()));
        match self {
            Self::Method { .. } => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            // What is left of the request is not waited for.
            Self::TooSlow => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NoSuchCall { .. }
            | Self::Browser
            | Self::NotPermitted(_)
            | Self::NoFunction { .. }
            | Self::Parameter(_)
            | Self::Content(_)
            | Self::TooLarge { .. }
            | Self::TooMany(_)
            | Self::TokenReused { .. }
            | Self::Stopped
            | Self::Host => {}
        }
        response
    }
}
