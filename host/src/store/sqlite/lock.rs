//! One engine to a data directory.
//!
//! *Invariant*: whoever holds the lock is the only engine; the system lets go of
//! it when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::store::files;

/// Says why the lock was not taken.
pub(super) enum LockError {
    /// Another process has it.
    Held { process: Option<u32> },
    /// The file cannot be used.
    Io(io::Error),
}

/// Takes the lock and writes down which process has it.
pub(super) fn take(path: &Path) -> Result<File, LockError> {
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
    Ok(file)
}
