//! What the driver saw: the transcript of an operation, and its end.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::parsed;
use crate::bindings::formwork::handler::types as wit;
use crate::error::{ErrorCode, HandlerError};
use crate::log::Level;

/// What one invocation answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Work goes on.
    InProgress {
        /// When the next invocation is due; none if there shall be none.
        delay: Option<Duration>,
        /// The callback context.
        context: Option<Value>,
        /// The sentence for the user.
        message: Option<String>,
        /// What is known of the resource.
        model: Option<Value>,
    },
    /// The resource is in its desired state.
    Success {
        /// Every property that has a value.
        model: Value,
        /// The sentence for the user.
        message: Option<String>,
    },
    /// The resource is gone.
    Deleted {
        /// The sentence for the user.
        message: Option<String>,
    },
    /// The action failed.
    Failed(HandlerError),
}

impl Answer {
    /// Gives the sentence for the user.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::InProgress { message, .. }
            | Self::Success { message, .. }
            | Self::Deleted { message } => message.as_deref(),
            Self::Failed(error) => Some(error.message()),
        }
    }
}

impl From<wit::ProgressEvent> for Answer {
    fn from(event: wit::ProgressEvent) -> Self {
        match event {
            wit::ProgressEvent::InProgress(event) => event.into(),
            wit::ProgressEvent::Success(wit::Success { model, message }) => Self::Success {
                model: Value::Object(parsed("a success", &model)),
                message,
            },
            wit::ProgressEvent::Failed(failure) => failure.into(),
        }
    }
}

impl From<wit::DeleteEvent> for Answer {
    fn from(event: wit::DeleteEvent) -> Self {
        match event {
            wit::DeleteEvent::InProgress(event) => event.into(),
            wit::DeleteEvent::Deleted(wit::Deleted { message }) => Self::Deleted { message },
            wit::DeleteEvent::Failed(failure) => failure.into(),
        }
    }
}

impl From<wit::InProgress> for Answer {
    fn from(event: wit::InProgress) -> Self {
        let object = |text: String| Value::Object(parsed("an in-progress event", &text));
        Self::InProgress {
            delay: match event.callback {
                wit::Callback::After(seconds) => Some(Duration::from_secs(seconds.into())),
                wit::Callback::None => None,
            },
            context: event.callback_context.map(object),
            message: event.message,
            model: event.model.map(object),
        }
    }
}

impl From<wit::Failure> for Answer {
    fn from(failure: wit::Failure) -> Self {
        let error = HandlerError::new(ErrorCode::from(failure.code), failure.message);
        Self::Failed(match failure.model {
            Some(model) => error.with_object(parsed("a failure", &model)),
            None => error,
        })
    }
}

/// One call into the handler.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Invocation {
    /// Its number within the operation, from 1.
    pub invocation: u32,
    /// How often it was made because it had failed with a retriable code, from 1.
    pub attempt: u32,
    /// What it answered.
    pub answer: Answer,
    /// What it logged.
    pub log: Vec<(Level, String)>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The resource is in its desired state.
    Success(Value),
    /// The resource is gone.
    Deleted,
    /// It failed.
    Failed(HandlerError),
    /// The handler wants no callback: somebody else has to record the progress.
    WaitsForRecord,
}

