//! Requests that arrive: a connection is busy once one has arrived whole.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, SizeHint};

use super::places::{Busy, Place};

/// The body of a request, which tells when it has arrived whole.
pub(super) struct Arriving<B> {
    body: B,
    place: Arc<Place>,
    busy: Arc<OnceLock<Busy>>,
}

impl<B: Body> Arriving<B> {
    /// Gives the body, and what holds the place busy from its end on.
    pub(super) fn new(body: B, place: Arc<Place>) -> (Self, Arc<OnceLock<Busy>>) {
        let arriving = Self {
            body,
            place,
            busy: Arc::default(),
        };
        arriving.look();
        let busy = Arc::clone(&arriving.busy);
        (arriving, busy)
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.arrived();
        }
    }

    fn arrived(&self) {
        self.busy.get_or_init(|| self.place.busy());
    }
}

impl<B: Body + Unpin> Body for Arriving<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.arrived();
        } else {
            self.look();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
