//! Opens what is below a directory, without waiting for anybody.
//!
//! *Invariant*: what is opened is a file or a directory on a disk. A pipe, a socket or
//! a device is refused, whatever takes the place of what while it is looked for, and no
//! thread waits for its other end, which nothing would end.
//!
//! The library cannot be told not to wait. What opens here is what its own code for
//! that comes from, held to the same flags and permissions.

use std::fs::{File, Metadata};
use std::path::Path;

use cap_primitives::fs::{FollowSymlinks, OpenOptions, open, stat};
use wasmtime_wasi::OpenMode;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File as OpenFile};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
};

/// How something is opened.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) path_flags: PathFlags,
    pub(super) open_flags: OpenFlags,
    pub(super) flags: DescriptorFlags,
}

impl Opening {
    /// Opens what has its times set: these need no right to read it or to write it.
    const FOR_TIMES: [DescriptorFlags; 2] = [DescriptorFlags::READ, DescriptorFlags::WRITE];

    /// Tells whether it is made where it is not there.
    pub(super) fn makes(self) -> bool {
        self.open_flags.contains(OpenFlags::CREATE)
    }

    /// Tells whether what it holds is removed.
    pub(super) fn truncates(self) -> bool {
        self.open_flags.contains(OpenFlags::TRUNCATE)
    }

    fn is_exclusive(self) -> bool {
        self.makes() && self.open_flags.contains(OpenFlags::EXCLUSIVE)
    }

    /// Gives how it is opened if it is there.
    fn without_making(self) -> Self {
        if !self.makes() {
            return self;
        }
        let mut flags = self.flags;
        // Who may make it may write it.
        if !flags.contains(DescriptorFlags::WRITE) {
            flags |= DescriptorFlags::READ | DescriptorFlags::WRITE;
        }
        Self {
            open_flags: self.open_flags & !OpenFlags::CREATE,
            flags,
            ..self
        }
    }

    fn follow(self) -> FollowSymlinks {
        if self.path_flags.contains(PathFlags::SYMLINK_FOLLOW) {
            FollowSymlinks::Yes
        } else {
            FollowSymlinks::No
        }
    }

    fn mode(self) -> OpenMode {
        let writes = self
            .open_flags
            .intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        let mut mode = OpenMode::empty();
        // What is opened for nothing is opened to be read.
        let neither = !self.flags.contains(DescriptorFlags::WRITE);
        mode.set(
            OpenMode::READ,
            neither || self.flags.contains(DescriptorFlags::READ),
        );
        mode.set(
            OpenMode::WRITE,
            writes || self.flags.contains(DescriptorFlags::WRITE),
        );
        mode
    }

    fn check(self) -> Result<(), ErrorCode> {
        let synchronous = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if self.flags.intersects(synchronous) {
            return Err(ErrorCode::Unsupported);
        }
        let of_files = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if self.open_flags.contains(OpenFlags::DIRECTORY) && self.open_flags.intersects(of_files) {
            return Err(ErrorCode::Invalid);
        }
        Ok(())
    }

    fn options(self) -> OpenOptions {
        let mode = self.mode();
        let mut options = OpenOptions::new();
        options
            .read(mode.contains(OpenMode::READ))
            .write(mode.contains(OpenMode::WRITE))
            .truncate(self.truncates())
            .create(self.makes())
            .create_new(self.is_exclusive())
            ._cap_fs_ext_follow(self.follow())
            ._cap_fs_ext_maybe_dir(true)
            ._cap_fs_ext_nonblock(true);
        options
    }

    /// Opens it below a directory if it is there, and makes nothing; what is to be new is
    /// not opened either.
    pub(super) fn open_what_is_there(
        self,
        directory: &Dir,
        path: &str,
    ) -> Result<Descriptor, ErrorCode> {
        if !self.is_exclusive() {
            return self.without_making().open(directory, path);
        }
        let found = stat(&directory.dir, Path::new(path), FollowSymlinks::No);
        Err(found.map_or_else(ErrorCode::from, |_| ErrorCode::Exist))
    }

    /// Opens it below a directory; it may block as long as the disk does.
    pub(super) fn open(self, directory: &Dir, path: &str) -> Result<Descriptor, ErrorCode> {
        self.check()?;
        let mode = self.mode();
        if directory.perms.write_not_permitted() && mode.contains(OpenMode::WRITE) {
            return Err(ErrorCode::NotPermitted);
        }
        let path = Path::new(path);
        // Opened, a device might act, and somebody might wait for who reads a pipe.
        if let Ok(found) = stat(&directory.dir, path, self.follow()) {
            let kind = found.file_type();
            if !kind.is_file() && !kind.is_dir() && !kind.is_symlink() {
                return Err(ErrorCode::NotPermitted);
            }
        }
        let (file, found) = open_stored(&directory.dir, path, &self.options())?;
        if found.is_dir() {
            let opened = Dir::new(file, directory.perms, mode, false);
            Ok(Descriptor::Dir(opened))
        } else if self.open_flags.contains(OpenFlags::DIRECTORY) {
            Err(ErrorCode::NotDirectory)
        } else {
            let opened = OpenFile::new(file, directory.perms, mode, false);
            Ok(Descriptor::File(opened))
        }
    }
}

/// Opens what has its times set.
pub(super) fn open_for_times(directory: &Dir, path: &str) -> Result<Descriptor, ErrorCode> {
    if directory.perms.write_not_permitted() {
        return Err(ErrorCode::NotPermitted);
    }
    let mut opened = Err(ErrorCode::Access);
    for flags in Opening::FOR_TIMES {
        let opening = Opening {
            path_flags: PathFlags::SYMLINK_FOLLOW,
            open_flags: OpenFlags::empty(),
            flags,
        };
        opened = opening.open(directory, path);
        if !matches!(opened, Err(ErrorCode::Access)) {
            break;
        }
    }
    opened
}

