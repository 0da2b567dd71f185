//! Who calls, and what a caller may do.
//!
//! A caller is a key of the configuration: it signs its requests by AWS's
//! Signature Version 4, as every client of AWS does. Without keys the server is
//! open, and everybody may do everything.
//!
//! *Invariant*: with keys, no request reaches a door before its signature was
//! found right: over its method, path, query, host, every `x-amz-*` header that it
//! has, and its body.
//!
//! *Invariant*: secrets, signatures and session tokens are compared in constant
//! time, and are in no error and no log.

mod session;
mod signature;
mod signing;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use formwork_host::model::{AccountId, Action, Region, Timestamp, TypeName};
use glob::Pattern;
use http::request::Parts;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::environment::Secret;

use session::Said;
use signature::Claim;

pub(crate) use session::Session;
pub(crate) use signing::sign_for;

/// What can be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// To have a handler do this, and to see what became of it.
    Act(Action),
    /// To cancel a request.
    Cancel,
    /// To record progress that was made elsewhere.
    Record,
    /// To set the configuration of a type.
    Configure,
    /// To load a handler.
    Register,
}

impl Permission {
    /// All there are, by name.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("CREATE", Self::Act(Action::Create)),
        ("READ", Self::Act(Action::Read)),
        ("UPDATE", Self::Act(Action::Update)),
        ("DELETE", Self::Act(Action::Delete)),
        ("LIST", Self::Act(Action::List)),
        ("cancel", Self::Cancel),
        ("record", Self::Record),
        ("configure", Self::Configure),
        ("register", Self::Register),
    ];
}

/// Permits something on types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The names of the types, such as `Acme::*`.
    pub(crate) types: Vec<Pattern>,
    /// What is permitted on them.
    pub(crate) permissions: Vec<Permission>,
}

impl Rule {
    /// Gives what a key may do that says nothing of it: all that handlers do,
    /// and what belongs to it, on every type. What changes what others get to do
    /// is named where it is permitted.
    pub(crate) fn usual() -> Self {
        let all = Permission::ALL
            .into_iter()
            .map(|(_, permission)| permission);
        let usual = all.filter(|it| !matches!(it, Permission::Configure | Permission::Register));
        Self {
            types: vec![Pattern::new("*").expect("it is a pattern")],
            permissions: usual.collect(),
        }
    }
}

/// A caller.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The access key id.
    pub(crate) id: String,
    /// The secret access key.
    pub(crate) secret: Secret,
    /// The session token that its requests must carry. Default: none, and one
    /// that a request carries says nothing.
    pub(crate) session_token: Option<Secret>,
    /// The account that it belongs to.
    pub(crate) account: AccountId,
    /// What it may do.
    pub(crate) allow: Vec<Rule>,
}

/// Whoever made a request.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// None where the server is open.
    key: Option<Arc<Key>>,
    region: Option<Region>,
    /// Where the request was made by a session.
    parent: Option<Parent>,
}

impl Identity {
    /// Gives the one that every caller of an open server has.
    pub(crate) const fn anybody() -> Self {
        Self {
            key: None,
            region: None,
            parent: None,
        }
    }

    /// Gives the access key id, or none where the server is open.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key.as_deref().map(|key| key.id.as_str())
    }

    /// Tells whether the request was made by a session.
    pub(crate) const fn is_session(&self) -> bool {
        self.parent.is_some()
    }

    /// Gives the account, or none where the server is open.
    pub(crate) fn account(&self) -> Option<&AccountId> {
        self.key.as_deref().map(|key| &key.account)
    }

    /// Gives the region that the request was signed for, if it is one.
    pub(crate) const fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// Tells whether the caller may do something to a type.
    pub(crate) fn may(&self, permission: Permission, type_name: &TypeName) -> bool {
        self.key.as_deref().is_none_or(|key| {
            key.allow.iter().any(|rule| {
                rule.permissions.contains(&permission)
                    && rule
                        .types
                        .iter()
                        .any(|types| types.matches(type_name.as_str()))
            })
        })
    }
}

/// Why a request is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("Request is missing Authentication Token: sign it by Signature Version 4")]
    Unsigned,
    #[error("The signature cannot be read: {0}")]
    Malformed(String),
    #[error("The security token included in the request is invalid: this server has no such key")]
    UnknownKey,
    #[error(
        "The security token included in the request is invalid: the key needs its session token"
    )]
    SessionToken,
    #[error("Credential should be scoped to a valid region, and to correct service: '{services}'")]
    Scope { services: String },
    #[error("The security token included in the request is expired: ask for a new session")]
    SessionOver,
    #[error(
        "Signature expired: the request was signed at {at}, and it is {now}; set the clock of the client"
    )]
    Skewed { at: String, now: String },
    #[error(
        "Signature expired: the URL was signed at {at} for {seconds} s, and it is {now}; sign a new one"
    )]
    Expired {
        at: String,
        seconds: u64,
        now: String,
    },
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your secret access key, and that nothing on the way changes the request: its method, path, query, signed headers (`Host` is one) and body"
    )]
    Mismatch,
}

