//! From a request to a durable operation.

use std::error::Error;
use std::sync::Arc;

use crate::model::{
    Action, CoercionError, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, RequestToken,
    TypeName, TypeSchema, Violation,
};
use crate::operation::{Fault, NewOperation, Operation, Work};
use crate::registry::{HandlerVersion, ResourceType};
use crate::store::{Accept, AcceptError, Accepted, IdempotencyKey, StoreError};

use super::backoff::Backoff;
use super::causes::Causes;
use super::error::{ConfigurationError, check_configuration, list};
use super::request::{Change, Request};
use super::slots::Slot;
use super::telemetry::{Happening, Stopwatch};
use super::{Engine, Inner, Mode, OperationHandle};

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
    /// The configuration of the type that the caller sent breaks the schema.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// Another operation works on the resource.
    #[error("the resource is busy with operation {holder}; wait for it or cancel it")]
    Busy {
        /// The other operation.
        holder: RequestToken,
    },
    /// The state that the request follows from is of before another operation.
    #[error(
        "operation {by} has worked on the resource since its state was read; read it again and repeat the request"
    )]
    Overtaken {
        /// The other operation, which has ended.
        by: RequestToken,
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

impl SubmitError {
    /// Gives what an operation of this request fails with, if it is the request
    /// that is at fault: `ResourceConflict` if its resource is busy or was
    /// meanwhile, else `InvalidRequest`.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let code = match self {
            Self::UnknownType { .. }
            | Self::Unsupported { .. }
            | Self::Uncoercible { .. }
            | Self::Invalid { .. }
            | Self::ReadOnly { .. }
            | Self::Unnamed { .. } => HandlerErrorCode::InvalidRequest,
            Self::Configuration(_) => HandlerErrorCode::InvalidTypeConfiguration,
            // Who is busy with it is not this caller's business: the token of an
            // operation is a right to record its progress.
            Self::Busy { .. } => {
                return Some(Fault {
                    code: HandlerErrorCode::ResourceConflict,
                    message: "the resource is busy with another operation".to_owned(),
                });
            }
            Self::Overtaken { .. } => {
                return Some(Fault {
                    code: HandlerErrorCode::ResourceConflict,
                    message: "another operation has worked on the resource since it was read"
                        .to_owned(),
                });
            }
            Self::TokenReused { .. } | Self::Stopped | Self::Store(_) => return None,
        };
        let message = Causes(self).to_string();
        Some(Fault { code, message })
    }
}

impl Engine {
    /// Accepts a request: coerces and checks the desired state, writes the
    /// operation, and gives a handle to follow it by. It begins at once.
    ///
    /// A request with the client token of an earlier, equal one gives the
    /// handle of that one, until the token expires ([`Retention`]).
    ///
    /// [`Retention`]: super::Retention
    ///
    /// # Errors
    ///
    /// When the type is not loaded or cannot do it, the states do not fit the
    /// schema, the resource is busy or was since the request's basis, the client
    /// token stands for another request, or the store fails. Nothing was begun
    /// then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the request was accepted; a
    /// client token tells when it is sent again.
    pub async fn submit(&self, request: Request) -> Result<OperationHandle, SubmitError> {
        let version = self.acceptor(&request.type_name)?.current;
        let checked = check(version.schema(), &request)?;
        let key = client_key(&request, &checked);
        self.accept(&version, request, Verdict::Good(checked), key)
            .await
    }

    /// Accepts an update that changes nothing, and ends it well at once: the
    /// resource is as it was asked to be, and `model` is what it is. Its handler
    /// is not invoked, and nobody is told; a report target is ignored.
    ///
    /// As with [`Engine::submit`], a request with the client token of an earlier,
    /// equal one gives the handle of that one.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`]; also when another operation works on the resource,
    /// since it may change after all.
    ///
    /// # Cancel safety
    ///
    /// As [`Engine::submit`].
    pub async fn submit_unchanged(
        &self,
        request: Request,
        model: &JsonObject,
    ) -> Result<OperationHandle, SubmitError> {
        let version = self.acceptor(&request.type_name)?.current;
        let checked = check(version.schema(), &request)?;
        let key = client_key(&request, &checked);
        let mut model = model.to_map();
        version.schema().remove_write_only(&mut model);
        let verdict = Verdict::Unchanged(checked, JsonObject::from_map(&model));
        self.accept(&version, request, verdict, key).await
    }

