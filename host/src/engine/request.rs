//! What a caller asks for.

use serde_json::Value;

use crate::model::{ClientToken, JsonObject, Mutation, RequestDetails, Scope, TypeName};
use crate::operation::ReportTarget;
use crate::store::Basis;

use super::accept::Checked;
use super::ahead::Fingerprint;

/// A request to change a resource.
///
/// Start from [`Request::create`], [`Request::update`] or [`Request::delete`],
/// and set what else there is to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The resource type.
    pub type_name: TypeName,
    /// What is to be done.
    pub change: Change,
    /// Where the resource lives.
    pub scope: Scope,
    /// The caller's idempotency key: the same key with the same request is the
    /// same operation.
    pub client_token: Option<ClientToken>,
    /// What tells the request from others with the same client token, where its
    /// states do not: those follow from a READ. Default: states and details do.
    pub fingerprint: Option<Fingerprint>,
    /// What the state is based on that an update or a delete follows from: it is
    /// refused if another operation has worked on the resource since. Default:
    /// it follows from none.
    pub basis: Option<Basis>,
    /// Whom to tell of the progress.
    pub reporting: Option<ReportTarget>,
    /// What else the caller says.
    pub details: RequestDetails,
}

/// What is to be done to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make it.
    Create {
        /// The desired state.
        desired_state: JsonObject,
    },
    /// Change it.
    Update {
        /// The desired state, whole.
        desired_state: JsonObject,
        /// The state before.
        previous_state: Option<JsonObject>,
    },
    /// Remove it.
    Delete {
        /// The properties that name it; others may be missing.
        state: JsonObject,
    },
}

impl Change {
    pub(super) const fn mutation(&self) -> Mutation {
        match self {
            Self::Create { .. } => Mutation::Create,
            Self::Update { .. } => Mutation::Update,
            Self::Delete { .. } => Mutation::Delete,
        }
    }

    /// Gives the desired state, or what names the resource, and the state before.
    pub(super) const fn states(&self) -> (&JsonObject, Option<&JsonObject>) {
        match self {
            Self::Create { desired_state } => (desired_state, None),
            Self::Update {
                desired_state,
                previous_state,
            } => (desired_state, previous_state.as_ref()),
            Self::Delete { state } => (state, None),
        }
    }

    /// Gives the states as they came, naming no resource.
    pub(super) fn unchecked(&self) -> Checked {
        let (desired_state, previous_state) = self.states();
        Checked {
            desired_state: desired_state.clone(),
            previous_state: previous_state.cloned(),
            identifier: None,
        }
    }
}

impl Request {
    /// Asks for a new resource.
    #[must_use]
    pub fn create(type_name: TypeName, desired_state: JsonObject) -> Self {
        Self::new(type_name, Change::Create { desired_state })
    }

    /// Asks to change a resource into `desired_state`, which is whole: what it
    /// leaves out is removed.
    #[must_use]
    pub fn update(
        type_name: TypeName,
        desired_state: JsonObject,
        previous_state: Option<JsonObject>,
    ) -> Self {
        Self::new(
            type_name,
            Change::Update {
                desired_state,
                previous_state,
            },
        )
    }

    /// Asks to remove the resource that `state` names.
    #[must_use]
    pub fn delete(type_name: TypeName, state: JsonObject) -> Self {
        Self::new(type_name, Change::Delete { state })
    }

    pub(crate) fn new(type_name: TypeName, change: Change) -> Self {
        Self {
            type_name,
            change,
            scope: Scope::default(),
            client_token: None,
            fingerprint: None,
            basis: None,
            reporting: None,
            details: RequestDetails::default(),
        }
    }

    /// Gives the bytes that tell this request from others with the same client
    /// token: what is asked for, whatever the order of its members. What was
    /// before, and the credentials, differ with each repeat and are left out.
    pub(super) fn fingerprint(&self, desired_state: &JsonObject) -> Vec<u8> {
        if let Some(fingerprint) = &self.fingerprint {
            return fingerprint.as_bytes().to_vec();
        }
        let details = &self.details;
        let object = |object: Option<&JsonObject>| object.map(sorted);
        format!(
            "{:?}",
            (
                (self.type_name.as_str(), self.change.mutation()),
                sorted(desired_state),
                object(details.type_configuration.as_ref()),
                (&details.desired_tags, &details.previous_tags),
                (&details.system_tags, &details.previous_system_tags),
                (&details.stack_id, &details.logical_resource_id),
                (
                    details.snapshot_requested,
                    details.rollback,
                    details.driftable
                ),
                object(details.features.as_ref()),
                object(details.update_policy.as_ref()),
                object(details.creation_policy.as_ref()),
            )
        )
        .into_bytes()
    }

    /// Gives the bytes that tell this request from others with the same bearer
    /// token: action, type, states and tags as they came, whatever the order of
    /// their members. A repeat comes with other credentials.
    pub(super) fn bearer_fingerprint(&self) -> Vec<u8> {
        let details = &self.details;
        let (desired_state, previous_state) = self.change.states();
        format!(
            "{:?}",
            (
                (self.type_name.as_str(), self.change.mutation()),
                (&self.scope.account, &self.scope.region),
                (sorted(desired_state), previous_state.map(sorted)),
                (&details.desired_tags, &details.previous_tags),
                (&details.system_tags, &details.previous_system_tags),
            )
        )
        .into_bytes()
    }
}

fn sorted(object: &JsonObject) -> String {
    let mut value = Value::Object(object.to_map());
    value.sort_all_objects();
    value.to_string()
}
