//! The synchronous READ and LIST.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

use crate::model::{
    Action, Call, CoercionError, Invocation, JsonObject, ListPage, ListRequest, ReadFailure,
    RequestDetails, RequestToken, Scope, Trap, TypeName, TypeSchema, Violation,
};
use crate::registry::ResourceType;
use crate::sandbox::{Outcome, SandboxError};

use super::accept::{list, misconfigured};
use super::call::configured;
use super::observer::Exchanged;
use super::turn::Turn;
use super::{Engine, Inner};

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
    /// The configuration of the type that the caller sent breaks the schema.
    #[error(
        "the type configuration does not fit the schema of `{type_name}`: {}",
        list(violations)
    )]
    Configuration {
        /// The type.
        type_name: TypeName,
        /// Every place, the first 20. Values are not shown.
        violations: Vec<Violation>,
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
        let _places = self.inner.place_to_answer(&known).await;
        let schema = known.current.schema();
        check(schema, &query.details)?;
        let call = Call::Read {
            identifier: coerced(schema, &query.identifier)?,
        };
        let invocation = self.inner.query(&known, query.scope, query.details, call);
        let turn = Turn::begin(&self.inner.pulse);
        let wall = known.settings.limits.read_wall;
        let environment = self.inner.environment(&known.settings, &turn, wall);
        let outcome = known
            .current
            .handler()
            .read(Arc::clone(&invocation), &environment)
            .await
            .map_err(ReadError::Host)?;
        self.inner
            .show(&invocation, Vec::new(), || match outcome.clone() {
                Outcome::Answered(answer) => Exchanged::Read(answer),
                Outcome::Trapped(trap) => Exchanged::Trapped(trap),
            });
        match outcome {
            Outcome::Answered(Ok(model)) => Ok(schema.shown(&model)),
            Outcome::Answered(Err(failure)) => Err(ReadError::Failed(failure.explained())),
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
        let _places = self.inner.place_to_answer(&known).await;
        let schema = known.current.schema();
        check(schema, &query.details)?;
        let filter = query
            .list
            .filter
            .map(|filter| coerced(schema, &filter))
            .transpose()?;
        let call = Call::List(ListRequest {
            filter,
            ..query.list
        });
        let invocation = self.inner.query(&known, query.scope, query.details, call);
        let turn = Turn::begin(&self.inner.pulse);
        let wall = known.settings.limits.read_wall;
        let environment = self.inner.environment(&known.settings, &turn, wall);
        let outcome = known
            .current
            .handler()
            .list(Arc::clone(&invocation), &environment)
            .await
            .map_err(ReadError::Host)?;
        self.inner
            .show(&invocation, Vec::new(), || match outcome.clone() {
                Outcome::Answered(answer) => Exchanged::Listed(answer),
                Outcome::Trapped(trap) => Exchanged::Trapped(trap),
            });
        match outcome {
            Outcome::Answered(Ok(page)) => Ok(ListPage {
                models: page
                    .models
                    .iter()
                    .map(|model| schema.shown(model))
                    .collect(),
                next_token: page.next_token,
            }),
            Outcome::Answered(Err(failure)) => Err(ReadError::Failed(failure.explained())),
            Outcome::Trapped(trap) => Err(ReadError::Trapped(trap)),
        }
    }
}

fn check(schema: &TypeSchema, details: &RequestDetails) -> Result<(), ReadError> {
    let violations = misconfigured(schema, details.type_configuration.as_ref());
    if violations.is_empty() {
        return Ok(());
    }
    Err(ReadError::Configuration {
        type_name: schema.type_name().clone(),
        violations,
    })
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

    /// Waits for a place to answer a caller who waits: a type has half of them at
    /// most, so that its slow calls leave room for those of others.
    pub(super) async fn place_to_answer(
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
    ) -> Arc<Invocation> {
        let now = self.clock.now();
        Arc::new(Invocation {
            token: RequestToken::random(),
            type_name: known.current.schema().type_name().clone(),
            scope,
            start_time: now,
            deadline: now.after(known.settings.limits.read_wall),
            invocation: 1,
            attempt: 1,
            details: configured(details, &known.settings),
            call,
        })
    }
}
