//! What goes wrong in SQLite, in the store's words.

use std::error::Error;
use std::fmt;

use rusqlite::ErrorCode;
use rusqlite::types::FromSqlError;

use crate::store::StoreError;
use crate::store::row::Damaged;

/// Why a read or a write was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite said no.
    Sql(rusqlite::Error),
    /// What is stored makes no sense.
    Damaged {
        /// What it is.
        what: String,
        /// Whether it may well make sense elsewhere.
        is_foreign: bool,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Damaged> for Fault {
    fn from(Damaged { what, is_foreign }: Damaged) -> Self {
        Self::Damaged { what, is_foreign }
    }
}

impl From<FromSqlError> for Fault {
    fn from(error: FromSqlError) -> Self {
        Self::Sql(error.into())
    }
}

/// Says what to do, and has the cause below it.
#[derive(Debug)]
pub(super) struct Advice {
    pub(super) advice: &'static str,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice)
    }
}

impl Error for Advice {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl Fault {
    /// Says it for a call that certainly took no effect.
    pub(super) fn undone(self, place: &str) -> StoreError {
        match self {
            Self::Damaged { what, .. } => StoreError::Corrupt {
                place: place.to_owned(),
                what,
            },
            Self::Sql(error) => sql(error, place),
        }
    }
}

/// Says why a commit failed. Where the disk itself failed, a part of the commit
/// may have reached it and be found by the next process.
pub(super) fn commit_failed(error: rusqlite::Error, place: &str) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => StoreError::Unknown {
            place: place.to_owned(),
            source: Box::new(Advice {
                advice: "the disk failed: check it, and read the operation again before repeating the call",
                source: Box::new(error),
            }),
        },
        _ => sql(error, place),
    }
}

fn sql(error: rusqlite::Error, place: &str) -> StoreError {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: free some space; nothing is lost",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "the files cannot be written: check their owner, their mode and the mount"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the database locked: end it, or wait until it is done"
        }
        Some(ErrorCode::CannotOpen) => {
            "the database cannot be opened: check that its directory is there, and its owner and mode"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk failed: check it, and free some space",
        Some(ErrorCode::OutOfMemory) => "the memory is used up",
        // Not of what was asked for alone: nothing in the file is to be relied on.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "its file `formwork.db` is damaged: stop the program, and restore the directory from a backup"
        }
        None => {
            // Not SQLite's own: a value that is not of the type of its column.
            return StoreError::Corrupt {
                place: place.to_owned(),
                what: error.to_string(),
            };
        }
        Some(_) => "the database refused; its message says why",
    };
    unavailable(place, advice, error)
}

pub(super) fn unavailable(
    place: &str,
    advice: &'static str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        place: place.to_owned(),
        source: Box::new(Advice {
            advice,
            source: source.into(),
        }),
    }
}
