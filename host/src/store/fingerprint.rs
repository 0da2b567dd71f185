//! Tells requests apart without keeping them.
//!
//! *Invariant*: without the key nobody can test a guess of a request's content
//! against its fingerprint.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Keys the fingerprints of one store.
pub(super) struct FingerprintKey(Zeroizing<[u8; 32]>);

/// Stands for the bytes of a request.
pub(super) type Fingerprint = [u8; 32];

impl FingerprintKey {
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
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_ref()).expect("HMAC takes keys of any length");
        mac.update(request);
        mac.finalize().into_bytes().into()
    }
}
