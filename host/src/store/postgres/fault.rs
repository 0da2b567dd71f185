//! What goes wrong between here and PostgreSQL, in the store's words.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tokio_postgres::error::SqlState;

use crate::store::StoreError;
use crate::store::row::Damaged;

/// Why a read or a write was not done.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The server said no, and has undone what was begun.
    Refused(Arc<tokio_postgres::Error>),
    /// The connection broke, or the server did not answer in time.
    Lost {
        /// Whether a commit was asked for and its answer is missing.
        unsure: bool,
        /// Why.
        source: Cause,
    },
    /// A newer program has changed the tables beyond what this one knows.
    Outdated {
        /// The version that a program must support.
        needs: i32,
    },
    /// What is stored makes no sense.
    Damaged {
        /// What it is.
        what: String,
        /// Whether it may well make sense elsewhere.
        is_foreign: bool,
    },
}

pub(super) type Cause = Arc<dyn Error + Send + Sync>;

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        if ends_connection(&error) {
            return Self::Lost {
                unsure: false,
                source: Arc::new(error),
            };
        }
        Self::Refused(Arc::new(error))
    }
}

impl From<Damaged> for Fault {
    fn from(Damaged { what, is_foreign }: Damaged) -> Self {
        Self::Damaged { what, is_foreign }
    }
}

/// Tells whether nothing more can come over the connection: only a message of
/// the server about a statement leaves it in order.
fn ends_connection(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => {
            // What is between us and the server says that it has lost it.
            code.code().starts_with("08")
                || *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
                || *code == SqlState::ADMIN_SHUTDOWN
                || *code == SqlState::CRASH_SHUTDOWN
                || *code == SqlState::CANNOT_CONNECT_NOW
                || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                // The server has become a copy of another: there is a new one to find.
                || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        }
    }
}

impl Fault {
    /// Says that the server did not answer in time.
    pub(super) fn silent() -> Self {
        Self::Lost {
            unsure: false,
            source: Arc::new(Advice::plain("the server did not answer in time")),
        }
    }

    /// Says that others have gone on since a try that may have been committed.
    pub(super) fn overtaken() -> Self {
        Self::Lost {
            unsure: true,
            source: Arc::new(Advice::plain("others have changed the operation since")),
        }
    }

    /// Says it of a request that had asked for a commit: if the server has said no,
    /// it has undone it.
    pub(super) fn in_commit(self) -> Self {
        match self {
            Self::Lost { .. } => self.in_doubt(),
            other => other,
        }
    }

    /// Says it of a request that may have been committed by an earlier try, whatever
    /// has become of the last one.
    pub(super) fn in_doubt(self) -> Self {
        let source: Cause = match self {
            Self::Refused(error) => error,
            Self::Lost { source, .. } => source,
            Self::Outdated { needs } => {
                Arc::from(Box::<dyn Error + Send + Sync>::from(outdated(needs)))
            }
            Self::Damaged { what, .. } => Arc::from(Box::<dyn Error + Send + Sync>::from(what)),
        };
        Self::Lost {
            unsure: true,
            source,
        }
    }

    /// Tells whether connecting again may well succeed: the server is away, or has
    /// no room for now.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Refused(error) => error
                .code()
                .is_some_and(|code| code.code().starts_with("53")),
            Self::Outdated { .. } | Self::Damaged { .. } => false,
        }
    }

    /// Tells whether the same again may well succeed at once: somebody else was
    /// in the way.
    pub(super) fn is_collision(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        error.code().is_some_and(|code| {
            *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::UNIQUE_VIOLATION
        })
    }

    /// Tells whether somebody else held a lock for too long.
    pub(super) fn is_held_up(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Says it for a call.
    pub(super) fn into_error(self, place: &str) -> StoreError {
        let place = place.to_owned();
        match self {
            Self::Damaged { what, .. } => StoreError::Corrupt { place, what },
            Self::Outdated { needs } => StoreError::Unavailable {
                place,
                source: outdated(needs).into(),
            },
            Self::Lost {
                unsure: true,
                source,
            } => StoreError::Unknown {
                place,
                source: Box::new(Advice::of(
                    "the connection broke before the server confirmed: read the operation again before repeating the call",
                    source,
                )),
            },
            Self::Lost {
                unsure: false,
                source,
            } => StoreError::Unavailable {
                place,
                source: Box::new(Advice::of(
                    "the server cannot be reached: check that it runs and that the network leads there",
                    source,
                )),
            },
            Self::Refused(error) => StoreError::Unavailable {
                place,
                source: Box::new(Advice::of(advice(&error), error)),
            },
        }
    }
}

fn outdated(needs: i32) -> String {
    format!(
        "a newer program has changed the database, which needs programs that support version {needs}: run a newer one here"
    )
}

fn advice(error: &tokio_postgres::Error) -> &'static str {
    let Some(code) = error.code() else {
        return "the server cannot be reached: check that it runs and that the network leads there";
    };
    match code.code() {
        "53100" => "the disk of the server is full: free some space; nothing is lost",
        "53200" => "the server is out of memory",
        "53300" => {
            "the server takes no more connections: raise `max_connections`, or run fewer hosts"
        }
        "57014" => "the server did not finish in time: it has too much to do",
        "55P03" => "another session holds a lock for too long: see `pg_stat_activity`",
        "28P01" | "28000" => "the server does not let us in: check the user and the password",
        "3D000" => "there is no such database: create it, owned by the user",
        "42501" => {
            "the user lacks a permission: it must own the tables, and may create them at first"
        }
        "42P01" | "42703" => {
            "a table of the store is missing: was it removed, or is the search path another one?"
        }
        _ => "the server refused; its message says why",
    }
}

/// Says what to do, and has the cause below it.
#[derive(Debug)]
pub(super) struct Advice {
    advice: &'static str,
    source: Option<Cause>,
}

impl Advice {
    pub(super) const fn plain(advice: &'static str) -> Self {
        Self {
            advice,
            source: None,
        }
    }

    pub(super) const fn of(advice: &'static str, source: Cause) -> Self {
        Self {
            advice,
            source: Some(source),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice)
    }
}

impl Error for Advice {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_ref()?;
        Some(&**source)
    }
}
