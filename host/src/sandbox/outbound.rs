//! Outgoing HTTP: what a handler may reach, and the way there.
//!
//! `policy` decides, and says at its head in which order to read it. The rest carries
//! out what was decided, and cannot get around it: what it sends and what it dials are
//! values that `policy` alone makes. A request passes these, in this order, and nothing
//! else leads out:
//!
//! 1. `wasi`: what the guest has begun of it is not too much to keep (`kept`).
//! 2. `exchange`: the invocation has requests left; the policy admits it, or `refusal`
//!    tells the operator what would allow it; it has its `places`.
//! 3. `signer`: where the policy has it signed, credentials are found (`credentials`).
//! 4. `client`: a connection that this policy of this type has made before, or
//!    a new one.
//! 5. `dial`: the name is looked up once; those of its addresses that the policy
//!    allows are dialed, as addresses. A `connection` ends once nobody uses it.
//! 6. `body`: bytes are counted, both ways, and trailers left out.
//! 7. `failure`: what went wrong, if something did.
//!
//! *Invariant*: nothing is reached that the operator's list and the component's
//! do not both name, whatever a name resolves to, now or later.
//!
//! *Invariant*: addresses that are not public are reached by a grant for the
//! address only.
//!
//! *Invariant*: a response is given as it came; no redirect is followed.
//!
//! *Invariant*: a connection is used by handlers of one type under one policy, and no
//! server keeps one from its end.
//!
//! *Invariant*: no credentials and no secret are in the memory of a guest, in a
//! log or in an error.
//!
//! *Invariant*: a refusal is an error to the guest and never a trap; the log has
//! the setting that would allow it, and no path or query.
//!
//! Times are of the network, so they are real whatever the clock.

mod body;
mod client;
mod connection;
mod credentials;
mod dial;
mod exchange;
mod failure;
mod kept;
mod policy;
mod refusal;
mod signer;
mod waiting;
mod wasi;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use self::client::Client;
use self::failure::Failure;
use self::policy::Policy;
use super::places::{Places, Share};
use super::{HttpLimits, Limit, Limits};

pub(super) use self::exchange::{OnBehalf, Outgoing};
pub(super) use self::wasi::add_to_linker;

pub use self::client::{RootCertificate, RootCertificateError};
pub use self::credentials::{CredentialsError, CredentialsSource};
pub use self::dial::Resolver;
#[cfg(feature = "fuzzing")]
pub use self::policy::fuzzing;
pub use self::policy::{
    AddressGrant, AddressGrantError, HttpGrants, HttpPattern, HttpPatternError, SecretGrant,
    SigningError, SigningGrant, SigningSource,
};

/// A cause whose type differs.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the requests of all handlers have in common.
#[derive(Clone)]
pub(super) struct Shared {
    threads: Handle,
    resolver: Resolver,
    requests: Arc<Places>,
    lookups: Arc<Places>,
    connections: Arc<Places>,
}

impl Shared {
    /// The threads are those that move the bytes.
    pub(super) fn new(limits: HttpLimits, resolver: Resolver, threads: Handle) -> Self {
        Self {
            threads,
            resolver,
            requests: Places::new(limits.requests, 1),
            // One that nobody answers takes as long as the system is patient.
            lookups: Places::new(limits.lookups, 8),
            connections: Places::new(limits.connections, 1),
        }
    }
}

/// The way out of one loaded component.
pub(super) struct Outbound {
    shared: Shared,
    wishes: Arc<[HttpPattern]>,
    requests: Share,
    lookups: Share,
    connections: Share,
    /// The policy of the last invocation; another takes its place, and with it
    /// go its connections.
    current: Mutex<Option<Arc<Granted>>>,
}

/// What is granted and wished for, and the connections made under it.
struct Granted {
    policy: Arc<Policy>,
    shared: Shared,
    requests: Share,
    lookups: Share,
    connections: Share,
    client: OnceLock<Client>,
}

impl Outbound {
    /// Makes the way out of a component that wishes for `wishes`.
    pub(super) fn new(shared: &Shared, wishes: Vec<HttpPattern>) -> Self {
        Self {
            shared: shared.clone(),
            wishes: wishes.into(),
            requests: Share::new(&shared.requests),
            lookups: Share::new(&shared.lookups),
            connections: Share::new(&shared.connections),
            current: Mutex::new(None),
        }
    }

    fn granted(&self, grants: &HttpGrants) -> Arc<Granted> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(granted) if granted.policy.grants() == grants => Arc::clone(granted),
            Some(_) | None => Arc::clone(current.insert(Arc::new(Granted {
                policy: Arc::new(Policy::new(grants.clone(), Arc::clone(&self.wishes))),
                shared: self.shared.clone(),
                requests: self.requests.clone(),
                lookups: self.lookups.clone(),
                connections: self.connections.clone(),
                client: OnceLock::new(),
            }))),
        }
    }
}

impl Granted {
    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(self))
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
    #[error("there was no place within {after:?} among {crowd}")]
    Crowded { crowd: Crowd, after: Duration },
    #[error("no connection within {after:?}")]
    Unconnected { after: Duration },
    #[error("the head of the response did not come within {after:?}")]
    Silent { after: Duration },
    #[error("the body of the request was not sent within {after:?}")]
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

/// What there is no place among, since all are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// The requests of one invocation.
    Invocation,
    /// Those of all handlers, by what is left to one.
    Requests,
    /// The names that all handlers look up, by what is left to one.
    Lookups,
    /// The connections of all handlers, by what is left to one.
    Connections,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invocation => "the requests of its invocation",
            Self::Requests => "the requests of all handlers, of which one has half at most",
            Self::Lookups => "the names that handlers look up, of which one has a ninth at most",
            Self::Connections => "the connections of all handlers, of which one has half at most",
        })
    }
}

impl OutboundError {
    /// Gives the limit of the invocation that was reached, if it was one.
    fn limit(&self) -> Option<Limit<Limits>> {
        match self {
            Self::TooMany { .. } => Some(Limit::HTTP_REQUESTS),
            Self::Crowded { crowd, .. } => match crowd {
                Crowd::Invocation => Some(Limit::HTTP_CONCURRENCY),
                Crowd::Requests | Crowd::Lookups | Crowd::Connections => None,
            },
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
            Self::Destination | Self::Denied | Self::Unsigned | Self::Failed { .. } => None,
        }
    }

    /// Gives the limit of all handlers that was reached, if it was one.
    const fn shared_limit(&self) -> Option<Limit<HttpLimits>> {
        let Self::Crowded { crowd, .. } = self else {
            return None;
        };
        match crowd {
            Crowd::Invocation => None,
            Crowd::Requests => Some(Limit::REQUESTS),
            Crowd::Lookups => Some(Limit::LOOKUPS),
            Crowd::Connections => Some(Limit::CONNECTIONS),
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
