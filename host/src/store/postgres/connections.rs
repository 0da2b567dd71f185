//! Connections to the server: a few, made when they are needed, and made anew
//! when they break.
//!
//! *Invariant*: a connection is used by one call at a time, and used again only
//! after a call that left it in order. What a call began that was dropped in the
//! middle, the server is asked to end, and undoes.
//!
//! *Invariant*: however many calls want one, and however soon they give up, a
//! server that is away or refuses is asked for connections no more often than the
//! pauses say, and one that it gives late is there for the next call. To end what a
//! dropped call began, it is asked besides, once for each.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, Statement};

use super::fault::{Advice, Fault};
use super::server::{Server, pause};
use super::time::now;
use crate::store::Pool;

/// How long a call waits for a connection before it gives up: long enough to
/// outlast a restart of the server.
const WAIT: Duration = Duration::from_secs(10);

/// The first and the longest pause between two tries to connect.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(1);

/// A fixed number of places for connections.
pub(super) struct Connections {
    name: &'static str,
    server: Arc<Server>,
    idle: Mutex<Vec<Connection>>,
    size: usize,
    places: Arc<Semaphore>,
    /// What each has prepared before it is used.
    prepared: &'static [&'static str],
    backoff: Mutex<Backoff>,
    /// Whose turn it is to try, while the server refuses.
    turn: Arc<tokio::sync::Mutex<()>>,
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
    _place: Place,
}

/// A place, of a call and of the try to connect that it has begun.
type Place = Arc<OwnedSemaphorePermit>;

impl Connections {
    pub(super) fn new(
        name: &'static str,
        server: Arc<Server>,
        size: usize,
        prepared: &'static [&'static str],
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            server,
            idle: Mutex::default(),
            size,
            places: Arc::new(Semaphore::new(size)),
            prepared,
            backoff: Mutex::default(),
            turn: Arc::default(),
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
        let place = Arc::new(place.expect("the places are never closed"));
        let connection = match self.kept() {
            Some(connection) => connection,
            None => self.connect(&place).await?,
        };
        Ok(Taken {
            connection: Some(connection),
            from: Arc::clone(self),
            _place: place,
        })
    }

    /// Gives one that is idle.
    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle();
        loop {
            match idle.pop() {
                Some(closed) if closed.client.is_closed() => {}
                kept => return kept,
            }
        }
    }

    async fn connect(self: &Arc<Self>, place: &Place) -> Result<Connection, Fault> {
        let mut last = None;
        let trying = async {
            loop {
                let turn = Arc::clone(&self.turn).lock_owned().await;
                // It may come from a call that gave up waiting for it.
                if let Some(kept) = self.kept() {
                    return Ok(kept);
                }
                let left = self.backoff().left(now());
                pause(left).await;
                last.clone_from(&self.backoff().fault);
                // While all goes well, nobody waits for another.
                let turn = last.is_some().then_some(turn);
                let trying = Arc::clone(self).try_once(Arc::clone(place), turn);
                let tried = tokio::spawn(trying).await;
                match tried.unwrap_or_else(|_| Err(Fault::silent())) {
                    Err(fault) if fault.may_pass() => last = Some(fault),
                    Err(fault) => return Err(fault),
                    Ok(()) => {}
                }
            }
        };
        let patience = WAIT.max(self.server.patience());
        let tried = tokio::time::timeout(patience, trying).await;
        tried.unwrap_or_else(|_| Err(last.unwrap_or_else(Fault::silent)))
    }

    /// Connects, whether or not the call that wants it still waits, and leaves the
    /// connection to whoever comes first.
    async fn try_once(
        self: Arc<Self>,
        _place: Place,
        _turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<(), Fault> {
        let tried = self.begin().await;
        let tried = tried.map(|connection| self.idle().push(connection));
        self.backoff().tried(tried.clone().err(), now());
        tried
    }

    async fn begin(&self) -> Result<Connection, Fault> {
        let connection = Connection {
            client: self.server.connect().await?,
            statements: Mutex::default(),
            commits: Arc::clone(&self.commits),
        };
        connection.prepare(self.prepared).await?;
        Ok(connection)
    }

    /// Tells how they are used.
    pub(super) fn used(&self) -> Pool {
        let open = |connection: &&Connection| !connection.client.is_closed();
        Pool {
            name: self.name,
            size: self.size,
            in_use: self.size - self.places.available_permits(),
            idle: self.idle().iter().filter(open).count(),
        }
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
    pause: Duration,
    /// When the next may be, if not at once.
    next: Option<Instant>,
    /// Why the last one failed, if it did.
    fault: Option<Fault>,
}

impl Backoff {
    /// Gives how long it is until the next may be.
    fn left(&self, now: Instant) -> Duration {
        self.next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// Takes note of a try, and why it failed if it did.
    fn tried(&mut self, fault: Option<Fault>, now: Instant) {
        if fault.is_none() {
            *self = Self::default();
            return;
        }
        self.pause = (self.pause * 2).clamp(BACKOFF, BACKOFF_CAP);
        self.next = Some(now + self.pause);
        self.fault = fault;
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
    fn the_next_try_is_after_a_pause_that_grows_until_one_goes_well() {
        let start = now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut backoff = Backoff::default();
        assert_eq!(backoff.left(start), Duration::ZERO);
        for pause in [50, 100, 200, 400, 800, 1_000, 1_000] {
            backoff.tried(Some(Fault::silent()), start);
            // Whoever asks, and how often, does not put it off.
            for asked in [0, 0, 30, pause] {
                let left = Duration::from_millis(pause - asked);
                assert_eq!(backoff.left(at(asked)), left);
            }
        }
        backoff.tried(None, start);
        assert_eq!(backoff.left(start), Duration::ZERO);
        assert!(backoff.fault.is_none());
    }
}
