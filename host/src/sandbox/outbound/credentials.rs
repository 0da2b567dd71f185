//! Where the operator's credentials come from.

use std::fmt;

use async_trait::async_trait;

use super::Cause;
use crate::model::Credentials;

/// Where credentials come from that belong to the operator.
///
/// Its `Display` names it in log lines, such as "the profile `deploy`".
#[async_trait]
pub trait CredentialsSource: fmt::Debug + fmt::Display + Send + Sync {
    /// Gives credentials that hold at least as long as an invocation may take.
    ///
    /// It is asked once in each invocation that signs, for each server, so it may
    /// keep credentials that expire until shortly before they do, and should look
    /// anew for others.
    /// When AWS has refused some of its credentials it is asked once more, for
    /// others than `refused`.
    ///
    /// # Errors
    ///
    /// When there are none. The cause is logged, so it must hold no secret.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    async fn credentials(
        &self,
        refused: Option<&Credentials>,
    ) -> Result<Credentials, CredentialsError>;
}

/// A source has no credentials.
#[derive(Debug, thiserror::Error)]
#[error("there are no credentials to be had")]
pub struct CredentialsError {
    source: Cause,
}

impl CredentialsError {
    /// Wraps why; it is logged.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: cause.into(),
        }
    }
}
