//! Tasks under way, each with what is to be known of it.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

/// Tasks that were begun and have not ended. Dropping it ends them all.
pub(super) struct Tasks<L> {
    tasks: JoinSet<()>,
    labels: HashMap<Id, L>,
}

impl<L> Tasks<L> {
    pub(super) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            labels: HashMap::new(),
        }
    }

    pub(super) fn begin(&mut self, label: L, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.labels.insert(task.id(), label);
    }

    /// Gives what is known of each task that has not ended.
    pub(super) fn labels(&self) -> impl Iterator<Item = &L> {
        self.labels.values()
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until at least one has ended; for ever if there is none.
    pub(super) async fn ended(&mut self) {
        let Some(first) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        self.forget(first);
        while let Some(more) = self.tasks.try_join_next_with_id() {
            self.forget(more);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    // What it had leased lapses, and what it had to send is sent again.
                    tracing::error!(%error, "a task of the engine broke");
                }
                error.id()
            }
        };
        self.labels.remove(&id);
    }
}
