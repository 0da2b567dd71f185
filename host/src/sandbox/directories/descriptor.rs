//! The calls on a descriptor.

use std::fs::File;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntryStream, ErrorCode,
    Filesize, HostDescriptor, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsResult};

use super::allowance::{Counted, Open};
use super::room::{Growth, Room};
use super::stream::QuotaStream;
use super::{DirectoriesView, listing};
use crate::sandbox::quota::{Growing, Sum};

impl DirectoriesView<'_> {
    fn file(&self, descriptor: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        match self.library.table.get(descriptor)? {
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
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

/// Gives the descriptor once more, to be used before it is used.
fn again(descriptor: &Resource<Descriptor>) -> Resource<Descriptor> {
    Resource::new_borrow(descriptor.rep())
}

/// Tells whether something is on a disk, and no pipe, socket or device.
const fn is_stored(kind: DescriptorType) -> bool {
    matches!(
        kind,
        DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink
    )
}

async fn grow(room: Option<&Arc<Room>>, growth: Growth) -> FsResult<Option<Growing>> {
    match room {
        Some(room) => Ok(Some(room.grow(&growth).await?)),
        None => Ok(None),
    }
}

/// Keeps a directory from being measured while something in it is moved or removed,
/// which could be missed.
async fn hold_still(room: Option<&Arc<Room>>) -> FsResult<Option<Growing>> {
    grow(room, Growth::By(Sum::default())).await
}

/// Notes that something of a directory was removed.
fn released(room: Option<&Arc<Room>>, growing: Option<&Growing>) {
    if let Some((room, growing)) = room.zip(growing) {
        room.ledger.released(growing);
    }
}

impl HostDescriptor for DirectoriesView<'_> {
    async fn open_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let open = self.rooms.files.take()?;
        let found = self
            .library
            .stat_at(again(&directory), path_flags, path.clone())
            .await;
        // Opening a pipe waits for its other end, on a thread that nothing ends.
        if found.as_ref().is_ok_and(|found| !is_stored(found.type_)) {
            return Err(ErrorCode::NotPermitted.into());
        }
        let Some(room) = self.rooms.of(&directory) else {
            let opened = self
                .library
                .open_at(directory, path_flags, path, open_flags, flags)
                .await?;
            self.rooms.opened(&opened, None, Some(open));
            return Ok(opened);
        };
        let truncates = open_flags.contains(OpenFlags::TRUNCATE);
        let is_new = open_flags.contains(OpenFlags::CREATE) && found.is_err();
        let growth = if is_new {
            Growth::file()
        } else {
            Growth::By(Sum::default())
        };
        // What is opened is known as open before anybody can remove and measure.
        let growing = room.grow(&growth).await?;
        let opened = self
            .library
            .open_at(directory, path_flags, path, open_flags, flags)
            .await?;
        if truncates {
            room.ledger.released(&growing);
        }
        if let Descriptor::File(file) = self.library.table.get(&opened)? {
            room.ledger.opened(&file.file, &growing);
        }
        drop(growing);
        self.rooms.opened(&opened, Some(room), Some(open));
        Ok(opened)
    }

    async fn write(
        &mut self,
        file: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        let room = self.rooms.of(&file);
        let end = offset.saturating_add(bytes.len() as u64);
        let growth = Growth::To {
            file: self.file(&file)?,
            end,
        };
        let _growing = grow(room.as_ref(), growth).await?;
        self.library.write(file, bytes, offset).await
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let room = self.rooms.of(&file);
        let growth = Growth::To {
            file: self.file(&file)?,
            end: size,
        };
        let growing = grow(room.as_ref(), growth).await?;
        self.library.set_size(file, size).await?;
        released(room.as_ref(), growing.as_ref());
        Ok(())
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let open = self.rooms.files.take()?;
        let stream = self.library.write_via_stream(again(&file), offset)?;
        self.hold(&file, stream, Some(offset), open)
    }

    fn append_via_stream(
        &mut self,
        file: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let open = self.rooms.files.take()?;
        let stream = self.library.append_via_stream(again(&file))?;
        self.hold(&file, stream, None, open)
    }

    async fn create_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let room = self.rooms.of(&directory);
        let _growing = grow(room.as_ref(), Growth::file()).await?;
        self.library.create_directory_at(directory, path).await
    }

    async fn link_at(
        &mut self,
        old: Resource<Descriptor>,
        old_flags: PathFlags,
        old_path: String,
        new: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if self.rooms.differ(&old, &new) {
            return Err(ErrorCode::CrossDevice.into());
        }
        let room = self.rooms.of(&new);
        let _growing = grow(room.as_ref(), Growth::file()).await?;
        self.library
            .link_at(old, old_flags, old_path, new, new_path)
            .await
    }

    async fn symlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        old_path: String,
        new_path: String,
    ) -> FsResult<()> {
        let room = self.rooms.of(&directory);
        let growth = Growth::By(Sum {
            bytes: old_path.len() as u64,
            files: 1,
        });
        let _growing = grow(room.as_ref(), growth).await?;
        self.library.symlink_at(directory, old_path, new_path).await
    }

    async fn rename_at(
        &mut self,
        old: Resource<Descriptor>,
        old_path: String,
        new: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if self.rooms.differ(&old, &new) {
            return Err(ErrorCode::CrossDevice.into());
        }
        let room = self.rooms.of(&new);
        let still = hold_still(room.as_ref()).await?;
        self.library.rename_at(old, old_path, new, new_path).await?;
        released(room.as_ref(), still.as_ref());
        Ok(())
    }

    async fn unlink_file_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let room = self.rooms.of(&directory);
        let still = hold_still(room.as_ref()).await?;
        self.library.unlink_file_at(directory, path).await?;
        released(room.as_ref(), still.as_ref());
        Ok(())
    }

    async fn remove_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let room = self.rooms.of(&directory);
        let still = hold_still(room.as_ref()).await?;
        self.library.remove_directory_at(directory, path).await?;
        released(room.as_ref(), still.as_ref());
        Ok(())
    }

    async fn read_directory(
        &mut self,
        directory: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let open = self.rooms.listings.take()?;
        let listing = listing::open(&mut self.library, directory).await?;
        self.rooms.listed(&listing, open);
        Ok(listing)
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        let closed = descriptor.rep();
        HostDescriptor::drop(&mut self.library, descriptor)?;
        self.rooms.closed(closed);
        Ok(())
    }

    fn read_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        let open = self.rooms.files.take()?;
        let stream = self.library.read_via_stream(file, offset)?;
        let stream = self.library.table.delete(stream)?;
        let counted: DynInputStream = Box::new(Counted::new(stream, open));
        Ok(self.library.table.push(counted)?)
    }

    async fn advise(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.library.advise(file, offset, length, advice).await
    }

    async fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.library.sync_data(descriptor).await
    }

    async fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.library.sync(descriptor).await
    }

    async fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.library.get_flags(descriptor).await
    }

    async fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.library.get_type(descriptor).await
    }

    async fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.library.set_times(descriptor, accessed, modified).await
    }

    async fn set_times_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.library
            .set_times_at(directory, path_flags, path, accessed, modified)
            .await
    }

    async fn read(
        &mut self,
        file: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.library.read(file, length, offset).await
    }

    async fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.library.stat(descriptor).await
    }

    async fn stat_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.library.stat_at(directory, path_flags, path).await
    }

    async fn readlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<String> {
        self.library.readlink_at(directory, path).await
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.library.is_same_object(one, other).await
    }

    async fn metadata_hash(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<MetadataHashValue> {
        self.library.metadata_hash(descriptor).await
    }

    async fn metadata_hash_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.library
            .metadata_hash_at(directory, path_flags, path)
            .await
    }
}
