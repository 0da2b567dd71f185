//! The tables, and how older ones become newer ones.
//!
//! *Invariant*: `user_version` is the number of migrations that were applied;
//! a database with more than are known here is refused.

use rusqlite::{Connection, Transaction};

/// The migrations in order. A published one never changes.
const MIGRATIONS: [&str; 10] = [V1, V2, V3, V4, V5, V6, V7, V8, V9, V10];

/// The version of the tables that this program reads and writes.
pub(super) const SUPPORTED: usize = MIGRATIONS.len();

/// `operation` is what claims read and write, and narrow: SQLite rewrites a row
/// as a whole. `sealed` is the rest of it. `live` is 1 until the operation has
/// ended; it is 0 too for one whose record cannot be read, lest it be claimed
/// for ever. No account or no region is an empty text. An outbox row is `head`
/// if it is the oldest of its operation.
const V1: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operation (
    token        BLOB PRIMARY KEY NOT NULL,
    account      TEXT NOT NULL,
    region       TEXT NOT NULL,
    type         TEXT NOT NULL,
    identifier   TEXT,
    status       INTEGER NOT NULL,
    live         INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    deadline     INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    lease_number INTEGER,
    lease_until  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX operation_ready ON operation (type, due, token)
    WHERE live = 1 AND lease_until IS NULL;
CREATE INDEX operation_lease ON operation (lease_until)
    WHERE live = 1 AND lease_until IS NOT NULL;
CREATE INDEX operation_deadline ON operation (deadline)
    WHERE live = 1 AND lease_until IS NULL;

CREATE TABLE sealed (
    token   BLOB PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    record  BLOB NOT NULL,
    target  BLOB
) STRICT;

CREATE TABLE event (
    token   BLOB NOT NULL,
    version INTEGER NOT NULL,
    record  BLOB NOT NULL,
    model   BLOB,
    PRIMARY KEY (token, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    token     BLOB NOT NULL,
    version   INTEGER NOT NULL,
    head      INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    ambiguous INTEGER NOT NULL,
    parked    BLOB,
    PRIMARY KEY (token, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_due ON outbox (due, token)
    WHERE head = 1 AND parked IS NULL;

CREATE TABLE resource_lock (
    account    TEXT NOT NULL,
    region     TEXT NOT NULL,
    type       TEXT NOT NULL,
    identifier TEXT NOT NULL,
    token      BLOB NOT NULL,
    PRIMARY KEY (account, region, type, identifier)
) STRICT, WITHOUT ROWID;

CREATE TABLE client_token (
    account      TEXT NOT NULL,
    region       TEXT NOT NULL,
    client_token TEXT NOT NULL,
    token        BLOB NOT NULL,
    fingerprint  BLOB NOT NULL,
    PRIMARY KEY (account, region, client_token)
) STRICT, WITHOUT ROWID;
";

/// Bearer tokens that operations were accepted with, as keyed hashes.
const V2: &str = "
CREATE TABLE bearer_token (
    bearer_token BLOB PRIMARY KEY NOT NULL,
    token        BLOB NOT NULL,
    fingerprint  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// `mutation` is what an operation does, for lists; it is null if the record of
/// an older row could not be read. The index has all that a list is filtered by,
/// in the order in which a page of it is one stretch.
const V3: &str = "
ALTER TABLE operation ADD COLUMN mutation INTEGER;

CREATE INDEX operation_listed ON operation (account, region, status, mutation, token, type);
";

/// When an operation ended, when a client token was first used, and the first
/// eight bytes of the component's digest as a number: what decides how long
/// things are kept. An operation that cannot be read ends at its deadline.
const V4: &str = "
ALTER TABLE operation ADD COLUMN ended_at INTEGER;
ALTER TABLE operation ADD COLUMN component INTEGER;
ALTER TABLE client_token ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX client_token_used ON client_token (used_at);
CREATE INDEX bearer_token_operation ON bearer_token (token);
";

/// The write-only values that are kept of resources.
const V5: &str = "
CREATE TABLE write_only (
    account    TEXT NOT NULL,
    region     TEXT NOT NULL,
    type       TEXT NOT NULL,
    identifier TEXT NOT NULL,
    record     BLOB NOT NULL,
    PRIMARY KEY (account, region, type, identifier)
) STRICT, WITHOUT ROWID;
";

/// `held` is 0 once the operation that has the lock of a resource has ended. The
/// row stays, and tells which one was the last, until that is forgotten.
const V6: &str = "
ALTER TABLE resource_lock ADD COLUMN held INTEGER NOT NULL DEFAULT 1;
";

/// What an earlier process may have been sending, found without a look at what it
/// may not.
const V7: &str = "
CREATE INDEX outbox_certain ON outbox (token, version) WHERE ambiguous = 0;
";

/// The index holds all that a count of it asks for, so that a million rows are
/// counted without looking any of them up.
const V8: &str = "
DROP INDEX operation_ready;
CREATE INDEX operation_ready ON operation (type, due, token, live, lease_until)
    WHERE live = 1 AND lease_until IS NULL;
";

/// And the status, which is counted too.
const V9: &str = "
DROP INDEX operation_ready;
CREATE INDEX operation_ready ON operation (type, due, token, live, lease_until, status)
    WHERE live = 1 AND lease_until IS NULL;
";

/// When the report of an event was accepted.
const V10: &str = "
ALTER TABLE event ADD COLUMN delivered_at INTEGER;
";

/// Gives the version of the tables that are there; 0 if none are.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("PRAGMA user_version", [], |row| {
        let version: i64 = row.get(0)?;
        // A negative one is none of ours; it counts as one of a far future.
        Ok(usize::try_from(version).unwrap_or(usize::MAX))
    })
}

/// Applies the migrations that are not applied yet, inside of a transaction.
/// Tells whether there were any.
pub(super) fn migrate(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let found = version(transaction)?;
    migrate_to(transaction, SUPPORTED)?;
    Ok(found < SUPPORTED)
}

/// Applies the migrations up to a version.
pub(super) fn migrate_to(connection: &Connection, wanted: usize) -> rusqlite::Result<()> {
    let found = version(connection)?;
    for migration in MIGRATIONS.iter().take(wanted).skip(found) {
        connection.execute_batch(migration)?;
    }
    connection.pragma_update(None, "user_version", wanted.to_string())
}
