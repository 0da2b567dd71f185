//! The places for invocations: who has one, and who waits for one.
//!
//! *Invariant*: of an engine, and of each type, no more operations are leased and
//! not yet answered than there are places.
//!
//! *Invariant*: nobody takes a place past another type that waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::TypeName;
use crate::store::Share;

use super::pulse::{Loop, Pulse};
use super::share::{Demand, shares};
use super::turn::Turn;

/// The places of one engine.
pub(super) struct Slots {
    most: usize,
    pulse: Arc<Pulse>,
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    /// How many places are taken, by type.
    taken: HashMap<TypeName, usize>,
    /// How many answers are being committed; their places are free.
    committing: usize,
    /// The types of which something may be due that has no place yet.
    waiting: HashSet<TypeName>,
    /// Whether places are being filled from the store.
    claiming: bool,
}

impl State {
    fn all(&self) -> usize {
        self.taken.values().sum()
    }

    fn release(&mut self, type_name: &TypeName) {
        if let Some(taken) = self.taken.get_mut(type_name) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(type_name);
            }
        }
    }

    /// How many places there are now. Answers that the store does not take hold
    /// them back, lest they pile up.
    fn places(&self, most: usize) -> usize {
        most.min((2 * most).saturating_sub(self.committing))
    }
}

impl Slots {
    pub(super) fn new(most: usize, pulse: Arc<Pulse>) -> Self {
        Self {
            most,
            pulse,
            state: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how many operations of each type may be leased now, and how many in all.
    pub(super) fn room(&self, demands: &[Demand], turn: usize) -> (Vec<Share>, usize) {
        let state = self.state();
        let places = state.places(self.most);
        let free = places.saturating_sub(state.all());
        (shares(demands, &state.taken, places, turn), free)
    }

    /// Tells whether a type that waits has room.
    pub(super) fn awaited(&self, demands: &[Demand]) -> bool {
        if self.state().waiting.is_empty() {
            return false;
        }
        let (room, _) = self.room(demands, 0);
        let state = self.state();
        room.iter()
            .any(|share| state.waiting.contains(&share.type_name))
    }

    /// Takes note of which types wait: those of which `waits` says so.
    pub(super) fn looked(&self, demands: &[Demand], waits: impl Fn(&TypeName) -> bool) {
        let mut state = self.state();
        for demand in demands {
            if waits(&demand.type_name) {
                state.waiting.insert(demand.type_name.clone());
            } else {
                state.waiting.remove(&demand.type_name);
            }
        }
    }

    /// Keeps the free places for a claim, for as long as what it gives is held.
    pub(super) fn claiming(&self) -> Claiming<'_> {
        self.state().claiming = true;
        Claiming(self)
    }

    /// Takes a place that [`Slots::room`] told of.
    pub(super) fn take(self: &Arc<Self>, type_name: TypeName) -> Slot {
        *self.state().taken.entry(type_name.clone()).or_default() += 1;
        self.slot(type_name)
    }

    /// Takes a place for an operation of a type that may have `limit` of them
    /// and is one of `types`, if there is one that nobody waits for.
    pub(super) fn take_free(
        self: &Arc<Self>,
        type_name: &TypeName,
        limit: usize,
        types: usize,
    ) -> Option<Slot> {
        let mut state = self.state();
        let places = state.places(self.most);
        // As in a share: a busy type leaves a place to each other one.
        let most = places.saturating_sub(types.saturating_sub(1)).max(1);
        let mine = state.taken.get(type_name).copied().unwrap_or(0);
        let is_free = !state.claiming
            && mine < limit.min(most)
            && !state.waiting.contains(type_name)
            && state.all() + state.waiting.len() < places;
        if !is_free {
            return None;
        }
        *state.taken.entry(type_name.clone()).or_default() += 1;
        drop(state);
        Some(self.slot(type_name.clone()))
    }

    fn slot(self: &Arc<Self>, type_name: TypeName) -> Slot {
        Slot {
            slots: Arc::clone(self),
            type_name,
            stage: Stage::Invoking,
            turn: Turn::begin(&self.pulse),
        }
    }

    /// Waits until nobody has a place, nor an answer to commit.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            {
                let state = self.state();
                if state.all() + state.committing == 0 {
                    return;
                }
            }
            emptied.await;
        }
    }
}

/// A claim that is being made.
pub(super) struct Claiming<'a>(&'a Slots);

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        self.0.state().claiming = false;
    }
}

/// A place, and the turn of whoever has it.
pub(super) struct Slot {
    slots: Arc<Slots>,
    type_name: TypeName,
    stage: Stage,
    turn: Arc<Turn>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Invoking,
    Committing,
}

impl Slot {
    pub(super) const fn turn(&self) -> &Arc<Turn> {
        &self.turn
    }

