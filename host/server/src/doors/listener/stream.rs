//! A stream whose peer has to take what is written.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use formwork_host::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a client may take nothing of an answer: one that never reads shall
/// not hold a connection for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Fails a write that has not moved for 30 seconds, with
/// [`io::ErrorKind::TimedOut`].
pub(super) struct Patient<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, clock: Arc<dyn Clock>) -> Self {
        Self {
            stream,
            clock,
            stalled: None,
        }
    }

    /// Passes on how a write went, unless it has waited for too long.
    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let clock = &self.clock;
        let stalled = self.stalled.get_or_insert_with(|| {
            let clock = Arc::clone(clock);
            Box::pin(async move { clock.sleep(PATIENCE).await })
        });
        ready!(stalled.as_mut().poll(context));
        self.stalled = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A TCP stream neither flushes nor waits for its end.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use formwork_host::clock::ManualClock;
    use formwork_host::model::Timestamp;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_write_fails_once_the_peer_takes_nothing_for_long() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let (near, mut far) = duplex(8);
        let mut near = Patient::new(near, Arc::clone(&clock) as _);
        let almost = PATIENCE.saturating_sub(Duration::from_millis(1));
        let (written, ()) = tokio::join!(near.write_all(&[0; 32]), async {
            for _ in 0..3 {
                clock.advance(almost);
                far.read_exact(&mut [0; 8]).await.expect("it is written");
                tokio::task::yield_now().await;
            }
        });
        written.expect("the peer takes a part at a time");
        let (written, ()) = tokio::join!(near.write_all(&[0; 8]), async {
            clock.advance(PATIENCE);
        });
        let error = written.expect_err("the peer takes nothing more");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
