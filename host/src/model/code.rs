//! The handler error codes.

use std::fmt;
use std::str::FromStr;

use super::InvalidName;

/// Why a handler failed, in CloudFormation's words.
///
/// The 19 codes of RecordHandlerProgress and the two that only Cloud Control
/// has, `UnauthorizedTaggingOperation` and `ServiceTimeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the handler contract explains the codes")]
pub enum HandlerErrorCode {
    NotUpdatable,
    InvalidRequest,
    AccessDenied,
    InvalidCredentials,
    AlreadyExists,
    NotFound,
    ResourceConflict,
    Throttling,
    ServiceLimitExceeded,
    NotStabilized,
    GeneralServiceException,
    ServiceInternalError,
    NetworkFailure,
    InternalFailure,
    InvalidTypeConfiguration,
    HandlerInternalFailure,
    NonCompliant,
    UnsupportedTarget,
    Unknown,
    UnauthorizedTaggingOperation,
    ServiceTimeout,
}

impl HandlerErrorCode {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 21] = [
        Self::NotUpdatable,
        Self::InvalidRequest,
        Self::AccessDenied,
        Self::InvalidCredentials,
        Self::AlreadyExists,
        Self::NotFound,
        Self::ResourceConflict,
        Self::Throttling,
        Self::ServiceLimitExceeded,
        Self::NotStabilized,
        Self::GeneralServiceException,
        Self::ServiceInternalError,
        Self::NetworkFailure,
        Self::InternalFailure,
        Self::InvalidTypeConfiguration,
        Self::HandlerInternalFailure,
        Self::NonCompliant,
        Self::UnsupportedTarget,
        Self::Unknown,
        Self::UnauthorizedTaggingOperation,
        Self::ServiceTimeout,
    ];

    /// Gives the code's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUpdatable => "NotUpdatable",
            Self::InvalidRequest => "InvalidRequest",
            Self::AccessDenied => "AccessDenied",
            Self::InvalidCredentials => "InvalidCredentials",
            Self::AlreadyExists => "AlreadyExists",
            Self::NotFound => "NotFound",
            Self::ResourceConflict => "ResourceConflict",
            Self::Throttling => "Throttling",
            Self::ServiceLimitExceeded => "ServiceLimitExceeded",
            Self::NotStabilized => "NotStabilized",
            Self::GeneralServiceException => "GeneralServiceException",
            Self::ServiceInternalError => "ServiceInternalError",
            Self::NetworkFailure => "NetworkFailure",
            Self::InternalFailure => "InternalFailure",
            Self::InvalidTypeConfiguration => "InvalidTypeConfiguration",
            Self::HandlerInternalFailure => "HandlerInternalFailure",
            Self::NonCompliant => "NonCompliant",
            Self::UnsupportedTarget => "UnsupportedTarget",
            Self::Unknown => "Unknown",
            Self::UnauthorizedTaggingOperation => "UnauthorizedTaggingOperation",
            Self::ServiceTimeout => "ServiceTimeout",
        }
    }

    /// Tells whether the contract lists the code as retriable.
    ///
    /// The source is the page "Handler error codes" of the CloudFormation CLI's
    /// user guide; what it does not list counts as terminal.
    #[must_use]
    pub const fn is_retriable(self) -> bool {
        match self {
            Self::ResourceConflict
            | Self::Throttling
            | Self::ServiceInternalError
            | Self::NetworkFailure => true,
            Self::NotUpdatable
            | Self::InvalidRequest
            | Self::AccessDenied
            | Self::InvalidCredentials
            | Self::AlreadyExists
            | Self::NotFound
            | Self::ServiceLimitExceeded
            | Self::NotStabilized
            | Self::GeneralServiceException
            | Self::InternalFailure
            | Self::InvalidTypeConfiguration
            | Self::HandlerInternalFailure
            | Self::NonCompliant
            | Self::UnsupportedTarget
            | Self::Unknown
            | Self::UnauthorizedTaggingOperation
            | Self::ServiceTimeout => false,
        }
    }
}

impl fmt::Display for HandlerErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HandlerErrorCode {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| {
                InvalidName::new(
                    "handler error code",
                    text,
                    "one of the 21 codes of the handler contract",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_text() {
        for code in HandlerErrorCode::ALL {
            assert_eq!(code.as_str().parse::<HandlerErrorCode>().ok(), Some(code));
        }
        assert!("notFound".parse::<HandlerErrorCode>().is_err());
    }
}
