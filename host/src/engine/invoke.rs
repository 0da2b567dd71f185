//! One invocation: from a leased operation to its next committed version, and
//! the synchronous READ and LIST.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

use crate::model::{
    Action, Answer, Call, CoercionError, Invocation, JsonObject, ListPage, ListRequest,
    ReadFailure, RequestDetails, RequestToken, Scope, Trap, TypeName, TypeSchema,
};
use crate::operation::{Input, Operation};
use crate::registry::{HandlerVersion, ResourceType, TypeSettings};
use crate::sandbox::{Environment, Outcome, SandboxError};
use crate::store::CommitError;

use super::causes::Causes;
use super::{Engine, Inner};

/// The first and the longest pause before a failed commit is tried again.
const COMMIT_BACKOFF: Duration = Duration::from_millis(100);
const COMMIT_BACKOFF_CAP: Duration = Duration::from_secs(5);

/// What a READ is asked for.
#[derive(Clone, Debug)]
pub struct ReadQuery {
    /// The resource type.
    pub type_name: TypeName,
    /// Where the resource lives.
    pub scope: Scope,
    /// The properties that name the resource.
    pub identifier: JsonObject,
    /// What else the caller says.
    pub details: RequestDetails,
}

/// What a LIST is asked for.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// The resource type.
    pub type_name: TypeName,
    /// Where the resources live.
    pub scope: Scope,
    /// Which page of which resources.
    pub list: ListRequest,
    /// What else the caller says.
    pub details: RequestDetails,
}

/// Says why a READ or a LIST gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
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
    Invalid {
        /// The type.
        type_name: TypeName,
        /// What does not fit.
        source: CoercionError,
    },
    /// The handler says no.
    #[error("{}: {}", .0.code, .0.message)]
    Failed(ReadFailure),
    /// The guest broke.
    #[error("the handler did not answer: {0}")]
    Trapped(Trap),
    /// The host broke.
    #[error("the handler cannot be run")]
    Host(#[source] SandboxError),
}

impl Engine {
    /// Reads a resource: one invocation, nothing is kept.
    ///
    /// The model comes without write-only properties and nulls.
    ///
    /// # Errors
    ///
    /// When the type cannot READ, the handler says no, or the handler or the
    /// host breaks; it is not tried again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the invocation.
    pub async fn read(&self, query: ReadQuery) -> Result<JsonObject, ReadError> {
        let known = self.inner.readable(&query.type_name, Action::Read)?;
        let _places = self.inner.place_to_read(&known).await;
        let schema = known.current.schema();
        let call = Call::Read {
            identifier: coerced(schema, &query.identifier)?,
        };
        let (invocation, environment) = self.inner.query(&known, query.scope, query.details, call);
        match known
            .current
            .handler()
            .read(invocation, &environment)
            .await
            .map_err(ReadError::Host)?
        {
            Outcome::Answered(Ok(model)) => Ok(schema.shown(&model)),
            Outcome::Answered(Err(failure)) => Err(ReadError::Failed(failure)),
            Outcome::Trapped(trap) => Err(ReadError::Trapped(trap)),
        }
    }

    /// Lists one page of the resources of a type: one invocation, nothing is kept.
    ///
    /// # Errors
    ///
    /// As [`Engine::read`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the invocation.
    pub async fn list(&self, query: ListQuery) -> Result<ListPage, ReadError> {
        let known = self.inner.readable(&query.type_name, Action::List)?;
        let _places = self.inner.place_to_read(&known).await;
        let schema = known.current.schema();
        let filter = query
            .list
            .filter
            .map(|filter| coerced(schema, &filter))
            .transpose()?;
        let call = Call::List(ListRequest {
            filter,
            ..query.list
        });
        let (invocation, environment) = self.inner.query(&known, query.scope, query.details, call);
        match known
            .current
            .handler()
            .list(invocation, &environment)
            .await
            .map_err(ReadError::Host)?
        {
            Outcome::Answered(Ok(page)) => Ok(ListPage {
                models: page
                    .models
                    .iter()
                    .map(|model| schema.shown(model))
                    .collect(),
                next_token: page.next_token,
            }),
            Outcome::Answered(Err(failure)) => Err(ReadError::Failed(failure)),
            Outcome::Trapped(trap) => Err(ReadError::Trapped(trap)),
        }
    }
}

fn coerced(schema: &TypeSchema, model: &JsonObject) -> Result<JsonObject, ReadError> {
    let mut map = model.to_map();
    schema
        .coerce(&mut map)
        .map_err(|source| ReadError::Invalid {
            type_name: schema.type_name().clone(),
            source,
        })?;
    Ok(JsonObject::from_map(&map))
}

impl Inner {
    fn readable(&self, type_name: &TypeName, action: Action) -> Result<ResourceType, ReadError> {
        let known = self
            .registry
            .get(type_name)
            .ok_or_else(|| ReadError::UnknownType {
                type_name: type_name.clone(),
            })?;
        if known.current.schema().handles(action) {
            Ok(known)
        } else {
            Err(ReadError::Unsupported {
                type_name: type_name.clone(),
                action,
            })
        }
    }

    /// Waits for a place to READ or LIST: a type has half of them at most, so
    /// that its slow reads leave room for those of others.
    async fn place_to_read(
        &self,
        known: &ResourceType,
    ) -> (OwnedSemaphorePermit, SemaphorePermit<'_>) {
        let open = "the places are never closed";
        let of_type = Arc::clone(&known.reads).acquire_owned().await.expect(open);
        (of_type, self.reads.acquire().await.expect(open))
    }

