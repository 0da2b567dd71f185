//! What the operator lets the host put on requests, so that the guest need not hold
//! it: signatures of Signature Version 4, and named secrets.
//!
//! *Invariant*: a secret is for one server, and read by nobody on the way there. A
//! signature is for hosts that are named, and over plain HTTP for this machine or for
//! one server elsewhere.
//!
//! *Invariant*: no secret is in a log or in an error.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::Region;
use crate::sandbox::outbound::CredentialsSource;
use crate::sandbox::outbound::policy::{HttpPattern, fields};

/// Whose credentials requests are signed with.
#[derive(Clone, Debug)]
pub enum SigningSource {
    /// Those that came with the request. They cannot be refreshed.
    Caller,
    /// The operator's.
    Operator(Arc<dyn CredentialsSource>),
}

impl PartialEq for SigningSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Caller, Self::Caller) => true,
            (Self::Operator(one), Self::Operator(other)) => Arc::ptr_eq(one, other),
            (Self::Caller, Self::Operator(_)) | (Self::Operator(_), Self::Caller) => false,
        }
    }
}

impl Eq for SigningSource {}

/// Lets a guest make requests to AWS, and has the host sign them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningGrant {
    requests: HttpPattern,
    pub(super) service: String,
    pub(super) region: Option<Region>,
    pub(super) sources: Vec<SigningSource>,
}

/// Lets a guest make requests to one server, and puts a secret into a header
/// field of each.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretGrant {
    requests: HttpPattern,
    field: HeaderName,
    value: HeaderValue,
}

/// Why the host cannot put something on requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SigningError {
    #[error(
        "requests to any host, or to all below a name such as `com`, cannot be signed, since each would be shown a session token: name \
         the hosts, as `https://dynamodb.eu-central-1.amazonaws.com` does, or \
         `https://*.s3.eu-central-1.amazonaws.com`"
    )]
    AnyHost,
    #[error(
        "`{service}` is no name of a service to sign for: it has small letters, digits and `-`, \
         such as `s3` or `execute-api`"
    )]
    Service { service: String },
    #[error("requests are signed with the credentials of nobody: name a source of them")]
    NoSource,
    #[error(
        "a secret is for one server alone: name its host and its port without `*`, not `{requests}`"
    )]
    ManyServers { requests: HttpPattern },
    #[error(
        "what is put on requests would be read on the way to `{requests}`: use `https`, or an \
         address of this machine"
    )]
    Readable { requests: HttpPattern },
    #[error("`{name}` is no header field that a secret can be in, such as `X-Api-Key`")]
    Field { name: String },
    #[error("the secret cannot be in a header field: it must be of one line, without controls")]
    Value,
}

impl SigningGrant {
    /// Has requests signed for a service such as `s3`, in `region` or, without one,
    /// in that of the invocation. The first of the sources that has credentials
    /// which AWS accepts is used.
    ///
    /// # Errors
    ///
    /// When the requests may go to any host, or any below one label such as `com`, or over plain HTTP to more than one server
    /// elsewhere, the service has no such name, or there is no source.
    pub fn new(
        requests: HttpPattern,
        service: impl Into<String>,
        region: Option<Region>,
        sources: Vec<SigningSource>,
    ) -> Result<Self, SigningError> {
        let service = service.into();
        Self::check(&requests, &service)?;
        if sources.is_empty() {
            return Err(SigningError::NoSource);
        }
        Ok(Self {
            requests,
            service,
            region,
            sources,
        })
    }

    /// Checks what can be checked before there are sources.
    ///
    /// # Errors
    ///
    /// As [`SigningGrant::new`].
    pub fn check(requests: &HttpPattern, service: &str) -> Result<(), SigningError> {
        if requests.has_any_host() {
            return Err(SigningError::AnyHost);
        }
        // One server can be known to be near, such as a container beside this one.
        if !requests.is_confidential() && !requests.has_one_origin() {
            return Err(SigningError::Readable {
                requests: requests.clone(),
            });
        }
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if service.is_empty() || !service.bytes().all(fits) {
            return Err(SigningError::Service {
                service: service.to_owned(),
            });
        }
        Ok(())
    }

    /// Gives the requests.
    #[must_use]
    pub const fn requests(&self) -> &HttpPattern {
        &self.requests
    }

    /// Tells whether the requests can be read on the way, and with them a session
    /// token: they go to a server elsewhere over plain HTTP.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.requests.is_confidential()
    }

    /// Tells whether the requests may go to hosts that AWS gives to whoever rents
    /// them, such as those of API Gateway, each of which would be shown a session
    /// token: `https://*.amazonaws.com` stands for them too.
    #[must_use]
    pub fn has_rented_hosts(&self) -> bool {
        self.requests.has_rented_hosts()
    }

    /// Tells whether requests may be signed with the credentials that came with
    /// the request.
    #[must_use]
    pub fn takes_callers(&self) -> bool {
        self.sources.contains(&SigningSource::Caller)
    }

    /// Tells whether no credentials but those will do.
    #[must_use]
    pub fn needs_callers(&self) -> bool {
        self.sources == [SigningSource::Caller]
    }
}

impl SecretGrant {
    /// Puts `value` into the header field `field` of requests.
    ///
    /// # Errors
    ///
    /// When the requests go to more than one server, can be read on the way, or the
    /// field cannot have the value. The error does not repeat the value.
    pub fn new(requests: HttpPattern, field: &str, value: &str) -> Result<Self, SigningError> {
        let field = Self::check(&requests, field)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| SigningError::Value)?;
        value.set_sensitive(true);
        Ok(Self {
            requests,
            field,
            value,
        })
    }

    /// Checks what can be checked before the secret is read, and gives the field.
    fn check(requests: &HttpPattern, field: &str) -> Result<HeaderName, SigningError> {
        if !requests.has_one_origin() {
            return Err(SigningError::ManyServers {
                requests: requests.clone(),
            });
        }
        if !requests.is_confidential() {
            return Err(SigningError::Readable {
                requests: requests.clone(),
            });
        }
        HeaderName::from_bytes(field.as_bytes())
            .ok()
            .filter(|name| !fields::is_forbidden(name) && *name != http::header::CONTENT_LENGTH)
            .ok_or_else(|| SigningError::Field {
                name: field.to_owned(),
            })
    }

    /// Checks what can be checked before the secret is read.
    ///
    /// # Errors
    ///
    /// As [`SecretGrant::new`].
    pub fn check_field(requests: &HttpPattern, field: &str) -> Result<(), SigningError> {
        Self::check(requests, field).map(drop)
    }

    /// Gives the requests.
    #[must_use]
    pub const fn requests(&self) -> &HttpPattern {
        &self.requests
    }

    /// Puts the secret on a request, in place of all that may be taken for it.
    pub(super) fn put(&self, fields: &mut HeaderMap) {
        fields::remove(fields, self.field.as_str());
        fields.insert(&self.field, self.value.clone());
    }
}

impl fmt::Debug for SecretGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretGrant")
            .field("requests", &self.requests)
            .field("field", &self.field)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
