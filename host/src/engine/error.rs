//! Why a type was not loaded, and why an operation was not changed.

use crate::model::{
    Digest, JsonObject, RequestToken, SchemaError, TypeName, TypeSchema, Violation,
};
use crate::operation::Refusal;
use crate::sandbox::LoadError;
use crate::store::StoreError;

/// Says why a component was not loaded as a resource type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadTypeError {
    /// The component cannot be loaded.
    #[error("the component cannot be loaded")]
    Component(#[source] LoadError),
    /// The component describes itself with something that is no schema.
    #[error("the component describes itself with a wrong resource type schema")]
    Schema(#[source] SchemaError),
    /// The component is the handler of another type than it was loaded as.
    #[error("the component is the handler of {found}, not of {expected}")]
    OtherType {
        /// What it was loaded as.
        expected: TypeName,
        /// What it describes.
        found: TypeName,
    },
    /// The operator's configuration of the type breaks its schema.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The component was not kept for a restart.
    #[error("the component cannot be kept")]
    Store(#[source] StoreError),
    /// An operation goes on with a component that the store does not have.
    #[error("the store has no component {digest}; load the same component again")]
    Missing {
        /// The component.
        digest: Digest,
    },
}

/// Says why an operation was not cancelled, or why nothing was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such operation.
    #[error("there is no operation {token}")]
    Unknown {
        /// What was asked for.
        token: RequestToken,
    },
    /// The operation is in no state for it.
    #[error("operation {token} stays as it is")]
    Refused {
        /// The operation.
        token: RequestToken,
        /// Why.
        source: Refusal,
    },
    /// The identifier that was recorded is another live operation's.
    #[error("operation {token} stays as it is: the resource is busy with operation {holder}")]
    Busy {
        /// The operation.
        token: RequestToken,
        /// The other operation.
        holder: RequestToken,
    },
    /// The operation's handler cannot be loaded, so its model cannot be judged.
    #[error("the handler of operation {token} cannot be loaded")]
    Load {
        /// The operation.
        token: RequestToken,
        /// Why.
        source: LoadTypeError,
    },
    /// The store failed.
    #[error("operation {token} cannot be changed")]
    Store {
        /// The operation.
        token: RequestToken,
        /// Why.
        source: StoreError,
    },
}

/// Says where a type configuration breaks the schema of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the type configuration does not fit the schema of `{type_name}`: {}",
    list(violations)
)]
pub struct ConfigurationError {
    /// The type.
    pub type_name: TypeName,
    /// Every place, the first 20. Values are not shown.
    pub violations: Vec<Violation>,
}

/// Checks a type configuration, if the schema says what it must be.
pub(super) fn check_configuration(
    schema: &TypeSchema,
    configuration: Option<&JsonObject>,
) -> Result<(), ConfigurationError> {
    let violations = match configuration {
        Some(configuration) if schema.type_configuration().is_some() => {
            schema.configuration_violations(&configuration.to_map())
        }
        Some(_) | None => Vec::new(),
    };
    if violations.is_empty() {
        return Ok(());
    }
    Err(ConfigurationError {
        type_name: schema.type_name().clone(),
        violations,
    })
}

pub(super) fn list(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
