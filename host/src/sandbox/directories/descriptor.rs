//! The calls on a descriptor.

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntryStream, ErrorCode,
    Filesize, HostDescriptor, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::allowance::Counted;
use super::change::{Hold, change, enter, make_room};
use super::open::{Opening, open_for_times};
use super::room::Growth;
use super::{DirectoriesView, listing};
use crate::sandbox::quota::Sum;

/// Gives the descriptor once more, to be used before it is used.
fn again(descriptor: &Resource<Descriptor>) -> Resource<Descriptor> {
    Resource::new_borrow(descriptor.rep())
}

fn is_missing(error: &FsError) -> bool {
    matches!(error.downcast_ref(), Some(ErrorCode::NoEntry))
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
        let opening = Opening {
            path_flags,
            open_flags,
            flags,
        };
        // What is there takes nothing of the quota. What is made takes from it beforehand,
        // so what others move meanwhile is never counted as less than it is.
        let there = Opening::open_what_is_there;
        let found = self.open(&directory, &path, opening, Growth::NONE, there);
        let found = match found.await {
            Err(error) if opening.makes() && is_missing(&error) => {
                let made = self.open(&directory, &path, opening, Growth::FILE, Opening::open);
                made.await?
            }
            found => found?,
        };
        let opened = self.library.table.push(found)?;
        let room = self.rooms.of(&directory);
        self.rooms.opened(&opened, room, Some(open));
        Ok(opened)
    }

    async fn write(
        &mut self,
        file: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        let growth = Growth::To {
            file: self.file(&file)?,
            end: offset.saturating_add(bytes.len() as u64),
        };
        let (room, file) = self.at(&file)?;
        let hold = Hold::on(room, &growth).await?;
        change(hold, async move |library, _| {
            let file = enter(library, &file)?;
            library.write(file, bytes, offset).await
        })
        .await
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let growth = Growth::To {
            file: self.file(&file)?,
            end: size,
        };
        let (room, file) = self.at(&file)?;
        let hold = Hold::on(room, &growth).await?;
        change(hold, async move |library, hold| {
            let file = enter(library, &file)?;
            library.set_size(file, size).await?;
            hold.released();
            Ok(())
        })
        .await
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let open = self.rooms.files.take_stream()?;
        let stream = self.library.write_via_stream(again(&file), offset)?;
        self.hold(&file, stream, Some(offset), open)
    }

    fn append_via_stream(
        &mut self,
        file: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let open = self.rooms.files.take_stream()?;
        let stream = self.library.append_via_stream(again(&file))?;
        self.hold(&file, stream, None, open)
    }

    async fn create_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let (room, directory) = self.at(&directory)?;
        let hold = Hold::on(room, &Growth::FILE).await?;
        change(hold, async move |library, _| {
            let directory = enter(library, &directory)?;
            library.create_directory_at(directory, path).await
        })
        .await
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
        let ((_, old), (room, new)) = (self.at(&old)?, self.at(&new)?);
        let hold = Hold::on(room, &Growth::FILE).await?;
        change(hold, async move |library, _| {
            let (old, new) = (enter(library, &old)?, enter(library, &new)?);
            let linked = library.link_at(old, old_flags, old_path, new, new_path);
            linked.await
        })
        .await
    }

    async fn symlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        old_path: String,
        new_path: String,
    ) -> FsResult<()> {
        let growth = Growth::By(Sum {
            bytes: old_path.len() as u64,
            files: 1,
        });
        let (room, directory) = self.at(&directory)?;
        let hold = Hold::on(room, &growth).await?;
        change(hold, async move |library, _| {
            let directory = enter(library, &directory)?;
            library.symlink_at(directory, old_path, new_path).await
        })
        .await
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
        let ((_, old), (room, new)) = (self.at(&old)?, self.at(&new)?);
        make_room(room, async move |library| {
            let (old, new) = (enter(library, &old)?, enter(library, &new)?);
            library.rename_at(old, old_path, new, new_path).await
        })
        .await
    }

    async fn unlink_file_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let (room, directory) = self.at(&directory)?;
        make_room(room, async move |library| {
            let directory = enter(library, &directory)?;
            library.unlink_file_at(directory, path).await
        })
        .await
    }

    async fn remove_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let (room, directory) = self.at(&directory)?;
        make_room(room, async move |library| {
            let directory = enter(library, &directory)?;
            library.remove_directory_at(directory, path).await
        })
        .await
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
        let open = self.rooms.files.take_stream()?;
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
        if !path_flags.contains(PathFlags::SYMLINK_FOLLOW) {
            // A link itself is not opened for that.
            return self
                .library
                .set_times_at(directory, path_flags, path, accessed, modified)
                .await;
        }
        let directory = self.directory(&directory)?;
        change(Hold::NONE, async move |library, _| {
            let found = open_for_times(&directory, &path)?;
            let found = enter(library, &found)?;
            library.set_times(found, accessed, modified).await
        })
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
