//! A chain made invocation by invocation, so that each can be repeated as after a
//! crash of the host.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::engine::{Change, InvokeError};
use crate::model::{
    Action, Callback, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, ProgressEvent,
    RequestToken,
};

use super::stage::{End, Ended, Stage, Step, refused};
use super::{ContractError, Rule};

/// A chain to make.
pub(super) struct Walk {
    pub(super) mutation: Mutation,
    pub(super) state: Map<String, Value>,
    pub(super) previous: Option<Map<String, Value>>,
    pub(super) token: RequestToken,
    pub(super) times: Times,
}

/// How often each invocation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    /// The second answer counts: the first one was lost with the host.
    Twice,
}

/// How often an invocation is tried again after a retriable code, as the engine
/// does by default.
const RETRIES: u32 = 2;

/// The longest pause of the engine between two attempts.
const PAUSE: Duration = Duration::from_secs(60);

/// The least delay between two invocations; the engine allows some without any.
const LEAST_DELAY: Duration = Duration::from_secs(1);

/// Longer chains than any that is sensible.
const MOST_INVOCATIONS: u32 = 10_000;

impl Stage {
    /// Makes a chain from its first invocation to its end.
    pub(super) async fn walk(&mut self, walk: &Walk) -> Step<Ended> {
        self.may_try(walk.mutation)?;
        let from = self.position();
        let deadline = self.now().after(self.schema().timeout(walk.mutation));
        let mut state = JsonObject::from_map(&walk.state);
        let mut context = None;
        let mut made = 0;
        let end = loop {
            if self.now() >= deadline || made >= MOST_INVOCATIONS {
                break End::GivenUp(format!(
                    "it was in progress after {made} invocations, past the timeoutInMinutes of \
                     its schema or more than are sensible"
                ));
            }
            made += 1;
            let event = match self.step(walk, &state, context.as_ref()).await? {
                Ok(event) => event,
                Err(end) => break end,
            };
            match event {
                ProgressEvent::Success { model, .. } => {
                    break End::Success(model.map(|model| model.to_map()).unwrap_or_default());
                }
                ProgressEvent::Failed { code, message, .. } => {
                    break End::Failed { code, message };
                }
                ProgressEvent::InProgress {
                    callback,
                    callback_context,
                    model,
                    ..
                } => {
                    if let Some(model) = model {
                        state = model;
                    }
                    context = callback_context;
                    match callback {
                        Callback::After(delay) => self.wait(delay.max(LEAST_DELAY)),
                        Callback::None => {
                            break End::GivenUp("it asked not to be called again".to_owned());
                        }
                    }
                }
            }
        };
        let ended = Ended { end, from };
        self.walked(walk, &ended);
        Ok(ended)
    }

    /// Makes one invocation of a chain, once or twice, with retries.
    async fn step(
        &mut self,
        walk: &Walk,
        state: &JsonObject,
        context: Option<&JsonObject>,
    ) -> Step<Result<ProgressEvent, End>> {
        let from = self.position();
        let mut answer = self.invoke(walk, state, context).await?;
        if walk.times == Times::Twice
            && let Ok(first) = &answer
        {
            let again = self.invoke(walk, state, context).await?;
            if let Ok(second) = &again {
                self.same_resource(walk.mutation, (first, second), from);
            }
            let was_gone = walk.mutation == Mutation::Delete
                && matches!(
                    &again,
                    Ok(ProgressEvent::Failed {
                        code: HandlerErrorCode::NotFound,
                        ..
                    })
                )
                && !matches!(&answer, Ok(ProgressEvent::Failed { .. }));
            // What a first invocation deleted, a repeat may not find.
            answer = if was_gone {
                Ok(ProgressEvent::Success {
                    message: None,
                    model: None,
                })
            } else {
                again
            };
        }
        for _ in 0..RETRIES {
            let Ok(ProgressEvent::Failed { code, .. }) = &answer else {
                break;
            };
            if !code.is_retriable() {
                break;
            }
            self.wait(PAUSE);
            answer = self.invoke(walk, state, context).await?;
        }
        Ok(answer)
    }

    /// Notes that an invocation and its repeat answered two identifiers.
    fn same_resource(
        &mut self,
        mutation: Mutation,
        (first, second): (&ProgressEvent, &ProgressEvent),
        from: usize,
    ) {
        let [first, second] = [first, second].map(|event| self.named_by(event));
        if let (Some(first), Some(second)) = (first, second)
            && first != second
        {
            let action = Action::from(mutation);
            let what = format!(
                "{action} answered the identifier `{first}`, and its repeat another one, `{second}`"
            );
            self.found(Rule::Repeatable, from, what);
        }
    }

    /// Gives the identifier that an answer has, if it names what was made.
    fn named_by(&self, event: &ProgressEvent) -> Option<PrimaryIdentifier> {
        let (ProgressEvent::InProgress { model, .. } | ProgressEvent::Success { model, .. }) =
            event
        else {
            return None;
        };
        self.identifier(&model.as_ref()?.to_map())
    }

    async fn invoke(
        &mut self,
        walk: &Walk,
        state: &JsonObject,
        context: Option<&JsonObject>,
    ) -> Step<Result<ProgressEvent, End>> {
        let state = state.clone();
        let change = match walk.mutation {
            Mutation::Create => Change::Create {
                desired_state: state,
            },
            Mutation::Update => Change::Update {
                desired_state: state,
                previous_state: walk.previous.as_ref().map(JsonObject::from_map),
            },
            Mutation::Delete => Change::Delete { state },
        };
        let request = self.request(change, self.details());
        let answer = self
            .drive(self.engine().invoke(request, walk.token, context.cloned()))
            .await;
        Ok(match answer {
            Ok(event) => Ok(event),
            Err(InvokeError::Trapped(trap)) => Err(End::Trapped(trap)),
            Err(InvokeError::Refused(error)) => Err(refused(error)?),
            Err(error @ InvokeError::Host(_)) => return Err(ContractError::from(error).into()),
        })
    }
}
