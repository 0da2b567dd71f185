//! Connections: how many, how long, and how they end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use formwork_host::clock::Clock;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How many connections are open at once; more wait to be taken.
const CONNECTIONS: usize = 1_024;

/// How long the head of a request may take to arrive, and how long a
/// connection may idle between two requests.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// The longest head of a request, in bytes.
const HEAD_LENGTH: usize = 64 * 1_024;

/// The most headers of a request.
const HEADERS: usize = 128;

/// The pause after a connection could not be taken, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound address of this machine.
pub(crate) struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 is any free port.
    ///
    /// # Errors
    ///
    /// When the address is in use, or not of this machine, or not allowed.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address })
    }

    /// Gives the address, with its port.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then takes no more connections, and gives those with
    /// a running request `patience` to be answered. Returns whether all were.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no more connections, and leaves the open ones
    /// to end by themselves.
    pub(crate) async fn serve(
        self,
        router: Router,
        clock: Arc<dyn Clock>,
        stop: impl Future<Output = ()>,
        patience: Duration,
    ) -> bool {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let connections = GracefulShutdown::new();
        let take_all = async {
            loop {
                let place = Arc::clone(&places)
                    .acquire_owned()
                    .await
                    .expect("the places are never closed");
                match self.tcp.accept().await {
                    Ok((stream, _)) => {
                        let connection = connections.watch(connection(stream, router.clone()));
                        tokio::spawn(async move {
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, "a connection ended early");
                            }
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        clock.sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = take_all => {}
            () = stop => {}
        }
        drop(self.tcp);
        tokio::select! {
            () = connections.shutdown() => true,
            () = clock.sleep(patience) => false,
        }
    }
}

/// Serves a connection to its end. A client that leaves ends what it asked for.
fn connection(
    stream: TcpStream,
    router: Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Answers are small and written at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_LENGTH)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
