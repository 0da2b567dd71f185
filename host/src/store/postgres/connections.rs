//! Connections to the server: a few, made when they are needed, and made anew
//! when they break.
//!
//! *Invariant*: a connection is used by one call at a time, and used again only
//! after a call that left it in order. What a call began that was dropped in the
//! middle, the server undoes.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, Statement};

use super::fault::{Advice, Fault};
use super::server::{Server, pause};

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
        let trying = async {
            let mut wait = BACKOFF;
            loop {
                match self.server.connect().await {
                    Ok(client) => return Ok(client),
                    Err(fault @ Fault::Refused(_)) => return Err(fault),
                    Err(_) => pause(wait).await,
                }
                wait = (wait * 2).min(BACKOFF_CAP);
            }
        };
        let client = match tokio::time::timeout(WAIT, trying).await {
            Ok(client) => client?,
            // It says why, this time.
            Err(_) => self.server.connect().await?,
        };
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
        if let Some(connection) = self.connection.take()
            && in_order
            && !connection.client.is_closed()
        {
            self.from.idle().push(connection);
        }
        outcome
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
