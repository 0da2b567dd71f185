//! What a handler is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{InvalidName, JsonObject, RequestToken, Timestamp, TypeName};

/// What can be done to resources of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Create,
    Read,
    Update,
    Delete,
    List,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Read,
        Self::Update,
        Self::Delete,
        Self::List,
    ];

    /// Gives the action's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Read => "READ",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::List => "LIST",
        }
    }

    /// Gives the action's name among a schema's `handlers`.
    #[must_use]
    pub const fn handler_name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Action {
    type Err = InvalidName;

    /// Takes the name in any case.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                InvalidName::new(
                    "action",
                    text,
                    "one of CREATE, READ, UPDATE, DELETE and LIST",
                )
            })
    }
}

/// An action that changes a resource and may take several invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mutation {
    Create,
    Update,
    Delete,
}

impl Mutation {
    /// Every mutation.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];
}

impl From<Mutation> for Action {
    fn from(mutation: Mutation) -> Self {
        match mutation {
            Mutation::Create => Self::Create,
            Mutation::Update => Self::Update,
            Mutation::Delete => Self::Delete,
        }
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Action::from(*self).fmt(f)
    }
}

/// Temporary credentials. A secret: no `Display`, a redacted `Debug`, cleared memory.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
#[expect(missing_docs, reason = "the names are AWS's own")]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

/// What a caller may say besides the states, the same for all invocations of
/// an operation. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDetails {
    /// The ARN of the stack.
    pub stack_id: Option<String>,
    /// The resource's name in its template.
    pub logical_resource_id: Option<String>,
    /// Tags that the resource shall have.
    pub desired_tags: BTreeMap<String, String>,
    /// Tags that it had before an update.
    pub previous_tags: BTreeMap<String, String>,
    /// Tags set by CloudFormation.
    pub system_tags: BTreeMap<String, String>,
    /// Tags set by CloudFormation before an update.
    pub previous_system_tags: BTreeMap<String, String>,
    /// The account-level configuration of the type, if the caller sends one;
    /// else the type's own applies.
    pub type_configuration: Option<JsonObject>,
    /// The caller's credentials.
    pub credentials: Option<Credentials>,
    /// Whether the deletion policy asks for a snapshot.
    pub snapshot_requested: Option<bool>,
    /// Whether the operation is part of a rollback.
    pub rollback: Option<bool>,
    /// Whether the caller can detect drift.
    pub driftable: Option<bool>,
    /// Feature toggles of the service.
    pub features: Option<JsonObject>,
    /// The template's `UpdatePolicy` attribute.
    pub update_policy: Option<JsonObject>,
    /// The template's `CreationPolicy` attribute.
    pub creation_policy: Option<JsonObject>,
}

/// One call into a handler: what accompanies it, and what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The idempotency token.
    pub token: RequestToken,
    /// The resource type.
    pub type_name: TypeName,
    /// Where the resource lives.
    pub scope: super::Scope,
    /// When the operation was accepted.
    pub start_time: Timestamp,
    /// When the operation ends, whatever the handler does.
    pub deadline: Timestamp,
    /// 1 for the first invocation of the operation.
    pub invocation: u32,
    /// 1 for the first attempt of this invocation.
    pub attempt: u32,
    /// What the caller said besides.
    pub details: RequestDetails,
    /// What is asked.
    pub call: Call,
}

/// What a handler is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Bring a new resource into its desired state.
    Create {
        /// The desired state.
        desired_state: JsonObject,
        /// What the last event gave back.
        callback_context: Option<JsonObject>,
    },
    /// Give the state of a resource.
    Read {
        /// The properties that name it.
        identifier: JsonObject,
    },
    /// Bring an existing resource into its desired state.
    Update {
        /// The desired state.
        desired_state: JsonObject,
        /// The state before.
        previous_state: Option<JsonObject>,
        /// What the last event gave back.
        callback_context: Option<JsonObject>,
    },
    /// Remove a resource.
    Delete {
        /// The properties that name it.
        state: JsonObject,
        /// What the last event gave back.
        callback_context: Option<JsonObject>,
    },
    /// Give one page of the resources of the type.
    List(ListRequest),
}

/// What a LIST is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Properties that the listed resources shall have.
    pub filter: Option<JsonObject>,
    /// The token of the page before.
    pub next_token: Option<String>,
    /// How many models a page should hold at most; a hint.
    pub max_results: Option<u32>,
}

impl Call {
    /// Makes the call that changes a resource; `state` is the desired one, or for
    /// a delete what names the resource.
    #[must_use]
    pub fn changing(
        mutation: Mutation,
        state: JsonObject,
        previous_state: Option<JsonObject>,
        callback_context: Option<JsonObject>,
    ) -> Self {
        match mutation {
            Mutation::Create => Self::Create {
                desired_state: state,
                callback_context,
            },
            Mutation::Update => Self::Update {
                desired_state: state,
                previous_state,
                callback_context,
            },
            Mutation::Delete => Self::Delete {
                state,
                callback_context,
            },
        }
    }

    /// Tells which action is asked for.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Create { .. } => Action::Create,
            Self::Read { .. } => Action::Read,
            Self::Update { .. } => Action::Update,
            Self::Delete { .. } => Action::Delete,
            Self::List(_) => Action::List,
        }
    }
}
