//! Connections: how many, how long, and how they end.
//!
//! *Invariant*: no client keeps others out by doing nothing. A connection that
//! idles, or whose request does not arrive, gives way when all places are taken,
//! and one whose client does not read its answer is closed.

mod arrival;
mod places;
mod stream;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use formwork_host::clock::Clock;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use arrival::Arriving;
use places::{Place, Places};
use stream::Patient;

pub(crate) use tls::{Certificate, Tls, TlsError};

/// How many connections are open at once. One more takes the place of the one
/// that has idled the longest, or waits if each has a running request.
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

/// How long a connection without a running request has to end once it is told
/// to: for the rest of an answer, which the client may be slow to take.
const LEAVE: Duration = Duration::from_secs(5);

/// A bound address of this machine.
pub(crate) struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    connections: usize,
    tls: Option<Arc<Tls>>,
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
        Ok(Self {
            tcp,
            address,
            connections: CONNECTIONS,
            tls: None,
        })
    }

    /// Speaks TLS. Default: it does not.
    #[must_use]
    pub(crate) fn tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
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
        let places = Places::new(self.connections);
        let (stopping, stopped) = watch::channel(());
        let take_all = async {
            loop {
                match self.tcp.accept().await {
                    Ok((stream, _)) => {
                        let place = places.take().await;
                        let (router, clock) = (router.clone(), Arc::clone(&clock));
                        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor());
                        tokio::spawn(connection(
                            stream,
                            acceptor,
                            router,
                            clock,
                            place,
                            stopped.clone(),
                        ));
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
        drop(stopped);
        // Nobody hears it if there are no connections.
        let _ = stopping.send(());
        tokio::select! {
            () = stopping.closed() => true,
            () = clock.sleep(patience) => false,
        }
    }
}

/// Serves a connection to its end. A client that leaves ends what it asked for.
async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    clock: Arc<dyn Clock>,
    place: Place,
    mut stopped: watch::Receiver<()>,
) {
    // Answers are small and written at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
    let stream = Patient::new(stream, Arc::clone(&clock));
    let Some(acceptor) = acceptor else {
        return requests(stream, router, clock, place, stopped).await;
    };
    let shaken = tokio::select! {
        shaken = acceptor.accept(stream) => shaken,
        () = clock.sleep(HEAD_PATIENCE) => Err(io::ErrorKind::TimedOut.into()),
        _ = stopped.changed() => return,
        () = place.wanted() => return,
    };
    match shaken {
        Ok(stream) => requests(stream, router, clock, place, stopped).await,
        Err(error) => tracing::debug!(%error, "a connection is not TLS as it should be"),
    }
}

/// Answers the requests of a connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    clock: Arc<dyn Clock>,
    place: Place,
    mut stopped: watch::Receiver<()>,
) {
    let place = Arc::new(place);
    let service = {
        let place = Arc::clone(&place);
        service_fn(move |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let (body, busy) = Arriving::new(body, Arc::clone(&place));
            let answer = router.clone().oneshot(Request::from_parts(head, body));
            async move {
                let answer = answer.await;
                drop(busy);
                answer
            }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_LENGTH)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        // What has been sent is read before the connection is told to end.
        biased;
        ended = &mut connection => ended,
        () = async {
            tokio::select! {
                _ = stopped.changed() => {}
                () = place.wanted() => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            loop {
                tokio::select! {
                    ended = &mut connection => break ended,
                    () = clock.sleep(LEAVE) => if !place.is_busy() {
                        break Ok(());
                    },
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
