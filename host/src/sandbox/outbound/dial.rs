//! From a name to a connection: one look-up, its addresses judged, the allowed
//! ones dialed.
//!
//! *Invariant*: what is dialed is an address that was judged, and never a name
//! that could mean another address by then.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower_service::Service;

use super::address::{self, AddressGrant, Kind};

/// How many addresses of a name are tried.
const TRIED: usize = 6;

/// How long an address is tried while there are others.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How many connections a policy has at a time, also those that are kept unused:
/// whoever reaches very many hosts waits for its own alone.
const CONNECTIONS: usize = 256;

/// How many names this machine looks up at a time: those of sixteen policies that
/// ask name servers which do not answer.
const LOOKUPS: usize = 128;

/// How many of them are of one policy: whoever asks a name server that does not
/// answer, and gives up at once, leaves look-ups to others.
const LOOKUPS_OF_ONE: usize = 8;

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type Lookup = dyn Fn(String) -> Pending<io::Result<Vec<IpAddr>>> + Send + Sync;

/// Gives the addresses of the names in HTTP requests of handlers. The default
/// asks as this machine does. Clones share everything.
///
/// It may be wrong or lie: what it gives is judged before it is dialed.
#[derive(Clone)]
pub struct Resolver(Arc<Lookup>);

impl Resolver {
    /// Makes a resolver of a function that is given the name, in lower case and
    /// without a final dot. It is run to its end, also when the handler gives up.
    pub fn new<F>(lookup: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(lookup(name))))
    }

    /// Asks as this machine does, of 128 names at a time.
    #[must_use]
    pub fn system() -> Self {
        // A look-up holds a thread to its end, also where nobody waits for it any
        // more.
        let turns = Turns::new(LOOKUPS, "look-ups of names of this machine");
        Self::new(move |name| look_up(name, turns.clone()))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// What can be done so many times at once, and the rest in turn. Clones share it.
#[derive(Clone)]
struct Turns {
    places: Arc<Semaphore>,
    most: usize,
    what: &'static str,
    told: Arc<Once>,
}

impl Turns {
    fn new(most: usize, what: &'static str) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            what,
            told: Arc::new(Once::new()),
        }
    }

    /// Waits for a turn, and tells the operator when that has to be waited for.
    async fn take(&self) -> OwnedSemaphorePermit {
        if self.places.available_permits() == 0 {
            let Self { most, what, .. } = self;
            self.told.call_once(|| {
                tracing::warn!("requests of handlers wait, since the {most} {what} are all in use");
            });
        }
        let turn = Arc::clone(&self.places).acquire_owned().await;
        turn.expect("the turns are never closed")
    }
}

async fn look_up(name: String, turns: Turns) -> io::Result<Vec<IpAddr>> {
    let turn = turns.take().await;
    let found = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        (name.as_str(), 0).to_socket_addrs()
    });
    let found = found.await.map_err(io::Error::other)??;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

/// Dials for the handlers of one policy.
#[derive(Clone)]
pub(super) struct Dialer {
    resolver: Resolver,
    granted: Arc<[AddressGrant]>,
    places: Turns,
    lookups: Turns,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot look up the name `{host}`")]
    Lookup { host: String, source: io::Error },
    #[error("the name `{host}` has no address")]
    Nowhere { host: String },
    #[error("`{host}` is at {address}, {}", kind.words())]
    Prohibited {
        host: String,
        address: IpAddr,
        kind: Kind,
    },
    #[error("cannot connect to {address}")]
    Connect {
        address: SocketAddr,
        source: io::Error,
    },
}

impl Dialer {
    pub(super) fn new(resolver: Resolver, granted: Arc<[AddressGrant]>) -> Self {
        Self {
            resolver,
            granted,
            places: Turns::new(
                CONNECTIONS,
                "connections of one type under one set of grants",
            ),
            lookups: Turns::new(
                LOOKUPS_OF_ONE,
                "look-ups of one type under one set of grants",
            ),
        }
    }

    /// Looks a name up, in the turn of this policy, which is held to the end.
    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.lookups.take().await;
        let found = (self.resolver.0)(host.to_owned());
        let found = tokio::spawn(async move {
            let _turn = turn;
            found.await
        });
        found.await.map_err(io::Error::other)?
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self
                .look_up(host)
                .await
                .map_err(|source| DialError::Lookup {
                    host: host.to_owned(),
                    source,
                })?,
        };
        let allowed = in_turns(found.iter().copied().filter(|it| self.allows(*it)));
        if allowed.is_empty() {
            return Err(match found.first() {
                Some(&address) => DialError::Prohibited {
                    host: host.to_owned(),
                    address,
                    kind: address::kind(address),
                },
                None => DialError::Nowhere {
                    host: host.to_owned(),
                },
            });
        }
        let mut failed = None;
        for (number, address) in (1..).zip(&allowed) {
            let address = SocketAddr::new(*address, port);
            let dialed = TcpStream::connect(address);
            let dialed = if number == allowed.len() {
                dialed.await
            } else {
                timeout(PATIENCE, dialed)
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            match dialed {
                Ok(stream) => {
                    // A request is written as a whole; what is small need not wait.
                    drop(stream.set_nodelay(true));
                    return Ok(stream);
                }
                Err(source) => failed = Some(DialError::Connect { address, source }),
            }
        }
        Err(failed.expect("there is an address, and it could not be dialed"))
    }

    fn allows(&self, address: IpAddr) -> bool {
        address::is_allowed(address, &self.granted)
    }
}

/// Takes addresses of both families in turns, so that a network without one of
/// them costs one attempt; at most so many.
fn in_turns(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (first, second): (Vec<_>, Vec<_>) = {
        let mut addresses = addresses.peekable();
        let v6_first = addresses.peek().is_some_and(IpAddr::is_ipv6);
        addresses.partition(|address| address.is_ipv6() == v6_first)
    };
    let mut second = second.into_iter();
    let mut turns = Vec::new();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns.truncate(TRIED);
    turns
}

impl Service<Uri> for Dialer {
    type Response = Stream;
    type Error = DialError;
    type Future = Pending<Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let host = destination.host().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let https = destination.scheme_str() == Some("https");
            let port = destination
                .port_u16()
                .unwrap_or(if https { 443 } else { 80 });
            let place = dialer.places.take().await;
            let stream = dialer.dial(host, port).await?;
            Ok(Stream {
                inner: TokioIo::new(stream),
                _place: place,
            })
        })
    }
}

/// A connection, and its place among those of its policy.
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    _place: OwnedSemaphorePermit,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_in_turns_and_not_for_ever() {
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        let all = ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"];
        let turns = in_turns(all.into_iter().map(address));
        let expected = ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"];
        assert_eq!(turns, expected.map(address));
        let many = (0..100).map(|last| IpAddr::from([127, 0, 0, last]));
        assert_eq!(in_turns(many).len(), TRIED);
    }
}
