//! A connection, and its end once nobody uses it.
//!
//! What speaks HTTP over a connection may wait for its server without end, though who
//! has made the request has long given up: for room to write, for a stream to be
//! allowed, for the last bytes of TLS to leave.
//!
//! *Invariant*: a connection that no exchange has used for [`UNUSED`] is closed,
//! whatever its server does, and its place is free.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Extensions, Request};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, Connection, capture_connection,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::sandbox::places::Place;

/// How long a connection may be there without an exchange; longer than the client keeps
/// those that it may use again.
pub(super) const UNUSED: Duration = Duration::from_secs(10);

/// A request may pass from a connection that ends to another one; it is looked for that
/// often.
const PASSED_ON: Duration = Duration::from_secs(3);

/// A connection, and its place among those of all handlers.
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    usage: Usage,
    /// How long it may be there without an exchange.
    unused: Duration,
    /// When it is to be looked whether it is used.
    end: Pin<Box<Sleep>>,
    _place: Place,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, place: Place, unused: Duration) -> Self {
        let now = Instant::now();
        Self {
            inner: TokioIo::new(stream),
            usage: Usage(Arc::new(Mutex::new(Used {
                is_made: false,
                exchanges: 0,
                until: now,
            }))),
            unused,
            end: at(now + unused),
            _place: place,
        }
    }

    /// Gives the connection, as long as it is used.
    fn used(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> io::Result<Pin<&mut TokioIo<TcpStream>>> {
        while self.end.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let end = self.usage.used().until(now) + self.unused;
            if end <= now {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.end.as_mut().reset(end);
        }
        Ok(Pin::new(&mut self.get_mut().inner))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "times are of the network, whatever the clock"
)]
fn at(end: Instant) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(end))
}

/// Who uses a connection. Clones share it.
#[derive(Clone, Debug)]
struct Usage(Arc<Mutex<Used>>);

#[derive(Debug)]
struct Used {
    /// Whether both sides have agreed on TLS. That takes as long as a connection may.
    is_made: bool,
    exchanges: usize,
    /// When the last exchange ended.
    until: Instant,
}

impl Usage {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// Gives until when it was used or made: until `now`, if it is.
    const fn until(&self, now: Instant) -> Instant {
        if self.is_made && self.exchanges == 0 {
            self.until
        } else {
            now
        }
    }
}

/// An exchange over a connection, which is used as long as this is there.
pub(super) struct Exchange(Usage);

impl Exchange {
    /// Tells from the extensions of a response, or of a connection, over which it is.
    pub(super) fn over(extensions: &Extensions) -> Option<Self> {
        let usage: &Usage = extensions.get()?;
        usage.used().exchanges += 1;
        Some(Self(usage.clone()))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut used = self.0.used();
        used.exchanges -= 1;
        used.until = Instant::now();
    }
}

/// Follows a request to its connection, and to the next one where it passes on.
pub(super) struct Followed {
    captured: CaptureConnection,
    over: Option<Exchange>,
}

impl Followed {
    pub(super) fn new<B>(request: &mut Request<B>) -> Self {
        Self {
            captured: capture_connection(request),
            over: None,
        }
    }

    /// Waits until the request has a connection.
    pub(super) async fn connected(&mut self) {
        drop(self.captured.wait_for_connection_metadata().await);
        self.look();
    }

    /// Waits for what comes of the request.
    pub(super) async fn meanwhile<T>(&mut self, awaited: impl Future<Output = T>) -> T {
        let mut awaited = std::pin::pin!(awaited);
        loop {
            let later = tokio::time::timeout(PASSED_ON, awaited.as_mut());
            match later.await {
                Ok(come) => return come,
                Err(_) => self.look(),
            }
        }
    }

    /// Has no other request use the connection, since nothing comes over it.
    pub(super) fn give_up(&self) {
        if let Some(connected) = self.captured.connection_metadata().as_ref() {
            connected.poison();
        }
    }

    fn look(&mut self) {
        let mut extensions = Extensions::new();
        if let Some(connected) = self.captured.connection_metadata().as_ref() {
            connected.get_extras(&mut extensions);
        }
        self.over = Exchange::over(&extensions);
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        {
            let mut used = self.usage.used();
            if !used.is_made {
                (used.is_made, used.until) = (true, Instant::now());
            }
        }
        self.inner.connected().extra(self.usage.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.used(context)?.poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.used(context)?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.used(context)?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.used(context)?.poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.used(context)?.poll_write_vectored(context, parts)
    }
}

/// Gives what tells how many exchanges use the connection of a response.
#[cfg(test)]
pub(super) fn exchanges(extensions: &Extensions) -> impl Fn() -> Option<usize> + use<> {
    let usage = extensions.get::<Usage>().cloned();
    move || usage.as_ref().map(|usage| usage.used().exchanges)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::TcpListener;

    use super::*;
    use crate::sandbox::places::{Places, Share};

    #[tokio::test]
    async fn a_connection_that_nobody_uses_ends_whatever_its_server_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connected = TcpStream::connect(address).await.expect("a connection");
        let place = Share::new(&Places::new(1, 1)).take().await;
        let mut stream = Box::pin(Stream::new(connected, place, Duration::from_millis(1)));
        stream.connected();
        let mut room = [0; 16];
        let mut buffer = hyper::rt::ReadBuf::new(&mut room);
        let heard = poll_fn(|context| stream.as_mut().poll_read(context, buffer.unfilled()));
        let heard = heard.await.expect_err("the server says nothing");
        assert_eq!(heard.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_connection_is_used_while_there_is_an_exchange_and_until_the_last_one_ended() {
        let begun = Instant::now();
        let usage = Usage(Arc::new(Mutex::new(Used {
            is_made: false,
            exchanges: 0,
            until: begun,
        })));
        let later = begun + UNUSED;
        assert_eq!(usage.used().until(later), later);
        usage.used().is_made = true;
        assert_eq!(usage.used().until(later), begun);
        let mut extensions = Extensions::new();
        extensions.insert(usage.clone());
        let exchanges = [Exchange::over(&extensions), Exchange::over(&extensions)];
        assert_eq!(usage.used().until(later), later);
        let [one, other] = exchanges;
        drop(one);
        assert_eq!(usage.used().until(later), later);
        drop(other);
        let until = usage.used().until(later);
        assert!(begun < until && until < later);
    }
}
