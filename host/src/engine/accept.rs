//! From a request to a durable operation.

use serde_json::Value;

use crate::model::{
    Action, ClientToken, CoercionError, JsonObject, Mutation, RequestDetails, RequestToken, Scope,
    TypeName, TypeSchema, Violation,
};
use crate::operation::{NewOperation, Operation, ReportTarget, Work};
use crate::store::{Accept, AcceptError, Accepted, StoreError};

use super::{Engine, Mode, OperationHandle};

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
    const fn mutation(&self) -> Mutation {
        match self {
            Self::Create { .. } => Mutation::Create,
            Self::Update { .. } => Mutation::Update,
            Self::Delete { .. } => Mutation::Delete,
        }
    }
}

/// Says why a request was not accepted. Nothing was begun, unless the store does
/// not know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No handler of the type is loaded.
    #[error("no handler of `{type_name}` is loaded")]
    UnknownType {
        /// The type.
        type_name: TypeName,
    },
    /// The schema's `handlers` does not name the action.
    #[error("`{type_name}` does not support {action}: the `handlers` of its schema do not name it")]
    Unsupported {
        /// The type.
        type_name: TypeName,
        /// The action.
        action: Action,
    },
    /// A text does not read as what the schema wants.
    #[error("the request does not fit the schema of `{type_name}`")]
    Uncoercible {
        /// The type.
        type_name: TypeName,
        /// What does not fit.
        source: CoercionError,
    },
    /// The desired state breaks the schema.
    #[error(
        "the desired state does not fit the schema of `{type_name}`: {}",
        list(violations)
    )]
    Invalid {
        /// The type.
        type_name: TypeName,
        /// Every place, the first 20.
        violations: Vec<Violation>,
    },
    /// A create asks for a property that only the handler may set.
    #[error("a create of `{type_name}` cannot set the read-only property `{path}`; leave it out")]
    ReadOnly {
        /// The type.
        type_name: TypeName,
        /// The property.
        path: String,
    },
    /// An update or a delete does not say which resource it is about.
    #[error("the request does not name a resource of `{type_name}`: give a value to {paths}")]
    Unnamed {
        /// The type.
        type_name: TypeName,
        /// The properties of the primary identifier.
        paths: String,
    },
    /// Another operation works on the resource.
    #[error("the resource is busy with operation {holder}; wait for it or cancel it")]
    Busy {
        /// The other operation.
        holder: RequestToken,
    },
    /// The client token stands for another request.
    #[error(
        "the client token stands for another request, operation {holder}; use a new token for a new request"
    )]
    TokenReused {
        /// The operation of that request.
        holder: RequestToken,
    },
    /// The engine was shut down.
    #[error("the engine is shut down and accepts nothing more")]
    Stopped,
    /// The store failed.
    #[error("the request cannot be kept")]
    Store(#[source] StoreError),
}

