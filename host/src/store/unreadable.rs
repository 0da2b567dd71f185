//! Operations that cannot be read: damaged ones, and foreign ones, which another
//! program may well read.
//!
//! *Invariant*: what is foreign is left alone. It is met once at each of its
//! versions: after that it is not even looked at, and takes nobody's room. What is
//! remembered of it is bounded.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::model::RequestToken;
use crate::operation::Operation;

/// How many foreign operations are remembered, and named in the log, at most.
const MOST: usize = 1_024;

/// An operation that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreadable {
    pub(super) token: RequestToken,
    /// What stands in the column.
    pub(super) version: i64,
    /// Whether another program may well read it.
    pub(super) is_foreign: bool,
}

/// An operation at one of its versions.
pub(super) type At = (RequestToken, i64);

impl Unreadable {
    pub(super) const fn at(&self) -> At {
        (self.token, self.version)
    }
}

/// Remembers the foreign operations that were met last.
#[derive(Default)]
pub(super) struct Foreign(Mutex<State>);

#[derive(Default)]
struct State {
    versions: HashMap<RequestToken, i64>,
    /// In the order in which they were met.
    order: VecDeque<RequestToken>,
}

impl Foreign {
    /// Gives those that are to be left alone.
    pub(super) fn known(&self) -> HashSet<At> {
        let state = self.state();
        let known = state.versions.iter();
        known.map(|(token, version)| (*token, *version)).collect()
    }

    /// Says that an operation cannot be read; of one that is foreign, the first time.
    pub(super) fn say(&self, place: &str, what: &str, met: &Unreadable) {
        if !met.is_foreign {
            tracing::error!(place, what, "an operation cannot be read");
        } else if self.note(met.at()) {
            tracing::error!(
                place,
                what,
                "an operation cannot be read by this program, and is left to others"
            );
        }
    }

    /// Takes note of one that is foreign, and tells whether to name it.
    fn note(&self, (token, version): At) -> bool {
        let mut state = self.state();
        let is_named = state.order.len() < MOST;
        let before = state.versions.insert(token, version);
        if before.is_none() {
            state.order.push_back(token);
        }
        if state.order.len() > MOST
            && let Some(oldest) = state.order.pop_front()
        {
            state.versions.remove(&oldest);
        }
        is_named && before != Some(version)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a sweep has found.
pub(super) struct Swept {
    pub(super) operations: Vec<Operation>,
    pub(super) damaged: Vec<Unreadable>,
    pub(super) foreign: Vec<At>,
}

impl Swept {
    pub(super) fn of(found: Vec<Result<Operation, Unreadable>>) -> Self {
        let (mut operations, mut damaged, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        for found in found {
            match found {
                Ok(operation) => operations.push(operation),
                Err(met) if met.is_foreign => foreign.push(met.at()),
                Err(met) => damaged.push(met),
            }
        }
        Self {
            operations,
            damaged,
            foreign,
        }
    }

    /// Tells whether what is foreign took the room of others.
    pub(super) const fn is_crowded(&self, limit: usize) -> bool {
        let met = self.operations.len() + self.damaged.len() + self.foreign.len();
        !self.foreign.is_empty() && met >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foreign_is_named_once_at_each_version() {
        let foreign = Foreign::default();
        let (one, other) = (RequestToken::random(), RequestToken::random());
        let named = [(one, 1), (one, 1), (other, 1), (one, 2), (one, 2)].map(|it| foreign.note(it));
        assert_eq!(named, [true, false, true, true, false]);
        assert_eq!(foreign.known(), HashSet::from([(one, 2), (other, 1)]));
    }

    #[test]
    fn the_last_ones_are_remembered_and_no_more_are_named() {
        let foreign = Foreign::default();
        let all: Vec<At> = (0..2 * MOST).map(|_| (RequestToken::random(), 1)).collect();
        for round in 0..2 {
            let named = all.iter().filter(|it| foreign.note(**it)).count();
            assert_eq!(named, if round == 0 { MOST } else { 0 });
            let last = all[MOST..].iter().copied().collect();
            assert_eq!(foreign.known(), last);
        }
    }
}
