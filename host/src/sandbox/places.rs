//! What all handlers have so many of at a time: requests under way, names that are
//! looked up, files that are open.
//!
//! *Invariant*: a handler takes a place while more are free than it holds, or so many
//! times more; a sixteenth of all counts as free only to who holds none. The more others
//! hold, the fewer it has, and what is given back goes to those that have few: whoever
//! holds none has one at once, or in the end, however many handlers never have enough.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{self, Notify};

/// The places of the host.
pub(super) struct Places {
    all: usize,
    /// How many times as many are free as a handler holds that takes one.
    left: usize,
    free: Mutex<usize>,
    freed: Notify,
}

/// What one handler has of them. Clones share it.
#[derive(Clone)]
pub(super) struct Share {
    places: Arc<Places>,
    held: Arc<Mutex<usize>>,
    /// Whose turn it is, so that the requests of one handler wait in a row.
    turn: Arc<sync::Mutex<()>>,
}

/// One place. It is free again when this is dropped.
pub(super) struct Place(Share);

impl Places {
    /// Makes so many places, of which a handler leaves to others `left` times as many
    /// as it has. The last sixteenth is for those that have none.
    pub(super) fn new(places: usize, left: usize) -> Arc<Self> {
        Arc::new(Self {
            all: places.max(1),
            left,
            free: Mutex::new(places.max(1)),
            freed: Notify::new(),
        })
    }
}

impl Share {
    pub(super) fn new(places: &Arc<Places>) -> Self {
        Self {
            places: Arc::clone(places),
            held: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Waits for a place. Dropping the future takes none.
    pub(super) async fn take(&self) -> Place {
        let _turn = self.turn.lock().await;
        loop {
            let mut freed = pin!(self.places.freed.notified());
            // From here on, what is freed is heard of.
            freed.as_mut().enable();
            if let Some(place) = self.try_take() {
                return place;
            }
            freed.await;
        }
    }

    /// Gives how many places there are for all.
    pub(super) fn of(&self) -> usize {
        self.places.all
    }

    /// Takes a place, if there is one.
    pub(super) fn try_take(&self) -> Option<Place> {
        let (mut free, mut held) = (lock(&self.places.free), lock(&self.held));
        let last = if *held == 0 { 0 } else { self.places.all / 16 };
        (*held * self.places.left + last < *free).then(|| {
            (*free, *held) = (*free - 1, *held + 1);
            Place(self.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Share { places, held, .. } = &self.0;
        let (mut free, mut held) = (lock(&places.free), lock(held));
        (*free, *held) = (*free + 1, *held - 1);
        places.freed.notify_waiters();
    }
}

fn lock(number: &Mutex<usize>) -> MutexGuard<'_, usize> {
    number.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what a handler may have.
    fn all(share: &Share) -> Vec<Place> {
        std::iter::from_fn(|| share.try_take()).collect()
    }

    #[test]
    fn a_handler_takes_places_while_enough_are_left() {
        for (places, left, expected) in [
            // What handlers take, one after the other.
            (
                128,
                1,
                &[60, 30, 15, 8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0][..],
            ),
            (
                128,
                8,
                &[
                    14, 12, 11, 10, 9, 8, 7, 6, 5, 5, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1,
                ],
            ),
            (2, 1, &[1, 1, 0]),
            (1, 8, &[1, 0]),
        ] {
            let places = Places::new(places, left);
            let shares: Vec<_> = expected.iter().map(|_| Share::new(&places)).collect();
            let held: Vec<_> = shares.iter().map(all).collect();
            let taken: Vec<_> = held.iter().map(Vec::len).collect();
            assert_eq!(taken, expected);
        }
    }

    #[test]
    fn handlers_that_never_have_enough_come_to_have_the_same() {
        let places = Places::new(136, 1);
        let shares: Vec<_> = (0..15).map(|_| Share::new(&places)).collect();
        let mut held: Vec<_> = shares.iter().map(all).collect();
        for _ in 0..100 {
            for (held, share) in held.iter_mut().zip(&shares) {
                held.pop();
                held.extend(all(share));
            }
        }
        let taken: Vec<_> = held.iter().map(Vec::len).collect();
        assert_eq!(taken, [8; 15]);
        assert_eq!(all(&Share::new(&places)).len(), 4);
    }

    #[tokio::test]
    async fn who_waits_has_the_place_that_is_given_back() {
        let places = Places::new(1, 1);
        let shares = [Share::new(&places), Share::new(&places)];
        let held = shares[0].take().await;
        assert!(shares[1].try_take().is_none());
        let (place, ()) = tokio::join!(shares[1].take(), async { drop(held) });
        assert_eq!(*lock(&places.free), 0);
        drop(place);
        assert_eq!(*lock(&places.free), 1);
    }
}
