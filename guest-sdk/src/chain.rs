//! The progress chain: work in named steps that goes on where it stopped.
//!
//! *Invariant*: a call whose step is remembered is not made again; a step is
//! remembered by the event that ends its invocation, so what an interrupted
//! invocation did is done again when it is repeated.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorCode, HandlerError, Result};
use crate::event::{DeleteEvent, InProgress, ProgressEvent};
use crate::request::Request;

/// What a chain remembers of its steps, by name: the default callback context.
///
/// A callback context of one's own can hold one; see [`AsMut`] on [`Chain::run`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Steps(BTreeMap<String, Step>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Done {
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
    },
    Waiting {
        tries: u32,
        since: u64,
    },
}

impl Steps {
    /// Says whether a step is finished.
    #[must_use]
    pub fn is_done(&self, step: &str) -> bool {
        matches!(self.0.get(step), Some(Step::Done { .. }))
    }

    fn any_done(&self) -> bool {
        self.0
            .values()
            .any(|step| matches!(step, Step::Done { .. }))
    }
}

impl AsMut<Self> for Steps {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// How often to look whether a step is stable, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    interval: Duration,
    tries: Option<u32>,
    time: Option<Duration>,
}

impl Every {
    /// Looks once in so many seconds, until the operation's deadline.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self {
            interval: Duration::from_secs(seconds),
            tries: None,
            time: None,
        }
    }

    /// Looks at most so many times; then the step fails with `NotStabilized`.
    #[must_use]
    pub const fn at_most(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }

    /// Looks for so long, from the first look on; then the step fails with
    /// `NotStabilized`.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }
}

/// What a look at a stabilizing resource finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stability {
    /// It is ready.
    Stable,
    /// It is not, and this is what the user is told, for example
    /// `packed 3 of 5 entries`.
    Waiting(String),
}

impl From<bool> for Stability {
    fn from(stable: bool) -> Self {
        if stable {
            Self::Stable
        } else {
            Self::Waiting(String::new())
        }
    }
}

/// Why a chain ends before its last line: an error, or a pause.
///
/// `?` makes it; a chain's function only passes it on.
#[derive(Debug)]
pub struct Stop(Reason);

#[derive(Debug)]
enum Reason {
    Failed(HandlerError),
    Pause(Pause),
}

#[derive(Debug)]
struct Pause {
    after: Duration,
    message: String,
}

impl<E: Into<HandlerError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self(Reason::Failed(error.into()))
    }
}

/// Work in named steps over several invocations.
///
/// The function given to [`run`](Chain::run) runs from its top in each
/// invocation. A [`call`](Chain::call) that was made in an earlier one is not
/// made again but gives what it gave then; a [`wait`](Chain::wait) that is not
/// over ends the invocation with an in-progress event.
///
/// ```
/// # use formwork_guest::{Chain, Every, ProgressEvent, Request, Result, Steps};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Model { name: String, id: Option<String> }
/// # fn start(name: &str) -> Result<String> { Ok(name.into()) }
/// # fn is_ready(id: &str) -> Result<bool> { Ok(true) }
/// # fn attach(id: &str) -> Result<()> { Ok(()) }
/// fn create(request: &Request, desired: Model, steps: Steps) -> Result<ProgressEvent<Model>> {
///     Chain::run(request, desired, steps, |chain| {
///         let id: String = chain.call("start", |model| start(&model.name))?;
///         chain.model.id = Some(id.clone());
///         chain.wait("ready", Every::seconds(5).at_most(60), |_| is_ready(&id))?;
///         chain.call("attach", |_| attach(&id))
///     })
/// }
/// ```
#[derive(Debug)]
pub struct Chain<'a, M, C = Steps> {
    /// The state of the resource; what a function changes here, the next
    /// invocation sees.
    pub model: M,
    /// The callback context.
    pub context: C,
    request: &'a Request,
    used: Vec<&'static str>,
}