/// One operation, from its first invocation to its end.
///
/// `Display` gives the transcript, one line for each invocation, fit for a snapshot.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// What was invoked: `create`, `update` or `delete`.
    pub action: &'static str,
    /// The client request token.
    pub token: String,
    /// Every invocation, in order.
    pub invocations: Vec<Invocation>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Run {
    pub(super) fn new(action: &'static str, token: String) -> Self {
        Self {
            action,
            token,
            invocations: Vec::new(),
            outcome: Outcome::WaitsForRecord,
        }
    }

    pub(super) fn push(
        &mut self,
        request: &wit::Request,
        answer: &Answer,
        log: Vec<(Level, String)>,
    ) {
        self.invocations.push(Invocation {
            invocation: request.invocation,
            attempt: request.attempt,
            answer: answer.clone(),
            log,
        });
    }

    pub(super) fn end(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Gives the model of the success.
    ///
    /// # Panics
    ///
    /// When the operation ended otherwise; the transcript is in the message.
    #[track_caller]
    pub fn success(&self) -> &Value {
        match &self.outcome {
            Outcome::Success(model) => model,
            Outcome::Deleted | Outcome::Failed(_) | Outcome::WaitsForRecord => {
                panic!("the {} did not succeed\n{self}", self.action)
            }
        }
    }

    /// Gives the failure.
    ///
    /// # Panics
    ///
    /// When the operation ended otherwise; the transcript is in the message.
    #[track_caller]
    pub fn failure(&self) -> &HandlerError {
        match &self.outcome {
            Outcome::Failed(error) => error,
            Outcome::Success(_) | Outcome::Deleted | Outcome::WaitsForRecord => {
                panic!("the {} did not fail\n{self}", self.action)
            }
        }
    }

    /// Checks that the resource is gone.
    ///
    /// # Panics
    ///
    /// When the operation ended otherwise; the transcript is in the message.
    #[track_caller]
    pub fn deleted(&self) {
        assert!(
            matches!(self.outcome, Outcome::Deleted),
            "the {} did not delete\n{self}",
            self.action
        );
    }

    /// Gives the message of each event.
    #[must_use]
    pub fn messages(&self) -> Vec<&str> {
        let invocations = self.invocations.iter();
        invocations
            .filter_map(|invocation| invocation.answer.message())
            .collect()
    }

    /// Gives the time that the callbacks asked for, all together.
    #[must_use]
    pub fn waited(&self) -> Duration {
        let delay = |invocation: &Invocation| match invocation.answer {
            Answer::InProgress { delay, .. } => delay,
            Answer::Success { .. } | Answer::Deleted { .. } | Answer::Failed(_) => None,
        };
        self.invocations.iter().filter_map(delay).sum()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for invocation in &self.invocations {
            write!(formatter, "{} {}", self.action, invocation.invocation)?;
            if invocation.attempt > 1 {
                write!(formatter, " (attempt {})", invocation.attempt)?;
            }
            writeln!(formatter, ": {}", invocation.answer)?;
            for (level, line) in &invocation.log {
                writeln!(formatter, "  {level}: {line}")?;
            }
        }
        match &self.outcome {
            Outcome::Success(_) | Outcome::Deleted => Ok(()),
            Outcome::Failed(error) => writeln!(formatter, "FAILED {error}"),
            Outcome::WaitsForRecord => writeln!(formatter, "waits to be recorded from outside"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress { delay: None, .. } => write!(formatter, "IN_PROGRESS no callback")?,
            Self::InProgress {
                delay: Some(delay), ..
            } => write!(formatter, "IN_PROGRESS after {} s", delay.as_secs())?,
            Self::Success { .. } => write!(formatter, "SUCCESS")?,
            Self::Deleted { .. } => write!(formatter, "SUCCESS deleted")?,
            Self::Failed(error) => write!(formatter, "FAILED {}", error.code())?,
        }
        if let Some(message) = self.message() {
            write!(formatter, ", {message:?}")?;
        }
        let model = match self {
            Self::InProgress { model, .. } => model.clone(),
            Self::Success { model, .. } => Some(model.clone()),
            Self::Deleted { .. } => None,
            Self::Failed(error) => error.model().cloned().map(Value::Object),
        };
        if let Some(model) = model {
            write!(formatter, " {model}")?;
        }
        Ok(())
    }
}

/// What a list gave, page by page.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Listed {
    /// The models of each page.
    pub pages: Vec<Vec<Value>>,
}

impl Listed {
    /// Gives every model, in order.
    #[must_use]
    pub fn models(&self) -> Vec<&Value> {
        self.pages.iter().flatten().collect()
    }

    /// Gives one property of every model; null where a model lacks it.
    #[must_use]
    pub fn property(&self, name: &str) -> Vec<Value> {
        let models = self.pages.iter().flatten().filter_map(Value::as_object);
        let value = |model: &Map<String, Value>| model.get(name).cloned().unwrap_or_default();
        models.map(value).collect()
    }
}
