//! Who looks for guests that have waited for long.
//!
//! One look for all of them, twice in a tick: a timer for each call would cost more
//! than much else around it. It is the thread that ticks that looks, which no guest
//! holds up.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;

/// Something that begins once, on whichever thread has its turn first.
pub(super) trait Waits: Send + Sync {
    fn is_begun(&self) -> bool;

    /// Has it begin on these threads too.
    fn begin_too(self: Arc<Self>, on: &Handle);
}

pub(super) struct Reserve {
    threads: Handle,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Those that came before the last look, and those that came since.
    before: VecDeque<Weak<dyn Waits>>,
    since: VecDeque<Weak<dyn Waits>>,
}

impl Reserve {
    pub(super) fn new(threads: Handle) -> Arc<Self> {
        Arc::new(Self {
            threads,
            waiting: Mutex::default(),
        })
    }

    /// Has a guest begin in reserve if it has not begun within a tick, or half of one.
    pub(super) fn watch<W: Waits + 'static>(&self, guest: &Arc<W>) {
        let guest = Arc::downgrade(guest);
        self.waiting().since.push_back(guest);
    }

    /// Begins those that came before the last look and are still waiting.
    pub(super) fn look(&self) {
        let late = {
            let mut waiting = self.waiting();
            let came = mem::take(&mut waiting.since);
            mem::replace(&mut waiting.before, came)
        };
        for guest in late {
            if let Some(guest) = guest.upgrade()
                && !guest.is_begun()
            {
                guest.begin_too(&self.threads);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