    /// Gives a type, if it is known and requests are accepted.
    pub(super) fn acceptor(&self, type_name: &TypeName) -> Result<ResourceType, SubmitError> {
        if *self.running.0.borrow() != Mode::Run {
            return Err(SubmitError::Stopped);
        }
        self.inner
            .registry
            .open(type_name)
            .ok_or_else(|| SubmitError::UnknownType {
                type_name: type_name.clone(),
            })
    }

    /// Writes an operation, and gives a handle to follow it by.
    pub(super) async fn accept(
        &self,
        version: &HandlerVersion,
        request: Request,
        verdict: Verdict,
        key: Option<(IdempotencyKey, Vec<u8>)>,
    ) -> Result<OperationHandle, SubmitError> {
        let watch = Stopwatch::start(self.inner.clock.as_ref());
        let now = self.inner.clock.now();
        let token = self.inner.tokens.next(now);
        let mutation = request.change.mutation();
        let (checked, fault, as_it_is) = match verdict {
            Verdict::Good(checked) => (checked, None, None),
            Verdict::Bad(fault) => (request.change.unchecked(), Some(fault), None),
            Verdict::Unchanged(checked, model) => (checked, None, Some(model)),
        };
        let new = NewOperation {
            scope: request.scope,
            type_name: request.type_name,
            mutation,
            component: version.handler().digest(),
            deadline: now.after(version.schema().timeout(mutation)),
            work: Work {
                desired_state: checked.desired_state,
                previous_state: checked.previous_state,
                callback_context: None,
                details: request.details,
                fault,
            },
            identifier: checked.identifier,
            reporting: request.reporting,
        };
        let mut place = None;
        let transition = match as_it_is {
            Some(model) => Operation::unchanged(token, new, model, now),
            None => {
                place = self.inner.place_for(&new.type_name);
                let accepted = Operation::accept(token, new, now);
                match &place {
                    Some(_) => accepted.leased(now.after(self.inner.lease), now),
                    None => accepted,
                }
            }
        };
        let accept = Accept {
            transition,
            key,
            basis: request.basis,
            tokens_expired: self.inner.retention.horizon(now).client_tokens,
        };
        // It may have ended by the time that the store answers.
        let handle = OperationHandle::new(self.clone(), token);
        // It is told here, where it is known for whom it was accepted.
        let told = self.inner.telemetry.is_some();
        let told = told.then(|| accept.transition.operation.clone());
        let accepted = match place {
            Some(slot) => self.accept_leased(accept, slot).await?,
            None => {
                let operation = accept.transition.operation.clone();
                let accepted = self.inner.store.accept(accept).await?;
                if matches!(accepted, Accepted::New) {
                    self.inner.committed(&operation);
                }
                accepted
            }
        };
        match accepted {
            Accepted::New => {
                if let Some(operation) = &told {
                    self.inner.tell(|| Happening::Accepted {
                        operation,
                        span: watch.span(),
                    });
                }
                Ok(handle)
            }
            Accepted::Replayed(operation) => {
                Ok(OperationHandle::new(self.clone(), operation.token))
            }
        }
    }

    /// Accepts an operation that is leased by the same transaction, and has it
    /// invoked: also if nobody waits for the answer any more, since it is this
    /// engine's.
    async fn accept_leased(&self, accept: Accept, slot: Slot) -> Result<Accepted, AcceptError> {
        let inner = Arc::clone(&self.inner);
        let mode = self.running.0.subscribe();
        let operation = accept.transition.operation.clone();
        let accepting = async move {
            let lease = operation.lease;
            let _expecting = lease.map(|lease| inner.leases.expecting(lease.until));
            let accepted = match inner.store.accept(accept).await {
                Err(AcceptError::Store(error @ StoreError::Unknown { .. })) => {
                    inner.accepted_after_all(&operation, error).await?
                }
                accepted => accepted?,
            };
            if matches!(accepted, Accepted::New) {
                inner.committed(&operation);
                inner.begin(operation, slot);
            }
            Ok(accepted)
        };
        let unknown = |source: Box<dyn Error + Send + Sync>| {
            AcceptError::Store(StoreError::Unknown {
                place: "this engine".to_owned(),
                source,
            })
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                accepted = accepting => accepted,
                () = super::stopped(mode) => Err(unknown("it was stopped".into())),
            }
        });
        task.await
            .unwrap_or_else(|error| Err(unknown(error.into())))
    }
}