/// The keys that the server knows.
#[derive(Debug, Default)]
pub(crate) struct Access(RwLock<Arc<HashMap<String, Arc<Key>>>>);

/// By which key a request says that it is signed.
pub(crate) struct Claimed {
    claim: Claim,
    key: Arc<Key>,
    parent: Option<Parent>,
}

/// What a session is of, and how long it is.
#[derive(Clone, Debug)]
struct Parent {
    key: Arc<Key>,
    until: Timestamp,
}

impl Access {
    /// Knows these keys, whose ids differ. Without any, it is open.
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        let access = Self::default();
        access.replace(keys);
        access
    }

    /// Knows these keys from now on, in place of those before. Sessions go on
    /// with what their key may do now.
    pub(crate) fn replace(&self, keys: Vec<Key>) {
        let keys = keys
            .into_iter()
            .map(|key| (key.id.clone(), Arc::new(key)))
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Tells whether everybody may do everything.
    pub(crate) fn is_open(&self) -> bool {
        self.keys().is_empty()
    }

    fn keys(&self) -> Arc<HashMap<String, Arc<Key>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a session that may do what its caller may, and outlives no session
    /// of the caller's. On an open server its credentials are as good as any.
    pub(crate) fn begin(&self, caller: &Identity, until: Timestamp) -> Session {
        match (&caller.parent, &caller.key) {
            (Some(Parent { key, until: end }), _) => {
                Session::begin(&key.id, &key.secret, until.min(*end))
            }
            (None, Some(key)) => Session::begin(&key.id, &key.secret, until),
            (None, None) => Session::begin("", &Secret(Uuid::new_v4().to_string()), until),
        }
    }

    /// Gives the key of that id, or the one that a session of that id is of, with
    /// the secrets of the session.
    fn key(
        &self,
        id: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(Arc<Key>, Option<Parent>), Denial> {
        let keys = self.keys();
        if let Some(key) = keys.get(id) {
            return Ok((Arc::clone(key), None));
        }
        let (token, said) = token
            .and_then(|token| Some((token, Said::read(token)?)))
            .ok_or(Denial::UnknownKey)?;
        let key = keys.get(&said.of).ok_or(Denial::UnknownKey)?;
        let session = said.proved(id, &key.secret, token);
        let session = session.ok_or(Denial::UnknownKey)?;
        if session.until <= now {
            return Err(Denial::SessionOver);
        }
        let of_session = Key {
            id: session.id,
            secret: session.secret,
            session_token: Some(session.token),
            ..Key::clone(key)
        };
        let parent = Parent {
            key: Arc::clone(key),
            until: session.until,
        };
        Ok((Arc::new(of_session), Some(parent)))
    }

    /// Reads by which key a request says that it is signed, so far as that can
    /// be told without its body.
    ///
    /// # Errors
    ///
    /// When there is no such key, or the signature is not one, or not of now, or
    /// for another service.
    pub(crate) fn claim(
        &self,
        head: &Parts,
        services: &[&'static str],
        now: Timestamp,
    ) -> Result<Claimed, Denial> {
        let claim = Claim::read(head)?;
        let token = claim.session_token(head);
        let (key, parent) = self.key(claim.key_id(), token.as_deref(), now)?;
        claim.check_time(now)?;
        claim.check_scope(services)?;
        if let Some(wanted) = &key.session_token {
            let given = token.unwrap_or_default();
            if !equal(given.as_bytes(), wanted.0.as_bytes()) {
                return Err(Denial::SessionToken);
            }
        }
        Ok(Claimed { claim, key, parent })
    }
}

impl Claimed {
    /// Gives the caller of a request with this body, if it is signed as it says.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub(crate) fn identify(self, head: &Parts, body: &[u8]) -> Result<Identity, Denial> {
        let Self { claim, key, parent } = self;
        let expected = claim.expected(&key.id, &key.secret, head, body)?;
        if !equal(expected.as_bytes(), claim.signature().as_bytes()) {
            return Err(Denial::Mismatch);
        }
        Ok(Identity {
            region: claim.region().parse().ok(),
            key: Some(key),
            parent,
        })
    }
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests;
