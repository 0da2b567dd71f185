//! HTTP requests, made through the host.
//!
//! A handler reaches what it wishes for (`outgoing_hosts` of the attribute
//! [`resource`](macro@crate::resource)) and its operator grants, both. The host
//! looks names up, speaks TLS and keeps connections; it follows no redirect.
//!
//! ```no_run
//! use formwork_guest::{HandlerError, http};
//!
//! # fn example() -> Result<(), HandlerError> {
//! let created = http::Request::post("https://api.example.com/v1/things")
//!     .json(&serde_json::json!({"name": "a"}))
//!     .send()?
//!     .success()?;
//! let thing: serde_json::Value = created.json()?;
//! # Ok(())
//! # }
//! ```
//!
//! Natively nothing is sent: [`Request::send`] gives [`Error::Natively`].

use std::fmt;
use std::str::Utf8Error;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ErrorCode, HandlerError};

#[cfg(target_family = "wasm")]
mod wasi;

/// A request in the making.
#[derive(Clone, Debug)]
#[must_use = "it is made by `send`"]
pub struct Request {
    method: String,
    url: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

/// What a server answered, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    origin: Origin,
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// A method and where to, without the path, which may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The URL is none, or has another scheme than `http` and `https`.
    Url {
        /// The request.
        origin: Origin,
    },
    /// A header field that is none, or that only the host may set, such as `Host`.
    Field {
        /// The name of the field.
        name: String,
    },
    /// The handler does not wish for the request, or its operator does not grant it.
    Denied {
        /// The request.
        origin: Origin,
    },
    /// The invocation has used up what it may send or receive.
    OverLimit {
        /// The request.
        origin: Origin,
        /// What is used up.
        what: &'static str,
    },
    /// The server was reached, and did not answer in time.
    TimedOut {
        /// The request.
        origin: Origin,
    },
    /// The server was not reached, or is not the one that it should be.
    Unreachable {
        /// The request.
        origin: Origin,
        /// What failed.
        why: String,
    },
    /// The exchange broke off.
    Broken {
        /// The request.
        origin: Origin,
        /// What failed.
        why: String,
    },
    /// Requests are made in a component only; this is a native program.
    Natively,
}

impl Request {
    /// Makes a request of any method.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            fields: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    /// Makes a GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Makes a POST.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Makes a PUT.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// Makes a PATCH.
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }

    /// Makes a DELETE.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header field; a name can be added several times.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a body of JSON, and its content type.
    ///
    /// # Panics
    ///
    /// When `value` is no JSON, such as a map whose keys are no texts.
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("the body of a request is JSON");
        self.header("content-type", "application/json").body(body)
    }

    /// Sets the longest wait for a connection, for the head of the response, and
    /// for each part of its body. Default: what the host allows at most.
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = Some(longest);
        self
    }

    /// Sends the request, and reads its response to the end.
    ///
    /// # Errors
    ///
    /// When there is no whole response. A response that says no is one.
    pub fn send(self) -> Result<Response, Error> {
        #[cfg(target_family = "wasm")]
        return wasi::send(self);
        #[cfg(not(target_family = "wasm"))]
        Err(Error::Natively)
    }

    #[cfg_attr(
        not(any(target_family = "wasm", test)),
        expect(dead_code, reason = "nothing is sent natively")
    )]
    fn origin(&self) -> Origin {
        let start = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let rest = &self.url[start..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        // A password is no part of an origin.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        Origin(format!("{} {}{host}", self.method, &self.url[..start]))
    }
}