impl Inner {
    /// Finds out whether an operation was accepted and leased by a transaction that
    /// was not confirmed: nobody else goes on with it while the lease lasts.
    async fn accepted_after_all(
        &self,
        operation: &Operation,
        unconfirmed: StoreError,
    ) -> Result<Accepted, AcceptError> {
        let Some(lease) = operation.lease else {
            return Err(unconfirmed.into());
        };
        let is_ours = |found: &Operation| {
            let stands = found.lease;
            stands.is_some_and(|stands| stands.number == lease.number)
        };
        let mut backoff = Backoff::new();
        while self.clock.now() < lease.until {
            match self.store.get(operation.token).await {
                Ok(Some(found)) if is_ours(&found) => return Ok(Accepted::New),
                Ok(_) => break,
                Err(_) => backoff.pause(self.clock.as_ref()).await,
            }
        }
        Err(unconfirmed.into())
    }
}

/// What a request asks for, coerced and checked.
pub(super) struct Checked {
    pub(super) desired_state: JsonObject,
    pub(super) previous_state: Option<JsonObject>,
    /// The resource, if the request names it.
    pub(super) identifier: Option<PrimaryIdentifier>,
}

/// What is thought of a request.
pub(super) enum Verdict {
    Good(Checked),
    /// It is wrong, and its operation fails for it.
    Bad(Fault),
    /// There is nothing to do, and the resource is this.
    Unchanged(Checked, JsonObject),
}

/// Gives what a client token stands for, if the request has one.
fn client_key(request: &Request, checked: &Checked) -> Option<(IdempotencyKey, Vec<u8>)> {
    let token = request.client_token.clone()?;
    let fingerprint = request.fingerprint(&checked.desired_state);
    Some((IdempotencyKey::Client(token), fingerprint))
}

/// Coerces and checks what is asked for.
pub(super) fn check(schema: &TypeSchema, request: &Request) -> Result<Checked, SubmitError> {
    let mutation = request.change.mutation();
    supported(schema, mutation)?;
    let (desired_state, previous_state) = states(schema, &request.change)?;
    check_configuration(schema, request.details.type_configuration.as_ref())?;
    named(schema, mutation, desired_state, previous_state)
}

/// Tells whether the schema's `handlers` names what is to be done.
pub(super) fn supported(schema: &TypeSchema, mutation: Mutation) -> Result<(), SubmitError> {
    if schema.handles(mutation.into()) {
        return Ok(());
    }
    Err(SubmitError::Unsupported {
        type_name: schema.type_name().clone(),
        action: mutation.into(),
    })
}

/// Sees to it that an update and a delete name their resource.
pub(super) fn named(
    schema: &TypeSchema,
    mutation: Mutation,
    desired_state: JsonObject,
    previous_state: Option<JsonObject>,
) -> Result<Checked, SubmitError> {
    let identifier = schema.identifier(&desired_state.to_map());
    if identifier.is_none() && mutation != Mutation::Create && !schema.has_additional_identifiers()
    {
        let paths: Vec<String> = schema
            .primary_identifier()
            .iter()
            .map(|path| format!("`{path}`"))
            .collect();
        return Err(SubmitError::Unnamed {
            type_name: schema.type_name().clone(),
            paths: paths.join(" and "),
        });
    }
    Ok(Checked {
        desired_state,
        previous_state,
        identifier,
    })
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

pub(super) fn checked(schema: &TypeSchema, state: &JsonObject) -> Result<JsonObject, SubmitError> {
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

pub(super) fn coerced(schema: &TypeSchema, state: &JsonObject) -> Result<JsonObject, SubmitError> {
    let mut map = state.to_map();
    schema
        .coerce(&mut map)
        .map_err(|source| SubmitError::Uncoercible {
            type_name: schema.type_name().clone(),
            source,
        })?;
    Ok(JsonObject::from_map(&map))
}
