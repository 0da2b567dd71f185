//! What the host puts on requests that may leave, so that guests need not hold it.
//!
//! To be sure of it, read these in this order:
//!
//! 1. `grant`: what may be put on which requests at all.
//! 2. This file: on which requests it is put.
//! 3. `sign`: what is signed, and for whom.
//! 4. `succession`, and `rejection`: with whose credentials, and when others take over.
//!
//! *Invariant*: what is put on a request replaces what the guest has put there, and is
//! put on none whose method may have the server send it back, as TRACE does, nor, where
//! its grant names a path, on one that names another place to copy or to move from.

mod grant;
pub(in crate::sandbox::outbound) mod rejection;
mod sign;
mod succession;

use http::Method;
use http::request::Parts;

use super::{Cleared, Destination, HttpGrants, fields};
use crate::model::Region;

pub use self::grant::{SecretGrant, SigningError, SigningGrant, SigningSource};

pub(in crate::sandbox::outbound) use self::sign::Signable;
pub(in crate::sandbox::outbound) use self::succession::{Lack, Step, Succession};

/// The methods of requests that something is put on, if its grant names no other: no
/// server sends these back, whatever the letters of others mean to it.
const KNOWN_METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// How a request may be sent.
pub(in crate::sandbox::outbound) enum Outward {
    Plain(Cleared),
    /// Once it is signed.
    Signed(Box<Signable>),
}

/// Where credentials are used: the number of a grant, and a server.
pub(in crate::sandbox::outbound) type Site = (usize, String);

/// Why what is granted cannot be put on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::sandbox::outbound) enum Unfit {
    #[error(
        "what the host puts on requests is sent with GET, HEAD, POST, PUT, PATCH, DELETE and \
         OPTIONS alone, as another method might have it sent back: name the method in the grant \
         if it does not"
    )]
    Method,
    #[error(
        "by its field `{0}` it may copy or move from a place that its grant is not for: grant it \
         without a path and for all buckets, or have the handler read and write"
    )]
    Elsewhere(&'static str),
    #[error("it cannot be signed: {0}")]
    Unsignable(&'static str),
}

/// What is to be put on a request.
pub(super) struct Due<'g> {
    signature: Option<(usize, &'g SigningGrant)>,
    secrets: Vec<&'g SecretGrant>,
}

impl<'g> Due<'g> {
    /// Gives what is granted to be put on a request, if it can be.
    pub(super) fn of(
        grants: &'g HttpGrants,
        head: &Parts,
        destination: &Destination,
    ) -> Result<Self, Unfit> {
        let mut signatures = grants.signatures.iter().enumerate();
        let signature = signatures.find(|(_, it)| it.requests().matches(destination));
        let secrets = grants.secrets.iter();
        let secrets: Vec<_> = secrets
            .filter(|it| it.requests().matches(destination))
            .collect();
        let patterns = secrets.iter().map(|it| it.requests());
        for pattern in patterns.chain(signature.map(|(_, it)| it.requests())) {
            if !pattern.names_a_method() && !KNOWN_METHODS.contains(&head.method) {
                return Err(Unfit::Method);
            }
            if pattern.has_prefix()
                && let Some(field) = fields::naming_a_source(&head.headers)
            {
                return Err(Unfit::Elsewhere(field));
            }
        }
        Ok(Self { signature, secrets })
    }

    /// Puts it on.
    pub(super) fn put_on(
        self,
        mut head: Parts,
        destination: &Destination,
        region: Option<&Region>,
    ) -> Result<Outward, Unfit> {
        for secret in self.secrets {
            secret.put(&mut head.headers);
        }
        Ok(match self.signature {
            None => Outward::Plain(Cleared(Box::new(head))),
            Some((number, grant)) => {
                let site = (number, destination.server());
                Outward::Signed(Box::new(Signable::new(head, grant, site, region)?))
            }
        })
    }
}
