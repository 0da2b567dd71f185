//! The leases that this engine has, or may have, and their heartbeat.
//!
//! *Invariant*: a lease is renewed from before its invocation begins until what
//! came of it is committed, under each number that the store may have for it, so
//! that it lapses only with its engine; an invocation whose lease is lost all the
//! same is cut.
//!
//! *Invariant*: no invocation begins on a lease that has lapsed, or soon will, as
//! one does that waited long for its turn: it is renewed before. Who waits for that
//! waits for the same renewal as all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::{RequestToken, Timestamp};
use crate::operation::{Lease, Operation};
use crate::store::{Held, StoreError};

use super::backoff::Backoff;
use super::outage::Outage;
use super::telemetry::{Happening, LeaseLoss, line};
use super::{Inner, Mode};

/// How long a lease lasts without a heartbeat, if nobody says otherwise. Bounds how
/// long after the loss of a host others go on with what it was doing; less takes a
/// slow database for a lost host.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How many heartbeats there are to a lease.
const HEARTBEATS: u32 = 4;

/// How often each may be tried: a try that is not answered ends in time for the
/// next.
const TRIES: u32 = 2;

/// An invocation begins with this part of its lease left at least.
const LEAST: u32 = 3;

/// The leases of invocations under way, and of those that are about to be.
#[derive(Default)]
pub(super) struct Leases {
    state: Mutex<State>,
    /// Told when somebody cannot wait for the next heartbeat.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    held: HashMap<RequestToken, Arc<watch::Sender<Standing>>>,
    /// Until when leases last that the store was asked for and may have given.
    expected: Vec<Timestamp>,
}

/// How it stands with a lease.
#[derive(Clone, Debug)]
struct Standing {
    /// The numbers under which the store may have it: all but the first are of
    /// commits of which nobody knows yet.
    numbers: Vec<u64>,
    until: Timestamp,
    is_lost: bool,
}

impl From<Lease> for Standing {
    fn from(lease: Lease) -> Self {
        Self {
            numbers: vec![lease.number],
            until: lease.until,
            is_lost: false,
        }
    }
}

/// One lease, for as long as it is held.
pub(super) struct Holding {
    leases: Arc<Leases>,
    token: RequestToken,
    standing: Arc<watch::Sender<Standing>>,
}

/// A lease that the store is asked for, until it has answered.
pub(super) struct Expecting<'l> {
    leases: &'l Leases,
    until: Timestamp,
}

impl Leases {
    /// Holds a lease that the store has given.
    pub(super) fn hold(self: &Arc<Self>, token: RequestToken, lease: Lease) -> Holding {
        let standing = Arc::new(watch::Sender::new(Standing::from(lease)));
        let before = self.state().held.insert(token, Arc::clone(&standing));
        if let Some(before) = before {
            // It has ended, or the store would not have given another.
            before.send_modify(|it| it.is_lost = true);
        }
        Holding {
            leases: Arc::clone(self),
            token,
            standing,
        }
    }