    /// Makes the one invocation of a READ or LIST.
    fn query(
        &self,
        known: &ResourceType,
        scope: Scope,
        details: RequestDetails,
        call: Call,
    ) -> (Invocation, Environment) {
        let now = self.clock.now();
        let invocation = Invocation {
            token: RequestToken::random(),
            type_name: known.current.schema().type_name().clone(),
            scope,
            start_time: now,
            deadline: now.after(known.settings.limits.read_wall),
            invocation: 1,
            attempt: 1,
            details: configured(details, &known.settings),
            call,
        };
        (invocation, self.environment(&known.settings))
    }

    fn environment(&self, settings: &TypeSettings) -> Environment {
        let mut environment = Environment::new(Arc::clone(&self.clock));
        environment.limits = settings.limits;
        environment.grants = Arc::clone(&settings.grants);
        environment
    }
}

/// Adds the type's own configuration where the caller sent none.
fn configured(mut details: RequestDetails, settings: &TypeSettings) -> RequestDetails {
    if details.type_configuration.is_none() {
        details
            .type_configuration
            .clone_from(&settings.type_configuration);
    }
    details
}

/// Makes the invocation that `operation` is leased for, and commits its answer.
pub(super) async fn run(inner: Arc<Inner>, operation: Operation) {
    let input = invoke(&inner, &operation).await;
    settle(&inner, operation, input).await;
}

/// Calls the handler and says what happened.
async fn invoke(inner: &Inner, operation: &Operation) -> Input {
    let version = match inner.version(operation.component).await {
        Ok(version) => version,
        Err(error) => return host_failed(operation, &error),
    };
    let settings = inner
        .registry
        .get(&operation.type_name)
        .map(|known| known.settings)
        .unwrap_or_default();
    let mut invocation = operation
        .invocation_of()
        .expect("an operation that is leased has not ended");
    invocation.details = configured(invocation.details, &settings);
    let invocation = Arc::new(invocation);
    let environment = inner.environment(&settings);
    match version
        .handler()
        .mutate(Arc::clone(&invocation), &environment)
        .await
    {
        Ok(Outcome::Answered(event)) => {
            let state = match &invocation.call {
                Call::Create { desired_state, .. } | Call::Update { desired_state, .. } => {
                    desired_state
                }
                Call::Delete { state, .. } => state,
                Call::Read { identifier } => identifier,
                Call::List(_) => unreachable!("an operation is a create, an update or a delete"),
            };
            let strict = settings.policy.strict;
            let answer =
                Answer::translate(version.schema(), operation.mutation, state, event, strict);
            warn(operation, &version, &answer);
            Input::Answered(answer)
        }
        Ok(Outcome::Trapped(trap)) => Input::Trapped(trap),
        Err(error) => host_failed(operation, &error),
    }
}

/// Says that the host failed. The reason is for the operator, not for callers:
/// it can name places of this machine.
fn host_failed(operation: &Operation, error: &dyn Error) -> Input {
    tracing::error!(
        error = %Causes(error),
        request_token = %operation.token,
        type_name = %operation.type_name,
        "the host could not run a handler"
    );
    Input::HostFailed {
        message: "the host could not run the handler; its log says why".to_owned(),
    }
}

/// Logs which rules an answer broke without being failed for it.
pub(super) fn warn(operation: &Operation, version: &HandlerVersion, answer: &Answer) {
    for warning in &answer.warnings {
        tracing::warn!(
            request_token = %operation.token,
            type_name = %operation.type_name,
            action = %operation.mutation,
            invocation = operation.invocation,
            component = %version.handler().digest(),
            %warning,
            "the handler broke its contract"
        );
    }
}

/// Commits what happened to an operation that was read or leased, and tells
/// whether it did.
///
/// Whoever commits in between does not undo it: the input is applied again to
/// what they made of the operation, as long as our lease stands there.
pub(super) async fn settle(inner: &Inner, mut operation: Operation, mut input: Input) -> bool {
    let lease = operation.lease.map(|lease| lease.number);
    let policy = inner.policy(&operation.type_name);
    let mut pause = COMMIT_BACKOFF;
    loop {
        let transition = match operation.apply(input.clone(), inner.clock.now(), &policy) {
            Ok(transition) => transition,
            Err(refusal) => {
                tracing::warn!(request_token = %operation.token, %refusal, "an answer came too late and is dropped");
                return false;
            }
        };
        let changed = transition.operation.clone();
        match inner.store.commit(transition).await {
            Ok(()) => {
                inner.committed(&changed);
                return true;
            }
            Err(CommitError::IdentifierTaken { holder }) => {
                let Input::Answered(answer) = input else {
                    return false;
                };
                input = Input::IdentifierTaken { answer, holder };
            }
            Err(CommitError::Conflict { expected: _ }) => {
                match inner.store.get(operation.token).await {
                    Ok(Some(current)) if current.lease.map(|lease| lease.number) == lease => {
                        operation = current;
                    }
                    Ok(_) => {
                        tracing::warn!(request_token = %operation.token, "an answer came after its lease and is dropped");
                        return false;
                    }
                    Err(error) => {
                        tracing::error!(
                            error = %Causes(&error),
                            "the store failed; trying again"
                        );
                        inner.clock.sleep(pause).await;
                        pause = (pause * 2).min(COMMIT_BACKOFF_CAP);
                    }
                }
            }
            // The answer is not lost as long as this process lives: the store
            // may have space or a connection again in a moment.
            Err(CommitError::Store(error)) => {
                tracing::error!(
                    error = %Causes(&error),
                    request_token = %operation.token,
                    "an answer could not be committed; trying again"
                );
                inner.clock.sleep(pause).await;
                pause = (pause * 2).min(COMMIT_BACKOFF_CAP);
            }
        }
    }
}
