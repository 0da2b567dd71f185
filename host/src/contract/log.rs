//! All invocations of a run, as the engine shows them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::{Clock as _, ManualClock};
use crate::engine::{Exchange, Exchanged, Observer};
use crate::model::{
    Call, Invocation, JsonObject, ListPage, ListRequest, ProgressEvent, Timestamp, TypeSchema,
};

use super::Record;
use super::judge::{Breach, judge};

/// Keeps what it is shown.
pub(super) struct Log {
    clock: Arc<ManualClock>,
    entries: Mutex<Entries>,
}

/// The invocations of a set of inputs.
struct Entries {
    begun: Timestamp,
    entries: Vec<Arc<Entry>>,
}

/// One invocation, secrets and all.
pub(super) struct Entry {
    number: usize,
    at: Duration,
    pub(super) exchange: Exchange,
    breaches: OnceLock<Vec<Breach>>,
}

impl Log {
    pub(super) fn new(clock: Arc<ManualClock>) -> Self {
        let entries = Mutex::new(Entries {
            begun: clock.now(),
            entries: Vec::new(),
        });
        Self { clock, entries }
    }

    /// Forgets all invocations, and counts and measures from here on.
    pub(super) fn clear(&self) {
        *self.lock() = Entries {
            begun: self.clock.now(),
            entries: Vec::new(),
        };
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Gives the invocations from the given one on.
    pub(super) fn since(&self, first: usize) -> Vec<Arc<Entry>> {
        self.lock()
            .entries
            .get(first..)
            .map(<[_]>::to_vec)
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Log {
    fn invoked(&self, exchange: &Exchange) {
        let mut log = self.lock();
        let entry = Entry {
            number: log.entries.len() + 1,
            at: self.clock.now().since(log.begun),
            exchange: exchange.clone(),
            breaches: OnceLock::new(),
        };
        log.entries.push(Arc::new(entry));
    }
}

impl Entry {
    /// Gives what the exchange breaks by itself; it is judged once.
    pub(super) fn breaches(&self, schema: &TypeSchema) -> &[Breach] {
        self.breaches.get_or_init(|| {
            let action = self.exchange.invocation.call.action();
            judge(schema, action, &self.exchange.outcome)
        })
    }

    /// Gives the invocation as it may be shown.
    pub(super) fn record(&self, schema: &TypeSchema) -> Record {
        Record {
            number: self.number,
            at: self.at,
            exchange: Exchange {
                invocation: Arc::new(shown_invocation(schema, &self.exchange.invocation)),
                outcome: shown_outcome(schema, &self.exchange.outcome),
                warnings: self.exchange.warnings.clone(),
            },
        }
    }
}

fn shown_invocation(schema: &TypeSchema, invocation: &Invocation) -> Invocation {
    let mut shown = invocation.clone();
    shown.details.credentials = None;
    shown.details.type_configuration = None;
    shown.call = match shown.call {
        Call::Create { desired_state, .. } => Call::Create {
            desired_state: hidden(schema, &desired_state),
            callback_context: None,
        },
        Call::Read { identifier } => Call::Read {
            identifier: hidden(schema, &identifier),
        },
        Call::Update {
            desired_state,
            previous_state,
            ..
        } => Call::Update {
            desired_state: hidden(schema, &desired_state),
            previous_state: previous_state.map(|state| hidden(schema, &state)),
            callback_context: None,
        },
        Call::Delete { state, .. } => Call::Delete {
            state: hidden(schema, &state),
            callback_context: None,
        },
        Call::List(list) => Call::List(ListRequest {
            filter: list.filter.map(|filter| hidden(schema, &filter)),
            ..list
        }),
    };
    shown
}

fn shown_outcome(schema: &TypeSchema, outcome: &Exchanged) -> Exchanged {
    match outcome {
        Exchanged::Event(event) => Exchanged::Event(shown_event(schema, event)),
        Exchanged::Read(Ok(model)) => Exchanged::Read(Ok(hidden(schema, model))),
        Exchanged::Listed(Ok(page)) => Exchanged::Listed(Ok(ListPage {
            models: page.models.iter().map(|it| hidden(schema, it)).collect(),
            next_token: page.next_token.clone(),
        })),
        Exchanged::Read(Err(_)) | Exchanged::Listed(Err(_)) | Exchanged::Trapped(_) => {
            outcome.clone()
        }
    }
}

fn shown_event(schema: &TypeSchema, event: &ProgressEvent) -> ProgressEvent {
    let hide = |model: &Option<JsonObject>| model.as_ref().map(|model| hidden(schema, model));
    match event {
        ProgressEvent::InProgress {
            callback,
            callback_context: _,
            message,
            model,
        } => ProgressEvent::InProgress {
            callback: *callback,
            callback_context: None,
            message: message.clone(),
            model: hide(model),
        },
        ProgressEvent::Success { message, model } => ProgressEvent::Success {
            message: message.clone(),
            model: hide(model),
        },
        ProgressEvent::Failed {
            code,
            message,
            model,
        } => ProgressEvent::Failed {
            code: *code,
            message: message.clone(),
            model: hide(model),
        },
    }
}

/// Gives a model without its write-only properties; nulls stay, since they may
/// be what is found.
fn hidden(schema: &TypeSchema, model: &JsonObject) -> JsonObject {
    let mut map = model.to_map();
    if schema.remove_write_only(&mut map) {
        JsonObject::from_map(&map)
    } else {
        model.clone()
    }
}
