//! Resources as the stores with SQL name them.

use sha2::{Digest as _, Sha256};

use crate::model::{PrimaryIdentifier, Scope, TypeName};
use crate::operation::Operation;

use super::row;

/// A resource as the tables name it.
#[derive(Clone)]
pub(super) struct Resource {
    account: String,
    region: String,
    type_name: String,
    identifier: String,
}

impl Resource {
    pub(super) fn new(scope: &Scope, type_name: &TypeName, identifier: &PrimaryIdentifier) -> Self {
        let (account, region) = row::scope_columns(scope);
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            type_name: type_name.as_str().to_owned(),
            identifier: row::identifier_column(identifier),
        }
    }

    /// Gives the resource of an operation, if it is known.
    pub(super) fn of(operation: &Operation) -> Option<Self> {
        let identifier = operation.identifier.as_ref()?;
        Some(Self::new(
            &operation.scope,
            &operation.type_name,
            identifier,
        ))
    }

    pub(super) fn parts(&self) -> [&str; 4] {
        [
            &self.account,
            &self.region,
            &self.type_name,
            &self.identifier,
        ]
    }

    /// Gives what stands for the resource in a seal.
    pub(super) fn token(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for part in self.parts() {
            // The length keeps it apart from what follows.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        hash[..16].try_into().expect("a digest has 32 bytes")
    }
}
