//! Outgoing HTTP: what a handler may reach, and the way there.
//!
//! A request passes these, in this order, and nothing else leads out:
//!
//! 1. `wasi`: what the guest has begun of it is not too much to keep (`kept`).
//! 2. `exchange`: the invocation has requests left; its destination is read by
//!    the one parser (`pattern`), and matches what the operator grants and what
//!    the component wishes for. What is HTTP's own business, or would have it be
//!    another request, is taken from its headers.
//! 3. `signing`: what the host puts on it, if anything.
//! 4. `client`: a connection that this policy of this type has made before, or
//!    a new one.
//! 5. `dial`: the name is looked up once; each address is judged (`address`);
//!    those that are allowed are dialed, as addresses.
//! 6. `body`: bytes are counted, both ways, and trailers left out.
//!
//! *Invariant*: nothing is reached that the operator's list and the component's
//! do not both name, whatever a name resolves to, now or later.
//!
//! *Invariant*: addresses that are not public are reached by a grant for the
//! address only.
//!
//! *Invariant*: a response is given as it came; no redirect is followed.
//!
//! *Invariant*: a connection is used by handlers of one type under one policy.
//!
//! *Invariant*: a refusal is an error to the guest and never a trap; the log has
//! the setting that would allow it, and no path or query.
//!
//! Times are of the network, so they are real whatever the clock.

mod address;
mod body;
mod client;
mod dial;
mod exchange;
mod failure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod kept;
mod pattern;
mod refusal;
mod signing;
mod wasi;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use self::client::Client;
use self::failure::Failure;
use super::{Limit, Limits};

pub(super) use self::exchange::Outgoing;
pub(super) use self::signing::OnBehalf;
pub(super) use self::wasi::add_to_linker;

pub use self::address::{AddressGrant, AddressGrantError};
pub use self::client::{RootCertificate, RootCertificateError};
pub use self::dial::Resolver;
pub use self::pattern::{HttpPattern, HttpPatternError};
pub use self::signing::{
    CredentialsError, CredentialsSource, SecretGrant, SigningError, SigningGrant, SigningSource,
};

/// A cause whose type differs.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Says which HTTP requests a guest may make. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGrants {
    /// The requests; the component has to wish for them as well.
    pub requests: Vec<HttpPattern>,
    /// More requests, which the host signs; the first that stands for a request
    /// tells how.
    pub signatures: Vec<SigningGrant>,
    /// More requests, which the host puts secrets on.
    pub secrets: Vec<SecretGrant>,
    /// The addresses that may be reached besides public ones.
    pub addresses: Vec<AddressGrant>,
    /// The certificates that servers may be signed by, besides those that this
    /// machine trusts.
    pub roots: Vec<RootCertificate>,
}

/// What the requests of all handlers have in common.
#[derive(Clone)]
pub(super) struct Shared {
    resolver: Resolver,
    places: Arc<Semaphore>,
    /// How many of the places one component may have.
    share: usize,
}

impl Shared {
    /// Lets so many requests of all handlers be under way at once, and half of them
    /// of one: whoever holds all that it may leaves places to others.
    pub(super) fn new(places: usize, resolver: Resolver) -> Self {
        Self {
            resolver,
            places: Arc::new(Semaphore::new(places)),
            share: places.div_ceil(2),
        }
    }
}

/// The way out of one loaded component.
pub(super) struct Outbound {
    shared: Shared,
    wishes: Arc<[HttpPattern]>,
    /// Its places.
    share: Arc<Semaphore>,
    /// The policy of the last invocation; another takes its place, and with it
    /// go its connections.
    current: Mutex<Option<Arc<Granted>>>,
}

/// What is granted and wished for, and the connections made under it.
struct Granted {
    shared: Shared,
    grants: HttpGrants,
    wishes: Arc<[HttpPattern]>,
    share: Arc<Semaphore>,
    client: OnceLock<Client>,
}

