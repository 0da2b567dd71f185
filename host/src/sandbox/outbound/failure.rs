//! What the cause of a failure was, from the errors of the libraries below.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;

use tokio_rustls::rustls::{self, CertificateError};

use super::dial::DialError;
use super::policy::Kind;
use super::{Cause, OutboundError};

/// What went wrong with an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Failure {
    /// The name could not be looked up.
    Lookup,
    /// The name has no address.
    Nowhere,
    /// None of its addresses may be reached; this is the first.
    Prohibited {
        host: String,
        address: IpAddr,
        kind: Kind,
    },
    /// Nothing listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// No connection in time.
    Unconnected,
    /// The certificate is not one to trust; it may be signed by a stranger.
    Untrusted { stranger: bool },
    /// No TLS.
    Tls,
    /// The connection ended too early.
    Ended,
    /// No HTTP.
    Protocol,
    /// The head of the response is longer than any that is read.
    LongHead,
    /// The guest has not finished the body of its request.
    GivenUp,
    /// The guest sent more than it may.
    SentTooMuch { limit: usize },
}

impl Failure {
    /// Looks for the first error in a chain that is known.
    pub(super) fn of(cause: &(dyn StdError + 'static)) -> Self {
        // The error of a body stands behind one that only tells of it.
        let of_body = |error: &(dyn StdError + 'static)| {
            error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_user)
        };
        causes(cause)
            .find_map(Self::known)
            .unwrap_or(if causes(cause).any(of_body) {
                Self::GivenUp
            } else {
                Self::Protocol
            })
    }

    fn known(error: &(dyn StdError + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<DialError>() {
            return Some(match error {
                DialError::Lookup { .. } => Self::Lookup,
                DialError::Nowhere { .. } => Self::Nowhere,
                DialError::Prohibited {
                    host,
                    address,
                    kind,
                } => Self::Prohibited {
                    host: host.clone(),
                    address: *address,
                    kind: *kind,
                },
                DialError::Connect { source, .. } => match source.kind() {
                    io::ErrorKind::ConnectionRefused => Self::Refused,
                    io::ErrorKind::TimedOut => Self::Unconnected,
                    _ => Self::Unreachable,
                },
            });
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(match error {
                rustls::Error::InvalidCertificate(why) => Self::Untrusted {
                    stranger: *why == CertificateError::UnknownIssuer,
                },
                _ => Self::Tls,
            });
        }
        if let Some(OutboundError::SentTooMuch { limit }) = error.downcast_ref() {
            return Some(Self::SentTooMuch { limit: *limit });
        }
        if let Some(OutboundError::Unconnected { .. }) = error.downcast_ref() {
            return Some(Self::Unconnected);
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return match () {
                () if error.is_incomplete_message() || error.is_closed() => Some(Self::Ended),
                () if error.is_parse_too_large() => Some(Self::LongHead),
                () if error.is_parse() => Some(Self::Protocol),
                () => None,
            };
        }
        let error = error.downcast_ref::<io::Error>()?;
        // What an error of this type wraps tells more.
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
                if error.get_ref().is_none() =>
            {
                Some(Self::Ended)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "the name cannot be looked up",
            Self::Nowhere => "the name has no address",
            Self::Prohibited { .. } => "the address may not be reached",
            Self::Refused => "the server refuses connections",
            Self::Unreachable => "the server cannot be reached",
            Self::Unconnected => "the server does not answer",
            Self::Untrusted { .. } => "the server is not trusted",
            Self::Tls => "the server does not agree on TLS",
            Self::Ended => "the connection ended before the response did",
            Self::Protocol => "the server does not speak HTTP as it should",
            Self::LongHead => "the head of the response is longer than any that is read",
            Self::GivenUp => "the body of the request was not finished",
            Self::SentTooMuch { .. } => "the bodies of the requests are too large",
        })
    }
}

impl OutboundError {
    pub(super) fn from_cause(source: Cause) -> Self {
        Self::Failed {
            failure: Failure::of(source.as_ref()),
            source,
        }
    }
}

/// Walks from an error to its causes. An I/O error's `source` passes over the
/// very error that it wraps, so that one is asked for.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn StdError + 'static)| {
        let error = *error;
        match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as _),
            None => error.source(),
        }
    })
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "a shared address of a provider",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a metadata service",
            Self::Unspecified => "the unspecified address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmark => "an address for benchmarks",
            Self::Reserved => "a reserved address",
        })
    }
}