fn list(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
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

    fn new(type_name: TypeName, change: Change) -> Self {
        Self {
            type_name,
            change,
            scope: Scope::default(),
            client_token: None,
            reporting: None,
            details: RequestDetails::default(),
        }
    }

    /// Gives the bytes that tell this request from others with the same client
    /// token: what is asked for, whatever the order of its members. What was
    /// before, and the credentials, differ with each repeat and are left out.
    fn fingerprint(&self, desired_state: &JsonObject) -> Vec<u8> {
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
}

fn sorted(object: &JsonObject) -> String {
    let mut value = Value::Object(object.to_map());
    value.sort_all_objects();
    value.to_string()
}

impl Engine {
    /// Accepts a request: coerces and checks the desired state, writes the
    /// operation, and gives a handle to follow it by. It begins at once.
    ///
    /// A request with the client token of an earlier, equal one gives the
    /// handle of that one.
    ///
    /// # Errors
    ///
    /// When the type is not loaded or cannot do it, the states do not fit the
    /// schema, the resource is busy, the client token stands for another
    /// request, or the store fails. Nothing was begun then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the request was accepted; a
    /// client token tells when it is sent again.
    pub async fn submit(&self, request: Request) -> Result<OperationHandle, SubmitError> {
        if *self.running.0.borrow() != Mode::Run {
            return Err(SubmitError::Stopped);
        }
        let known = self.inner.registry.get(&request.type_name).ok_or_else(|| {
            SubmitError::UnknownType {
                type_name: request.type_name.clone(),
            }
        })?;
        let schema = known.current.schema();
        let mutation = request.change.mutation();
        if !schema.handles(mutation.into()) {
            return Err(SubmitError::Unsupported {
                type_name: request.type_name,
                action: mutation.into(),
            });
        }
        let (desired_state, previous_state) = states(schema, &request.change)?;
        let fingerprint = request.fingerprint(&desired_state);
        let identifier = schema.identifier(&desired_state.to_map());
        if identifier.is_none()
            && mutation != Mutation::Create
            && !schema.has_additional_identifiers()
        {
            let paths: Vec<String> = schema
                .primary_identifier()
                .iter()
                .map(|path| format!("`{path}`"))
                .collect();
            return Err(SubmitError::Unnamed {
                type_name: request.type_name,
                paths: paths.join(" and "),
            });
        }
        let now = self.inner.clock.now();
        let token = RequestToken::random();
        let transition = Operation::accept(
            token,
            NewOperation {
                scope: request.scope,
                type_name: request.type_name,
                mutation,
                component: known.current.handler().digest(),
                deadline: now.after(schema.timeout(mutation)),
                work: Work {
                    desired_state,
                    previous_state,
                    callback_context: None,
                    details: request.details,
                },
                identifier,
                reporting: request.reporting,
            },
            now,
        );
        let accept = Accept {
            transition,
            client_token: request.client_token.map(|token| (token, fingerprint)),
        };
        let token = match self.inner.store.accept(accept).await {
            Ok(Accepted::New) => token,
            Ok(Accepted::Replayed(operation)) => operation.token,
            Err(AcceptError::Busy { holder }) => return Err(SubmitError::Busy { holder }),
            Err(AcceptError::TokenReused { holder }) => {
                return Err(SubmitError::TokenReused { holder });
            }
            Err(AcceptError::Store(error)) => return Err(SubmitError::Store(error)),
        };
        self.inner.pulse.work();
        Ok(OperationHandle::new(self.clone(), token))
    }
}

/// Gives the states to work with, coerced and checked.
fn states(
    schema: &TypeSchema,
    change: &Change,
) -> Result<(JsonObject, Option<JsonObject>), SubmitError> {
    match change {
        Change::Create { desired_state } => {
            let read_only = schema
                .read_only_in(&desired_state.to_map())
                .next()
                .map(ToString::to_string);
            if let Some(path) = read_only {
                return Err(SubmitError::ReadOnly {
                    type_name: schema.type_name().clone(),
                    path,
                });
            }
            Ok((checked(schema, desired_state)?, None))
        }
        Change::Update {
            desired_state,
            previous_state,
        } => Ok((
            checked(schema, desired_state)?,
            previous_state
                .as_ref()
                .map(|state| coerced(schema, state))
                .transpose()?,
        )),
        // What names the resource is enough; the rest need not fit any more.
        Change::Delete { state } => Ok((coerced(schema, state)?, None)),
    }
}

fn checked(schema: &TypeSchema, state: &JsonObject) -> Result<JsonObject, SubmitError> {
    let state = coerced(schema, state)?;
    let violations = schema.violations(&state.to_map());
    if violations.is_empty() {
        Ok(state)
    } else {
        Err(SubmitError::Invalid {
            type_name: schema.type_name().clone(),
            violations,
        })
    }
}

fn coerced(schema: &TypeSchema, state: &JsonObject) -> Result<JsonObject, SubmitError> {
    let mut map = state.to_map();
    schema
        .coerce(&mut map)
        .map_err(|source| SubmitError::Uncoercible {
            type_name: schema.type_name().clone(),
            source,
        })?;
    Ok(JsonObject::from_map(&map))
}
