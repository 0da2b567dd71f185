//! The granted directories as a guest sees them: those of the WASI library, each
//! held to its quota.
//!
//! *Invariant*: whatever makes a directory with a quota larger passes through
//! here, and takes from the quota before it is done.
//!
//! Two granted directories are as two file systems: nothing is renamed or linked
//! from one to the other.

mod allowance;
mod change;
mod descriptor;
mod listing;
mod open;
mod process;
mod reading;
mod room;
mod rooms;
mod stream;

use std::path::Path;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DirectoryEntry, DirectoryEntryStream, ErrorCode, Host, HostDirectoryEntryStream,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::places::Share;
use super::quota::Ledgers;
use super::wasi::State;

pub(super) use self::process::ProcessFiles;
pub(super) use self::room::Room;
pub(super) use self::rooms::{Given, Rooms};

/// What the process knows of the directories of one handler.
pub(super) struct Storage<'a> {
    /// The cache directory, which no grant may overlap.
    pub(super) cache: Option<&'a Path>,
    pub(super) ledgers: &'a Ledgers,
    /// What the handler may have open.
    pub(super) files: &'a Share,
}

/// The directories of one guest.
pub(super) struct Directories;

impl HasData for Directories {
    type Data<'a> = DirectoriesView<'a>;
}

pub(super) struct DirectoriesView<'a> {
    pub(super) library: WasiFilesystemCtxView<'a>,
    pub(super) rooms: &'a mut Rooms,
}

/// Links the interfaces of files, in place of the library's.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<State, Directories>(linker, State::directories)?;
    types::add_to_linker::<State, Directories>(linker, State::directories)
}

impl preopens::Host for DirectoriesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let given = self.rooms.given.clone();
        let mut directories = Vec::with_capacity(given.len());
        for given in given {
            let descriptor = Descriptor::Dir(given.directory);
            let descriptor = self.library.table.push(descriptor)?;
            self.rooms.opened(&descriptor, given.room, None);
            directories.push((descriptor, given.path));
        }
        Ok(directories)
    }
}

impl Host for DirectoriesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.library.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.library.filesystem_error_code(error)
    }
}

impl HostDirectoryEntryStream for DirectoriesView<'_> {
    async fn read_directory_entry(
        &mut self,
        listing: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        listing::next(&mut self.library, &listing).await
    }

    fn drop(&mut self, listing: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        listing::close(&mut self.library, &listing)?;
        self.rooms.unlisted(&listing);
        Ok(())
    }
}
