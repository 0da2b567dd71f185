//! Tells requests apart without keeping them.
//!
//! *Invariant*: without the key nobody can test a guess of a request's content
//! against its fingerprint.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::IdempotencyKey;
use crate::model::{BearerToken, ClientToken};

/// Keys the fingerprints of one store.
pub(super) struct FingerprintKey(Zeroizing<[u8; 32]>);

/// Stands for the bytes of a request, or for a bearer token.
pub(super) type Fingerprint = [u8; 32];

/// An idempotency key with its request, as a store keeps them.
pub(super) struct Claim {
    pub(super) key: Held,
    pub(super) request: Fingerprint,
}

/// An idempotency key as a store keeps it.
pub(super) enum Held {
    Client(ClientToken),
    Bearer(Fingerprint),
}

impl FingerprintKey {
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// Makes a key that lives as long as the process.
    pub(super) fn random() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).expect("the operating system gives random bytes");
        Self(key)
    }

    /// Gives the HMAC-SHA-256 of `request`.
    pub(super) fn of(&self, request: &[u8]) -> Fingerprint {
        self.mac(&[request])
    }

    /// Stands for a bearer token, by which it is found again.
    pub(super) fn of_bearer(&self, bearer: &BearerToken) -> Fingerprint {
        self.mac(&[b"bearer token\0", bearer.reveal().as_bytes()])
    }

    /// Gives what a store keeps of an idempotency key and its request.
    pub(super) fn claim(&self, key: IdempotencyKey, request: &[u8]) -> Claim {
        let key = match key {
            IdempotencyKey::Client(token) => Held::Client(token),
            IdempotencyKey::Bearer(token) => Held::Bearer(self.of_bearer(&token)),
        };
        Claim {
            key,
            request: self.of(request),
        }
    }

    fn mac(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_ref()).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
