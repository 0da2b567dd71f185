//! Compiled components on disk.
//!
//! *Invariant*: what is run from the cache is what a host of this user wrote
//! there, and is undamaged. That it is not forged rests on who can write to the
//! directory alone: no other user, which is checked when it is opened, and no
//! guest, since a grant that overlaps it is refused. The digest beside an
//! artefact finds damage and no forgery: whoever can write the one can write the
//! other. What is damaged is compiled again.
//!
//! *Invariant*: after a component is written, the artefacts have no more bytes than
//! their limit, unless other processes write at that moment.

mod room;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::SandboxError;
use crate::model::Digest;

pub(super) struct Cache {
    /// Without links, so that it can be compared with what is granted.
    directory: PathBuf,
    /// The bytes that its files may have.
    most: u64,
    /// Stands for the engine's version, its settings and this machine.
    compatibility: u64,
}

impl Cache {
    /// Opens the directory, making it where it is missing.
    pub(super) fn open(
        directory: &Path,
        engine: &Engine,
        most: usize,
    ) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::CacheDirectory {
            path: directory.to_owned(),
            source,
        };
        make(directory).map_err(failed)?;
        let real = fs::canonicalize(directory).map_err(failed)?;
        if !is_private(&real).map_err(failed)? {
            return Err(SandboxError::CacheUnsafe {
                path: directory.to_owned(),
            });
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self {
            directory: real,
            most: most as u64,
            compatibility: hasher.finish(),
        };
        // The limit may have been higher.
        cache.make_room();
        Ok(cache)
    }

    /// Removes what was not used for the longest time. A failure costs space only, so it
    /// is logged and not returned.
    fn make_room(&self) {
        if let Err(error) = room::make(&self.directory, self.most) {
            tracing::warn!(path = %self.directory.display(), %error, "cannot bound the cache of compiled components");
        }
    }

    /// Gives the real path of the directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn artefact(&self, digest: Digest) -> PathBuf {
        let name = format!("{}-{:016x}.cwasm", digest.hex(), self.compatibility);
        self.directory.join(name)
    }

    /// Gives the compiled component, if it is there and sound.
    pub(super) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.artefact(digest);
        let expected = fs::read_to_string(digest_path(&path)).ok()?;
        match digest_of(&path) {
            Ok(found) if found.hex() == expected.trim() => {}
            Ok(_) => {
                tracing::warn!(path = %path.display(), "a cached component is damaged and is compiled again");
                return None;
            }
            // Another process has made room meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read a cached component, so it is compiled again");
                return None;
            }
        }
        // One whose use cannot be noted goes sooner than it might.
        let _ = room::touch(&path).and_then(|()| room::touch(&digest_path(&path)));
        // SAFETY: the file was written by `put`, from the engine's own output.
        // Nobody else could have: other users may not write to the directory,
        // as `open` has seen, and no guest is ever granted a directory that
        // overlaps it; other programs of this user are trusted as this one is.
        // The digest shows that the file is whole, not who wrote it. `put`
        // replaces files by renaming and never changes one in place.
        let component = unsafe { Component::deserialize_file(engine, &path) };
        component
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a cached component does not fit and is compiled again");
            })
            .ok()
    }

    /// Keeps the code of a compiled component. A failure costs time only, so it is
    /// logged and not returned.
    pub(super) fn put(&self, digest: Digest, code: &[u8]) {
        let path = self.artefact(digest);
        let written = write(&digest_path(&path), Digest::of(code).hex().as_bytes())
            .and_then(|()| write(&path, code));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot cache a compiled component");
        }
        self.make_room();
    }
}

fn digest_path(artefact: &Path) -> PathBuf {
    artefact.with_extension("sha256")
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let temporary = path.with_extension(format!(
        "{}-{}.tmp",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing more can be done about a leftover than to try.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn make(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Tells whether the directory belongs to this user and nobody else may write
/// to it.
#[cfg(unix)]
fn is_private(directory: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    // A file that this process makes has this process's user.
    let probe = directory.join(format!("probe-{}.tmp", std::process::id()));
    write(&probe, b"")?;
    let user = fs::metadata(&probe)?.uid();
    fs::remove_file(&probe)?;
    let metadata = fs::metadata(directory)?;
    Ok(metadata.uid() == user && metadata.mode() & 0o022 == 0)
}

/// Elsewhere the directory's access list is the administrator's to set.
#[cfg(not(unix))]
fn is_private(_directory: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests;
