//! Operations that CloudFormation knows by a bearer token: taking them over, and
//! recording progress that is made elsewhere.

use crate::model::{
    Answer, BearerToken, Callback, ClientToken, HandlerErrorCode, JsonObject, Mutation,
    ProgressEvent, RequestToken,
};
use crate::operation::{Fault, Input, Operation, Refusal, Status};
use crate::registry::HandlerVersion;
use crate::store::{IdempotencyKey, StoreError};

use super::accept::{Verdict, check};
use super::call::warn;
use super::{ChangeError, Engine, OperationHandle, Request, SubmitError};

/// Progress that was made elsewhere: a call of RecordHandlerProgress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The right to record. Either the bearer token that the operation was
    /// taken over with, or the operation's own request token, which its handler
    /// can pass on.
    pub bearer_token: BearerToken,
    /// What the operation is to become.
    pub status: RecordedStatus,
    /// What the caller thinks that it is.
    pub current_status: Option<CurrentStatus>,
    /// A sentence for the user.
    pub message: Option<String>,
    /// The resource; without one the last known model stays.
    pub model: Option<JsonObject>,
    /// The caller's idempotency key: what was recorded with it is not recorded
    /// again.
    pub client_token: Option<ClientToken>,
}

/// What is recorded of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RecordHandlerProgress")]
pub enum RecordedStatus {
    Pending,
    InProgress,
    Success,
    Failed(HandlerErrorCode),
}

/// What RecordHandlerProgress calls the status of an operation.
///
/// It knows no cancel: an operation that is being cancelled is in progress, and
/// one that was cancelled has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RecordHandlerProgress")]
pub enum CurrentStatus {
    Pending,
    InProgress,
    Success,
    Failed,
}

impl CurrentStatus {
    /// Gives the status's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }
}

impl std::fmt::Display for CurrentStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Status> for CurrentStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::InProgress | Status::CancelInProgress => Self::InProgress,
            Status::Success => Self::Success,
            Status::Failed | Status::CancelComplete => Self::Failed,
        }
    }
}

impl From<RecordedStatus> for CurrentStatus {
    fn from(status: RecordedStatus) -> Self {
        match status {
            RecordedStatus::Pending => Self::Pending,
            RecordedStatus::InProgress => Self::InProgress,
            RecordedStatus::Success => Self::Success,
            RecordedStatus::Failed(_) => Self::Failed,
        }
    }
}

