//! Hints between hosts that there may be something to do: at most one in 50 ms
//! from each, and outside of the transactions that it is about.
//!
//! *Invariant*: nothing depends on a hint. One that is lost makes others late, by
//! no more than the time between two looks of theirs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_postgres::Client;
use uuid::Uuid;

use super::fault::Fault;
use super::server::{Server, pause};

/// The least time between two hints of a host. A notification takes a lock that
/// the whole server has once.
const LEAST: Duration = Duration::from_millis(50);

/// How long to wait before listening is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Gives hints, and counts those that others give.
pub(super) struct Hints {
    given: Arc<Notify>,
    heard: watch::Sender<u64>,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self {
            given: Arc::new(Notify::new()),
            heard: watch::Sender::new(0),
        }
    }

    /// Tells other hosts, soon, that there may be something to do.
    pub(super) fn give(&self) {
        self.given.notify_one();
    }

    /// Counts the hints of others from now on.
    pub(super) fn heard(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    /// Gives and hears hints for as long as it is polled.
    pub(super) async fn carry(&self, server: &Server, host: Uuid) {
        loop {
            if let Err(fault) = self.listen(server, host).await {
                tracing::debug!(?fault, "no hints from other hosts for now");
            }
            pause(AGAIN).await;
        }
    }

    async fn listen(&self, server: &Server, host: Uuid) -> Result<(), Fault> {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let client = server.listen(sender).await?;
        let channel = channel(&client).await?;
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        // What was said meanwhile is lost.
        self.heard.send_modify(|count| *count += 1);
        let own = host.to_string();
        loop {
            tokio::select! {
                hint = heard.recv() => match hint {
                    Some(hint) if hint.payload() == own => {}
                    Some(_) => self.heard.send_modify(|count| *count += 1),
                    None => return Ok(()),
                },
                () = self.given.notified() => {
                    let said = "SELECT pg_notify($1, $2)";
                    client.query(said, &[&channel, &own]).await?;
                    pause(LEAST).await;
                }
            }
        }
    }
}

/// Names the channel of the hosts that share these tables.
async fn channel(client: &Client) -> Result<String, Fault> {
    let row = client
        .query_one("SELECT 'formwork'::regclass::oid", &[])
        .await?;
    let table: u32 = row.try_get(0)?;
    Ok(format!("formwork_{table}"))
}
