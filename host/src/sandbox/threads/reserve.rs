//! Who looks for guests that have waited for long.
//!
//! One look for all of them, twice in a tick: a timer for each call would cost more
//! than much else around it.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

/// Something that begins once, on whichever thread has its turn first.
pub(super) trait Waits: Send + Sync {
    fn is_begun(&self) -> bool;

    /// Has it begin on these threads too.
    fn begin_too(self: Arc<Self>, on: &Handle);
}

pub(super) struct Reserve {
    threads: Handle,
    tick: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Those that came before the last look, and those that came since.
    before: VecDeque<Weak<dyn Waits>>,
    since: VecDeque<Weak<dyn Waits>>,
    /// Whether somebody looks.
    is_watched: bool,
}

impl Reserve {
    pub(super) fn new(threads: Handle, tick: Duration) -> Arc<Self> {
        Arc::new(Self {
            threads,
            tick,
            waiting: Mutex::default(),
        })
    }

    /// Has a guest begin in reserve if it has not begun within a tick, or half of one.
    pub(super) fn watch<W: Waits + 'static>(self: &Arc<Self>, guest: &Arc<W>) {
        let guest = Arc::downgrade(guest);
        let mut waiting = self.waiting();
        waiting.since.push_back(guest);
        if !mem::replace(&mut waiting.is_watched, true) {
            self.threads.spawn(Arc::clone(self).look_twice_in_a_tick());
        }
    }

    /// Looks for as long as there is somebody to look for.
    async fn look_twice_in_a_tick(self: Arc<Self>) {
        loop {
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread is held up in real time, whatever the clock"
            )]
            tokio::time::sleep(self.tick / 2).await;
            let Some(late) = self.look() else {
                return;
            };
            for guest in late {
                if let Some(guest) = guest.upgrade()
                    && !guest.is_begun()
                {
                    guest.begin_too(&self.threads);
                }
            }
        }
    }

    /// Gives those that came before the last look; nothing if nobody came then or
    /// since, and nobody looks any more.
    fn look(&self) -> Option<VecDeque<Weak<dyn Waits>>> {
        let mut waiting = self.waiting();
        let came = mem::take(&mut waiting.since);
        let late = mem::replace(&mut waiting.before, came);
        if late.is_empty() && waiting.before.is_empty() {
            waiting.is_watched = false;
            return None;
        }
        Some(late)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
