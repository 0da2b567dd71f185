//! What a handler answers.
//!
//! *Invariant*: an answer that the contract forbids cannot be written. Only an
//! in-progress event has a callback, only a success has to have a model, a
//! deleted resource has none, and a failure is an `Err` with a code.

use std::time::Duration;

use crate::chain::Steps;

/// Says when the host shall call the handler again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    /// Not before this time has passed. It is rounded up to whole seconds.
    After(Duration),
    /// Not at all: the operation waits until its progress is recorded from
    /// outside, until it is cancelled, or until its deadline.
    None,
}

/// Says that the resource is not yet in its desired state.
///
/// Made by [`ProgressEvent::in_progress`] or [`DeleteEvent::in_progress`], and
/// turned into an event by `into()`. Unless told otherwise the host calls again
/// at once, with an empty callback context.
#[derive(Clone, Debug, PartialEq)]
pub struct InProgress<M, C = Steps> {
    pub(crate) callback: Callback,
    pub(crate) context: Option<C>,
    pub(crate) message: Option<String>,
    pub(crate) model: Option<M>,
}

impl<M, C> InProgress<M, C> {
    fn new(model: Option<M>) -> Self {
        Self {
            callback: Callback::After(Duration::ZERO),
            context: None,
            message: None,
            model,
        }
    }

    /// Asks for the next invocation after `delay`, rounded up to whole seconds.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.callback = Callback::After(delay);
        self
    }

    /// Asks for no further invocation: somebody else records the progress.
    #[must_use]
    pub fn no_callback(mut self) -> Self {
        self.callback = Callback::None;
        self
    }

    /// Gives the next invocation its callback context.
    #[must_use]
    pub fn context(mut self, context: C) -> Self {
        self.context = Some(context);
        self
    }

    /// Tells the user what is going on, for example `waiting for the index`.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Gives the next invocation its state. The host keeps write-only
    /// properties that are missing in it.
    #[must_use]
    pub fn model(mut self, model: M) -> Self {
        self.model = Some(model);
        self
    }
}

/// The answer of a create or an update. A failure is an `Err` with a
/// [`HandlerError`](crate::HandlerError).
#[derive(Clone, Debug, PartialEq)]
pub enum ProgressEvent<M, C = Steps> {
    /// The resource is not yet in its desired state.
    InProgress(InProgress<M, C>),
    /// The resource is in its desired state.
    Success {
        /// Every property that has a value. Write-only ones are left out on the way.
        model: M,
        /// A sentence for the user.
        message: Option<String>,
    },
}

impl<M, C> ProgressEvent<M, C> {
    /// Says that the resource is in its desired state.
    #[must_use]
    pub fn success(model: M) -> Self {
        Self::Success {
            model,
            message: None,
        }
    }

    /// Says that work goes on. The model holds what is known so far, the
    /// primary identifier above all: it is what makes a later delete possible.
    #[must_use]
    pub fn in_progress(model: M) -> InProgress<M, C> {
        InProgress::new(Some(model))
    }

    /// Adds a sentence for the user.
    #[must_use]
    pub fn with_message(self, text: impl Into<String>) -> Self {
        match self {
            Self::InProgress(event) => Self::InProgress(event.message(text)),
            Self::Success { model, message: _ } => Self::Success {
                model,
                message: Some(text.into()),
            },
        }
    }
}

impl<M, C> From<InProgress<M, C>> for ProgressEvent<M, C> {
    fn from(event: InProgress<M, C>) -> Self {
        Self::InProgress(event)
    }
}

/// The answer of a delete. A failure is an `Err` with a
/// [`HandlerError`](crate::HandlerError).
#[derive(Clone, Debug, PartialEq)]
pub enum DeleteEvent<I, C = Steps> {
    /// The resource is not yet gone.
    InProgress(InProgress<I, C>),
    /// The resource is gone, and so is its model.
    Deleted {
        /// A sentence for the user.
        message: Option<String>,
    },
}

impl<I, C> DeleteEvent<I, C> {
    /// Says that the resource is gone.
    #[must_use]
    pub fn deleted() -> Self {
        Self::Deleted { message: None }
    }

    /// Says that work goes on; the state stays as it is unless
    /// [`model`](InProgress::model) gives another.
    #[must_use]
    pub fn in_progress() -> InProgress<I, C> {
        InProgress::new(None)
    }

    /// Adds a sentence for the user.
    #[must_use]
    pub fn with_message(self, text: impl Into<String>) -> Self {
        match self {
            Self::InProgress(event) => Self::InProgress(event.message(text)),
            Self::Deleted { message: _ } => Self::Deleted {
                message: Some(text.into()),
            },
        }
    }
}

impl<I, C> From<InProgress<I, C>> for DeleteEvent<I, C> {
    fn from(event: InProgress<I, C>) -> Self {
        Self::InProgress(event)
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<M> {
    /// The resources, each with its primary identifier at least.
    pub models: Vec<M>,
    /// The token for the next page; none on the last one.
    pub next_token: Option<String>,
}

impl<M> Page<M> {
    /// Makes the last page.
    #[must_use]
    pub fn last(models: Vec<M>) -> Self {
        Self {
            models,
            next_token: None,
        }
    }

    /// Makes a page that is followed by another.
    #[must_use]
    pub fn followed_by(models: Vec<M>, next_token: impl Into<String>) -> Self {
        Self {
            models,
            next_token: Some(next_token.into()),
        }
    }
}
