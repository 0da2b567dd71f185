//! What a request waits for, told from deep in the client to the request.

use std::sync::{Arc, Mutex, PoisonError};

use super::Crowd;

tokio::task_local! {
    static WAITING: Waiting;
}

/// What a request waits for, while that is a place. Clones share it.
///
/// A connection is made deep in the client, and has no other way to say to the
/// request that it is made for what it waits for.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Option<Crowd>>>);

impl Waiting {
    /// Makes a request, which is this one to all that it does.
    pub(super) async fn request<T>(self, request: impl Future<Output = T>) -> T {
        WAITING.scope(self, request).await
    }

    /// Gives that of the request that is being made.
    pub(super) fn current() -> Self {
        WAITING.try_with(Clone::clone).unwrap_or_default()
    }

    /// Waits for a place.
    pub(super) async fn for_place<T>(&self, crowd: Crowd, place: impl Future<Output = T>) -> T {
        self.set(Some(crowd));
        let place = place.await;
        self.set(None);
        place
    }

    /// Gives what is waited for, if that is a place.
    pub(super) fn crowd(&self) -> Option<Crowd> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, crowd: Option<Crowd>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = crowd;
    }
}
