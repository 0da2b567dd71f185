//! Tokens and digests.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Timestamp;

/// Says why a text is no token of its kind, without repeating the text: it may
/// be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: it must be {rule}")]
pub struct InvalidToken {
    what: &'static str,
    rule: &'static str,
}

/// Our id of an operation, a UUID; also the idempotency token that its handler sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(Uuid);

impl RequestToken {
    /// Makes a new token: a version 7 UUID, so that tokens sort by their time.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// Makes the token that always goes with `text`: a version 8 UUID of its
    /// SHA-256 digest, from which nobody can tell the text.
    ///
    /// Whoever invokes a handler once and chains by himself has no operation,
    /// and so no token of one; his own, a bearer token, is not for the handler.
    #[must_use]
    pub fn derived(text: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"formwork request token\0")
            .chain_update(text)
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Gives the 16 bytes of the UUID.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Makes the token of 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for RequestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for RequestToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidToken {
            what: "request token",
            rule: "a UUID",
        })
    }
}

/// Makes the request tokens of an engine: each greater than those before, and with
/// the time by the engine's clock, so that those of engines that share a clock sort
/// by it.
#[derive(Debug, Default)]
pub(crate) struct RequestTokens(Mutex<uuid::ContextV7>);

impl RequestTokens {
    /// Makes the token of what is accepted at `now`. Where the clock has gone back,
    /// it has the time of the token before.
    pub(crate) fn next(&self, now: Timestamp) -> RequestToken {
        let since = Duration::from_millis(now.as_millis());
        let time = uuid::Timestamp::from_unix(&self.0, since.as_secs(), since.subsec_nanos());
        RequestToken(Uuid::new_v7(time))
    }
}

/// The caller's idempotency key: the same key with the same request is the
/// same operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientToken(String);

impl ClientToken {
    /// Gives the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientToken {
    type Err = InvalidToken;

    /// Takes 1 to 128 characters of `[-A-Za-z0-9+/=]`, the rule of Cloud
    /// Control's `ClientToken`.
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let valid = (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-+/=".contains(&b));
        valid.then(|| Self(text.to_owned())).ok_or(InvalidToken {
            what: "client token",
            rule: "1 to 128 letters, digits and `-+/=`",
        })
    }
}

/// CloudFormation's capability for reporting the progress of one operation.
///
/// Whoever holds it can end the operation, so it is a secret: it has no
/// `Display`, its `Debug` is redacted, and its memory is cleared.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// Gives the secret, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for BearerToken {
    type Err = InvalidToken;

    /// Takes 1 to 128 characters, the rule of RecordHandlerProgress.
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        (1..=128)
            .contains(&text.chars().count())
            .then(|| Self(Zeroizing::new(text.to_owned())))
            .ok_or(InvalidToken {
                what: "bearer token",
                rule: "1 to 128 characters",
            })
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

/// The SHA-256 digest of a component: the version that an operation is pinned to.
///
/// Its text is `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digests `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Gives the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes the digest of its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Makes the digest of its 64 hexadecimal digits, or none if they are not
    /// that.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        Some(Self(bytes?.try_into().ok()?))
    }

    /// Gives the 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                use fmt::Write as _;
                write!(hex, "{byte:02x}").expect("a string takes all that is written");
                hex
            })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_never_printed() {
        let token: BearerToken = "s3cr3t".parse().expect("a token");
        assert_eq!(format!("{token:?}"), "BearerToken(redacted)");
        let refusal = "x"
            .repeat(129)
            .parse::<BearerToken>()
            .expect_err("too long");
        assert!(!refusal.to_string().contains("xx"));
    }

    #[test]
    fn tokens_have_the_time_of_their_clock_and_their_order_also_when_it_goes_back() {
        let tokens = RequestTokens::default();
        let made: Vec<_> = [5_000, 5_000, 4_000, 9_000]
            .map(|millis| tokens.next(Timestamp::from_millis(millis)))
            .into();
        assert!(made.is_sorted() && made[0] != made[1], "{made:?}");
        let time = |token: &RequestToken| {
            let mut millis = [0; 8];
            millis[2..].copy_from_slice(&token.as_bytes()[..6]);
            u64::from_be_bytes(millis)
        };
        let times: Vec<_> = made.iter().map(time).collect();
        assert_eq!(times, [5_000, 5_000, 5_000, 9_000]);
    }

    #[test]
    fn a_derived_token_is_always_the_same_and_tells_nothing() {
        let token = RequestToken::derived("bearer");
        assert_eq!(token, RequestToken::derived("bearer"));
        assert_ne!(token, RequestToken::derived("Bearer"));
        assert_eq!(token.to_string(), "f5c592f7-bb4b-893b-b52d-a542497af4c8");
    }

    #[test]
    fn a_digest_is_that_of_the_standard() {
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
