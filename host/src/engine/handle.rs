//! Following one operation.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::{mpsc, watch};

use crate::model::RequestToken;
use crate::operation::{Event, Operation};
use crate::store::StoreError;

use super::pulse::News;
use super::{ChangeError, Engine};

/// How many events a slow follower may lag behind in memory; the rest waits in
/// the store.
const BUFFER: usize = 16;

/// Follows one operation of an engine, and keeps the engine running.
///
/// Cheap to clone; dropping it changes nothing about the operation. Until then
/// the last version that was committed is held in memory.
#[derive(Clone)]
pub struct OperationHandle {
    engine: Engine,
    token: RequestToken,
    news: watch::Receiver<News>,
}

impl OperationHandle {
    /// Follows an operation from now on.
    pub(super) fn new(engine: Engine, token: RequestToken) -> Self {
        let news = engine.inner.watchers.watch(token);
        Self {
            engine,
            token,
            news,
        }
    }

    /// Gives the operation's token.
    #[must_use]
    pub const fn token(&self) -> RequestToken {
        self.token
    }

    /// Gives the committed events of the operation, from its acceptance to its
    /// end, and waits for those to come. Ends after the terminal one.
    ///
    /// Events that another process commits are seen within a second. An event that
    /// is not the last may come without its model: a store keeps that only until the
    /// next one is committed and it is reported.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress_after(0)
    }

    /// Does as [`OperationHandle::progress`], beginning after the given version.
    #[must_use]
    pub fn progress_after(&self, version: u64) -> Progress {
        let (sender, events) = mpsc::channel(BUFFER);
        tokio::spawn(follow(self.clone(), version, sender));
        Progress { events }
    }

    /// Waits for the operation to end, and gives it as it ended.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or has lost the operation, or the engine is
    /// shut down before the operation has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn outcome(&self) -> Result<Operation, StoreError> {
        self.wait_for(|operation| operation.status.is_terminal())
            .await
    }

    /// Waits for the operation to be as `wanted`, and gives it as it is then:
    /// at once if it is so already. Versions in between may be passed over.
    ///
    /// What this engine commits is seen at once and without reading the store,
    /// what another process commits within a second. A lease alone is no news.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or has lost the operation, or the engine is
    /// shut down before the operation is so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait_for(
        &self,
        mut wanted: impl FnMut(&Operation) -> bool,
    ) -> Result<Operation, StoreError> {
        let mut news = self.news.clone();
        let mut running = true;
        loop {
            let last = news.borrow_and_update().clone();
            let operation = match last {
                News::Committed(operation) => operation,
                News::Perhaps => {
                    let found = self.engine.inner.store.get(self.token).await?;
                    Arc::new(found.ok_or_else(|| lost(self.token))?)
                }
            };
            if wanted(&operation) {
                return Ok(Arc::unwrap_or_clone(operation));
            }
            if !running {
                return Err(stopped(self.token));
            }
            running = self.more(&mut news).await;
        }
    }

    /// Waits for news. Gives false if the engine has been shut down, so that
    /// there is none after what there is.
    async fn more(&self, news: &mut watch::Receiver<News>) -> bool {
        tokio::select! {
            changed = news.changed() => changed.is_ok(),
            () = self.engine.inner.pulse.drained() => false,
        }
    }

    /// Does as [`Engine::cancel`].
    ///
    /// # Errors
    ///
    /// As [`Engine::cancel`].
    pub async fn cancel(&self) -> Result<Operation, ChangeError> {
        self.engine.cancel(self.token).await
    }
}

/// The committed events of an operation, in order, each once.
pub struct Progress {
    events: mpsc::Receiver<Result<Event, StoreError>>,
}

impl Stream for Progress {
    type Item = Result<Event, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

/// Passes events on until the operation ends or nobody listens.
async fn follow(
    handle: OperationHandle,
    mut after: u64,
    sender: mpsc::Sender<Result<Event, StoreError>>,
) {
    let inner = &handle.engine.inner;
    let mut news = handle.news.clone();
    let mut running = true;
    loop {
        news.mark_unchanged();
        let events = match inner.store.events(handle.token, after).await {
            Ok(events) => events,
            Err(error) => {
                // Nobody listens any more if this cannot be sent either.
                let _ = sender.send(Err(error)).await;
                return;
            }
        };
        for event in events {
            after = event.version;
            let ended = event.status.is_terminal();
            if sender.send(Ok(event)).await.is_err() || ended {
                return;
            }
        }
        if !running {
            // Nobody listens any more if this cannot be sent either.
            let _ = sender.send(Err(stopped(handle.token))).await;
            return;
        }
        tokio::select! {
            () = sender.closed() => return,
            more = handle.more(&mut news) => running = more,
        }
    }
}

fn stopped(token: RequestToken) -> StoreError {
    StoreError::Unavailable {
        place: "this engine".to_owned(),
        source: format!("it was shut down before operation {token} ended").into(),
    }
}

fn lost(token: RequestToken) -> StoreError {
    StoreError::Corrupt {
        place: "this engine".to_owned(),
        what: format!("operation {token} is gone"),
    }
}
