//! Listings of directories, read piece by piece as a guest asks for what is next.
//!
//! *Invariant*: of a listing the host keeps a piece, however much there is in the
//! directory.

#[cfg(not(unix))]
pub(super) use elsewhere::{close, next, open};
#[cfg(unix)]
pub(super) use piecewise::{close, next, open};

#[cfg(unix)]
mod piecewise {
    use std::collections::VecDeque;
    use std::fs::File;
    use std::io;
    use std::sync::Arc;

    use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, openat, statat};
    use wasmtime::component::Resource;
    use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
    use wasmtime_wasi::p2::FsResult;
    use wasmtime_wasi::p2::bindings::filesystem::types::{
        DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    };

    /// How many entries are read at a time.
    const PIECE: usize = 128;

    /// A listing that a guest has open. It is kept where the library would keep its
    /// own, under a handle of that type.
    struct Listing {
        /// What is read next; none at the end.
        directory: Option<Dir>,
        read: VecDeque<Entry>,
    }

    type Entry = Result<DirectoryEntry, ErrorCode>;

    pub(in super::super) async fn open(
        library: &mut WasiFilesystemCtxView<'_>,
        directory: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let directory = match library.table.get(&directory)? {
            Descriptor::Dir(directory) => Arc::clone(&directory.dir),
            Descriptor::File(_) => return Err(ErrorCode::NotDirectory.into()),
        };
        let listing = apart(move || Listing::open(&directory)).await??;
        let listing = library.table.push(listing)?;
        Ok(Resource::new_own(listing.rep()))
    }

    pub(in super::super) async fn next(
        library: &mut WasiFilesystemCtxView<'_>,
        listing: &Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing: Resource<Listing> = Resource::new_borrow(listing.rep());
        let listing = library.table.get_mut(&listing)?;
        if listing.read.is_empty()
            && let Some(directory) = listing.directory.take()
        {
            (listing.directory, listing.read) = apart(move || piece(directory)).await?;
        }
        Ok(listing.read.pop_front().transpose()?)
    }

    pub(in super::super) fn close(
        library: &mut WasiFilesystemCtxView<'_>,
        listing: &Resource<DirectoryEntryStream>,
    ) -> wasmtime::Result<()> {
        let listing: Resource<Listing> = Resource::new_own(listing.rep());
        library.table.delete(listing)?;
        Ok(())
    }

    /// Does `work` on a thread that may block.
    async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(io::Error::other)
    }

    impl Listing {
        fn open(directory: &File) -> io::Result<Self> {
            // A place of its own to read on from; what is there may be good for
            // nothing but to be opened from.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(directory, ".", flags, Mode::empty())?;
            Ok(Self {
                directory: Some(Dir::new(directory)?),
                read: VecDeque::new(),
            })
        }
    }

    /// Reads the next entries, and gives the directory if there may be more.
    fn piece(mut directory: Dir) -> (Option<Dir>, VecDeque<Entry>) {
        let mut read = VecDeque::with_capacity(PIECE);
        while read.len() < PIECE {
            match directory.read() {
                Some(Ok(found)) => read.extend(entry(&directory, &found)),
                Some(Err(error)) => read.push_back(Err(io::Error::from(error).into())),
                None => return (None, read),
            }
        }
        (Some(directory), read)
    }

    /// Gives what a guest is told of an entry; nothing of the directory itself and of
    /// the one above it.
    fn entry(directory: &Dir, found: &DirEntry) -> Option<Entry> {
        let name = found.file_name();
        if name == c"." || name == c".." {
            return None;
        }
        let kind = match found.file_type() {
            // Not every file system says it along with the name.
            FileType::Unknown => directory
                .fd()
                .and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW))
                .map_or(FileType::Unknown, |stat| {
                    FileType::from_raw_mode(stat.st_mode)
                }),
            kind => kind,
        };
        Some(match name.to_str() {
            Ok(name) => Ok(DirectoryEntry {
                type_: type_of(kind),
                name: name.to_owned(),
            }),
            Err(_) => Err(ErrorCode::IllegalByteSequence),
        })
    }

    const fn type_of(kind: FileType) -> DescriptorType {
        match kind {
            FileType::RegularFile => DescriptorType::RegularFile,
            FileType::Directory => DescriptorType::Directory,
            FileType::Symlink => DescriptorType::SymbolicLink,
            FileType::Fifo => DescriptorType::Fifo,
            FileType::Socket => DescriptorType::Socket,
            FileType::CharacterDevice => DescriptorType::CharacterDevice,
            FileType::BlockDevice => DescriptorType::BlockDevice,
            FileType::Unknown => DescriptorType::Unknown,
        }
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeSet;
        use std::ffi::OsStr;
        use std::fs;
        use std::os::unix::ffi::OsStrExt as _;
        use std::os::unix::fs::symlink;

        use wasmtime::component::ResourceTable;
        use wasmtime_wasi::filesystem::{Dir as Granted, WasiFilesystemCtx};
        use wasmtime_wasi::{FsPerms, OpenMode};

        use super::*;

        fn kept(table: &ResourceTable, listing: &Resource<DirectoryEntryStream>) -> usize {
            let listing: Resource<Listing> = Resource::new_borrow(listing.rep());
            table.get(&listing).expect("it is open").read.len()
        }

        #[tokio::test]
        async fn all_entries_are_listed_and_a_piece_of_them_is_kept() {
            const MANY: usize = 3 * PIECE;
            let place = tempfile::tempdir().expect("a directory");
            for number in 0..MANY {
                let path = place.path().join(format!("file-{number}"));
                fs::write(path, "").expect("a file");
            }
            fs::create_dir(place.path().join("below")).expect("a directory");
            symlink("below", place.path().join("link")).expect("a link");
            let no_text = OsStr::from_bytes(b"\xff");
            fs::write(place.path().join(no_text), "").expect("a file");
            let opened = File::open(place.path()).expect("a directory");
            let granted = Granted::new(opened, FsPerms::ReadOnly, OpenMode::READ, false);
            let mut table = ResourceTable::new();
            let granted = table.push(Descriptor::Dir(granted)).expect("room");
            let mut library = WasiFilesystemCtxView {
                ctx: &mut WasiFilesystemCtx::default(),
                table: &mut table,
            };
            let listing = open(&mut library, granted).await.expect("a listing");
            let (mut found, mut errors) = (BTreeSet::new(), 0);
            loop {
                match next(&mut library, &listing).await {
                    Ok(Some(entry)) => {
                        let expected = match entry.name.as_str() {
                            "below" => DescriptorType::Directory,
                            "link" => DescriptorType::SymbolicLink,
                            _ => DescriptorType::RegularFile,
                        };
                        assert_eq!(entry.type_, expected, "{}", entry.name);
                        assert!(found.insert(entry.name), "one is listed twice");
                    }
                    Ok(None) => break,
                    Err(_) => errors += 1,
                }
                assert!(kept(library.table, &listing) < PIECE);
            }
            assert_eq!((found.len(), errors), (MANY + 2, 1));
            close(&mut library, &listing).expect("it is open");
        }
    }
}

/// Elsewhere the library reads all of a directory at once.
#[cfg(not(unix))]
mod elsewhere {
    use wasmtime::component::Resource;
    use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
    use wasmtime_wasi::p2::FsResult;
    use wasmtime_wasi::p2::bindings::filesystem::types::{
        DirectoryEntry, DirectoryEntryStream, HostDescriptor as _, HostDirectoryEntryStream,
    };

    pub(in super::super) async fn open(
        library: &mut WasiFilesystemCtxView<'_>,
        directory: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        library.read_directory(directory).await
    }

    pub(in super::super) async fn next(
        library: &mut WasiFilesystemCtxView<'_>,
        listing: &Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = Resource::new_borrow(listing.rep());
        library.read_directory_entry(listing).await
    }

    pub(in super::super) fn close(
        library: &mut WasiFilesystemCtxView<'_>,
        listing: &Resource<DirectoryEntryStream>,
    ) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(library, Resource::new_own(listing.rep()))
    }
}
