//! Sessions: credentials for a while, which do what the key may that asked for
//! them.
//!
//! Nothing is kept of a session. Its token says of which key it is and when it
//! ends, under a MAC (HMAC-SHA256) by the secret of the key, and its secret is
//! derived from that token by the same secret. So a session holds across a
//! restart, and ends with its key or the secret of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use formwork_host::model::Timestamp;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::environment::Secret;

/// What the two uses of the secret of a key are told apart by.
const TOKEN: &str = "formwork session token";
const SECRET: &str = "formwork session secret";

/// Credentials of a session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The access key id.
    pub(crate) id: String,
    /// The secret access key.
    pub(crate) secret: Secret,
    /// The token that requests must carry.
    pub(crate) token: Secret,
    /// When it ends.
    pub(crate) until: Timestamp,
}

/// What a token says, which nothing has proved yet.
pub(super) struct Said {
    text: String,
    mac: Vec<u8>,
    id: String,
    /// The id of the key that the session is of.
    pub(super) of: String,
    until: Timestamp,
}

impl Session {
    /// Begins a session of a key.
    pub(super) fn begin(of: &str, secret: &Secret, until: Timestamp) -> Self {
        let word = Uuid::new_v4().simple().to_string().to_ascii_uppercase();
        let id = format!("ASIA{}", &word[..16]);
        let text = format!("{id}.{}.{of}", until.as_millis());
        let mac = mac(secret, TOKEN, &text).finalize().into_bytes();
        Self {
            secret: derived(secret, &text),
            token: Secret(format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))),
            id,
            until,
        }
    }
}

impl Said {
    /// Reads a token.
    pub(super) fn read(token: &str) -> Option<Self> {
        let (text, mac) = token.rsplit_once('.')?;
        let mut parts = text.splitn(3, '.');
        let (id, until, of) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            mac: URL_SAFE_NO_PAD.decode(mac).ok()?,
            id: id.to_owned(),
            of: of.to_owned(),
            until: Timestamp::from_millis(until.parse().ok()?),
            text: text.to_owned(),
        })
    }

    /// Gives the session of that access key id, if the secret of its key has
    /// made the token.
    pub(super) fn proved(self, id: &str, secret: &Secret, token: &str) -> Option<Session> {
        mac(secret, TOKEN, &self.text)
            .verify_slice(&self.mac)
            .ok()?;
        (self.id == id).then(|| Session {
            secret: derived(secret, &self.text),
            token: Secret(token.to_owned()),
            until: self.until,
            id: self.id,
        })
    }
}

fn mac(secret: &Secret, what_for: &str, text: &str) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.0.as_bytes()).expect("a key of any length will do");
    mac.update(what_for.as_bytes());
    mac.update(&[0]);
    mac.update(text.as_bytes());
    mac
}

fn derived(secret: &Secret, text: &str) -> Secret {
    let bytes = mac(secret, SECRET, text).finalize().into_bytes();
    Secret(URL_SAFE_NO_PAD.encode(bytes))
}
