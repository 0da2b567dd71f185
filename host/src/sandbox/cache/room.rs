//! The room that a cache has: what was not used for the longest time makes it.
//!
//! Several processes may share a directory. Each bounds it after what it writes, and
//! finds as missing what another one has removed. What is in use stays in use when it
//! is removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock as _, SystemClock};

/// A file of a cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

/// Notes that a file is used now.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let now = Duration::from_millis(SystemClock::new().now().as_millis());
    File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + now)
}

/// Removes files of the cache until what is left has at most so many bytes.
pub(super) fn make(directory: &Path, most: u64) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !is_of_a_cache(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // Another process may have removed it.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        kept.push(Kept {
            used: metadata.modified()?,
            path: entry.path(),
            bytes: metadata.len(),
        });
    }
    for path in surplus(kept, most) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Tells whether a file has the name of an artefact, of its digest, or of one that is
/// being written: the operator may keep others beside them.
fn is_of_a_cache(name: &str) -> bool {
    let digest = name.split('-').next().unwrap_or_default();
    digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Chooses what has to go, the least recently used first.
fn surplus(mut kept: Vec<Kept>, most: u64) -> Vec<PathBuf> {
    kept.sort_unstable();
    let mut left: u64 = kept.iter().map(|file| file.bytes).sum();
    let mut surplus = Vec::new();
    for file in kept {
        if left <= most {
            break;
        }
        left -= file.bytes;
        surplus.push(file.path);
    }
    surplus
}
