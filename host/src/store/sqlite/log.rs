//! The write-ahead log, and when what it holds is carried over into the database.
//!
//! *Invariant*: the log is carried over by the writer, between two commits, so that
//! nothing is left behind and it begins anew; unless a read is on that began before
//! and sees the log as it was. However many short reads there are, the log is not
//! much longer than [`MOST`] pages; a long one, such as a backup, holds it for as
//! long as it lasts, and the log grows by all that is written meanwhile.
//!
//! *Invariant*: nobody waits for long: what a long read has held back is carried
//! over beside the writer, which waits for reads the more seldom the longer the log
//! is.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::{BUSY, Context, connect};

/// At how many pages the log is carried over: 24 MiB. More is carried over seldom,
/// and pages that changed often but once; less holds up the writes in between for
/// less long.
const PAGES: i64 = 6_000;

/// At how many pages the writes wait for the reads that hold the log, and from how
/// many on they are carried over beside the writes: 64 MiB.
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
    /// At how many pages the writes wait again, if that was in vain.
    wait: i64,
    /// Carries over what is too much for the writer.
    beside: Option<JoinHandle<()>>,
}

/// How many pages are in the log, and how many of them have been carried over.
struct Pages {
    /// Whether somebody was in the way.
    is_held: bool,
    all: i64,
    carried: i64,
}

impl Drop for Log {
    /// Leaves nobody behind who is at work in the database.
    fn drop(&mut self) {
        if let Some(beside) = self.beside.take() {
            // A panic of the thread has been reported by the panic hook.
            beside.join().unwrap_or_default();
        }
    }
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
        let pages = checkpoint(connection, "NOOP")?;
        if pages.all < PAGES {
            (self.next, self.wait) = (PAGES, MOST);
        }
        if pages.all < self.next.max(PAGES) {
            return Ok(0);
        }
        self.next = pages.all + PAGES;
        if self.beside.as_ref().is_some_and(|it| !it.is_finished()) {
            return Ok(0);
        }
        if pages.all - pages.carried > MOST {
            self.beside = carry_over_beside(connection);
            return Ok(EACH);
        }
        let pages = checkpoint(connection, "PASSIVE")?;
        if pages.carried == pages.all {
            (self.next, self.wait) = (PAGES, MOST);
            return Ok(EACH + 1);
        }
        // A read holds it. Those that come and go leave no gap by themselves.
        if pages.all < self.wait.max(MOST) {
            return Ok(EACH);
        }
        connection.busy_timeout(PATIENCE)?;
        let done = checkpoint(connection, "RESTART");
        connection.busy_timeout(BUSY)?;
        if done?.is_held {
            self.wait = pages.all + pages.all / 8;
        }
        Ok(2 * EACH + 1)
    }
}

/// Carries over what can be, on a thread and a connection of its own: the writes go
/// on, and what they add is left for the writer.
fn carry_over_beside(connection: &Connection) -> Option<JoinHandle<()>> {
    let database = connection.path().map(PathBuf::from)?;
    let carrying = move || {
        let done = connect(&database).and_then(|own| checkpoint(&own, "PASSIVE"));
        if let Err(error) = done {
            let place = database.display();
            tracing::warn!(%place, %error, "the log could not be carried over");
        }
    };
    let thread = std::thread::Builder::new().name("formwork-log".to_owned());
    thread.spawn(carrying).ok()
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Pages> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([], |row| {
        Ok(Pages {
            is_held: row.get(0)?,
            all: row.get(1)?,
            carried: row.get(2)?,
        })
    })
}
