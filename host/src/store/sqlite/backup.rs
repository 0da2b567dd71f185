//! Copies of a data directory that is in use.
//!
//! *Invariant*: a copy is of one moment, whole or not there: its database has its
//! name last. Neither readers nor the writer wait for it; but what is written
//! meanwhile stays in the log, which grows by it, until the database is copied.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::store::{StoreError, files};

use super::components::Components;
use super::fault::Fault;
use super::{BUSY, Context, connect, database};

/// How many pages are copied before others may use the disk's time: 4 MiB.
const STEP: i32 = 1024;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// Bytes of the database.
    pub database_bytes: u64,
    /// How many components there are.
    pub components: usize,
    /// Whether the key was copied too.
    pub with_key: bool,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something already.
    #[error("`{directory}` is not empty: name a directory that is empty or not there")]
    NotEmpty {
        /// Where the copy was to be.
        directory: String,
    },
    /// A file cannot be read or written.
    #[error("cannot copy to `{path}`")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be read, or its copy cannot be written.
    #[error("cannot copy the database")]
    Store {
        /// Why.
        source: StoreError,
    },
    /// The copy is damaged, and so is the database.
    #[error("the copy of the database is damaged, as the database is: {what}")]
    Damaged {
        /// What SQLite found.
        what: String,
    },
}

impl From<StoreError> for BackupError {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}

/// Copies the database, then the components, since none is removed that an
/// operation in the database needs, and the key if it is wanted.
pub(super) fn back_up(
    from: &Path,
    to: &Path,
    with_key: bool,
    context: &Context,
    components: &Components,
) -> Result<BackedUp, BackupError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| BackupError::Io { path, source }
    };
    files::create_directory(to).map_err(failed(to))?;
    if std::fs::read_dir(to).map_err(failed(to))?.next().is_some() {
        return Err(BackupError::NotEmpty {
            directory: to.display().to_string(),
        });
    }
    let unfinished = database(to).with_extension("tmp");
    files::create_private(&unfinished).map_err(failed(&unfinished))?;
    let copied = copy(&database(from), &unfinished, BUSY);
    if let Some(what) = copied.map_err(|fault| fault.undone(&context.place))? {
        return Err(BackupError::Damaged { what });
    }
    let kept = Components::open(to.join("components"), true);
    let kept = kept.map_err(failed(&to.join("components")))?;
    let digests = components.all()?;
    let mut count = 0;
    for digest in digests {
        // One that is gone meanwhile is needed by nobody.
        if let Some(bytes) = components.get(digest)? {
            kept.put(&bytes)?;
            count += 1;
        }
    }
    if with_key {
        let key = to.join("key");
        copy_private(&from.join("key"), &key).map_err(failed(&key))?;
    }
    let path = database(to);
    let bytes = std::fs::metadata(&unfinished).map_err(failed(&unfinished))?;
    std::fs::rename(&unfinished, &path).map_err(failed(&path))?;
    files::sync_parent(&path).map_err(failed(&path))?;
    Ok(BackedUp {
        database_bytes: bytes.len(),
        components: count,
        with_key,
    })
}

/// Copies a database as it is at one moment, and gives what is wrong with the copy.
/// Waits for so long for a program that has a file locked.
pub(super) fn copy(from: &Path, to: &Path, patience: Duration) -> Result<Option<String>, Fault> {
    let source = connect(from)?;
    // Else the copy begins anew with each write of the engine.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
    let mut copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy.busy_timeout(patience)?;
    {
        let backup = Backup::new(&source, &mut copy)?;
        loop {
            match backup.step(STEP)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(busy()),
            }
        }
    }
    source.execute_batch("COMMIT")?;
    // Else opening it to check it would leave files of SQLite's beside it.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

/// Says that another program has had a file locked for all the time that was given.
fn busy() -> Fault {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, None).into()
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = files::open(from)?;
    let mut copy = files::create_private(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}
