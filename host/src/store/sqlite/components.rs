//! Components, each a file named by its digest.
//!
//! *Invariant*: a file has its name once it is whole and on the disk, and what
//! is read from it has its digest.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Digest;
use crate::store::{StoreError, files};

use super::fault::unavailable;

const ADVICE: &str = "a component's file cannot be read or written: free some space, \
                      and check the owner and mode of its directory";

/// The directory of the components.
pub(super) struct Components {
    directory: PathBuf,
    written: AtomicU64,
}

impl Components {
    /// Opens the directory, and removes what a crash left unfinished if nobody
    /// else can be writing.
    pub(super) fn open(directory: PathBuf, alone: bool) -> io::Result<Self> {
        files::create_directory(&directory)?;
        if alone {
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    std::fs::remove_file(path)?;
                }
            }
        }
        Ok(Self {
            directory,
            written: AtomicU64::new(0),
        })
    }

    /// Tells whether a directory holds any component.
    pub(super) fn any(directory: &Path) -> io::Result<bool> {
        if !directory.try_exists()? {
            return Ok(false);
        }
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the digests of all components.
    pub(super) fn all(&self) -> Result<Vec<Digest>, StoreError> {
        let list = || -> io::Result<Vec<Digest>> {
            let mut digests = Vec::new();
            for entry in std::fs::read_dir(&self.directory)? {
                let name = entry?.file_name();
                let hex = name.to_str().and_then(|name| name.strip_suffix(".wasm"));
                // What is not named so is none of ours.
                digests.extend(hex.and_then(Digest::from_hex));
            }
            Ok(digests)
        };
        list().map_err(|error| unavailable(&self.directory.display().to_string(), ADVICE, error))
    }

    /// Removes a component. One that is gone already is no error.
    pub(super) fn remove(&self, digest: Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unavailable(&path.display().to_string(), ADVICE, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(format!("{}.wasm", digest.hex()))
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.path(digest);
        // What is there but damaged is written anew.
        if let Ok(Some(_)) = self.get(digest) {
            return Ok(digest);
        }
        self.write(&path, bytes)
            .map_err(|error| unavailable(&path.display().to_string(), ADVICE, error))?;
        Ok(digest)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let temporary = path.with_extension(format!("{process}.{number}.tmp"));
        let mut file = files::create_private(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            std::fs::remove_file(&temporary)?;
            return Err(error);
        }
        std::fs::rename(&temporary, path)?;
        files::sync_parent(path)
    }

    pub(super) fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let path = self.path(digest);
        let place = || path.display().to_string();
        match std::fs::read(&path) {
            Ok(bytes) => {
                let found = Digest::of(&bytes);
                if found == digest {
                    return Ok(Some(bytes.into()));
                }
                Err(StoreError::Corrupt {
                    place: place(),
                    what: format!("it has digest {found}; load the component again"),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(&place(), ADVICE, error)),
        }
    }
}
