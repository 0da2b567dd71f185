//! Looking on while handlers are invoked.

use std::sync::Arc;

use crate::model::{Invocation, JsonObject, ListPage, ProgressEvent, ReadFailure, Trap, Warning};

/// Is shown every invocation that an engine makes.
///
/// Called between the answer of a handler and what the engine does with it, on
/// the engine's own threads: it should be quick, and must not block.
pub trait Observer: Send + Sync + 'static {
    /// Looks at an invocation that has ended.
    fn invoked(&self, exchange: &Exchange);
}

/// What a handler was asked and what it answered.
///
/// The answer is as the handler gave it, before any output rule: it can hold
/// write-only values and other secrets.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was asked.
    pub invocation: Arc<Invocation>,
    /// What came of it.
    pub outcome: Exchanged,
    /// The rules of the handler contract that the answer of a create, update or
    /// delete broke.
    pub warnings: Vec<Warning>,
}

/// What came of an invocation.
#[derive(Clone, Debug)]
pub enum Exchanged {
    /// A create, update or delete answered.
    Event(ProgressEvent),
    /// A READ answered.
    Read(Result<JsonObject, ReadFailure>),
    /// A LIST answered.
    Listed(Result<ListPage, ReadFailure>),
    /// The guest broke.
    Trapped(Trap),
}
