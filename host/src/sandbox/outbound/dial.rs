//! From a name to a connection: one look-up, its addresses judged, the allowed
//! ones dialed.
//!
//! *Invariant*: what is dialed is an address that was judged, and never a name
//! that could mean another address by then.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::connection::{Stream, UNUSED};
use super::policy::{self, Dialable, Kind, Policy};
use super::waiting::Waiting;
use super::{Crowd, Granted};
use crate::sandbox::places::Share;

/// How many addresses of a name are tried.
const TRIED: usize = 6;

/// How long an address is tried while there are others.
const PATIENCE: Duration = Duration::from_millis(1_500);

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

    /// Asks as this machine does. Each look-up holds a thread to its end.
    #[must_use]
    pub fn system() -> Self {
        Self::new(look_up)
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

async fn look_up(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
    let found = found.await.map_err(io::Error::other)??;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

/// Dials for the handlers of one policy.
#[derive(Clone)]
pub(super) struct Dialer {
    policy: Arc<Policy>,
    resolver: Resolver,
    lookups: Share,
    /// Those that are kept unused have a place too.
    connections: Share,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot look up the name `{host}`")]
    Lookup { host: String, source: io::Error },
    #[error("the name `{host}` has no address")]
    Nowhere { host: String },
    #[error("`{host}` is at {address}, {kind}")]
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
    pub(super) fn new(granted: &Granted) -> Self {
        Self {
            policy: Arc::clone(&granted.policy),
            resolver: granted.shared.resolver.clone(),
            lookups: granted.lookups.clone(),
            connections: granted.connections.clone(),
        }
    }

    async fn connect(&self, server: &Uri, waiting: &Waiting) -> Result<Stream, DialError> {
        let place = self.connections.take();
        let place = waiting.for_place(Crowd::Connections, place).await;
        let stream = self.dial(server, waiting).await?;
        Ok(Stream::new(stream, place, UNUSED))
    }

    /// Looks a name up. The place is held to the end, also where nobody waits for it
    /// any more.
    async fn look_up(&self, host: &str, waiting: &Waiting) -> io::Result<Vec<IpAddr>> {
        let place = waiting.for_place(Crowd::Lookups, self.lookups.take()).await;
        let found = (self.resolver.0)(host.to_owned());
        let found = tokio::spawn(async move {
            let _place = place;
            found.await
        });
        found.await.map_err(io::Error::other)?
    }

    async fn dial(&self, server: &Uri, waiting: &Waiting) -> Result<TcpStream, DialError> {
        let host = server.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let https = server.scheme_str() == Some("https");
        let port = server.port_u16();
        let port = port.unwrap_or(if https { 443 } else { 80 });
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.look_up(host, waiting).await;
                found.map_err(|source| DialError::Lookup {
                    host: host.to_owned(),
                    source,
                })?
            }
        };
        let allowed = in_turns(self.policy.dialable(server, &found));
        if allowed.is_empty() {
            let host = host.to_owned();
            return Err(match found.first() {
                Some(&address) => DialError::Prohibited {
                    host,
                    address,
                    kind: policy::kind(address),
                },
                None => DialError::Nowhere { host },
            });
        }
        let mut failed = None;
        for (number, address) in (1..).zip(&allowed) {
            let dialed = connect(*address, port);
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
                Err(source) => {
                    let address = SocketAddr::new(address.ip(), port);
                    failed = Some(DialError::Connect { address, source });
                }
            }
        }
        Err(failed.expect("there is an address, and it could not be dialed"))
    }
}

/// Dials. Nothing else in the sandbox does.
async fn connect(address: Dialable, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect(SocketAddr::new(address.ip(), port)).await
}

/// Takes addresses of both families in turns, so that a network without one of
/// them costs one attempt; at most so many.
fn in_turns(addresses: Vec<Dialable>) -> Vec<Dialable> {
    let v6_first = addresses.first().is_some_and(|it| it.ip().is_ipv6());
    let addresses = addresses.into_iter();
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.ip().is_ipv6() == v6_first);
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
        let waiting = Waiting::current();
        Box::pin(async move { dialer.connect(&destination, &waiting).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_in_turns_and_not_for_ever() {
        let dialable = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| text.parse().expect(text));
            Policy::default().dialable(&Uri::default(), &addresses.collect::<Vec<IpAddr>>())
        };
        let all = ["2606::1", "2606::2", "2606::3", "8.8.8.1", "8.8.8.2"];
        let expected = ["2606::1", "8.8.8.1", "2606::2", "8.8.8.2", "2606::3"];
        assert_eq!(in_turns(dialable(&all)), dialable(&expected));
        assert_eq!(in_turns(dialable(&["8.8.8.8"; 100])).len(), TRIED);
    }
}