impl Outbound {
    /// Makes the way out of a component that wishes for `wishes`.
    pub(super) fn new(shared: &Shared, wishes: Vec<HttpPattern>) -> Self {
        Self {
            shared: shared.clone(),
            wishes: wishes.into(),
            share: Arc::new(Semaphore::new(shared.share)),
            current: Mutex::new(None),
        }
    }

    fn granted(&self, grants: &HttpGrants) -> Arc<Granted> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(granted) if granted.grants == *grants => Arc::clone(granted),
            Some(_) | None => Arc::clone(current.insert(Arc::new(Granted {
                shared: self.shared.clone(),
                grants: grants.clone(),
                wishes: Arc::clone(&self.wishes),
                share: Arc::clone(&self.share),
                client: OnceLock::new(),
            }))),
        }
    }
}

impl Granted {
    fn client(&self) -> &Client {
        self.client
            .get_or_init(|| Client::new(&self.shared.resolver, &self.grants))
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboundError {
    #[error("the request has no method and URL that can be sent")]
    Destination,
    #[error("the request is not allowed")]
    Denied,
    #[error("the invocation has made its {limit} requests")]
    TooMany { limit: usize },
    #[error("no request could be added within {after:?} to {crowd}")]
    Crowded { crowd: Crowd, after: Duration },
    #[error("no connection within {after:?}")]
    Unconnected { after: Duration },
    #[error("the head of the response did not come within {after:?}")]
    Silent { after: Duration },
    #[error("the body of the request, which is signed, was not finished within {after:?}")]
    Unfinished { after: Duration },
    #[error("the next part of the body did not come within {after:?}")]
    Stalled { after: Duration },
    #[error("the bodies of the requests are more than {limit} bytes")]
    SentTooMuch { limit: usize },
    #[error("the bodies of the responses are more than {limit} bytes")]
    ReceivedTooMuch { limit: usize },
    #[error("the request cannot be signed")]
    Unsigned,
    #[error("the body of a request that is signed is more than {limit} bytes")]
    SignedTooMuch { limit: usize },
    #[error("the header fields of the response are {bytes} bytes, more than {limit}")]
    FieldsTooLarge { bytes: usize, limit: usize },
    #[error("{failure}")]
    Failed { failure: Failure, source: Cause },
}

/// Whose requests are so many that there is no place for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    Invocation,
    /// A loaded component, whose share of the host's places is all that it gets.
    Handler,
    Host,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invocation => "those of the invocation",
            Self::Handler => "those of its handler, which are half of what the host has places for",
            Self::Host => "those of all handlers, which are all that the host has places for",
        })
    }
}

impl OutboundError {
    /// Gives the limit that was reached, if it was one.
    fn limit(&self) -> Option<Limit<Limits>> {
        match self {
            Self::TooMany { .. } => Some(Limit::HTTP_REQUESTS),
            Self::Crowded {
                crowd: Crowd::Invocation,
                ..
            } => Some(Limit::HTTP_CONCURRENCY),
            Self::Unconnected { .. } => Some(Limit::HTTP_CONNECT),
            Self::Silent { .. } | Self::Unfinished { .. } => Some(Limit::HTTP_FIRST_BYTE),
            Self::Stalled { .. } => Some(Limit::HTTP_BETWEEN_BYTES),
            Self::SentTooMuch { .. }
            | Self::Failed {
                failure: Failure::SentTooMuch { .. },
                ..
            } => Some(Limit::HTTP_SENT),
            Self::ReceivedTooMuch { .. } => Some(Limit::HTTP_RECEIVED),
            Self::SignedTooMuch { .. } => Some(Limit::HTTP_SIGNED),
            Self::FieldsTooLarge { .. } => Some(Limit::HTTP_FIELDS),
            Self::Destination
            | Self::Denied
            | Self::Crowded { .. }
            | Self::Unsigned
            | Self::Failed { .. } => None,
        }
    }

    /// Gives how long was waited, if it was for too long.
    const fn waited(&self) -> Option<Duration> {
        match self {
            Self::Unconnected { after }
            | Self::Silent { after }
            | Self::Unfinished { after }
            | Self::Stalled { after } => Some(*after),
            _ => None,
        }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("wishes", &self.wishes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
