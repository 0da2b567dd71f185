//! Goes through all that is below a directory.
//!
//! *Invariant*: what is gone through lies below the directory, however deep. Each
//! directory is opened from the one above it and no link is followed; the way back up is
//! taken to the very one that it came from.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// Something below a directory.
pub(super) struct Found {
    pub(super) is_directory: bool,
    pub(super) bytes: u64,
    /// How many names it has, and what tells it from others.
    pub(super) names: u64,
    pub(super) identity: Identity,
}

/// What tells a file from others of this machine. Systems differ in the types of these
/// numbers; this takes all.
pub(super) type Identity = (i128, i128);

#[cfg(not(unix))]
pub(super) use elsewhere::{removed, walk};
#[cfg(unix)]
pub(super) use unix::{removed, walk};

#[cfg(unix)]
mod unix {
    use std::ffi::CString;
    use std::fs::File;
    use std::mem;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
    use rustix::io::Errno;

    use super::{ControlFlow, Found, Identity, Path, io};
    use crate::sandbox::mounts::open_without_links;

    const FLAGS: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::CLOEXEC);

    /// A directory on the way down.
    struct Above {
        identity: Identity,
        /// What is below it and was not gone into yet.
        left: Vec<CString>,
    }

    /// Gives all that is below a directory to `each`, with few descriptors however deep it
    /// is, and gives whether that was all. One that is not there has nothing below it.
    ///
    /// # Errors
    ///
    /// When something cannot be read, or is moved meanwhile.
    pub(in super::super) fn walk(
        root: &Path,
        mut each: impl FnMut(&Found) -> ControlFlow<()>,
    ) -> io::Result<bool> {
        let mut here = match open_without_links(root) {
            Ok(place) => openat(place, ".", FLAGS, Mode::empty())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        let ControlFlow::Continue(mut left) = list(&here, &mut each)? else {
            return Ok(false);
        };
        let mut above: Vec<Above> = Vec::new();
        loop {
            if let Some(name) = left.pop() {
                let below = match openat(&here, &name, FLAGS, Mode::empty()) {
                    Ok(below) => below,
                    // Somebody else has removed it, or put something in its place.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    Err(error) => return Err(error.into()),
                };
                let ControlFlow::Continue(names) = list(&below, &mut each)? else {
                    return Ok(false);
                };
                above.push(Above {
                    identity: identity(&fstat(&here)?),
                    left: mem::replace(&mut left, names),
                });
                here = below;
            } else if let Some(up) = above.pop() {
                here = openat(&here, "..", FLAGS, Mode::empty())?;
                if identity(&fstat(&here)?) != up.identity {
                    return Err(io::Error::other("a directory is moved meanwhile"));
                }
                left = up.left;
            } else {
                return Ok(true);
            }
        }
    }

    /// Gives what is in a directory to `each`, and gives the names of the directories.
    fn list(
        directory: &OwnedFd,
        each: &mut impl FnMut(&Found) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<(), Vec<CString>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => found(&stat),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            if each(&found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if found.is_directory {
                names.push(name.to_owned());
            }
        }
        Ok(ControlFlow::Continue(names))
    }

    /// Gives an open file, if it has no name any more.
    pub(in super::super) fn removed(file: &File) -> io::Result<Option<Found>> {
        let found = found(&fstat(file.as_fd())?);
        Ok((found.names == 0 && !found.is_directory).then_some(found))
    }

    fn found(stat: &Stat) -> Found {
        Found {
            is_directory: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            names: u64::try_from(i128::from(stat.st_nlink)).unwrap_or_default(),
            identity: identity(stat),
        }
    }

    fn identity(stat: &Stat) -> Identity {
        (i128::from(stat.st_dev), i128::from(stat.st_ino))
    }
}

/// Elsewhere a file counts once for each name, and not when it has none.
#[cfg(not(unix))]
mod elsewhere {
    use std::fs::{self, File};

    use super::{ControlFlow, Found, Path, io};

    pub(in super::super) fn walk(
        root: &Path,
        mut each: impl FnMut(&Found) -> ControlFlow<()>,
    ) -> io::Result<bool> {
        let mut left = vec![root.to_owned()];
        while let Some(directory) = left.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let found = Found {
                    is_directory: metadata.is_dir(),
                    bytes: metadata.len(),
                    names: 1,
                    identity: (0, 0),
                };
                if each(&found).is_break() {
                    return Ok(false);
                }
                if found.is_directory {
                    left.push(entry.path());
                }
            }
        }
        Ok(true)
    }

    pub(in super::super) fn removed(_file: &File) -> io::Result<Option<Found>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    use super::*;

    /// Goes through all, and tells how many there are.
    fn count(root: &Path) -> usize {
        let mut count = 0;
        let whole = walk(root, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert!(whole.expect("it can be read"));
        count
    }

    #[test]
    fn directories_are_gone_through_that_are_deeper_than_any_path_is_long() {
        let place = tempfile::tempdir().expect("a directory");
        let name = "d".repeat(250);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut here = openat(CWD, place.path(), flags, Mode::empty()).expect("it is there");
        for _ in 0..100 {
            mkdirat(&here, "beside", Mode::RWXU).expect("a directory");
            mkdirat(&here, &name, Mode::RWXU).expect("a directory");
            here = openat(&here, &name, flags, Mode::empty()).expect("it is there");
        }
        assert_eq!(count(place.path()), 200);
    }

    #[test]
    fn links_are_not_followed_and_what_is_not_there_is_empty() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |path: &str| place.path().join(path);
        for path in ["in/a/b", "in/c", "out/d"] {
            fs::create_dir_all(at(path)).expect("a directory");
        }
        symlink(at("out"), at("in/link")).expect("a link");
        assert_eq!(count(&at("in")), 4);
        assert_eq!(count(&at("none")), 0);
        walk(&at("in/link"), |_| ControlFlow::Continue(())).expect_err("a link");
    }

    #[test]
    fn a_directory_that_is_moved_out_meanwhile_is_not_left_for_what_is_above_it() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |path: &str| place.path().join(path);
        for path in ["in/a/b", "out"] {
            fs::create_dir_all(at(path)).expect("a directory");
        }
        fs::write(at("out/secret"), "").expect("a file");
        let mut seen = 0;
        let walked = walk(&at("in"), |_| {
            seen += 1;
            if seen == 2 {
                fs::rename(at("in/a"), at("out/a")).expect("it is there");
            }
            ControlFlow::Continue(())
        });
        let words = walked.expect_err("it is not there").to_string();
        assert!(words.contains("moved"), "{words}");
        assert_eq!(seen, 2);
    }

    #[test]
    fn it_ends_where_it_is_told_to() {
        let place = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(place.path().join("a/b/c")).expect("a directory");
        let mut left = 2;
        let whole = walk(place.path(), |_| {
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(!whole.expect("it can be read"));
    }
}
