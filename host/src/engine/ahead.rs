//! What is asked ahead of a request that follows from a READ: whether it is a
//! repeat, and what the READ is based on.
//!
//! Such a request cannot be told from others by its states, since its first try
//! may have changed what the READ of a repeat gives.

use std::fmt;

use crate::model::{ClientToken, Mutation, PrimaryIdentifier, Scope, TypeName, parse_value};
use crate::store::{AcceptError, Basis, Keyed};

use super::{Engine, OperationHandle, SubmitError};

/// What tells a request from others with the same client token.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// Takes what was asked for, as the caller said it. Texts that are JSON are
    /// the same whatever their spaces and the order of their members.
    #[must_use]
    pub fn new(type_name: &TypeName, mutation: Mutation, said: &[&str]) -> Self {
        let said: Vec<_> = said.iter().map(|text| canonical(text)).collect();
        Self(format!("{:?}", (type_name.as_str(), mutation, said)).into_bytes())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Shows nothing: what was asked for may hold secrets.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(redacted)")
    }
}

fn canonical(text: &str) -> String {
    match parse_value(text) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => text.to_owned(),
    }
}

impl Engine {
    /// Gives the operation of the request that came with a client token before,
    /// or none if the token is free. [`Engine::submit`] does the same for a
    /// request that is made already; this one spares a repeat the READ.
    ///
    /// # Errors
    ///
    /// When the token stands for another request, or the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn replayed(
        &self,
        scope: &Scope,
        token: &ClientToken,
        fingerprint: &Fingerprint,
    ) -> Result<Option<OperationHandle>, SubmitError> {
        let now = self.inner.clock.now();
        let key = Keyed {
            scope: scope.clone(),
            token: token.clone(),
            request: fingerprint.as_bytes().to_vec(),
            tokens_expired: self.inner.retention.horizon(now).client_tokens,
        };
        let found = self.inner.store.replayed(key).await?;
        Ok(found.map(|operation| OperationHandle::new(self.clone(), operation.token)))
    }

    /// Gives what the state of a resource that is read from now on is based on.
    ///
    /// [`Request::basis`](super::Request::basis) takes it, so that no update is
    /// lost that another caller makes meanwhile.
    ///
    /// # Errors
    ///
    /// When another operation works on the resource, or the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn basis(
        &self,
        type_name: &TypeName,
        scope: &Scope,
        identifier: &PrimaryIdentifier,
    ) -> Result<Basis, SubmitError> {
        let basis = self.inner.store.basis(scope, type_name, identifier).await?;
        Ok(basis)
    }
}

impl From<AcceptError> for SubmitError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Busy { holder } => Self::Busy { holder },
            AcceptError::Overtaken { by } => Self::Overtaken { by },
            AcceptError::TokenReused { holder } => Self::TokenReused { holder },
            AcceptError::Store(error) => Self::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_that_of_what_was_said_and_shows_nothing_of_it() {
        let of = |mutation, said: &[&str]| {
            let type_name = "Acme::Test::Thing".parse().expect("a type name");
            Fingerprint::new(&type_name, mutation, said)
        };
        let update = of(
            Mutation::Update,
            &["a", r#"[{"op": "x", "path": "/s3cr3t"}]"#],
        );
        let spaced = of(
            Mutation::Update,
            &["a", r#"[ {"path":"/s3cr3t","op":"x"} ]"#],
        );
        assert_eq!(update, spaced);
        for other in [
            of(
                Mutation::Delete,
                &["a", r#"[{"op": "x", "path": "/s3cr3t"}]"#],
            ),
            of(
                Mutation::Update,
                &["a", r#"[{"op": "x", "path": "/s3cr3"}]"#],
            ),
            of(
                Mutation::Update,
                &[r#"a["#, r#"{"op": "x", "path": "/s3cr3t"}]"#],
            ),
            of(Mutation::Update, &["a"]),
        ] {
            assert_ne!(update, other);
        }
        assert_eq!(format!("{update:?}"), "Fingerprint(redacted)");
    }
}
