//! Why a handler says no: codes, the error that carries one, and ways to get it from `?`.

use std::error::Error;
use std::fmt;
use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::formwork::handler::types as wit;
use crate::json;

/// What a handler's functions give: a value, or the reason why they failed.
pub type Result<T, E = HandlerError> = std::result::Result<T, E>;

macro_rules! error_codes {
    ($($(#[$doc:meta])+ $variant:ident $constructor:ident $retriable:literal,)+) => {
        /// Names why a handler failed, in CloudFormation's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Says whether the host repeats an invocation that failed with this code.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => $retriable,)+
                }
            }

            /// Gives CloudFormation's spelling, for example `NotFound`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }

        impl From<ErrorCode> for wit::ErrorCode {
            fn from(code: ErrorCode) -> Self {
                match code {
                    $(ErrorCode::$variant => Self::$variant,)+
                }
            }
        }

        impl From<wit::ErrorCode> for ErrorCode {
            fn from(code: wit::ErrorCode) -> Self {
                match code {
                    $(wit::ErrorCode::$variant => Self::$variant,)+
                }
            }
        }

        impl HandlerError {
            $(
                $(#[$doc])+
                #[must_use]
                pub fn $constructor(message: impl fmt::Display) -> Self {
                    Self::new(ErrorCode::$variant, message)
                }
            )+
        }
    };
}

error_codes! {
    /// An update asked to change a create-only property.
    NotUpdatable not_updatable false,
    /// The input is invalid.
    InvalidRequest invalid_request false,
    /// The caller lacks a permission.
    AccessDenied access_denied false,
    /// The supplied credentials are invalid.
    InvalidCredentials invalid_credentials false,
    /// A create found that the resource existed before.
    AlreadyExists already_exists false,
    /// The resource does not exist.
    NotFound not_found false,
    /// The resource is busy with another operation. Retriable.
    ResourceConflict resource_conflict true,
    /// The downstream service throttled the request. Retriable.
    Throttling throttling true,
    /// A quota that does not pass by waiting is used up.
    ServiceLimitExceeded service_limit_exceeded false,
    /// The resource did not reach its desired state in time.
    NotStabilized not_stabilized false,
    /// A downstream error that fits no other code.
    GeneralServiceException general_service_exception false,
    /// The downstream service failed internally, usually a 5xx. Retriable.
    ServiceInternalError service_internal_error true,
    /// The downstream service could not be reached. Retriable.
    NetworkFailure network_failure true,
    /// The handler failed unexpectedly.
    InternalFailure internal_failure false,
    /// The type configuration is missing or wrong.
    InvalidTypeConfiguration invalid_type_configuration false,
    /// The handler failed unexpectedly; the newer twin of `InternalFailure`.
    HandlerInternalFailure handler_internal_failure false,
    /// Hooks only: the target violates the policy.
    NonCompliant non_compliant false,
    /// Hooks only: the hook does not know the target.
    UnsupportedTarget unsupported_target false,
    /// Hooks only: the hook failed for another reason than the policy.
    Unknown unknown false,
    /// The caller may not tag the resource.
    UnauthorizedTaggingOperation unauthorized_tagging_operation false,
    /// The downstream service did not answer in time.
    ServiceTimeout service_timeout false,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Says that an action failed: a code for CloudFormation, a sentence for the
/// user, and what was made before the failure.
///
/// There is a constructor for each code, for example
/// [`not_found`](HandlerError::not_found). `?` turns an [`io::Error`] or a
/// [`serde_json::Error`] into one, and [`OrFail`] any other error.
#[derive(Clone, Debug, PartialEq)]
pub struct HandlerError {
    code: ErrorCode,
    message: String,
    // Boxed, for an error is moved through every `?`.
    model: Option<Box<Map<String, Value>>>,
}

impl HandlerError {
    /// Makes an error. An empty message becomes the name of the code, because
    /// the contract wants words.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self {
            code,
            message: if message.trim().is_empty() {
                code.to_string()
            } else {
                message
            },
            model: None,
        }
    }

    /// Names what was made before the failure, so that it can be deleted.
    ///
    /// A create that fails after it made something must do this, or nobody
    /// knows of the resource. [`Request::created`](crate::Request::created)
    /// and [`Chain`](crate::Chain) do it for every later error.
    #[must_use]
    pub fn with_model(mut self, model: &impl Serialize) -> Self {
        match json::object("the model of a failure", model) {
            Ok(model) => self.model = Some(Box::new(model)),
            Err(error) => crate::log::error!("{error}"),
        }
        self
    }

    pub(crate) fn with_object(mut self, model: Map<String, Value>) -> Self {
        self.model = Some(Box::new(model));
        self
    }

    /// Puts words before the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Gives the reason.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Gives the sentence for the user.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Gives what was made before the failure.
    #[must_use]
    pub fn model(&self) -> Option<&Map<String, Value>> {
        self.model.as_deref()
    }

    pub(crate) fn into_parts(self) -> (ErrorCode, String, Option<Map<String, Value>>) {
        (self.code, self.message, self.model.map(|model| *model))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl Error for HandlerError {}

impl From<io::Error> for HandlerError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let code = match error.kind() {
            Kind::NotFound => ErrorCode::NotFound,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => ErrorCode::AccessDenied,
            Kind::AlreadyExists => ErrorCode::AlreadyExists,
            Kind::TimedOut
            | Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown => ErrorCode::NetworkFailure,
            Kind::StorageFull | Kind::QuotaExceeded => ErrorCode::ServiceLimitExceeded,
            _ => ErrorCode::GeneralServiceException,
        };
        Self::new(code, error)
    }
}