/// Says why nothing was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bearer token is none of this engine's.
    #[error("the bearer token belongs to no operation")]
    Unknown,
    /// The operation does not have the status that the caller expects.
    #[error("the operation is {held}, not {expected}")]
    CheckFailed {
        /// What it is.
        held: CurrentStatus,
        /// What the caller expects.
        expected: CurrentStatus,
    },
    /// The operation cannot become what is recorded.
    #[error("an operation that is {from} cannot become {to}")]
    InvalidTransition {
        /// What it is.
        from: CurrentStatus,
        /// What was to be recorded.
        to: CurrentStatus,
    },
    /// The recorded model names a resource that another operation works on.
    #[error("the resource that the model names is busy with another operation")]
    Busy,
    /// The engine did not change it.
    #[error("the progress cannot be recorded")]
    Change(#[source] ChangeError),
    /// The store failed.
    #[error("the operation cannot be looked up")]
    Store(#[source] StoreError),
}

impl Engine {
    /// Takes over an operation that CloudFormation knows by the bearer token of
    /// `request.reporting`, and reports its progress there.
    ///
    /// Its caller hears only reports. What is wrong with the request, be it
    /// `fault` or what is found here, becomes an operation that acknowledges and
    /// then fails with it, without an invocation. The same bearer token with the
    /// same action, type, states and tags is the same operation.
    ///
    /// # Errors
    ///
    /// When the type is not loaded, the bearer token stands for another
    /// request, or nothing can be kept: there is no operation then.
    ///
    /// # Cancel safety
    ///
    /// As [`Engine::submit`]; the bearer token tells.
    ///
    /// # Panics
    ///
    /// When the request has no report target.
    pub async fn take_over(
        &self,
        request: Request,
        fault: Option<Fault>,
    ) -> Result<OperationHandle, SubmitError> {
        let version = self.acceptor(&request.type_name)?.current;
        let target = request.reporting.as_ref();
        let bearer = &target.expect("who is taken over is reported").bearer_token;
        let key = (
            IdempotencyKey::Bearer(bearer.clone()),
            request.bearer_fingerprint(),
        );
        let verdict = match fault {
            Some(fault) => Verdict::Bad(fault),
            None => match check(version.schema(), &request) {
                Ok(checked) => Verdict::Good(checked),
                Err(error) => Verdict::Bad(error.fault().ok_or(error)?),
            },
        };
        let accepted = self
            .accept(&version, request.clone(), verdict, Some(key.clone()))
            .await;
        match accepted {
            Err(error @ SubmitError::Busy { .. }) => {
                let fault = error.fault().ok_or(error)?;
                self.accept(&version, request, Verdict::Bad(fault), Some(key))
                    .await
            }
            accepted => accepted,
        }
    }

    /// Records progress as RecordHandlerProgress does.
    ///
    /// An operation that is PENDING can become `IN_PROGRESS` or FAILED, one that
    /// is `IN_PROGRESS` can become that again, SUCCESS or FAILED, and one that
    /// has ended stays. What was recorded with a client token is not recorded
    /// again, and succeeds again. AWS does not publish this table; it follows
    /// from the names of the two exceptions and from what callers do.
    ///
    /// # Errors
    ///
    /// When the token is unknown, the operation has another status than expected,
    /// or cannot become what is recorded; when its handler's schema cannot be
    /// loaded; when the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the progress was recorded.
    pub async fn record_progress(&self, record: Record) -> Result<Operation, RecordError> {
        let token = self.holder(&record.bearer_token).await?;
        let mut seen = 0;
        loop {
            let operation = self.inner.read_operation(token).await;
            let operation = operation.map_err(|error| match error {
                ChangeError::Unknown { .. } => RecordError::Unknown,
                error => RecordError::Change(error),
            })?;
            if self.is_repeated(&record, token, &mut seen).await?
                || is_nothing(&operation, &record)?
            {
                return Ok(operation);
            }
            let limits = self.inner.registry.limits(&operation.type_name);
            let version = self.inner.version(operation.component, &limits).await;
            let version = version
                .map_err(|source| RecordError::Change(ChangeError::Load { token, source }))?;
            let key = record.client_token.clone();
            let input = event(&operation, &record)
                .and_then(|event| recorded(&operation, &version, event, key));
            let source = Refusal::Ended;
            let input = input.ok_or(RecordError::Change(ChangeError::Refused { token, source }))?;
            match self.inner.change_once(&operation, input).await {
                Ok(Some(changed)) => return Ok(changed),
                // Somebody committed in between, and what they made of it counts.
                Ok(None) => {}
                Err(ChangeError::Refused {
                    source: Refusal::Ended,
                    ..
                }) => {}
                Err(ChangeError::Busy { .. }) => return Err(RecordError::Busy),
                Err(error) => return Err(RecordError::Change(error)),
            }
        }
    }

    /// Gives the operation that a bearer token stands for.
    async fn holder(&self, bearer: &BearerToken) -> Result<RequestToken, RecordError> {
        let store = &self.inner.store;
        let taken = store.taken_over(bearer).await.map_err(RecordError::Store)?;
        match taken {
            Some(token) => Ok(token),
            None => bearer.reveal().parse().map_err(|_| RecordError::Unknown),
        }
    }

    /// Tells whether the same record was made before, by an event after those that
    /// were `seen`.
    async fn is_repeated(
        &self,
        record: &Record,
        token: RequestToken,
        seen: &mut u64,
    ) -> Result<bool, RecordError> {
        if record.client_token.is_none() {
            return Ok(false);
        }
        let events = self.inner.store.events(token, *seen).await;
        let events = events.map_err(RecordError::Store)?;
        *seen = events.last().map_or(*seen, |event| event.version);
        // What became of it can be another status than was asked for: a model that
        // breaks the handler contract fails the operation.
        Ok(events
            .iter()
            .any(|event| event.client_token == record.client_token))
    }
}

/// Tells whether the record changes nothing, or why it cannot be made.
fn is_nothing(operation: &Operation, record: &Record) -> Result<bool, RecordError> {
    let held = CurrentStatus::from(operation.status);
    if let Some(expected) = record.current_status
        && expected != held
    {
        return Err(RecordError::CheckFailed { held, expected });
    }
    let to = record.status.into();
    if !may_become(held, to) {
        return Err(RecordError::InvalidTransition { from: held, to });
    }
    Ok(to == CurrentStatus::Pending)
}

/// Tells whether an operation that is `held` can be recorded as `to`.
const fn may_become(held: CurrentStatus, to: CurrentStatus) -> bool {
    use CurrentStatus::{Failed, InProgress, Pending, Success};
    match (held, to) {
        (Pending, Pending | InProgress | Failed) | (InProgress, InProgress | Success | Failed) => {
            true
        }
        (Pending, Success) | (InProgress, Pending) | (Success | Failed, _) => false,
    }
}

/// Gives what happens to an operation by progress that was made elsewhere, or
/// none if it has ended. Logs which rules the progress breaks.
pub(super) fn recorded(
    operation: &Operation,
    version: &HandlerVersion,
    event: ProgressEvent,
    client_token: Option<ClientToken>,
) -> Option<Input> {
    let state = &operation.work.as_ref()?.desired_state;
    let answer = Answer::translate(version.schema(), operation.mutation, state, event, false);
    warn(version, operation.into(), &answer.warnings);
    Some(Input::Recorded {
        answer,
        client_token,
    })
}

/// Gives the event that a record is, or none if the operation has ended.
fn event(operation: &Operation, record: &Record) -> Option<ProgressEvent> {
    let work = operation.work.as_ref()?;
    let message = record.message.clone().filter(|text| !text.is_empty());
    let model = record.model.clone();
    Some(match record.status {
        RecordedStatus::Pending | RecordedStatus::InProgress => ProgressEvent::InProgress {
            // It stays due when it was.
            callback: Callback::None,
            callback_context: work.callback_context.clone(),
            message,
            model,
        },
        RecordedStatus::Success => ProgressEvent::Success {
            message,
            model: match operation.mutation {
                Mutation::Create | Mutation::Update => model.or_else(|| operation.model.clone()),
                Mutation::Delete => None,
            },
        },
        RecordedStatus::Failed(code) => ProgressEvent::Failed {
            code,
            message: message.unwrap_or_else(|| format!("recorded as {code} without a message")),
            model,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::CurrentStatus::{Failed, InProgress, Pending, Success};
    use super::*;

    #[test]
    fn what_is_recorded_follows_what_is_held() {
        for (held, may) in [
            (Pending, &[Pending, InProgress, Failed][..]),
            (InProgress, &[InProgress, Success, Failed]),
            (Success, &[]),
            (Failed, &[]),
        ] {
            for to in [Pending, InProgress, Success, Failed] {
                assert_eq!(may_become(held, to), may.contains(&to), "{held} {to}");
            }
        }
    }
}
