//! What falls due soon, held in memory: short delays end on time without asking
//! the store again and again.
//!
//! *Invariant*: only a hint. It says when to look; what is due, and who may have
//! it, the store alone decides. What it misses, since another process wrote it,
//! a later look finds.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{RequestToken, Timestamp};
use crate::operation::Operation;
use crate::store::Moment;

/// How many moments are held at most: a megabyte or two, and some seconds ahead
/// where thousands fall due in each.
const MOST: usize = 16_384;

/// How many moments are asked for at once. More are asked for seldom and read long.
pub(super) const ASKED: usize = 1_024;

/// A question to a store, and what was known when it was asked.
pub(super) struct Asking(u64);

/// The moments at which operations fall due.
pub(super) struct Upcoming(Mutex<State>);

struct State {
    moments: BTreeSet<Moment>,
    /// The moments of each operation: when it is due, its deadline.
    of: HashMap<RequestToken, Vec<Timestamp>>,
    /// Until when all is known; for ever if none.
    until: Option<Timestamp>,
    /// How often it was doubted that all is known.
    doubts: u64,
}

impl State {
    fn insert(&mut self, at: Timestamp, token: RequestToken) {
        if self.moments.insert((at, token)) {
            self.of.entry(token).or_default().push(at);
        }
        if self.moments.len() > MOST
            && let Some(last) = self.moments.pop_last()
        {
            self.forgot(last);
            let (at, _) = last;
            self.until = Some(self.until.map_or(at, |until| until.min(at)));
        }
    }

    /// Takes note that a moment has been taken out.
    fn forgot(&mut self, (at, token): Moment) {
        if let Some(moments) = self.of.get_mut(&token) {
            moments.retain(|other| *other != at);
            if moments.is_empty() {
                self.of.remove(&token);
            }
        }
    }
}

impl Upcoming {
    /// Knows nothing yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            moments: BTreeSet::new(),
            of: HashMap::new(),
            until: Some(Timestamp::from_millis(0)),
            doubts: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an operation as it was committed.
    pub(super) fn note(&self, operation: &Operation) {
        let token = operation.token;
        let waits = operation.lease.is_none() && !operation.status.is_terminal();
        let mut state = self.state();
        for before in state.of.remove(&token).unwrap_or_default() {
            state.moments.remove(&(before, token));
        }
        if waits {
            state.insert(operation.due, token);
            state.insert(operation.deadline, token);
        }
    }

    /// Begins to ask a store for [`ASKED`] moments.
    pub(super) fn ask(&self) -> Asking {
        Asking(self.state().doubts)
    }

    /// Takes note of what the store gave. What was doubted meanwhile is asked
    /// again.
    pub(super) fn learn(&self, Asking(doubts): Asking, found: &[Moment]) {
        let mut state = self.state();
        if state.doubts == doubts {
            state.until = match found.last() {
                Some((last, _)) if found.len() >= ASKED => Some(*last),
                Some(_) | None => None,
            };
        }
        for (at, token) in found {
            // What was committed since is noted already; then this is out of date,
            // and a look for nothing.
            state.insert(*at, *token);
        }
    }

    /// Forgets that all is known.
    pub(super) fn doubt(&self) {
        let mut state = self.state();
        state.until = Some(Timestamp::from_millis(0));
        state.doubts += 1;
    }

    /// Tells whether the store is to be asked what comes.
    pub(super) fn is_asking(&self, now: Timestamp) -> bool {
        self.state().until.is_some_and(|until| until <= now)
    }

    /// Takes out what is due, and tells whether there was something.
    pub(super) fn take_due(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let mut was_due = false;
        while let Some((at, token)) = state.moments.first().copied()
            && at <= now
        {
            state.moments.pop_first();
            state.forgot((at, token));
            was_due = true;
        }
        was_due
    }

    /// Gives when there will next be something to do, or to ask.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let state = self.state();
        let first = state.moments.first().map(|(at, _)| *at);
        first.into_iter().chain(state.until).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    fn token(number: u64) -> RequestToken {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        RequestToken::from_bytes(bytes)
    }

    #[test]
    fn what_is_learned_comes_in_order_and_once() {
        let upcoming = Upcoming::new();
        assert!(upcoming.is_asking(at(0)));
        let found = [(at(1), token(1)), (at(2), token(2)), (at(9), token(1))];
        upcoming.learn(upcoming.ask(), &found);
        assert!(!upcoming.is_asking(at(100)), "it is all there is");
        assert_eq!(upcoming.next(), Some(at(1)));
        assert!(!upcoming.take_due(at(0)));
        assert!(upcoming.take_due(at(2)) && !upcoming.take_due(at(2)));
        assert_eq!(upcoming.next(), Some(at(9)));
        assert!(upcoming.take_due(at(9)));
        assert_eq!(upcoming.next(), None);
    }

    #[test]
    fn what_is_beyond_the_known_is_asked_for() {
        let upcoming = Upcoming::new();
        let many = u64::try_from(ASKED).expect("few");
        let found: Vec<_> = (1..=many).map(|n| (at(n), token(n))).collect();
        upcoming.learn(upcoming.ask(), &found);
        assert!(!upcoming.is_asking(at(many - 1)) && upcoming.is_asking(at(many)));
        // A doubt while the store answers is not forgotten.
        let asking = upcoming.ask();
        upcoming.doubt();
        upcoming.learn(asking, &found);
        assert!(upcoming.is_asking(at(0)));
        upcoming.learn(upcoming.ask(), &found);
        assert!(!upcoming.is_asking(at(0)));
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let upcoming = Upcoming::new();
        upcoming.learn(upcoming.ask(), &[]);
        let most = u64::try_from(MOST).expect("few");
        for n in (1..=2 * most).rev() {
            upcoming.state().insert(at(n), token(n));
        }
        assert_eq!(upcoming.state().moments.len(), MOST);
        assert_eq!(upcoming.next(), Some(at(1)));
        assert!(upcoming.is_asking(at(most + 1)) && !upcoming.is_asking(at(most)));
    }

    #[test]
    fn an_operation_has_the_moment_of_its_last_commit() {
        use crate::model::{Digest, JsonObject, Mutation, RequestDetails, Scope};
        use crate::operation::{CancelReason, Input, NewOperation, Policy, Work};
        let now = at(5);
        let new = NewOperation {
            scope: Scope::default(),
            type_name: "Acme::Test::Thing".parse().expect("a name"),
            mutation: Mutation::Create,
            component: Digest::of(b"c"),
            deadline: at(500),
            work: Work {
                desired_state: JsonObject::parse("{}").expect("an object"),
                previous_state: None,
                callback_context: None,
                details: RequestDetails::default(),
                fault: None,
            },
            identifier: None,
            reporting: None,
        };
        let accepted = Operation::accept(RequestToken::random(), new, now);
        let upcoming = Upcoming::new();
        upcoming.learn(upcoming.ask(), &[]);
        upcoming.note(&accepted.operation);
        assert_eq!(upcoming.next(), Some(now));
        assert!(upcoming.take_due(now));
        assert_eq!(upcoming.next(), Some(at(500)), "its deadline");
        let until = now.after(Duration::from_secs(9));
        upcoming.note(&accepted.clone().leased(until, now).operation);
        assert_eq!(upcoming.next(), None, "it is leased");
        upcoming.note(&accepted.operation);
        let cancel = Input::CancelAsked(CancelReason::Caller);
        let ended = accepted.operation.apply(cancel, now, &Policy::default());
        upcoming.note(&ended.expect("cancelled").operation);
        assert_eq!(upcoming.next(), None, "it has ended");
    }
}
