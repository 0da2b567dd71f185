//! The one thread that writes.
//!
//! *Invariant*: an answer is given after the commit that it depends on, and
//! each commit is one fsync for all who wait.
//!
//! *Invariant*: what one write does wrong undoes that write alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Context;
use super::fault::{Fault, commit_failed, unavailable};
use crate::store::StoreError;

/// How many writes share a commit at most: bounds what a failing commit takes
/// with it, and how long the first of them waits for the others.
const GROUP: usize = 1024;

/// Sends writes to their thread.
pub(super) struct Writer {
    /// None once the writer is being dropped.
    queue: Option<Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
    place: String,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, context: Arc<Context>) -> std::io::Result<Self> {
        let (queue, requests) = channel();
        let commits = Arc::new(AtomicU64::new(0));
        let place = context.place.clone();
        let counter = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("formwork-sqlite".to_owned())
            .spawn(move || run(&connection, &context, &requests, &counter))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            commits,
            place,
        })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Runs `write` inside a transaction and answers once it is committed.
    ///
    /// If it fails, or the commit does, nothing of it is kept.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Context) -> Result<T, Fault> + Send + 'static,
    {
        let stopped = || unavailable(&self.place, "restart the program", "the writer has stopped");
        let (reply, answer) = oneshot::channel();
        let request = Request {
            write: Some(write),
            outcome: None,
            reply,
        };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Box::new(request)).map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Unknown {
                place: self.place.clone(),
                source: "the writer stopped before it answered: restart the program".into(),
            })
        })
    }
}

impl Drop for Writer {
    /// Waits for what is queued, so that whoever opens the directory next finds it.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook.
            thread.join().unwrap_or_default();
        }
    }
}

/// A write of whatever result.
trait Write: Send {
    /// Writes, and keeps the result. Tells whether it went well.
    fn run(&mut self, connection: &Connection, context: &Context) -> bool;

    /// Answers with the result, or with the reason why nothing of it is kept.
    fn answer(self: Box<Self>, undone: Option<StoreError>);
}

struct Request<T, F> {
    write: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Write for Request<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &Context) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection, context: &Context) -> bool {
        let Some(write) = self.write.take() else {
            return false;
        };
        let outcome = write(connection, context).map_err(|fault| fault.undone(&context.place));
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>, undone: Option<StoreError>) {
        let answer = match (self.outcome, undone) {
            // Its own failure says more than that of the group.
            (Some(Err(error)), _) | (_, Some(error)) => Err(error),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => return,
        };
        // Whoever asked may have gone away.
        self.reply.send(answer).unwrap_or_default();
    }
}

fn run(
    connection: &Connection,
    context: &Context,
    requests: &Receiver<Box<dyn Write>>,
    commits: &AtomicU64,
) {
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        group.extend(requests.try_iter().take(GROUP - 1));
        let changes = connection.total_changes();
        let done = transact(connection, context, &mut group);
        if done.is_ok() && connection.total_changes() != changes {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        let failed = done.err();
        for request in group {
            request.answer(failed.as_ref().map(|failed| failed.error(&context.place)));
        }
    }
}

/// Why a group was not committed: remade for each of its writes.
enum Failed {
    /// Before the commit, so that it certainly took no effect.
    Before(Shared),
    /// In the commit.
    Commit(Shared),
}

type Shared = Arc<rusqlite::Error>;

impl Failed {
    fn error(&self, place: &str) -> StoreError {
        let copy = |error: &Shared| match &**error {
            rusqlite::Error::SqliteFailure(code, message) => {
                rusqlite::Error::SqliteFailure(*code, message.clone())
            }
            other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
        };
        match self {
            Self::Before(error) => Fault::Sql(copy(error)).undone(place),
            Self::Commit(error) => commit_failed(copy(error), place),
        }
    }
}

fn transact(
    connection: &Connection,
    context: &Context,
    group: &mut [Box<dyn Write>],
) -> Result<(), Failed> {
    let execute = |sql| {
        let mut statement = connection.prepare_cached(sql).map_err(Arc::new)?;
        statement.raw_execute().map(drop).map_err(Arc::new)
    };
    execute("BEGIN IMMEDIATE").map_err(Failed::Before)?;
    let done = group
        .iter_mut()
        .try_for_each(|request| {
            execute("SAVEPOINT request")?;
            if !request.run(connection, context) {
                // SQLite undoes the whole transaction by itself after the worst
                // failures; this rollback fails then, and so does the group.
                execute("ROLLBACK TO request")?;
            }
            execute("RELEASE request")
        })
        .map_err(Failed::Before)
        .and_then(|()| execute("COMMIT").map_err(Failed::Commit));
    if done.is_err() && !connection.is_autocommit() && execute("ROLLBACK").is_err() {
        tracing::error!(place = %context.place, "a failed transaction could not be undone");
    }
    done
}
