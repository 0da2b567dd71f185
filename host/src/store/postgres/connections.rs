//! Connections to the server: a few, made when they are needed, and made anew
//! when they break.
//!
//! *Invariant*: a connection is used by one call at a time, and used again only
//! after a call that left it in order. What a call began that was dropped in the
//! middle, the server is asked to end, and undoes.
//!
//! *Invariant*: however many calls want one, a server that is away or refuses is
//! asked for connections no more often than the pauses say.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, Statement};

use super::fault::{Advice, Fault};
use super::server::{Server, pause};
use super::time::now;

/// How long a call waits for a connection before it gives up: long enough to
/// outlast a restart of the server.
const WAIT: Duration = Duration::from_secs(10);

/// The first and the longest pause between two tries to connect.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(1);

/// A fixed number of places for connections.
pub(super) struct Connections {
    server: Arc<Server>,
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
    backoff: Mutex<Backoff>,
    /// Told to those that pause once the server is back.
    back: Notify,
    commits: Arc<AtomicU64>,
}

/// A connection with the statements that it has prepared.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    commits: Arc<AtomicU64>,
}

/// A connection that a call has to itself.
pub(super) struct Taken {
    /// None once it is given back.
    connection: Option<Connection>,
    from: Arc<Connections>,
    _place: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(server: Arc<Server>, places: usize) -> Arc<Self> {
        Arc::new(Self {
            server,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            backoff: Mutex::default(),
            back: Notify::new(),
            commits: Arc::default(),
        })
    }

    /// Takes a connection, and makes one if none is idle. Tries for ten seconds,
    /// with growing pauses.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Taken, Fault> {
        let places = Arc::clone(&self.places);
        let place = tokio::time::timeout(WAIT, places.acquire_owned()).await;
        let place = place.map_err(|_| Fault::Lost {
            unsure: false,
            source: Arc::new(Advice::plain(
                "all connections are in use: the server has too much to do",
            )),
        })?;
        let place = place.expect("the places are never closed");
        let kept = loop {
            let kept = self.idle().pop();
            match kept {
                Some(kept) if kept.client.is_closed() => {}
                kept => break kept,
            }
        };
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Taken {
            connection: Some(connection),
            from: Arc::clone(self),
            _place: place,
        })
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let mut last = None;
        let trying = async {
            loop {
                let wait = self.backoff().turn(now());
                tokio::select! {
                    () = pause(wait) => {}
                    () = self.back.notified() => {}
                }
                let tried = self.server.connect().await;
                self.backoff().tried(tried.is_ok(), now());
                if tried.is_ok() {
                    self.back.notify_waiters();
                }
                match tried {
                    Err(fault) if fault.may_pass() => last = Some(fault),
                    tried => return tried,
                }
            }
        };
        let patience = WAIT.max(self.server.patience());
        let tried = tokio::time::timeout(patience, trying).await;
        let client = tried.unwrap_or_else(|_| Err(last.unwrap_or_else(Fault::silent)))?;
        Ok(Connection {
            client,
            statements: Mutex::default(),
            commits: Arc::clone(&self.commits),
        })
    }

    /// Counts the transactions that were committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn backoff(&self) -> std::sync::MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Gives the connection back if it is in order after what came out, which is
    /// given on.
    pub(super) fn done<T>(mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        let in_order = match &outcome {
            Ok(_) | Err(Fault::Damaged { .. } | Fault::Outdated { .. } | Fault::Refused(_)) => true,
            Err(Fault::Lost { .. }) => false,
        };
        if in_order
            && let Some(connection) = self.connection.take()
            && !connection.client.is_closed()
        {
            self.from.idle().push(connection);
        }
        outcome
    }
}

impl Drop for Taken {
    /// Leaves no statement behind that holds locks for nobody.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.client.is_closed()
        {
            self.from.server.cancel(&connection.client);
        }
    }
}

/// The pauses between tries to connect, of whichever calls.
#[derive(Default)]
struct Backoff {
    /// How long after each other they are; zero while none fails.
    pause: Duration,
    /// When the next may be, if not at once.
    next: Option<Instant>,
}

impl Backoff {
    /// Takes the next turn, and gives how long it is until then.
    fn turn(&mut self, now: Instant) -> Duration {
        let turn = self.next.map_or(now, |next| next.max(now));
        if self.next.is_some() {
            self.next = Some(turn + self.pause);
        }
        turn.saturating_duration_since(now)
    }

    /// Takes note of a try.
    fn tried(&mut self, went_well: bool, now: Instant) {
        if went_well {
            *self = Self::default();
        } else {
            self.pause = (self.pause * 2).clamp(BACKOFF, BACKOFF_CAP);
            let next = now + self.pause;
            self.next = Some(self.next.map_or(next, |it| it.max(next)));
        }
    }
}

impl Deref for Taken {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("it is given back by what consumes it")
    }
}

impl Connection {
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Takes note of a commit.
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a statement, prepared once for a connection.
    pub(super) async fn statement(&self, sql: &'static str) -> Result<Statement, Fault> {
        let known = || {
            self.statements
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(statement) = known().get(sql).cloned() {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        known().insert(sql, statement.clone());
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_ask_one_after_the_other_while_the_server_refuses_and_at_once_when_it_does_not() {
        let now = now();
        let mut backoff = Backoff::default();
        let turns = |backoff: &mut Backoff| [(); 3].map(|()| backoff.turn(now).as_millis());
        assert_eq!(turns(&mut backoff), [0, 0, 0]);
        backoff.tried(false, now);
        assert_eq!(turns(&mut backoff), [50, 100, 150]);
        backoff.tried(false, now);
        assert_eq!(turns(&mut backoff), [200, 300, 400]);
        for _ in 0..9 {
            backoff.tried(false, now);
        }
        assert_eq!(turns(&mut backoff), [1_000, 2_000, 3_000]);
        backoff.tried(true, now);
        assert_eq!(turns(&mut backoff), [0, 0, 0]);
    }
}
