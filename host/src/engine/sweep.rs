//! The loop that ends or retries what no worker will finish.
//!
//! *Invariant*: it holds up nothing else, and what it cannot end holds up none of
//! the rest: each is tried once in a round, side by side, and seldomer the more
//! often it has failed. When it is the store that fails, the round ends, and the next
//! begins after a pause.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::model::{RequestToken, Timestamp};
use crate::operation::{Input, Operation};
use crate::store::StoreError;

use super::causes::Causes;
use super::error::ChangeError;
use super::outage::{Outage, concerns_all};
use super::pulse::Loop;
use super::telemetry::{Happening, LeaseLoss, line};
use super::{Inner, Mode};

/// How many operations are ended at once.
const ROUND: usize = 256;

/// How many of those that could not be ended are remembered, and passed over.
const REMEMBERED: usize = 1_000;

/// The first and the longest pause before one that could not be ended is tried
/// again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_CAP: Duration = Duration::from_secs(60);

/// Runs until the mode says otherwise.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode.clone()) => {}
        () = work(&inner, mode) => inner.pulse.stopped(Loop::Sweep),
    }
}

async fn work(inner: &Inner, mut mode: watch::Receiver<Mode>) {
    let mut sweep = Sweep::default();
    let mut outage = Outage::default();
    while *mode.borrow_and_update() == Mode::Run {
        let news = inner.pulse.look(Loop::Sweep);
        let now = inner.clock.now();
        let wake = match outage.note(sweep.round(inner, now).await) {
            Some(false) => {
                let next = sweep.failing.next(now);
                inner.pulse.nothing(Loop::Sweep, news, next);
                next
            }
            Some(true) => continue,
            None => Some(now.after(PAUSE)),
        };
        let wake = async {
            match wake {
                Some(at) => inner.clock.sleep_until(at).await,
                // Who looks for work says when there may be something.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = mode.changed() => {}
            () = inner.pulse.news(Loop::Sweep), if !outage.lasts() => {}
            () = wake => {}
        }
    }
}

/// What is remembered from round to round.
#[derive(Default)]
struct Sweep {
    failing: Failing,
    /// How many operations were left to others the last time.
    left: usize,
}

impl Sweep {
    /// Tries each operation once, and tells whether there may be more to do. Gives
    /// the error if the store fails.
    async fn round(&mut self, inner: &Inner, now: Timestamp) -> Result<bool, StoreError> {
        // Those that are invoked here may have lapsed too.
        let passed_over = 2 * inner.concurrency + self.left + self.failing.0.len();
        let mut found = inner.store.sweep(now, ROUND + passed_over).await?;
        let mut tokens = HashSet::new();
        // One can have lapsed and be at its deadline.
        found.retain(|operation| tokens.insert(operation.token));
        self.failing.0.retain(|token, _| tokens.contains(token));
        self.left = 0;
        let mut due = Vec::new();
        for operation in found {
            match to_do(inner, &operation, now) {
                Some(_) if due.len() == ROUND || self.failing.pauses(operation.token, now) => {}
                Some(input) => due.push((operation, input)),
                None => self.left += 1,
            }
        }
        let mut more = due.len() == ROUND;
        let mut failure = None;
        let tried = due.into_iter().map(|(operation, input)| async move {
            let ended = settle(inner, &operation, input).await;
            (operation, ended)
        });
        for (operation, ended) in join_all(tried).await {
            match ended {
                Ok(ended) => more |= ended,
                Err(ChangeError::Store { source, .. }) if concerns_all(&source) => {
                    failure = Some(source);
                }
                Err(error) => {
                    let pause = self.failing.failed(operation.token, now);
                    line!(
                        error,
                        &operation,
                        error = %Causes(&error),
                        "an operation that no worker will finish could not be ended; trying again in {pause:?}"
                    );
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            // Of those that are not remembered the same would be tried again at once.
            None => Ok(more && self.failing.0.len() < REMEMBERED),
        }
    }
}

/// Says what happens to an operation that no worker will finish, or nothing if it is
/// to be left to others.
///
/// A lease that lapsed while this very engine still runs the invocation, since
/// the store was out of reach or the machine was asleep, is left to it: its
/// answer must not be lost. Whether a lost invocation is tried again is a
/// setting of its type, so it is left to a host that has the type, or to the
/// moment at which this one has loaded it; at its deadline anyone ends it.
fn to_do(inner: &Inner, operation: &Operation, now: Timestamp) -> Option<Input> {
    match operation.lease {
        Some(lease) if inner.leases.holds(operation.token, lease) => None,
        _ if now >= operation.deadline => Some(Input::DeadlinePassed),
        Some(_) if inner.registry.get(&operation.type_name).is_none() => None,
        Some(_) => Some(Input::LeaseLapsed),
        None => Some(Input::DeadlinePassed),
    }
}

/// Commits what happens to an operation, and tells whether it did. Somebody else may
/// have come before.
async fn settle(inner: &Inner, operation: &Operation, input: Input) -> Result<bool, ChangeError> {
    let lapsed = input == Input::LeaseLapsed;
    match inner.change_once(operation, input).await {
        Ok(Some(_)) => {
            if lapsed {
                inner.tell(|| Happening::LeaseLost {
                    subject: operation.into(),
                    loss: LeaseLoss::Lapsed,
                });
            }
            Ok(true)
        }
        Ok(None) | Err(ChangeError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The operations that could not be ended.
#[derive(Default)]
struct Failing(HashMap<RequestToken, Failed>);

struct Failed {
    pause: Duration,
    again: Timestamp,
}

impl Failing {
    /// Tells whether it is too early to try an operation again.
    fn pauses(&self, token: RequestToken, now: Timestamp) -> bool {
        let failed = self.0.get(&token);
        failed.is_some_and(|failed| now < failed.again)
    }

    /// Takes note that an operation could not be ended, and gives how long it is
    /// let be, if there is room for one more.
    fn failed(&mut self, token: RequestToken, now: Timestamp) -> Duration {
        let before = self.0.get(&token);
        let pause = before.map_or(PAUSE, |failed| (failed.pause * 2).min(PAUSE_CAP));
        let again = now.after(pause);
        if before.is_some() || self.0.len() < REMEMBERED {
            self.0.insert(token, Failed { pause, again });
        }
        pause
    }

    /// Gives when the next one is tried again after `now`.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = self.0.values().map(|failed| failed.again);
        moments.filter(|again| *again > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_ever_seldomer() {
        let mut failing = Failing::default();
        let token = RequestToken::random();
        let mut now = Timestamp::from_millis(1_000_000);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(!failing.pauses(token, now));
            let pause = failing.failed(token, now);
            assert_eq!(failing.next(now), Some(now.after(pause)));
            assert!(failing.pauses(token, now));
            now = now.after(pause);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn no_more_of_what_fails_is_remembered_than_there_is_room_for() {
        let mut failing = Failing::default();
        let now = Timestamp::from_millis(1_000_000);
        let first = RequestToken::random();
        failing.failed(first, now);
        for _ in 0..REMEMBERED {
            failing.failed(RequestToken::random(), now);
        }
        assert_eq!(failing.0.len(), REMEMBERED);
        assert_eq!(failing.failed(first, now), PAUSE * 2);
    }
}
