//! Asking the handler for operations, READs and LISTs, and what it answered.

use std::pin::pin;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::contract::ContractError;
use crate::engine::{
    Causes, Change, Exchanged, ListQuery, ReadError, ReadQuery, Request, SubmitError,
};
use crate::model::{
    Action, Callback, HandlerErrorCode, JsonObject, ListPage, ListRequest, Mutation, ProgressEvent,
    RequestDetails, RequestToken, TrapKind,
};
use crate::operation::Status;

use super::{End, Ended, Stage, Step};

impl Stage {
    pub(in crate::contract) async fn create(
        &mut self,
        desired: &Map<String, Value>,
    ) -> Step<Ended> {
        self.create_with(desired, self.details.clone()).await
    }

    pub(in crate::contract) async fn create_with(
        &mut self,
        desired: &Map<String, Value>,
        details: RequestDetails,
    ) -> Step<Ended> {
        let change = Change::Create {
            desired_state: JsonObject::from_map(desired),
        };
        let ended = self.operate(Mutation::Create, change, details).await?;
        // What exists already is another's.
        if !ended.end.is_failed(HandlerErrorCode::AlreadyExists) {
            self.keep_made(ended.from);
        }
        Ok(ended)
    }

    pub(in crate::contract) async fn update(
        &mut self,
        desired: &Map<String, Value>,
        previous: Option<&Map<String, Value>>,
    ) -> Step<Ended> {
        self.update_with(desired, previous, self.details.clone())
            .await
    }

    pub(in crate::contract) async fn update_with(
        &mut self,
        desired: &Map<String, Value>,
        previous: Option<&Map<String, Value>>,
        details: RequestDetails,
    ) -> Step<Ended> {
        let change = Change::Update {
            desired_state: JsonObject::from_map(desired),
            previous_state: previous.map(JsonObject::from_map),
        };
        self.operate(Mutation::Update, change, details).await
    }

    pub(in crate::contract) async fn delete(&mut self, state: &Map<String, Value>) -> Step<Ended> {
        let change = Change::Delete {
            state: JsonObject::from_map(state),
        };
        let ended = self
            .operate(Mutation::Delete, change, self.details.clone())
            .await?;
        self.keep_deleted(state, &ended.end);
        Ok(ended)
    }

    async fn operate(
        &mut self,
        mutation: Mutation,
        change: Change,
        details: RequestDetails,
    ) -> Step<Ended> {
        self.may_try(mutation)?;
        let from = self.log.len();
        let request = self.request(change, details);
        let handle = match self.engine.submit(request).await {
            Ok(handle) => handle,
            Err(error) => {
                return Ok(Ended {
                    end: refused(error)?,
                    from,
                });
            }
        };
        let operation = self
            .drive(handle.outcome())
            .await
            .map_err(ContractError::from)?;
        let last = self.log.since(from).pop();
        let said = operation.message.clone().unwrap_or_default();
        let end = match last.map(|entry| entry.exchange.outcome.clone()) {
            None => End::Overruled(said),
            Some(Exchanged::Trapped(trap)) => End::Trapped(trap),
            Some(Exchanged::Event(event)) => match (event, operation.status) {
                (ProgressEvent::Success { model, .. }, Status::Success) => {
                    End::Success(model.map(|model| model.to_map()).unwrap_or_default())
                }
                (ProgressEvent::Failed { code, message, .. }, _) => End::Failed { code, message },
                (ProgressEvent::InProgress { callback, .. }, _)
                    if operation.code == Some(HandlerErrorCode::NotStabilized) =>
                {
                    End::GivenUp(match callback {
                        Callback::After(_) => said,
                        Callback::None => format!(
                            "{said} (it asked not to be called again, and here is nobody else to \
                             record its progress)"
                        ),
                    })
                }
                (ProgressEvent::Success { .. } | ProgressEvent::InProgress { .. }, _) => {
                    End::Overruled(said)
                }
            },
            Some(Exchanged::Read(_) | Exchanged::Listed(_)) => {
                unreachable!("an operation reads and lists nothing")
            }
        };
        self.note_costly(mutation, &end, from);
        Ok(Ended { end, from })
    }

    /// Tells whether the engine refuses a create before the handler sees it.
    pub(in crate::contract) fn refuses_create(&self, desired: &Map<String, Value>) -> bool {
        let change = Change::Create {
            desired_state: JsonObject::from_map(desired),
        };
        let request = self.request(change, self.details.clone());
        // The check for one who chains by himself lets read-only properties pass.
        self.schema().read_only_in(desired).next().is_some()
            || self.engine.check(&request, None).is_err()
    }

