//! Transitions on their way to a store with SQL, with all that can be secret
//! sealed already.
//!
//! *Invariant*: the write-only values of a resource open only for that resource.

use crate::model::JsonObject;
use crate::operation::{Event, Operation, Transition, WriteOnly};

use super::queues_report;
use super::resource::Resource;
use super::row::{self, Damaged};
use super::seal::{Place, Sealer};

/// The name of what write-only values are sealed for.
const WRITE_ONLY: &str = "write_only";

/// A transition with its blobs, sealed before it comes to whoever writes it.
pub(super) struct Sealed {
    pub(super) operation: Operation,
    pub(super) record: Vec<u8>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) event: Option<SealedEvent>,
    pub(super) queues_report: bool,
    pub(super) write_only: SealedWriteOnly,
}

/// An event with its blobs.
pub(super) struct SealedEvent {
    pub(super) event: Event,
    pub(super) record: Vec<u8>,
    pub(super) model: Option<Vec<u8>>,
}

impl Sealed {
    /// Gives how many bytes its blobs have.
    #[cfg(feature = "postgres")]
    pub(super) fn bytes(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |event| {
            event.record.len() + event.model.as_ref().map_or(0, Vec::len)
        });
        let write_only = match &self.write_only {
            SealedWriteOnly::Keep(_, record) => record.len(),
            SealedWriteOnly::Nothing | SealedWriteOnly::Forget(_) => 0,
        };
        self.record.len() + self.target.as_ref().map_or(0, Vec::len) + event + write_only
    }

    pub(super) fn new(sealer: &Sealer, transition: Transition) -> Self {
        let queues_report = queues_report(&transition);
        let Transition {
            operation,
            event,
            write_only,
        } = transition;
        let target = operation.reporting.as_ref();
        Self {
            record: row::seal_operation(sealer, &operation),
            target: target.map(|target| row::seal_target(sealer, operation.token, target)),
            event: event.map(|event| SealedEvent {
                record: row::seal_event(sealer, &event),
                // The model of the last event stands with the operation, and that of
                // an earlier one is only for its report.
                model: if queues_report && !operation.status.is_terminal() {
                    row::seal_model(sealer, &event)
                } else {
                    None
                },
                event,
            }),
            write_only: SealedWriteOnly::new(sealer, &operation, &write_only),
            operation,
            queues_report,
        }
    }
}

/// What a transition does to the write-only values of its resource, sealed.
pub(super) enum SealedWriteOnly {
    Nothing,
    Forget(Resource),
    Keep(Resource, Vec<u8>),
}

impl SealedWriteOnly {
    fn new(sealer: &Sealer, operation: &Operation, write_only: &WriteOnly) -> Self {
        match write_only {
            WriteOnly::AsIs => Self::Nothing,
            WriteOnly::Forget => Resource::of(operation).map_or(Self::Nothing, Self::Forget),
            WriteOnly::Keep(values) => {
                let Some(resource) = Resource::of(operation) else {
                    return Self::Nothing;
                };
                let place = Place {
                    table: WRITE_ONLY,
                    token: &resource.token(),
                    version: 0,
                };
                let record = sealer.seal(place, values.as_str().as_bytes());
                Self::Keep(resource, record)
            }
        }
    }
}

/// Opens the write-only values of a resource.
pub(super) fn open_write_only(
    sealer: &Sealer,
    resource: &Resource,
    record: &[u8],
) -> Result<JsonObject, Damaged> {
    let [_, _, type_name, identifier] = resource.parts();
    let damaged = |why: String| {
        Damaged::new(format!(
            "the write-only values of the `{type_name}` {identifier}: {why}"
        ))
    };
    let place = Place {
        table: WRITE_ONLY,
        token: &resource.token(),
        version: 0,
    };
    let plain = sealer.open(place, record);
    let plain = plain.map_err(|error| damaged(error.to_string()))?;
    let values = std::str::from_utf8(&plain).ok();
    let values = values.and_then(|text| JsonObject::parse(text).ok());
    values.ok_or_else(|| damaged("they are no object".to_owned()))
}
