//! What an invocation answers.

use std::time::Duration;

use super::{HandlerErrorCode, JsonObject};

/// When the handler is to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    /// After so long; never earlier.
    After(Duration),
    /// Not at all: the operation waits to be recorded from outside, for cancel
    /// or for its deadline. On the wire this is a negative delay, as the
    /// `ProgressEvent` page has it.
    None,
}

/// The answer of a create, an update or a delete.
///
/// A mix that the `ProgressEvent` page forbids cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// The resource is not yet in its desired state.
    InProgress {
        /// When the handler is to be called again.
        callback: Callback,
        /// What the handler wants to be given then.
        callback_context: Option<JsonObject>,
        /// A sentence for the user.
        message: Option<String>,
        /// What is known of the resource; none leaves the last model in force.
        model: Option<JsonObject>,
    },
    /// The resource is in its desired state, or gone.
    Success {
        /// A sentence for the user.
        message: Option<String>,
        /// The resource; none for a delete.
        model: Option<JsonObject>,
    },
    /// The action failed.
    Failed {
        /// Why, in CloudFormation's words.
        code: HandlerErrorCode,
        /// Why, for the user.
        message: String,
        /// What was made before the failure.
        model: Option<JsonObject>,
    },
}

/// Why a READ or a LIST failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFailure {
    /// Why, in CloudFormation's words.
    pub code: HandlerErrorCode,
    /// Why, for the user.
    pub message: String,
}

/// One page of a LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// The resources, each with its primary identifier at least.
    pub models: Vec<JsonObject>,
    /// The token of the next page; none on the last one.
    pub next_token: Option<String>,
}