    /// Tells whether the operation may go on at once in its place. It may not
    /// where another type waits for places and there are none, or where there is
    /// no place any more.
    pub(super) fn may_go_on(&self, limit: usize) -> bool {
        let state = self.slots.state();
        let places = state.places(self.slots.most);
        let mine = state.taken.get(&self.type_name).copied().unwrap_or(0);
        let others = state.waiting.iter().any(|name| *name != self.type_name);
        self.stage == Stage::Invoking
            && mine <= limit
            && state.all() <= places
            && !(others && state.all() == places)
    }

    /// Frees the place: the answer is there, and is to be committed.
    pub(super) fn answered(&mut self) {
        if self.stage == Stage::Committing {
            return;
        }
        self.stage = Stage::Committing;
        let mut state = self.slots.state();
        state.release(&self.type_name);
        state.committing += 1;
        let is_awaited = !state.waiting.is_empty();
        drop(state);
        if is_awaited {
            self.slots.pulse.work(Loop::Dispatch);
        }
    }

    /// Takes the place again that was freed for an answer, whether there is one or
    /// not: the answer has leased the operation after all, and nobody else will go
    /// on with it.
    pub(super) fn retake(&mut self) {
        if self.stage == Stage::Invoking {
            return;
        }
        self.stage = Stage::Invoking;
        let mut state = self.slots.state();
        *state.taken.entry(self.type_name.clone()).or_default() += 1;
        state.committing -= 1;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        match self.stage {
            Stage::Invoking => state.release(&self.type_name),
            Stage::Committing => state.committing -= 1,
        }
        let is_awaited = !state.waiting.is_empty();
        let is_empty = state.all() + state.committing == 0;
        drop(state);
        if is_awaited {
            self.slots.pulse.work(Loop::Dispatch);
        }
        if is_empty {
            self.slots.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(letter: char) -> TypeName {
        format!("Acme::Test::{letter}{letter}")
            .parse()
            .expect("a type name")
    }

    fn slots(most: usize) -> Arc<Slots> {
        Arc::new(Slots::new(most, Arc::new(Pulse::new())))
    }

    fn demands(limits: &[(char, usize)]) -> Vec<Demand> {
        let demand = |(letter, limit): &(char, usize)| Demand {
            type_name: name(*letter),
            limit: *limit,
        };
        limits.iter().map(demand).collect()
    }

    #[test]
    fn a_free_place_is_taken_up_to_the_limit_and_beside_a_place_for_each_other_type() {
        let slots = slots(4);
        let a: Vec<_> = (0..9)
            .map_while(|_| slots.take_free(&name('A'), 2, 1))
            .collect();
        assert_eq!(a.len(), 2, "its limit");
        drop(a);
        let a: Vec<_> = (0..9)
            .map_while(|_| slots.take_free(&name('A'), 9, 3))
            .collect();
        assert_eq!(a.len(), 2, "two others have a place each");
        let claiming = slots.claiming();
        assert!(
            slots.take_free(&name('B'), 9, 3).is_none(),
            "it is asked for"
        );
        drop(claiming);
        assert!(slots.take_free(&name('B'), 9, 3).is_some());
    }

    #[test]
    fn nobody_takes_the_place_of_a_type_that_waits() {
        let slots = slots(2);
        let all = demands(&[('A', 9), ('B', 9)]);
        let held = slots.take_free(&name('A'), 9, 2).expect("free");
        slots.looked(&all, |waits| *waits == name('B'));
        assert!(slots.take_free(&name('A'), 9, 2).is_none());
        assert!(
            slots.take_free(&name('B'), 9, 2).is_none(),
            "others came first"
        );
        assert!(slots.awaited(&all));
        assert!(held.may_go_on(9), "there is a place for B");
        let other = slots.take(name('B'));
        assert!(!held.may_go_on(9) && other.may_go_on(9));
        assert!(!slots.awaited(&all));
        slots.looked(&all, |_| false);
        assert!(held.may_go_on(9));
        assert!(!held.may_go_on(0), "its limit has been lowered");
    }

    #[test]
    fn an_answer_frees_its_place_and_answers_that_are_not_taken_hold_places_back() {
        let slots = slots(3);
        let demands = demands(&[('A', 9)]);
        let mut answered = Vec::new();
        for round in 0..9 {
            let (_, free) = slots.room(&demands, 0);
            assert_eq!(free, 3.min(6 - answered.len()), "round {round}");
            if free == 0 {
                break;
            }
            let mut slot = slots.take(name('A'));
            slot.answered();
            answered.push(slot);
        }
        assert_eq!(answered.len(), 6);
        answered.clear();
        assert_eq!(slots.room(&demands, 0).1, 3);
    }

    #[test]
    fn a_place_that_was_freed_is_taken_again_by_who_goes_on_after_all() {
        let slots = slots(1);
        let demands = demands(&[('A', 9)]);
        let mut slot = slots.take(name('A'));
        slot.answered();
        assert_eq!(slots.room(&demands, 0).1, 1);
        slot.retake();
        slot.retake();
        assert_eq!(slots.room(&demands, 0).1, 0);
        drop(slot);
        assert_eq!(slots.room(&demands, 0).1, 1);
    }
}
