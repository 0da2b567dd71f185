//! Ways in for the fuzz targets of this repository (`tests/fuzz`), to parts that
//! are otherwise private. Nothing else may build on them.
//!
//! *Invariant*: what is here decides nothing: it hands over to the code that
//! serves requests, and gives back what that says.

use formwork_host::model::{JsonObject, Timestamp, TypeSchema};
use http::request::Parts;

use crate::access::{Access, Key, Rule};
use crate::doors;
use crate::environment::Secret;

pub use crate::doors::fuzzing::Doors;

/// A key that may do what keys usually may.
#[derive(Clone, Copy, Debug)]
pub struct KnownKey<'a> {
    /// The access key id.
    pub id: &'a str,
    /// The secret access key.
    pub secret: &'a str,
    /// The session token that its requests must carry.
    pub session_token: Option<&'a str>,
}

/// Tells by which of the keys a request is signed.
///
/// # Errors
///
/// Why it is by none of them.
///
/// # Panics
///
/// Never: the account of the keys is one.
pub fn identify(
    keys: &[KnownKey<'_>],
    head: &Parts,
    body: &[u8],
    now: Timestamp,
) -> Result<String, String> {
    let keys = keys.iter().map(|key| Key {
        id: key.id.to_owned(),
        secret: Secret(key.secret.to_owned()),
        session_token: key.session_token.map(|token| Secret(token.to_owned())),
        account: "000000000000".parse().expect("it has 12 digits"),
        allow: vec![Rule::usual()],
    });
    let access = Access::new(keys.collect());
    let identity = access
        .claim(head, &["lambda"], now)
        .and_then(|claimed| claimed.identify(head, body));
    match identity {
        Ok(identity) => Ok(identity.key_id().unwrap_or_default().to_owned()),
        Err(denial) => Err(denial.to_string()),
    }
}

/// Gives the desired state that Cloud Control's `UpdateResource` makes of a
/// state, as a READ gives it, by a patch document; `kept` holds the write-only
/// properties that were kept of it.
///
/// # Errors
///
/// Why the patch is refused.
pub fn patched(
    schema: &TypeSchema,
    state: &JsonObject,
    kept: Option<&JsonObject>,
    patch: &str,
) -> Result<JsonObject, String> {
    doors::patched(schema, state, kept, patch)
}
