//! Opens data directories.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::store::recent::Recent;
use crate::store::seal::{KeyError, KeyId, Sealer, SealingKey};
use crate::store::unreadable::Foreign;
use crate::store::{StoreError, files};

use super::components::Components;
use super::fault::Fault;
use super::lock::{self, LockError};
use super::read::Readers;
use super::writer::Writer;
use super::{Context, SqliteStore, connect, database, fill, schema, write};

/// How much of the database the writer keeps in memory, in KiB. What the operations
/// under way have changed has to fit, or it is written and read again.
const WRITER_CACHE: i64 = 32 * 1024;

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory `{directory}` is in use by {}: stop it, or use another directory",
        process.map_or("another process".to_owned(), |id| format!("process {id}"))
    )]
    InUse {
        /// The directory.
        directory: String,
        /// The id of the process, if it has written it down already.
        process: Option<u32>,
    },
    /// There is none.
    #[error("`{directory}` is no data directory: name one that an engine has made")]
    NotADataDirectory {
        /// The directory.
        directory: String,
    },
    /// Its database is gone, and other files of it are not.
    #[error(
        "the database in `{directory}` is empty, though the directory holds components: restore `formwork.db` and `formwork.db-wal` from a backup, or use another directory"
    )]
    Emptied {
        /// The directory.
        directory: String,
    },
    /// A newer program wrote it.
    #[error(
        "the database in `{directory}` has version {found}, and this program supports up to {supported}: use a newer one"
    )]
    TooNew {
        /// The directory.
        directory: String,
        /// The version of the database.
        found: usize,
        /// The version that this program writes.
        supported: usize,
    },
    /// An older program wrote it, and a client does not change it.
    #[error(
        "the database in `{directory}` has version {found}, and this program needs {supported}: start the engine of this version once"
    )]
    TooOld {
        /// The directory.
        directory: String,
        /// The version of the database.
        found: usize,
        /// The version that this program writes.
        supported: usize,
    },
    /// Its key cannot be used.
    #[error("the data directory `{directory}` cannot be unsealed")]
    Key {
        /// The directory.
        directory: String,
        /// Why.
        source: KeyError,
    },
    /// A file of it cannot be read or written.
    #[error("cannot open `{path}`")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be read or written.
    #[error("cannot open the data directory")]
    Store {
        /// Why.
        source: StoreError,
    },
}

fn failed(path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.display().to_string();
    move |source| OpenError::Io {
        path: path.clone(),
        source,
    }
}

pub(super) fn engine(directory: &Path) -> Result<SqliteStore, OpenError> {
    let place = directory.display().to_string();
    files::create_directory(directory).map_err(failed(directory))?;
    let lock_file = directory.join("lock");
    let lock = lock::take(&lock_file).map_err(|error| match error {
        LockError::Held { process } => OpenError::InUse {
            directory: place.clone(),
            process,
        },
        LockError::Io(source) => failed(&lock_file)(source),
    })?;
    let path = database(directory);
    // SQLite's own files take over the mode of this one.
    files::create_private(&path).map_err(failed(&path))?;

    let refused = sql(&place);
    let mut connection = connect(&path).map_err(&refused)?;
    check_not_newer(&connection, &place)?;
    // Components are kept only once the database is there.
    let kept = directory.join("components");
    if schema::version(&connection).map_err(&refused)? == 0
        && Components::any(&kept).map_err(failed(&kept))?
    {
        return Err(OpenError::Emptied { directory: place });
    }
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(&refused)?;
    connection
        .pragma_update(None, "cache_size", -WRITER_CACHE)
        .map_err(&refused)?;
    // All or nothing: what is migrated is filled too.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(&refused)?;
    let from = schema::version(&transaction).map_err(&refused)?;
    if (1..schema::SUPPORTED).contains(&from) {
        tracing::info!(%place, from, to = schema::SUPPORTED, "migrating the store");
    }
    let migrated = schema::migrate(&transaction).map_err(&refused)?;
    let expected = key_id(&transaction).map_err(&refused)?;
    let context = Context {
        sealer: unseal(directory, expected)?,
        place: place.clone(),
        recent: Recent::default(),
        foreign: Foreign::default(),
    };
    if expected.is_none() {
        transaction
            .execute(
                "INSERT INTO meta (name, value) VALUES ('key', ?)",
                [context.sealer.id().as_bytes()],
            )
            .map_err(&refused)?;
    }
    if migrated {
        fill::fill(&transaction, &context).map_err(|fault| OpenError::Store {
            source: fault.undone(&place),
        })?;
    }
    write::recover(&transaction).map_err(&refused)?;
    transaction.commit().map_err(&refused)?;
    let mut store = assemble(directory, connection, context, true)?;
    store._lock = Some(lock);
    Ok(store)
}

pub(super) fn client(directory: &Path) -> Result<SqliteStore, OpenError> {
    let place = directory.display().to_string();
    let path = database(directory);
    if !path.try_exists().map_err(failed(&path))? {
        return Err(OpenError::NotADataDirectory { directory: place });
    }
    let refused = sql(&place);
    let connection = connect(&path).map_err(&refused)?;
    check_not_newer(&connection, &place)?;
    let found = schema::version(&connection).map_err(&refused)?;
    if found < schema::SUPPORTED {
        return Err(OpenError::TooOld {
            directory: place,
            found,
            supported: schema::SUPPORTED,
        });
    }
    let expected = key_id(&connection).map_err(&refused)?;
    // Without a key nothing was ever sealed: the engine did not come that far.
    let Some(expected) = expected else {
        return Err(OpenError::NotADataDirectory { directory: place });
    };
    let context = Context {
        sealer: unseal(directory, Some(expected))?,
        place,
        recent: Recent::default(),
        foreign: Foreign::default(),
    };
    assemble(directory, connection, context, false)
}

fn assemble(
    directory: &Path,
    connection: Connection,
    context: Context,
    alone: bool,
) -> Result<SqliteStore, OpenError> {
    let context = Arc::new(context);
    let components: PathBuf = directory.join("components");
    let components = Components::open(components.clone(), alone).map_err(failed(&components))?;
    let writer = Writer::start(connection, Arc::clone(&context)).map_err(failed(directory))?;
    Ok(SqliteStore {
        writer,
        readers: Arc::new(Readers::new(database(directory), Arc::clone(&context))),
        components: Arc::new(components),
        context,
        _lock: None,
    })
}

fn sql(place: &str) -> impl Fn(rusqlite::Error) -> OpenError + use<> {
    let place = place.to_owned();
    move |error| OpenError::Store {
        source: Fault::Sql(error).undone(&place),
    }
}

fn check_not_newer(connection: &Connection, place: &str) -> Result<(), OpenError> {
    let found = schema::version(connection).map_err(sql(place))?;
    if found > schema::SUPPORTED {
        return Err(OpenError::TooNew {
            directory: place.to_owned(),
            found,
            supported: schema::SUPPORTED,
        });
    }
    Ok(())
}

/// Gives the id of the key that the database is sealed with, if one is.
fn key_id(connection: &Connection) -> rusqlite::Result<Option<KeyId>> {
    let id: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE name = 'key'", [], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(id.and_then(|id| KeyId::from_slice(&id)))
}

fn unseal(directory: &Path, expected: Option<KeyId>) -> Result<Sealer, OpenError> {
    let key = SealingKey::read_or_make(&directory.join("key"), expected);
    let key = key.map_err(|source| OpenError::Key {
        directory: directory.display().to_string(),
        source,
    })?;
    Ok(Sealer::new(&key))
}