fn open_stored(
    directory: &File,
    path: &Path,
    options: &OpenOptions,
) -> Result<(File, Metadata), ErrorCode> {
    let file = open(directory, path, options)?;
    let found = file.metadata()?;
    if found.is_file() || found.is_dir() {
        Ok((file, found))
    } else {
        Err(ErrorCode::NotPermitted)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;
    use wasmtime_wasi::FsPerms;

    use super::*;

    fn with(open_flags: OpenFlags, flags: DescriptorFlags) -> Opening {
        Opening {
            path_flags: PathFlags::SYMLINK_FOLLOW,
            open_flags,
            flags,
        }
    }

    /// A directory with a file, a directory and a pipe.
    fn place() -> (TempDir, Dir) {
        let place = tempfile::tempdir().expect("a directory");
        fs::write(place.path().join("file"), "there").expect("a file");
        fs::create_dir(place.path().join("below")).expect("a directory");
        let pipe = place.path().join("pipe");
        mknodat(CWD, pipe, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        let directory = File::open(place.path()).expect("a directory");
        let mode = OpenMode::READ | OpenMode::WRITE;
        (place, Dir::new(directory, FsPerms::ReadWrite, mode, false))
    }

    #[test]
    fn a_pipe_that_takes_the_place_of_a_file_is_not_waited_for() {
        let (_place, directory) = place();
        for flags in [
            DescriptorFlags::READ,
            DescriptorFlags::WRITE,
            DescriptorFlags::READ | DescriptorFlags::WRITE,
        ] {
            for open_flags in [OpenFlags::empty(), OpenFlags::CREATE, OpenFlags::TRUNCATE] {
                let opening = with(open_flags, flags);
                // What was looked at before is past.
                let path = Path::new("pipe");
                let opened = open_stored(&directory.dir, path, &opening.options());
                assert!(opened.is_err(), "{flags:?} {open_flags:?}");
                let opened = opening.open(&directory, "pipe").err();
                assert_eq!(opened, Some(ErrorCode::NotPermitted));
            }
        }
        let opened = open_for_times(&directory, "pipe").err();
        assert_eq!(opened, Some(ErrorCode::NotPermitted));
    }

    #[test]
    fn files_and_directories_are_opened_as_the_flags_say() {
        let (place, directory) = place();
        let (read, write) = (DescriptorFlags::READ, DescriptorFlags::WRITE);
        let none = OpenFlags::empty();
        let new = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        for (path, opening, expected) in [
            ("file", with(none, read), Ok(OpenMode::READ)),
            ("file", with(none, write), Ok(OpenMode::WRITE)),
            (
                "file",
                with(none, DescriptorFlags::empty()),
                Ok(OpenMode::READ),
            ),
            (
                "file",
                with(OpenFlags::CREATE, read),
                Ok(OpenMode::READ | OpenMode::WRITE),
            ),
            ("file", with(new, write), Err(ErrorCode::Exist)),
            (
                "file",
                with(OpenFlags::DIRECTORY, read),
                Err(ErrorCode::NotDirectory),
            ),
            (
                "below",
                with(OpenFlags::DIRECTORY, read),
                Ok(OpenMode::READ),
            ),
            ("below", with(none, write), Err(ErrorCode::IsDirectory)),
            (
                "below",
                with(OpenFlags::DIRECTORY | new, read),
                Err(ErrorCode::Invalid),
            ),
            ("new", with(none, read), Err(ErrorCode::NoEntry)),
            ("../file", with(none, read), Err(ErrorCode::NotPermitted)),
            (
                "file",
                with(none, DescriptorFlags::FILE_INTEGRITY_SYNC),
                Err(ErrorCode::Unsupported),
            ),
        ] {
            let opened = opening.open(&directory, path).map(|opened| match opened {
                Descriptor::File(file) => file.open_mode,
                Descriptor::Dir(directory) => directory.open_mode,
            });
            assert_eq!(opened, expected, "{path}");
        }
        let made = with(OpenFlags::CREATE, read);
        for (opening, expected) in [(made, true), (made.without_making(), false)] {
            let name = if expected { "a" } else { "b" };
            assert_eq!(opening.open(&directory, name).is_ok(), expected);
            assert_eq!(place.path().join(name).exists(), expected);
        }
        assert_eq!(made.without_making().mode(), made.mode());
        for (path, expected) in [("a", ErrorCode::Exist), ("b", ErrorCode::NoEntry)] {
            let found = with(new, write).open_what_is_there(&directory, path).err();
            assert_eq!(found, Some(expected));
        }
    }

    #[test]
    fn nothing_is_written_where_a_directory_is_granted_to_be_read() {
        let (_place, mut directory) = place();
        directory.perms = FsPerms::ReadOnly;
        for (open_flags, flags) in [
            (OpenFlags::CREATE, DescriptorFlags::READ),
            (OpenFlags::TRUNCATE, DescriptorFlags::READ),
            (OpenFlags::empty(), DescriptorFlags::WRITE),
        ] {
            let opening = with(open_flags, flags);
            let opened = opening.open(&directory, "file").err();
            assert_eq!(opened, Some(ErrorCode::NotPermitted));
        }
        let opened = open_for_times(&directory, "file").err();
        assert_eq!(opened, Some(ErrorCode::NotPermitted));
        with(OpenFlags::empty(), DescriptorFlags::READ)
            .open(&directory, "file")
            .expect("it may be read");
    }
}
