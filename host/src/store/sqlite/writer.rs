//! The one thread that writes.
//!
//! *Invariant*: an answer is given after the commit that it depends on, and
//! each commit is one fsync for all who wait.
//!
//! *Invariant*: what waits to be written is bounded: whoever asks for more waits,
//! and then hears that the database is unavailable.
//!
//! *Invariant*: what one write does wrong undoes that write alone. Writes of a
//! group run without a way back for each, which would cost a copy of each page; if
//! one fails, all are undone and run again with one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Context;
use super::fault::{Fault, commit_failed, unavailable};
use super::log::Log;
use crate::store::StoreError;
use crate::store::pressure::{QUEUE, WAIT};

/// How many writes share a commit at most: bounds what a failing commit takes
/// with it, and how long the first of them waits for the others.
const GROUP: usize = 1024;

/// Sends writes to their thread.
pub(super) struct Writer {
    /// None once the writer is being dropped.
    queue: Option<Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
    places: Arc<Semaphore>,
    counts: Arc<Counts>,
    place: String,
}

/// What was carried to the disk.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) fsyncs: AtomicU64,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, context: Arc<Context>) -> std::io::Result<Self> {
        let (queue, requests) = channel();
        let counts = Arc::new(Counts::default());
        let place = context.place.clone();
        let counted = Arc::clone(&counts);
        let thread = std::thread::Builder::new()
            .name("formwork-sqlite".to_owned())
            .spawn(move || run(&connection, &context, &requests, &counted))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            places: Arc::new(Semaphore::new(QUEUE)),
            counts,
            place,
        })
    }

    pub(super) fn commits(&self) -> u64 {
        self.counts.commits.load(Ordering::Relaxed)
    }

    pub(super) fn fsyncs(&self) -> u64 {
        self.counts.fsyncs.load(Ordering::Relaxed)
    }

    /// Runs `write` inside a transaction and answers once it is committed. It may
    /// run twice, the first time undone.
    ///
    /// If it fails, or the commit does, nothing of it is kept.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection, &Context) -> Result<T, Fault> + Send + 'static,
    {
        self.write_within(WAIT, write).await
    }

    /// Does as [`Writer::write`], and waits so long for room.
    pub(super) async fn write_within<T, F>(&self, wait: Duration, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection, &Context) -> Result<T, Fault> + Send + 'static,
    {
        let stopped = || unavailable(&self.place, "restart the program", "the writer has stopped");
        let places = || Arc::clone(&self.places);
        let place = match places().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match tokio::time::timeout(wait, places().acquire_owned()).await {
                Ok(place) => place.map_err(|_| stopped())?,
                Err(_) => {
                    let advice = "the disk does not keep up: it has too much to do";
                    return Err(unavailable(&self.place, advice, "too many writes wait"));
                }
            },
        };
        let (reply, answer) = oneshot::channel();
        let request = Request {
            write,
            outcome: None,
            reply,
            _place: place,
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
    write: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    _place: OwnedSemaphorePermit,
}

impl<T, F> Write for Request<T, F>
where
    T: Send,
    F: Fn(&Connection, &Context) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection, context: &Context) -> bool {
        let outcome =
            (self.write)(connection, context).map_err(|fault| fault.undone(&context.place));
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
    counts: &Counts,
) {
    let mut log = Log::default();
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        group.extend(requests.try_iter().take(GROUP - 1));
        let changes = connection.total_changes();
        let done = transact(connection, context, &mut group);
        let is_written = done.is_ok() && connection.total_changes() != changes;
        if is_written {
            counts.commits.fetch_add(1, Ordering::Relaxed);
            counts.fsyncs.fetch_add(1, Ordering::Relaxed);
        }
        let failed = done.err();
        for request in group {
            request.answer(failed.as_ref().map(|failed| failed.error(&context.place)));
        }
        if is_written {
            let fsyncs = log.carry_over(connection, context);
            counts.fsyncs.fetch_add(fsyncs, Ordering::Relaxed);
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
    let begin = || execute(connection, "BEGIN IMMEDIATE").map_err(Failed::Before);
    begin()?;
    if !group.iter_mut().all(|write| write.run(connection, context)) {
        undo(connection, context);
        begin()?;
        let done = one_by_one(connection, context, group);
        if done.is_err() {
            undo(connection, context);
        }
        done.map_err(Failed::Before)?;
    }
    let done = execute(connection, "COMMIT").map_err(Failed::Commit);
    if done.is_err() {
        undo(connection, context);
    }
    done
}

/// Runs each write so that it can be undone alone.
fn one_by_one(
    connection: &Connection,
    context: &Context,
    group: &mut [Box<dyn Write>],
) -> Result<(), Shared> {
    for write in group {
        execute(connection, "SAVEPOINT request")?;
        if !write.run(connection, context) {
            // SQLite undoes the whole transaction by itself after the worst
            // failures; this rollback fails then, and so does the group.
            execute(connection, "ROLLBACK TO request")?;
        }
        execute(connection, "RELEASE request")?;
    }
    Ok(())
}

fn undo(connection: &Connection, context: &Context) {
    if !connection.is_autocommit() && execute(connection, "ROLLBACK").is_err() {
        tracing::error!(place = %context.place, "a failed transaction could not be undone");
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), Shared> {
    let mut statement = connection.prepare_cached(sql).map_err(Arc::new)?;
    statement.raw_execute().map(drop).map_err(Arc::new)
}