impl<'a, M: Serialize, C: AsMut<Steps>> Chain<'a, M, C> {
    /// Runs the steps of a create or an update; when all are done the resource
    /// is in its desired state.
    ///
    /// A context of one's own has to give its [`Steps`] through [`AsMut`].
    ///
    /// # Errors
    ///
    /// Gives the first error of a step. When a step was done before, the error
    /// carries the model, so that a create leaks nothing.
    pub fn run<T>(
        request: &'a Request,
        desired: M,
        context: C,
        steps: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<ProgressEvent<M, C>> {
        let (chain, end) = Self::walk(request, desired, context, steps);
        match end {
            Ok(()) => Ok(ProgressEvent::success(chain.model)),
            Err(Reason::Pause(pause)) => Ok(chain.pause(pause).into()),
            Err(Reason::Failed(error)) => Err(chain.name_what_was_made(error)),
        }
    }

    /// Runs the steps of a delete; when all are done the resource is gone.
    ///
    /// # Errors
    ///
    /// Gives the first error of a step.
    pub fn run_delete<T>(
        request: &'a Request,
        identifier: M,
        context: C,
        steps: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<DeleteEvent<M, C>> {
        let (chain, end) = Self::walk(request, identifier, context, steps);
        match end {
            Ok(()) => Ok(DeleteEvent::deleted()),
            Err(Reason::Pause(pause)) => Ok(chain.pause(pause).into()),
            Err(Reason::Failed(error)) => Err(error),
        }
    }

    fn walk<T>(
        request: &'a Request,
        model: M,
        context: C,
        steps: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> (Self, Result<(), Reason>) {
        let mut chain = Self {
            model,
            context,
            request,
            used: Vec::new(),
        };
        let end = steps(&mut chain).map(drop).map_err(|Stop(reason)| reason);
        (chain, end)
    }

    fn pause(self, pause: Pause) -> InProgress<M, C> {
        ProgressEvent::in_progress(self.model)
            .context(self.context)
            .after(pause.after)
            .message(pause.message)
    }

    /// Makes a call once in the life of the operation, and gives what it gave.
    ///
    /// # Errors
    ///
    /// Gives the call's error, or `InternalFailure` when what it gave cannot be
    /// remembered or read back.
    pub fn call<T: Serialize + DeserializeOwned>(
        &mut self,
        step: &'static str,
        call: impl FnOnce(&mut M) -> Result<T>,
    ) -> Result<T, Stop> {
        self.enter(step)?;
        if let Some(Step::Done { result: value }) = self.steps().0.get(step) {
            return T::deserialize(value).map_err(|error| {
                HandlerError::internal_failure(format!(
                    "the callback context holds no usable result of step `{step}`: {error}"
                ))
                .into()
            });
        }
        let result = call(&mut self.model)?;
        let value = serde_json::to_value(&result).map_err(|error| {
            HandlerError::internal_failure(format!(
                "the result of step `{step}` cannot be remembered: {error}"
            ))
        })?;
        self.finish(step, value);
        Ok(result)
    }

    /// Looks whether the resource is stable, and pauses the chain until it is.
    ///
    /// # Errors
    ///
    /// Gives the look's error, `NotStabilized` when the limit is used up, and the
    /// pause.
    pub fn wait<S: Into<Stability>>(
        &mut self,
        step: &'static str,
        every: Every,
        look: impl FnOnce(&mut M) -> Result<S>,
    ) -> Result<(), Stop> {
        self.enter(step)?;
        let now = milliseconds(self.request.now());
        let (tries, since) = match self.steps().0.get(step) {
            Some(Step::Done { .. }) => return Ok(()),
            Some(Step::Waiting { tries, since }) => (*tries + 1, *since),
            None => (1, now),
        };
        let message = match look(&mut self.model)?.into() {
            Stability::Stable => {
                self.finish(step, Value::Null);
                return Ok(());
            }
            Stability::Waiting(message) if message.is_empty() => format!("waiting for {step}"),
            Stability::Waiting(message) => message,
        };
        let waited = Duration::from_millis(now.saturating_sub(since));
        let used_up = every.tries.is_some_and(|most| tries >= most)
            || every.time.is_some_and(|most| waited >= most);
        if used_up {
            return Err(HandlerError::not_stabilized(format!(
                "{message}; gave up after {tries} looks in {} s",
                waited.as_secs()
            ))
            .into());
        }
        let waiting = Step::Waiting { tries, since };
        self.steps().0.insert(step.to_owned(), waiting);
        Err(Stop(Reason::Pause(Pause {
            after: every.interval,
            message,
        })))
    }

    /// Ends the invocation once, so that what was done so far is committed
    /// before the next step, and goes on at once.
    ///
    /// # Errors
    ///
    /// Gives the pause.
    pub fn checkpoint(
        &mut self,
        step: &'static str,
        message: impl Into<String>,
    ) -> Result<(), Stop> {
        self.enter(step)?;
        if self.steps().is_done(step) {
            return Ok(());
        }
        self.finish(step, Value::Null);
        Err(Stop(Reason::Pause(Pause {
            after: Duration::ZERO,
            message: message.into(),
        })))
    }

    fn steps(&mut self) -> &mut Steps {
        self.context.as_mut()
    }

    fn finish(&mut self, step: &str, result: Value) {
        let done = Step::Done { result };
        self.steps().0.insert(step.to_owned(), done);
    }

    /// Two steps of one name would share one result.
    fn enter(&mut self, step: &'static str) -> Result<()> {
        if self.used.contains(&step) {
            return Err(HandlerError::internal_failure(format!(
                "the chain has two steps named `{step}`; give each a name of its own"
            )));
        }
        self.used.push(step);
        Ok(())
    }

    /// Names what the chain has made. A first step that finds that the resource
    /// exists has made nothing, and what exists must not be named as its own.
    fn name_what_was_made(mut self, error: HandlerError) -> HandlerError {
        let made = self.steps().any_done() && error.code() != ErrorCode::AlreadyExists;
        if made && error.model().is_none() {
            error.with_model(&self.model)
        } else {
            error
        }
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
