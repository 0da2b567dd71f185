//! Which version of a handler an invocation is made with.

use std::sync::Arc;

use crate::model::HandlerErrorCode;
use crate::operation::{Fault, Operation};
use crate::registry::{HandlerVersion, OnUpgrade, TypeSettings};

use super::{Inner, LoadTypeError};

/// What an operation goes on with.
pub(super) enum Chosen {
    Version(Arc<HandlerVersion>),
    /// Nothing: it fails.
    Nothing(Fault),
}

impl Inner {
    /// Chooses the version that an operation goes on with, as its type's operator
    /// has decided.
    pub(super) async fn choose(
        &self,
        operation: &Operation,
        settings: &TypeSettings,
    ) -> Result<Chosen, LoadTypeError> {
        let known = self.registry.get(&operation.type_name);
        let began_with = operation.component;
        let newer = known
            .map(|known| known.current)
            .filter(|current| current.handler().digest() != began_with);
        match (settings.on_upgrade, newer) {
            (OnUpgrade::Pinned, _) | (_, None) => {
                self.version(began_with, &settings.limits).await.map(Chosen::Version)
            }
            (OnUpgrade::Fail, Some(_)) => Ok(Chosen::Nothing(Fault {
                code: HandlerErrorCode::InternalFailure,
                message: "the handler was replaced by another version while the operation was under way, and its type does not go on with one".to_owned(),
            })),
            (OnUpgrade::LatestCompatible, Some(newer)) => {
                let before = self.version(began_with, &settings.limits).await?;
                match newer.can_go_on_from(&before) {
                    Ok(()) => Ok(Chosen::Version(newer)),
                    Err(differs) => {
                        tracing::warn!(
                            request_token = %operation.token,
                            type_name = %operation.type_name,
                            %differs,
                            "an operation goes on with the version that it began with"
                        );
                        Ok(Chosen::Version(before))
                    }
                }
            }
        }
    }
}
