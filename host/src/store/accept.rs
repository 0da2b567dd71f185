//! What is accepted, what it is told from others by, and why it is not.

use std::fmt;

use crate::model::{BearerToken, ClientToken, RequestToken, Scope, Timestamp};
use crate::operation::{Operation, Transition};

use super::StoreError;

/// A request to accept.
#[derive(Clone)]
pub struct Accept {
    /// The new operation with its first event, from [`Operation::accept`].
    pub transition: Transition,
    /// The caller's idempotency key, and the bytes that tell its request from
    /// others. The bytes may hold secrets: a store keeps a keyed hash of them.
    pub key: Option<(IdempotencyKey, Vec<u8>)>,
    /// What the state is based on that the request was made from, if it was made
    /// from one.
    pub basis: Option<Basis>,
    /// Client tokens that were first used before this moment have expired; none
    /// has with [`Horizon::NEVER`](super::Horizon::NEVER)'s.
    pub tokens_expired: Timestamp,
}

/// A client token, and the request that comes with it.
#[derive(Clone)]
pub struct Keyed {
    /// The account and region in which the token holds.
    pub scope: Scope,
    /// The token.
    pub token: ClientToken,
    /// The bytes that tell the request from others, as in [`Accept::key`].
    pub request: Vec<u8>,
    /// As in [`Accept::tokens_expired`].
    pub tokens_expired: Timestamp,
}

/// What the state of a resource is based on: the last operation that worked on
/// it, as far as is known and kept.
///
/// Taken before a READ, and given to the accept of what follows from it, it
/// tells whether the state has been overtaken meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis(pub(super) Option<RequestToken>);

impl Basis {
    /// Gives the operation by which a state of this basis has been overtaken, if
    /// one of the basis `now` has been.
    pub(super) fn overtaken_by(self, now: Self) -> Option<RequestToken> {
        // An operation that is forgotten meanwhile has ended long before.
        now.0.filter(|last| self.0 != Some(*last))
    }
}

/// What makes a repeated request the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdempotencyKey {
    /// The caller's own token, which holds within an account and a region.
    Client(ClientToken),
    /// CloudFormation's token of the operation, which holds everywhere. It is
    /// a secret: a store keeps a keyed hash of it.
    Bearer(BearerToken),
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_ref().map(|(key, _)| key);
        f.debug_struct("Accept")
            .field("transition", &self.transition)
            .field("key", &key)
            .finish_non_exhaustive()
    }
}

/// What became of an accepted request.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is received"
)]
pub enum Accepted {
    /// It is a new operation.
    New,
    /// The idempotency key stands for this operation, of the same request.
    Replayed(Operation),
}

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Another live operation works on the resource.
    #[error("the resource is busy with operation {holder}")]
    Busy {
        /// The other operation.
        holder: RequestToken,
    },
    /// The state that the request was made from is of before another operation.
    #[error("the resource has been worked on by operation {by} since it was read")]
    Overtaken {
        /// The other operation, which has ended.
        by: RequestToken,
    },
    /// The idempotency key stands for another request.
    #[error("the token stands for another request, operation {holder}")]
    TokenReused {
        /// The operation of that request.
        holder: RequestToken,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
