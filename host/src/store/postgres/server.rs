//! The server: where it is, and how a session with it begins.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};

use super::fault::{Advice, Fault};
use super::tls::Tls;

/// How long one try to connect to one address may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What every session begins with. A statement that waits for long is better
/// ended and tried again than left to hold others up. What is committed must be
/// on the disk, and each statement sees what was committed before it, whatever the
/// defaults of the database and the role are.
///
/// Every statement here is for an index and a few rows of it. Plans are kept, and
/// the tables grow from nothing to millions of rows within minutes: what is good
/// for a table that was small when it was planned is turned off.
const BEGINNING: &str = "
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_material = off;
    SET max_parallel_workers_per_gather = 0;
    SET jit = off;
    SET statement_timeout = '10s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '10s';
    SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off'";

/// Knows how to reach the server.
pub(super) struct Server {
    config: Config,
    /// None where the connection does not leave the machine, or need not be safe.
    tls: Option<Tls>,
    place: String,
}

impl Server {
    pub(super) fn new(mut config: Config, tls: Option<Tls>, place: String) -> Arc<Self> {
        config
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(20));
        if config.get_application_name().is_none() {
            config.application_name("formwork");
        }
        Arc::new(Self { config, tls, place })
    }

    /// What stands for the database in messages: without its password.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// How long it may take to begin a session: one of several servers may be away,
    /// and is waited for before the next is tried.
    pub(super) fn patience(&self) -> Duration {
        let named = self.config.get_hosts().len();
        let addresses = named.max(self.config.get_hostaddrs().len());
        CONNECT * u32::try_from(addresses + 1).unwrap_or(u32::MAX)
    }

    /// Asks the server, without waiting for it, to end what a session is doing that
    /// nobody waits for any more.
    pub(super) fn cancel(self: &Arc<Self>, session: &Client) {
        // Without a runtime the program is ending, and its sessions with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (server, asked) = (Arc::clone(self), session.cancel_token());
        runtime.spawn(async move {
            let asking = async {
                match &server.tls {
                    Some(tls) => asked.cancel_query(tls.clone()).await,
                    None => asked.cancel_query(NoTls).await,
                }
            };
            match tokio::time::timeout(CONNECT, asking).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a statement could not be cancelled"),
                Err(_) => tracing::debug!("a statement could not be cancelled in time"),
            }
        });
    }

    /// Begins a session.
    pub(super) async fn connect(&self) -> Result<Client, Fault> {
        self.begin(None).await
    }

    /// Begins a session that gives on the notifications that it is sent.
    pub(super) async fn listen(
        &self,
        heard: UnboundedSender<Notification>,
    ) -> Result<Client, Fault> {
        self.begin(Some(heard)).await
    }

    async fn begin(&self, heard: Option<UnboundedSender<Notification>>) -> Result<Client, Fault> {
        let begin = async {
            let client = match &self.tls {
                Some(tls) => {
                    let (client, connection) = self.config.connect(tls.clone()).await?;
                    tokio::spawn(drive(connection, heard));
                    client
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    tokio::spawn(drive(connection, heard));
                    client
                }
            };
            client.batch_execute(BEGINNING).await?;
            Ok(client)
        };
        tokio::time::timeout(self.patience(), begin)
            .await
            .unwrap_or_else(|_| Err(Fault::silent()))
    }
}

/// Carries what a session says and hears, until one side ends it.
async fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    heard: Option<UnboundedSender<Notification>>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                if let Some(heard) = &heard {
                    // Nobody may listen any more.
                    let _ = heard.send(notification);
                }
            }
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::debug!(%notice, "the database says");
            }
            Some(Ok(_)) => {}
            // Whoever waits for an answer is told.
            Some(Err(_)) | None => return,
        }
    }
}

/// Waits before something is tried again.
#[expect(
    clippy::disallowed_methods,
    reason = "a server comes back in its own time, whatever the engine's clock says"
)]
pub(super) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

impl Fault {
    /// Says that too many wait already.
    pub(super) fn crowded() -> Self {
        Self::Lost {
            unsure: false,
            source: Arc::new(Advice::plain(
                "too many writes wait for the server: it has too much to do, or is away",
            )),
        }
    }
}
