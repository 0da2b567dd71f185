//! One engine to a data directory.
//!
//! *Invariant*: whoever holds the lock is the only engine; it is let go of when it
//! is dropped, and by the system when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::store::files;

/// The right to be the engine of a data directory, until it is dropped.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Says so to the system. To close the file does not: a process that is being
    /// started at that moment has a copy of it until it runs its own program.
    fn drop(&mut self) {
        // What cannot be unlocked is as free once all copies are closed.
        self.0.unlock().unwrap_or_default();
    }
}

/// Says why the lock was not taken.
pub(super) enum LockError {
    /// Another process has it.
    Held { process: Option<u32> },
    /// The file cannot be used.
    Io(io::Error),
}

/// Takes the lock and writes down which process has it.
pub(super) fn take(path: &Path) -> Result<Lock, LockError> {
    let mut file = files::create_private(path).map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.take(32)
                .read_to_string(&mut process)
                .map_err(LockError::Io)?;
            // Empty while the winner has not written it yet.
            let process = process.trim().parse().ok();
            return Err(LockError::Held { process });
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(LockError::Io)?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_once_it_is_dropped_whoever_has_a_copy_of_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let first = take(&path).ok().expect("it is free");
        // As in a child between its fork and its exec.
        let copy = first.0.try_clone().expect("a descriptor");
        assert!(matches!(take(&path), Err(LockError::Held { .. })));
        drop(first);
        let second = take(&path).ok().expect("it is free again");
        // The copy has no say in the lock of its successor.
        drop(copy);
        assert!(matches!(take(&path), Err(LockError::Held { .. })));
        drop(second);
    }
}
