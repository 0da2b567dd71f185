//! Seals what can be secret before it reaches a disk.
//!
//! A blob is the key's id (8 bytes), a random nonce (24 bytes) and the
//! XChaCha20-Poly1305 ciphertext with its tag.
//!
//! *Invariant*: a blob opens only with its key and at the place that it was
//! sealed for, so a blob that was moved to another row is refused.
//!
//! *Invariant*: the key is never printed, and cleared from memory after use.

use std::fmt;
#[cfg(feature = "sqlite")]
use std::io::{self, Read as _, Write as _};
#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};

use chacha20poly1305::{AeadInPlace as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

#[cfg(feature = "sqlite")]
use super::files;
use super::fingerprint::FingerprintKey;

const ID: usize = 8;
const NONCE: usize = 24;

/// Names a key without telling anything of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; ID]);

impl KeyId {
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; ID] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a blob belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The table, and the column if the table has several blobs.
    pub(super) table: &'static str,
    /// The operation.
    pub(super) token: &'a [u8; 16],
    /// The version of the row.
    pub(super) version: u64,
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        // The table's length keeps it apart from the token that follows.
        let length = u8::try_from(self.table.len()).expect("a table's name is short");
        let mut data = vec![length];
        data.extend_from_slice(self.table.as_bytes());
        data.extend_from_slice(self.token);
        data.extend_from_slice(&self.version.to_be_bytes());
        data
    }
}

/// Says why a blob does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenSealError {
    /// It is sealed with another key.
    #[error("it is sealed with key {found}, and the key here is {ours}")]
    OtherKey { found: KeyId, ours: KeyId },
    /// It was changed, or belongs elsewhere.
    #[error("its seal is broken")]
    Broken,
}

/// Seals and opens with one key.
pub(super) struct Sealer {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    fingerprints: FingerprintKey,
}

impl Sealer {
    pub(super) fn new(key: &SealingKey) -> Self {
        let hash = Sha256::digest(key.0.as_ref());
        let id = KeyId(hash[..ID].try_into().expect("a digest has 32 bytes"));
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.0.as_ref())
            .expect("HMAC takes keys of any length");
        mac.update(b"formwork client token fingerprints");
        let derived = Zeroizing::new(mac.finalize().into_bytes().into());
        Self {
            id,
            cipher: XChaCha20Poly1305::new(key.0.as_ref().into()),
            fingerprints: FingerprintKey::new(derived),
        }
    }

    pub(super) const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) const fn fingerprints(&self) -> &FingerprintKey {
        &self.fingerprints
    }

    /// Seals `plain` for `place`.
    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        // Encrypted in the place that it stays in: no copy of it is left behind.
        let mut blob = Vec::with_capacity(ID + NONCE + plain.len() + 16);
        blob.extend_from_slice(&self.id.0);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(plain);
        let tag = self
            .cipher
            .encrypt_in_place_detached(
                XNonce::from_slice(&nonce),
                &place.associated_data(),
                &mut blob[ID + NONCE..],
            )
            .expect("a record is far below the cipher's limit of 256 GiB");
        blob.extend_from_slice(&tag);
        blob
    }

    /// Opens a blob that was sealed for `place`.
    pub(super) fn open(
        &self,
        place: Place<'_>,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenSealError> {
        let (id, rest) = blob
            .split_first_chunk::<ID>()
            .ok_or(OpenSealError::Broken)?;
        let found = KeyId(*id);
        // It is what is left of a page that was lost.
        if found.0 == [0; ID] {
            return Err(OpenSealError::Broken);
        }
        if found != self.id {
            return Err(OpenSealError::OtherKey {
                found,
                ours: self.id,
            });
        }
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE>()
            .ok_or(OpenSealError::Broken)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.cipher
            .decrypt_in_place(
                XNonce::from_slice(nonce),
                &place.associated_data(),
                &mut *plain,
            )
            .map_err(|_| OpenSealError::Broken)?;
        Ok(plain)
    }
}

