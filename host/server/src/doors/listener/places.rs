//! Places for connections, and which of them idle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places for connections: a fixed number.
///
/// *Invariant*: a connection idles while it has no running request; whoever
/// waits for a place gets that of one that has idled the longest.
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// How many are asked for at once: some clients are slow to leave.
    batch: usize,
    /// Those that idle, by when they began to; the longest is the first.
    idle: Mutex<BTreeMap<u64, Arc<Notify>>>,
    more_idle: Notify,
    next: AtomicU64,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            batch: (count / 16).max(1),
            idle: Mutex::default(),
            more_idle: Notify::new(),
            next: AtomicU64::new(0),
        })
    }

    /// Takes a place; if there is none, asks those that idle to leave theirs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no place.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            for _ in 0..self.batch {
                let Some((_, longest)) = self.idle().pop_first() else {
                    break;
                };
                longest.notify_one();
            }
            tokio::select! {
                permit = Arc::clone(&self.free).acquire_owned() => {
                    break permit.expect("the places are never closed");
                }
                () = self.more_idle.notified() => {}
            }
        };
        let place = Place {
            places: Arc::clone(self),
            since: AtomicU64::new(0),
            leave: Arc::new(Notify::new()),
            _permit: permit,
        };
        place.idle();
        place
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    /// Its key among those that idle; 0 while it does not.
    since: AtomicU64,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Tells that a request runs, until what it gives is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let since = self.since.swap(0, Ordering::Relaxed);
        self.places.idle().remove(&since);
        Busy(Arc::clone(self))
    }

    /// Tells whether a request runs.
    pub(super) fn is_busy(&self) -> bool {
        self.since.load(Ordering::Relaxed) == 0
    }

    /// Waits until the place is wanted by another.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn wanted(&self) {
        self.leave.notified().await;
    }

    fn idle(&self) {
        let now = self.places.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.since.store(now, Ordering::Relaxed);
        self.places.idle().insert(now, Arc::clone(&self.leave));
        self.places.more_idle.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let since = self.since.load(Ordering::Relaxed);
        self.places.idle().remove(&since);
    }
}

/// A running request of a connection.
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle();
    }
}