    /// Takes leases until that moment for ours from now on: the store may give them,
    /// and its answer come when they have lapsed.
    pub(super) fn expecting(&self, until: Timestamp) -> Expecting<'_> {
        self.state().expected.push(until);
        Expecting {
            leases: self,
            until,
        }
    }

    /// Tells whether a lease is ours, or may be.
    pub(super) fn holds(&self, token: RequestToken, lease: Lease) -> bool {
        let state = self.state();
        let held = state.held.get(&token);
        held.is_some_and(|it| it.borrow().numbers.contains(&lease.number))
            || state.expected.contains(&lease.until)
    }

    /// Gives the numbers under which the store may have what is held.
    fn numbers(&self) -> HashMap<RequestToken, Vec<u64>> {
        let state = self.state();
        let held = state.held.iter();
        held.map(|(token, it)| (*token, it.borrow().numbers.clone()))
            .collect()
    }

    /// Takes note of what came of renewing leases under these numbers. An operation
    /// is in `lost` once for each number under which the store does not have it.
    fn renewed(
        &self,
        asked: HashMap<RequestToken, Vec<u64>>,
        lost: &[RequestToken],
        until: Timestamp,
    ) {
        let mut losses: HashMap<RequestToken, usize> = HashMap::new();
        for token in lost {
            *losses.entry(*token).or_default() += 1;
        }
        let state = self.state();
        for (token, numbers) in asked {
            let Some(standing) = state.held.get(&token) else {
                continue;
            };
            let is_lost = losses.get(&token).is_some_and(|it| *it >= numbers.len());
            standing.send_if_modified(|now| {
                // Of what was tried or committed meanwhile this says nothing.
                if now.numbers != numbers {
                    return false;
                }
                if is_lost {
                    now.is_lost = true;
                } else {
                    now.until = until;
                }
                true
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// Says as which lease it goes on if a commit takes effect.
    pub(super) fn tries(&self, lease: Lease) {
        self.standing.send_if_modified(|it| {
            let is_new = !it.numbers.contains(&lease.number);
            if is_new {
                it.numbers.push(lease.number);
            }
            is_new
        });
    }

    /// Says as which lease it goes on, and as no other.
    pub(super) fn goes_on(&self, lease: Lease) {
        self.standing.send_replace(lease.into());
    }

    /// Tells whether the store may have it under that number.
    pub(super) fn may_be(&self, number: u64) -> bool {
        self.standing.borrow().numbers.contains(&number)
    }

    /// Waits until the lease is lost.
    pub(super) async fn lost(&self) {
        let mut standing = self.standing.subscribe();
        let lost = standing.wait_for(|it| it.is_lost).await;
        lost.expect("the sender is borrowed");
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        let held = state.held.get(&self.token);
        if held.is_some_and(|it| Arc::ptr_eq(it, &self.standing)) {
            state.held.remove(&self.token);
        }
    }
}

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        if let Some(at) = state.expected.iter().position(|it| *it == self.until) {
            state.expected.swap_remove(at);
        }
    }
}

/// Runs until the engine is to drop everything: one that drains still holds leases.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode) => {}
        () = beat(&inner) => {}
    }
}

/// Beats by the clock, however long the store takes to answer, and whenever somebody
/// cannot wait.
async fn beat(inner: &Inner) {
    let every = inner.lease / HEARTBEATS;
    let mut outage = Outage::default();
    let mut next = inner.clock.uptime() + every;
    loop {
        let left = next.saturating_sub(inner.clock.uptime());
        tokio::select! {
            () = inner.clock.sleep(left) => {
                // Beats that were missed, since the machine was asleep, are not made up for.
                next = (next + every).max(inner.clock.uptime());
            }
            () = inner.leases.wanted.notified() => {}
        }
        for _ in 0..TRIES {
            let asked = inner.leases.numbers();
            if asked.is_empty() {
                break;
            }
            let until = inner.clock.now().after(inner.lease);
            if let Some(lost) = outage.note(inner.renew(&asked, until).await) {
                inner.leases.renewed(asked, &lost, until);
                break;
            }
        }
    }
}

impl Inner {
    /// Sees to it that there is time to begin an invocation, and tells whether its
    /// lease is still ours.
    pub(super) async fn may_begin(&self, operation: &Operation, holding: &Holding) -> bool {
        let mut standing = holding.standing.subscribe();
        let mut backoff = Backoff::new();
        loop {
            let now = standing.borrow_and_update().clone();
            if now.is_lost {
                line!(
                    warn,
                    operation,
                    "the lease was lost to another host before its invocation began"
                );
                self.taken(operation);
                return false;
            }
            if now.until.since(self.clock.now()) >= self.lease / LEAST {
                return true;
            }
            self.leases.wanted.notify_one();
            tokio::select! {
                _ = standing.changed() => {}
                () = backoff.pause(self.clock.as_ref()) => {}
            }
        }
    }