impl Response {
    /// Gives the status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Says whether the status is one of success, 200 to 299.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..300)
    }

    /// Gives the first header field of a name, in any case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Gives all header fields.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Gives the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Gives the body as text.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.body)
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    ///
    /// When it is none, or has another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Takes a status other than success for a failure, with the code that fits:
    /// 404 is `NotFound`, 429 `Throttling`, 500 `ServiceInternalError` and so on.
    ///
    /// # Errors
    ///
    /// When the status is not from 200 to 299.
    pub fn success(self) -> Result<Self, HandlerError> {
        if self.is_success() {
            return Ok(self);
        }
        let code = match self.status {
            400 | 422 => ErrorCode::InvalidRequest,
            401 => ErrorCode::InvalidCredentials,
            403 => ErrorCode::AccessDenied,
            404 | 410 => ErrorCode::NotFound,
            409 => ErrorCode::ResourceConflict,
            429 => ErrorCode::Throttling,
            504 => ErrorCode::ServiceTimeout,
            500.. => ErrorCode::ServiceInternalError,
            _ => ErrorCode::GeneralServiceException,
        };
        let Self { origin, status, .. } = self;
        Err(HandlerError::new(
            code,
            format_args!("{origin} was answered with status {status}"),
        ))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { origin } => write!(
                formatter,
                "cannot send {origin}: its URL is none of `http://` or `https://`"
            ),
            Self::Field { name } => write!(
                formatter,
                "cannot send the header field `{name}`: it is none, or the host's own"
            ),
            Self::Denied { origin } => write!(
                formatter,
                "the host refuses {origin}: its log tells the operator what would allow it"
            ),
            Self::OverLimit { origin, what } => {
                write!(formatter, "the host breaks off {origin}: {what}")
            }
            Self::TimedOut { origin } => {
                write!(formatter, "{origin} was not answered in time")
            }
            Self::Unreachable { origin, why } => {
                write!(formatter, "cannot reach the server of {origin}: {why}")
            }
            Self::Broken { origin, why } => write!(formatter, "{origin} broke off: {why}"),
            Self::Natively => formatter.write_str(
                "HTTP requests are made in a component only, and this is a native program",
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Url { .. } | Error::Field { .. } | Error::Natively => ErrorCode::InternalFailure,
            Error::Denied { .. } => ErrorCode::AccessDenied,
            Error::OverLimit { .. } => ErrorCode::ServiceLimitExceeded,
            Error::TimedOut { .. } => ErrorCode::ServiceTimeout,
            Error::Unreachable { .. } | Error::Broken { .. } => ErrorCode::NetworkFailure,
        };
        Self::new(code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16) -> Response {
        Response {
            origin: Request::get("https://example.com/a?token=s3cr3t").origin(),
            status,
            fields: vec![("X-A".to_owned(), b"1".to_vec())],
            body: b"{\"a\":1}".to_vec(),
        }
    }

    #[test]
    fn natively_nothing_is_sent() {
        let error = Request::get("https://example.com")
            .send()
            .expect_err("native");
        assert_eq!(error, Error::Natively);
        assert_eq!(HandlerError::from(error).code(), ErrorCode::InternalFailure);
    }

    #[test]
    fn a_status_that_says_no_is_the_code_that_fits_and_tells_no_path() {
        assert!(response(204).success().is_ok());
        for (status, code) in [
            (301, ErrorCode::GeneralServiceException),
            (404, ErrorCode::NotFound),
            (429, ErrorCode::Throttling),
            (503, ErrorCode::ServiceInternalError),
        ] {
            let error = response(status).success().expect_err("no");
            assert_eq!(error.code(), code, "{status}");
            let words = format!("GET https://example.com was answered with status {status}");
            assert_eq!(error.message(), words);
        }
    }

    #[test]
    fn a_response_is_read_as_what_it_is() {
        let response = response(200);
        assert_eq!(response.header("x-a"), Some("1"));
        assert_eq!(response.text(), Ok("{\"a\":1}"));
        let json: serde_json::Value = response.json().expect("JSON");
        assert_eq!(json["a"], 1);
    }

    #[test]
    fn an_origin_has_no_password() {
        for (url, origin) in [
            ("https://u:p@a.example:8443/x", "PUT https://a.example:8443"),
            ("https://a.example?b", "PUT https://a.example"),
            ("nothing", "PUT nothing"),
        ] {
            assert_eq!(Request::put(url).origin().to_string(), origin);
        }
    }
}