impl From<serde_json::Error> for HandlerError {
    /// JSON that a handler itself reads or writes is not the caller's input:
    /// what is wrong with it is an internal failure.
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            Self::from(io::Error::from(error))
        } else {
            Self::internal_failure(error)
        }
    }
}

/// Turns any error, or a missing value, into a [`HandlerError`] with a code of
/// the caller's choice.
///
/// ```
/// use formwork_guest::{ErrorCode, HandlerError, OrFail as _};
///
/// fn port(text: &str) -> Result<u16, HandlerError> {
///     text.parse().or_fail(ErrorCode::InvalidRequest, "Port is not a port number")
/// }
/// assert_eq!(
///     port("x").unwrap_err().message(),
///     "Port is not a port number: invalid digit found in string"
/// );
/// ```
pub trait OrFail<T> {
    /// Gives the value, or fails with the code and `context: error: its source`.
    ///
    /// # Errors
    ///
    /// Gives the error where `self` is one, or is `None`.
    fn or_fail(self, code: ErrorCode, context: impl fmt::Display) -> Result<T>;
}

impl<T, E: Error> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, code: ErrorCode, context: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let mut message = format!("{context}: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                message.push_str(": ");
                message.push_str(&cause.to_string());
                source = cause.source();
            }
            HandlerError::new(code, message)
        })
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, code: ErrorCode, context: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| HandlerError::new(code, context))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn every_code_crosses_the_contract_and_comes_back() {
        assert_eq!(ErrorCode::ALL.len(), 21);
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from(wit::ErrorCode::from(*code)), *code);
        }
    }

    #[test]
    fn exactly_the_four_codes_of_the_contract_are_retriable() {
        let retriable: Vec<_> = ErrorCode::ALL
            .iter()
            .filter(|code| code.is_retriable())
            .map(|code| code.as_str())
            .collect();
        assert_eq!(
            retriable,
            [
                "ResourceConflict",
                "Throttling",
                "ServiceInternalError",
                "NetworkFailure"
            ]
        );
    }

    #[test]
    fn io_errors_get_the_code_that_their_kind_means() {
        for (kind, code) in [
            (io::ErrorKind::NotFound, ErrorCode::NotFound),
            (io::ErrorKind::PermissionDenied, ErrorCode::AccessDenied),
            (io::ErrorKind::AlreadyExists, ErrorCode::AlreadyExists),
            (io::ErrorKind::TimedOut, ErrorCode::NetworkFailure),
            (io::ErrorKind::ConnectionReset, ErrorCode::NetworkFailure),
            (io::ErrorKind::StorageFull, ErrorCode::ServiceLimitExceeded),
            (
                io::ErrorKind::QuotaExceeded,
                ErrorCode::ServiceLimitExceeded,
            ),
            (
                io::ErrorKind::InvalidData,
                ErrorCode::GeneralServiceException,
            ),
        ] {
            assert_eq!(HandlerError::from(io::Error::from(kind)).code(), code);
        }
    }

    #[test]
    fn a_failure_always_has_words() {
        assert_eq!(HandlerError::throttling(" ").message(), "Throttling");
    }

    #[test]
    fn a_failure_carries_its_model_without_nulls() {
        let model = serde_json::json!({"Name": "a", "Size": null});
        let error = HandlerError::not_stabilized("no disk").with_model(&model);
        assert_eq!(
            Value::from(error.model().unwrap().clone()),
            serde_json::json!({"Name": "a"})
        );
    }

    #[test]
    fn a_missing_value_fails_with_the_words_alone() {
        let none: Option<u8> = None;
        assert_eq!(
            none.or_fail(ErrorCode::NotFound, "no such volume"),
            Err(HandlerError::not_found("no such volume"))
        );
    }
}