    /// Tells that somebody else has taken a lease over.
    pub(super) fn taken(&self, operation: &Operation) {
        self.tell(|| Happening::LeaseLost {
            subject: operation.into(),
            loss: LeaseLoss::Taken,
        });
    }

    /// Prolongs leases until a moment, and gives the operations whose lease is lost,
    /// once for each number. Does not wait longer than until it is time to try again.
    async fn renew(
        &self,
        asked: &HashMap<RequestToken, Vec<u64>>,
        until: Timestamp,
    ) -> Result<Vec<RequestToken>, StoreError> {
        let held = asked.iter().flat_map(|(token, numbers)| {
            let token = *token;
            numbers.iter().map(move |&number| Held { token, number })
        });
        let held: Vec<Held> = held.collect();
        let patience = self.lease / HEARTBEATS / TRIES;
        tokio::select! {
            biased;
            renewed = self.store.renew(&held, until) => renewed,
            () = self.clock.sleep(patience) => Err(StoreError::Unavailable {
                place: "this engine".to_owned(),
                source: format!("leases were not renewed within {patience:?}").into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: RequestToken = RequestToken::from_bytes([1; 16]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn lease(number: u64) -> Lease {
        Lease {
            number,
            until: at(number),
        }
    }

    #[test]
    fn a_lease_is_held_under_each_number_until_one_of_them_is_known_to_be_it() {
        let leases = Arc::<Leases>::default();
        let holding = leases.hold(TOKEN, lease(2));
        assert!(leases.holds(TOKEN, lease(2)) && !leases.holds(TOKEN, lease(3)));
        for number in [3, 3, 3, 4] {
            holding.tries(lease(number));
        }
        assert!((2..=4).all(|number| leases.holds(TOKEN, lease(number))));
        assert_eq!(leases.numbers()[&TOKEN], [2, 3, 4]);
        holding.goes_on(lease(4));
        assert_eq!(leases.numbers()[&TOKEN], [4]);
        drop(holding);
        assert!(!leases.holds(TOKEN, lease(4)) && leases.numbers().is_empty());
    }

    #[test]
    fn a_lease_is_lost_once_the_store_has_it_under_none_of_its_numbers() {
        let leases = Arc::<Leases>::default();
        let holding = leases.hold(TOKEN, lease(2));
        let is_lost = || holding.standing.borrow().is_lost;
        holding.tries(lease(3));
        let asked = leases.numbers();
        leases.renewed(asked.clone(), &[TOKEN], at(60));
        assert!(!is_lost() && holding.standing.borrow().until == at(60));
        // The store had answered before the commit that was then confirmed.
        holding.goes_on(lease(3));
        leases.renewed(asked, &[TOKEN; 2], at(90));
        assert!(!is_lost() && holding.standing.borrow().until == at(3));
        leases.renewed(leases.numbers(), &[TOKEN], at(90));
        assert!(is_lost());
    }

    #[test]
    fn who_is_given_a_lease_anew_has_lost_the_one_before() {
        let leases = Arc::<Leases>::default();
        let before = leases.hold(TOKEN, lease(2));
        let after = leases.hold(TOKEN, lease(5));
        assert!(before.standing.borrow().is_lost && !after.standing.borrow().is_lost);
        drop(before);
        assert!(leases.holds(TOKEN, lease(5)));
    }

    #[test]
    fn leases_that_the_store_is_asked_for_are_taken_for_ours_until_it_has_answered() {
        let leases = Leases::default();
        let expecting = [leases.expecting(at(7)), leases.expecting(at(7))];
        let [first, second] = expecting;
        assert!(leases.holds(TOKEN, lease(7)) && !leases.holds(TOKEN, lease(8)));
        drop(first);
        assert!(leases.holds(TOKEN, lease(7)));
        drop(second);
        assert!(!leases.holds(TOKEN, lease(7)));
    }
}
