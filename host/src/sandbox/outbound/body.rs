//! The bodies of requests and of responses: counted, and without trailers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Timeout, timeout};

use super::exchange::Taken;
use super::{Cause, OutboundError};

/// How many bytes may still go one way in an invocation. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: usize,
    left: Arc<AtomicUsize>,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            left: Arc::new(AtomicUsize::new(limit)),
        }
    }

    /// Takes so many bytes, if there are as many left; else gives the limit.
    fn take(&self, bytes: usize) -> Result<(), usize> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .map(drop)
            .map_err(|_| self.limit)
    }
}

/// The body of a request.
pub(super) struct Sent {
    inner: UnsyncBoxBody<Bytes, Cause>,
    budget: Budget,
    /// Who waits for its end hears of it when this is dropped with it.
    unsent: Option<oneshot::Sender<Infallible>>,
}

impl Sent {
    pub(super) fn new(inner: UnsyncBoxBody<Bytes, Cause>, budget: Budget) -> Self {
        Self {
            inner,
            budget,
            unsent: None,
        }
    }

    /// Makes a body of what was counted already.
    pub(super) fn whole(body: Bytes) -> Self {
        let budget = Budget::new(body.len());
        let body = Full::new(body).map_err(|never| match never {});
        Self::new(body.boxed_unsync(), budget)
    }

    /// Gives a future that waits until all of it is sent, or it is given up. It is
    /// for one who waits.
    pub(super) fn sent(&mut self) -> impl Future<Output = ()> + use<> {
        let (unsent, sent) = oneshot::channel();
        self.unsent = Some(unsent);
        async { drop(sent.await) }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => Some(match self.budget.take(data.len()) {
                Ok(()) => Ok(Frame::data(data)),
                Err(limit) => Err(OutboundError::SentTooMuch { limit }.into()),
            }),
            // Trailers come last, and are left out.
            Some(Ok(Err(_))) | None => None,
            Some(Err(error)) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a response. As long as it is there, its request has its place
/// and its connection.
pub(super) struct Received {
    /// What was read already, which comes before the rest.
    read: VecDeque<Bytes>,
    inner: Incoming,
    budget: Budget,
    /// The longest wait for the next part.
    patience: Duration,
    wait: Option<Pin<Box<Timeout<std::future::Pending<()>>>>>,
    _taken: Taken,
}

impl Received {
    pub(super) fn new(
        read: VecDeque<Bytes>,
        inner: Incoming,
        budget: Budget,
        patience: Duration,
        taken: Taken,
    ) -> Self {
        Self {
            read,
            inner,
            budget,
            patience,
            wait: None,
            _taken: taken,
        }
    }

    fn counted(&self, data: Bytes) -> Result<Frame<Bytes>, OutboundError> {
        match self.budget.take(data.len()) {
            Ok(()) => Ok(Frame::data(data)),
            Err(limit) => Err(OutboundError::ReceivedTooMuch { limit }),
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        if let Some(data) = self.read.pop_front() {
            return Poll::Ready(Some(self.counted(data)));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            let patience = self.patience;
            let wait = self
                .wait
                .get_or_insert_with(|| Box::pin(timeout(patience, std::future::pending())));
            return wait
                .as_mut()
                .poll(context)
                .map(|_| Some(Err(OutboundError::Stalled { after: patience })));
        };
        self.wait = None;
        Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => Some(self.counted(data)),
            Some(Ok(Err(_))) | None => None,
            Some(Err(error)) => Some(Err(OutboundError::from_cause(error.into()))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.iter().map(|data| data.len() as u64).sum::<u64>();
        let rest = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }
}
