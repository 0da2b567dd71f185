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

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DirectoryEntry, DirectoryEntryStream, ErrorCode, Host, HostDirectoryEntryStream,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynOutputStream, FsError, FsResult};

use self::allowance::{Counted, Open};
use self::change::{Hold, apart};
use self::open::Opening;
use self::room::Growth;
use self::stream::QuotaStream;
use super::places::Share;
use super::quota::Ledgers;
use super::wasi::State;

pub(super) use self::process::files_of_this_process;
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

impl DirectoriesView<'_> {
    /// Gives the file of a descriptor.
    fn file(&self, descriptor: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        match self.library.table.get(descriptor)? {
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    /// Gives the directory of a descriptor.
    fn directory(&self, descriptor: &Resource<Descriptor>) -> FsResult<Dir> {
        match self.library.table.get(descriptor)? {
            Descriptor::Dir(directory) => Ok(directory.clone()),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// Gives what a descriptor is of, and the directory that it is in where that may grow.
    fn at(&self, descriptor: &Resource<Descriptor>) -> FsResult<(Option<Arc<Room>>, Descriptor)> {
        let found = self.library.table.get(descriptor)?.clone();
        Ok((self.rooms.of(descriptor), found))
    }

    /// Opens something below a directory by `open`, which makes it so much larger.
    async fn open(
        &mut self,
        directory: &Resource<Descriptor>,
        path: &str,
        opening: Opening,
        growth: Growth,
        open: fn(Opening, &Dir, &str) -> Result<Descriptor, ErrorCode>,
    ) -> FsResult<Descriptor> {
        let hold = Hold::on(self.rooms.of(directory), &growth).await?;
        let (directory, path) = (self.directory(directory)?, path.to_owned());
        apart(hold, move |hold| {
            let opened = open(opening, &directory, &path)?;
            if opening.truncates() {
                hold.released();
            }
            // Known as open before anybody can remove it and measure.
            hold.opened(&opened);
            Ok(opened)
        })
        .await
    }

    /// Holds a stream of the library to the quota of the file's directory.
    fn hold(
        &mut self,
        descriptor: &Resource<Descriptor>,
        stream: Resource<DynOutputStream>,
        position: Option<u64>,
        open: Open,
    ) -> FsResult<Resource<DynOutputStream>> {
        // Of any other file the library gives no such stream.
        let room = self.rooms.of(descriptor).ok_or(ErrorCode::NotPermitted)?;
        let file = self.file(descriptor)?;
        let stream = self.library.table.delete(stream)?;
        let stream = Counted::new(stream, open);
        let held: DynOutputStream = Box::new(QuotaStream::new(stream, file, position, room));
        Ok(self.library.table.push(held)?)
    }
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
