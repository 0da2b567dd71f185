//! The synchronous READ and LIST.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

use crate::model::{
    Action, Call, CoercionError, HandlerErrorCode, Invocation, JsonObject, ListPage, ListRequest,
    ReadAnswer, ReadFailure, RequestDetails, RequestToken, Scope, Trap, TypeName, TypeSchema,
    Warning,
};
use crate::registry::ResourceType;
use crate::sandbox::{Environment, Outcome, SandboxError};

use super::call::{configured, warn};
use super::error::{ConfigurationError, check_configuration};
use super::observer::Exchanged;
use super::telemetry::{Happening, InvocationOutcome, Invoked, Stopwatch};
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
    /// The id of the caller's request, by which the handler and the log know it.
    pub token: RequestToken,
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
    /// As in [`ReadQuery::token`].
    pub token: RequestToken,
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
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
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
        let schema = known.current.schema();
        let asked = coerced(schema, Action::Read, &query.identifier)?;
        let call = Call::Read {
            identifier: asked.clone(),
        };
        let handler = known.current.handler();
        self.inner
            .ask(
                &known,
                Question {
                    token: query.token,
                    scope: query.scope,
                    details: query.details,
                    call,
                },
                async |invocation, environment| handler.read(invocation, environment).await,
                Exchanged::Read,
                |model| {
                    let answer = ReadAnswer::read(schema, &asked, &model);
                    (answer.model, answer.warnings)
                },
            )
            .await
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
        let schema = known.current.schema();
        let filter = query.list.filter.as_ref();
        let filter = filter
            .map(|filter| coerced(schema, Action::List, filter))
            .transpose()?;
        let call = Call::List(ListRequest {
            filter,
            ..query.list
        });
        let handler = known.current.handler();
        self.inner
            .ask(
                &known,
                Question {
                    token: query.token,
                    scope: query.scope,
                    details: query.details,
                    call,
                },
                async |invocation, environment| handler.list(invocation, environment).await,
                Exchanged::Listed,
                |page| {
                    let answers = page
                        .models
                        .iter()
                        .map(|model| ReadAnswer::listed(schema, model));
                    let mut warnings = Vec::new();
                    let models = answers
                        .map(|answer| {
                            warnings.extend(answer.warnings);
                            answer.model
                        })
                        .collect();
                    // An empty token is none: whoever goes on with it begins again.
                    let next_token = page.next_token.filter(|token| !token.is_empty());
                    (ListPage { models, next_token }, warnings)
                },
            )
            .await
    }
}

impl Engine {
    /// Looks for what [`Engine::read`] would refuse, and invokes nothing.
    ///
    /// # Errors
    ///
    /// When the request is wrong.
    pub fn check_read(&self, query: &ReadQuery) -> Result<(), ReadError> {
        let known = self.inner.readable(&query.type_name, Action::Read)?;
        let schema = known.current.schema();
        coerced(schema, Action::Read, &query.identifier)?;
        check_configuration(schema, query.details.type_configuration.as_ref())?;
        Ok(())
    }

    /// Looks for what [`Engine::list`] would refuse, and invokes nothing.
    ///
    /// # Errors
    ///
    /// When the request is wrong.
    pub fn check_list(&self, query: &ListQuery) -> Result<(), ReadError> {
        let known = self.inner.readable(&query.type_name, Action::List)?;
        let schema = known.current.schema();
        if let Some(filter) = &query.list.filter {
            coerced(schema, Action::List, filter)?;
        }
        check_configuration(schema, query.details.type_configuration.as_ref())?;
        Ok(())
    }
}

/// Coerces what a READ or a LIST is asked with.
fn coerced(
    schema: &TypeSchema,
    action: Action,
    model: &JsonObject,
) -> Result<JsonObject, ReadError> {
    let mut map = model.to_map();
    let coerced = if action == Action::List {
        schema.coerce_filter(&mut map)
    } else {
        schema.coerce(&mut map)
    };
    coerced.map_err(|source| ReadError::Invalid {
        type_name: schema.type_name().clone(),
        source,
    })?;
    Ok(JsonObject::from_map(&map))
}

/// What the one invocation of a READ or LIST is made of.
struct Question {
    token: RequestToken,
    scope: Scope,
    details: RequestDetails,
    call: Call,
}

impl Inner {
    fn readable(&self, type_name: &TypeName, action: Action) -> Result<ResourceType, ReadError> {
        let known = self
            .registry
            .open(type_name)
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
    async fn ask<T: Clone>(
        &self,
        known: &ResourceType,
        question: Question,
        invoke: impl AsyncFnOnce(
            Arc<Invocation>,
            &Environment,
        ) -> Result<Outcome<Result<T, ReadFailure>>, SandboxError>,
        exchanged: impl FnOnce(Result<T, ReadFailure>) -> Exchanged,
        judge: impl FnOnce(T) -> (T, Vec<Warning>),
    ) -> Result<T, ReadError> {
        let Question {
            token,
            scope,
            details,
            call,
        } = question;
        let schema = known.current.schema();
        check_configuration(schema, details.type_configuration.as_ref())?;
        let mut watch = Stopwatch::start(self.clock.as_ref());
        let _places = self.place_to_answer(known).await;
        watch.lap();
        let now = self.clock.now();
        let wall = known.settings.limits.read_wall;
        let invocation = Arc::new(Invocation {
            token,
            type_name: schema.type_name().clone(),
            scope,
            start_time: now,
            deadline: now.after(wall),
            invocation: 1,
            attempt: 1,
            details: configured(details, &known.settings),
            call,
        });
        let turn = Turn::begin(&self.pulse);
        let environment = self.environment(&known.settings, &turn, wall);
        let outcome = invoke(Arc::clone(&invocation), &environment).await;
        let call = watch.lap();
        self.tell(|| {
            Happening::Invoked(Invoked {
                subject: invocation.as_ref().into(),
                attempt: 1,
                due: None,
                span: watch.span(),
                call,
                commit: None,
                outcome: match &outcome {
                    Ok(Outcome::Answered(Ok(_))) => InvocationOutcome::Success,
                    Ok(Outcome::Answered(Err(failure))) => InvocationOutcome::Failed(failure.code),
                    Ok(Outcome::Trapped(trap)) => InvocationOutcome::Trapped(trap.kind),
                    Err(_) => InvocationOutcome::HostFailed,
                },
            })
        });
        let outcome = outcome.map_err(ReadError::Host)?;
        let raw = self.observer.is_some().then(|| outcome.clone());
        let (answer, warnings) = match outcome {
            Outcome::Answered(Ok(answer)) => {
                let (answer, warnings) = judge(answer);
                (Ok(answer), warnings)
            }
            Outcome::Answered(Err(failure)) => {
                (Err(ReadError::Failed(failure.explained())), Vec::new())
            }
            Outcome::Trapped(trap) => (Err(ReadError::Trapped(trap)), Vec::new()),
        };
        warn(&known.current, invocation.as_ref().into(), &warnings);
        let broken = warnings.first().map(ToString::to_string);
        if let Some(raw) = raw {
            self.show(&invocation, warnings, || match raw {
                Outcome::Answered(answer) => exchanged(answer),
                Outcome::Trapped(trap) => Exchanged::Trapped(trap),
            });
        }
        match broken {
            Some(rule) if known.settings.policy.strict => Err(ReadError::Failed(ReadFailure {
                code: HandlerErrorCode::InternalFailure,
                message: format!("the handler broke its contract: {rule}"),
            })),
            Some(_) | None => answer,
        }
    }
}
