//! The write-ahead log, and when what it holds is carried over into the database.
//!
//! *Invariant*: the log is carried over by the writer, between two commits, so that
//! nothing is left behind and it begins anew; unless a read is on that began before
//! and sees the log as it was. However many short reads there are, the log stays
//! below [`MOST`] pages; a long one holds it for as long as it lasts.

use std::time::Duration;

use rusqlite::Connection;

use super::{BUSY, Context};

/// At how many pages the log is carried over: 8 MiB. More is carried over seldom,
/// and pages that changed often but once; less holds up the writes in between for
/// less long.
const PAGES: i64 = 2_000;

/// At how many pages the writes wait for the reads that hold the log: 64 MiB.
pub(super) const MOST: i64 = 16_384;

/// How long they wait each time. Less than anybody waits for anyway.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often SQLite has the disk write when it carries the log over: the log before
/// and the database after it. It does so once more where the log begins anew.
const EACH: u64 = 2;

/// What is known of the log.
#[derive(Default)]
pub(super) struct Log {
    /// At how many pages it is looked at again.
    next: i64,
}

/// How many pages are in the log, and how many of them have been carried over.
struct Pages {
    all: i64,
    carried: i64,
}

impl Log {
    /// Carries the log over if it has become long. Gives how many fsyncs it took.
    pub(super) fn carry_over(&mut self, connection: &Connection, context: &Context) -> u64 {
        self.look(connection).unwrap_or_else(|error| {
            // Nothing is lost by it: the log grows until it works.
            tracing::warn!(place = %context.place, %error, "the log could not be carried over");
            self.next += PAGES;
            0
        })
    }

    fn look(&mut self, connection: &Connection) -> rusqlite::Result<u64> {
        let all = checkpoint(connection, "NOOP")?.all;
        if all < PAGES {
            self.next = PAGES;
        }
        if all < self.next.max(PAGES) {
            return Ok(0);
        }
        let pages = checkpoint(connection, "PASSIVE")?;
        if pages.carried == pages.all {
            self.next = PAGES;
            return Ok(EACH + 1);
        }
        self.next = pages.all + PAGES;
        // A read holds it. Those that come and go leave no gap by themselves.
        if pages.all < MOST {
            return Ok(EACH);
        }
        connection.busy_timeout(PATIENCE)?;
        let done = checkpoint(connection, "RESTART");
        connection.busy_timeout(BUSY)?;
        done?;
        Ok(2 * EACH + 1)
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Pages> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([], |row| {
        Ok(Pages {
            all: row.get(1)?,
            carried: row.get(2)?,
        })
    })
}