/// The key that seals what a store keeps: 32 random bytes.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

/// Shows nothing.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(redacted)")
    }
}

/// Says why a text is no key, without repeating it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealing key is 64 hexadecimal digits, or 32 bytes: make one with `openssl rand -hex 32`"
)]
pub struct InvalidKey;

/// Says why there is no key.
#[cfg(feature = "sqlite")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Others than the owner can read the file.
    #[error(
        "the key file {path} has mode {mode:03o}, so others can read it: run `chmod 600 {path}`"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold 32 bytes.
    #[error("the key file {path} holds {found} bytes and must hold 32: restore it from a backup")]
    Length {
        /// The file.
        path: String,
        /// How many bytes it holds.
        found: usize,
    },
    /// The store has records and its key is gone.
    #[error(
        "the key file {path} is missing, and the store is sealed with key {id}: restore the file from a backup"
    )]
    Missing {
        /// The file.
        path: String,
        /// The id of the key.
        id: String,
    },
    /// The file holds another key than the store is sealed with.
    #[error(
        "the key file {path} holds key {found}, and the store is sealed with key {expected}: restore the file from a backup"
    )]
    Other {
        /// The file.
        path: String,
        /// The id of the key in the file.
        found: String,
        /// The id of the key of the store.
        expected: String,
    },
    /// The file cannot be read or written.
    #[error("cannot read or write the key file {path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl SealingKey {
    /// Reads a key: 64 hexadecimal digits, with white space around them or not,
    /// or 32 bytes.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidKey> {
        if let Ok(bytes) = text.try_into() {
            return Ok(Self(Zeroizing::new(bytes)));
        }
        let digits = text.trim_ascii();
        let mut key = Zeroizing::new([0; 32]);
        if digits.len() != 64 {
            return Err(InvalidKey);
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(InvalidKey);
            let value = digit(0)? * 16 + digit(1)?;
            *byte = u8::try_from(value).map_err(|_| InvalidKey)?;
        }
        Ok(Self(key))
    }
}

#[cfg(feature = "sqlite")]
impl SealingKey {
    /// Reads the key file of a store that is sealed with `expected`, or makes
    /// one if nothing is sealed yet.
    pub(super) fn read_or_make(path: &Path, expected: Option<KeyId>) -> Result<Self, KeyError> {
        let name = path.display().to_string();
        let failed = |source| KeyError::Io {
            path: name.clone(),
            source,
        };
        let key = match files::open(path) {
            Ok(file) => {
                if let Some(mode) = files::exposed(&file).map_err(failed)? {
                    return Err(KeyError::Exposed { path: name, mode });
                }
                let mut bytes = Zeroizing::new(Vec::with_capacity(64));
                file.take(64).read_to_end(&mut bytes).map_err(failed)?;
                let found = bytes.len();
                let key = bytes.as_slice().try_into();
                Self(Zeroizing::new(key.map_err(|_| KeyError::Length {
                    path: name.clone(),
                    found,
                })?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match expected {
                Some(id) => {
                    let id = id.to_string();
                    return Err(KeyError::Missing { path: name, id });
                }
                None => Self::make(path).map_err(failed)?,
            },
            Err(error) => return Err(failed(error)),
        };
        match expected {
            Some(expected) if expected != Sealer::new(&key).id => Err(KeyError::Other {
                path: name,
                found: Sealer::new(&key).id.to_string(),
                expected: expected.to_string(),
            }),
            Some(_) | None => Ok(key),
        }
    }

    /// Writes a new key so that a crash leaves the whole of it or nothing.
    fn make(path: &Path) -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).expect("the operating system gives random bytes");
        let temporary: PathBuf = path.with_extension("tmp");
        let mut file = files::create_private(&temporary)?;
        file.set_len(0)?;
        file.write_all(key.as_ref())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        files::sync_parent(path)?;
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests;