    pub(in crate::contract) fn request(&self, change: Change, details: RequestDetails) -> Request {
        let mut request = Request::new(self.schema().type_name().clone(), change);
        request.scope = self.scope.clone();
        request.details = details;
        request
    }

    /// Tells whether an action may be tried: what did not end in one test is not
    /// waited for in each of the others.
    pub(in crate::contract) fn may_try(&self, mutation: Mutation) -> Step {
        let action = Action::from(mutation).as_str();
        match self.stuck.get(action) {
            Some(test) if *test != self.test => {
                self.skip(format!("{action} does not come to an end; see {test}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes what would cost much each time.
    pub(super) fn note_costly(&mut self, mutation: Mutation, end: &End, from: usize) {
        let action = Action::from(mutation).as_str();
        match end {
            End::GivenUp(_) => {
                let what = format!("{action} {end}");
                self.late.push((what, self.log.since(from)));
                self.stuck.entry(action).or_insert(self.test);
            }
            End::Trapped(trap) if trap.kind == TrapKind::Cpu => {
                self.stuck.entry(action).or_insert(self.test);
            }
            End::Success(_)
            | End::Failed { .. }
            | End::Trapped(_)
            | End::Overruled(_)
            | End::Refused(_) => {}
        }
    }

    pub(in crate::contract) async fn read(
        &mut self,
        identifier: &Map<String, Value>,
    ) -> Step<Ended> {
        let from = self.log.len();
        let query = ReadQuery {
            type_name: self.schema().type_name().clone(),
            scope: self.scope.clone(),
            identifier: JsonObject::from_map(identifier),
            token: RequestToken::random(),
            details: self.details.clone(),
        };
        let answer = self.drive(self.engine.read(query)).await;
        let raw = self.log.since(from).pop();
        let end = match (answer, raw.map(|entry| entry.exchange.outcome.clone())) {
            (Ok(_), Some(Exchanged::Read(Ok(model)))) => End::Success(model.to_map()),
            (Ok(model), _) => End::Success(model.to_map()),
            (Err(error), Some(Exchanged::Read(Err(failure)))) => {
                drop(error);
                End::Failed {
                    code: failure.code,
                    message: failure.message,
                }
            }
            (Err(error), _) => read_end(error)?,
        };
        Ok(Ended { end, from })
    }

    /// Gives one page of a LIST.
    pub(in crate::contract) async fn list_page(
        &mut self,
        list: ListRequest,
    ) -> Step<(Result<ListPage, End>, usize)> {
        let from = self.log.len();
        let query = ListQuery {
            type_name: self.schema().type_name().clone(),
            scope: self.scope.clone(),
            list,
            token: RequestToken::random(),
            details: self.details.clone(),
        };
        let answer = self.drive(self.engine.list(query)).await;
        Ok((
            match answer {
                Ok(page) => Ok(page),
                Err(error) => Err(read_end(error)?),
            },
            from,
        ))
    }

    /// Waits for an answer, and moves the clock whenever nothing else happens.
    pub(in crate::contract) async fn drive<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                next = self.engine.idle() => match next {
                    Some(next) => self.clock.set(next),
                    // It has just ended, or has not yet begun.
                    None => tokio::task::yield_now().await,
                },
            }
        }
    }

    /// Lets time pass.
    pub(in crate::contract) fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }
}

/// Says that the engine refused a request, if it is the request that is at fault.
pub(in crate::contract) fn refused(error: SubmitError) -> Result<End, ContractError> {
    match error {
        SubmitError::Uncoercible { .. }
        | SubmitError::Invalid { .. }
        | SubmitError::ReadOnly { .. }
        | SubmitError::Unnamed { .. } => Ok(End::Refused(Causes(&error).to_string())),
        error @ (SubmitError::UnknownType { .. }
        | SubmitError::Unsupported { .. }
        | SubmitError::Configuration(_)
        | SubmitError::Busy { .. }
        | SubmitError::TokenReused { .. }
        | SubmitError::Stopped
        | SubmitError::Overtaken { .. }
        | SubmitError::Store(_)) => Err(error.into()),
    }
}

fn read_end(error: ReadError) -> Result<End, ContractError> {
    Ok(match error {
        ReadError::Failed(failure) => End::Failed {
            code: failure.code,
            message: failure.message,
        },
        ReadError::Trapped(trap) => End::Trapped(trap),
        error @ ReadError::Invalid { .. } => End::Refused(Causes(&error).to_string()),
        error @ (ReadError::UnknownType { .. }
        | ReadError::Configuration(_)
        | ReadError::Unsupported { .. }
        | ReadError::Host(_)) => return Err(error.into()),
    })
}
