//! What one guest has open: which of its descriptors are in which granted directory.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::bindings::filesystem::types::DirectoryEntryStream;

use super::allowance::{Allowance, Open};
use super::room::Room;
use crate::sandbox::Limits;
use crate::sandbox::notices::Notices;
use crate::sandbox::places::Share;

/// A directory that is opened for a guest.
#[derive(Clone)]
pub(in crate::sandbox) struct Given {
    pub(in crate::sandbox) directory: Dir,
    /// The guest's path of it.
    pub(in crate::sandbox) path: String,
    /// None where nothing can be written.
    pub(in crate::sandbox) room: Option<Arc<Room>>,
}

/// The directories, files and listings that one guest has open.
pub(in crate::sandbox) struct Rooms {
    /// The directories that are opened for it, in their order.
    pub(super) given: Vec<Given>,
    pub(super) files: Allowance,
    pub(super) listings: Allowance,
    descriptors: HashMap<u32, Held>,
    listed: HashMap<u32, Open>,
}

/// What belongs to a descriptor.
struct Held {
    room: Option<Arc<Room>>,
    _open: Option<Open>,
}

impl Rooms {
    pub(in crate::sandbox) fn new(
        given: Vec<Given>,
        limits: &Limits,
        share: &Share,
        notices: &Notices,
    ) -> Self {
        Self {
            given,
            files: Allowance::files(limits, share, notices),
            listings: Allowance::listings(limits, share, notices),
            descriptors: HashMap::new(),
            listed: HashMap::new(),
        }
    }

    /// Gives the directory of a descriptor, where something can be written there.
    pub(super) fn of(&self, descriptor: &Resource<Descriptor>) -> Option<Arc<Room>> {
        let held = self.descriptors.get(&descriptor.rep())?;
        held.room.clone()
    }

    /// Tells whether two descriptors are of two directories that were granted.
    pub(super) fn differ(&self, one: &Resource<Descriptor>, other: &Resource<Descriptor>) -> bool {
        match (self.of(one), self.of(other)) {
            (Some(one), Some(other)) => !Arc::ptr_eq(&one.ledger, &other.ledger),
            // What cannot be written is refused by the library.
            (_, _) => false,
        }
    }

    /// Keeps what belongs to a descriptor; one of a directory that was given takes
    /// nothing of what may be open.
    pub(super) fn opened(
        &mut self,
        descriptor: &Resource<Descriptor>,
        room: Option<Arc<Room>>,
        open: Option<Open>,
    ) {
        let held = Held { room, _open: open };
        self.descriptors.insert(descriptor.rep(), held);
    }

    pub(super) fn closed(&mut self, descriptor: u32) {
        self.descriptors.remove(&descriptor);
    }

    pub(super) fn listed(&mut self, listing: &Resource<DirectoryEntryStream>, open: Open) {
        self.listed.insert(listing.rep(), open);
    }

    pub(super) fn unlisted(&mut self, listing: &Resource<DirectoryEntryStream>) {
        self.listed.remove(&listing.rep());
    }
}
