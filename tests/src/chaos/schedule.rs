//! What a campaign does, drawn from its seed.
//!
//! *Invariant*: each decision is drawn from the seed and from the place where it
//! is made, and so does not depend on which task or process is faster.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Draws the decisions of one place.
#[derive(Debug)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// Takes the dice of a place, such as round 7.
    #[must_use]
    pub fn of(seed: u64, place: &str, number: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(number.to_be_bytes());
        hash.update(place.as_bytes());
        Self(Xoshiro256PlusPlus::from_seed(hash.finalize().into()))
    }

    /// Gives a number of the range.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// Gives a time of so many milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// Says yes so many times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1..=100) <= percent
    }

    /// Gives one of several, or none of none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let last = all.len().checked_sub(1)?;
        all.get(usize::try_from(self.between(0..=last as u64)).unwrap_or(last))
    }

    /// Brings several into another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = usize::try_from(self.between(0..=last as u64)).unwrap_or(last);
            all.swap(last, other);
        }
    }
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mutation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is removed.
    Delete,
}

impl Mutation {
    /// Gives the name of the action.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Through which door a resource is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Door {
    /// Cloud Control: answered by a request token, whose status is asked for.
    CloudControl,
    /// Lambda's `Invoke` of type `Event`: reported by a bearer token.
    Event,
}

/// One invocation that answers `IN_PROGRESS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// How long the handler takes, in milliseconds.
    pub works: u64,
    /// The delay that it asks for, in seconds.
    pub delay: u64,
}

/// How the last invocation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum End {
    /// SUCCESS.
    Success,
    /// SUCCESS in the second attempt, after a trap.
    Trap,
    /// FAILED with [`FAILURE`].
    Failure,
}

/// The code that a handler fails with: one that is not tried again.
pub const FAILURE: &str = "ServiceLimitExceeded";

/// One operation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The primary identifier of the resource; no two lives share one.
    pub name: String,
    /// What is done to it.
    pub mutation: Mutation,
    /// Where it is asked for.
    pub door: Door,
    /// The invocations before the last.
    pub steps: Vec<Step>,
    /// How long the last one takes, in milliseconds.
    pub works: u64,
    /// How the last one answers.
    pub end: End,
    /// When the caller cancels it, counted from the acceptance, in milliseconds.
    pub cancelled_after: Option<u64>,
    /// Whether the caller asks again with the same token once it has ended.
    pub asked_again: bool,
}

impl Plan {
    /// Gives the steps in the words of the scripted guest.
    #[must_use]
    pub fn script(&self) -> Vec<String> {
        let before = self
            .steps
            .iter()
            .map(|Step { works, delay }| format!("record & sleep:{works} & in-progress:{delay}"));
        let works = self.works;
        let end = match self.end {
            End::Success => "success".to_owned(),
            End::Trap => "attempts-trap:2".to_owned(),
            End::Failure => format!("fail:{FAILURE}"),
        };
        before
            .chain([format!("record & sleep:{works} & {end}")])
            .collect()
    }

    /// Gives the caller's idempotency key: the client token, or the bearer token.
    #[must_use]
    pub fn key(&self) -> String {
        let (life, _) = self.name.split_once('!').unwrap_or((&self.name, ""));
        format!("{life}-{}", self.mutation.as_str().to_lowercase())
    }
}

/// What happens to one resource, the first one first. What follows on a plan
/// that does not end well is left out.
///
/// The seed is a part of all names, so that campaigns can share a database.
#[must_use]
pub fn life(seed: u64, number: u64) -> Vec<Plan> {
    let mut dice = Dice::of(seed, "life", number);
    let door = if dice.chance(60) {
        Door::CloudControl
    } else {
        Door::Event
    };
    let name = match door {
        // A DELETE by identifier has no script but what stands in the name.
        Door::CloudControl => format!("s{seed}-n{number}!record & success"),
        Door::Event => format!("s{seed}-n{number}"),
    };
    let mut mutations = vec![Mutation::Create];
    if dice.chance(60) {
        mutations.push(Mutation::Update);
    }
    if dice.chance(60) {
        mutations.push(Mutation::Delete);
    }
    let plans = mutations.into_iter().map(|mutation| {
        let by_identifier = door == Door::CloudControl && mutation == Mutation::Delete;
        let invocations = if by_identifier {
            0
        } else {
            dice.between(0..=4)
        };
        let steps = (0..invocations)
            .map(|_| Step {
                works: dice.between(0..=60),
                delay: *dice.one_of(&[0, 0, 1, 1, 2]).unwrap_or(&0),
            })
            .collect();
        let works = if by_identifier {
            0
        } else {
            dice.between(0..=60)
        };
        let end = match dice.between(1..=100) {
            _ if by_identifier => End::Success,
            1..=8 => End::Failure,
            9..=16 => End::Trap,
            _ => End::Success,
        };
        let cancels = door == Door::CloudControl && !by_identifier && dice.chance(12);
        Plan {
            name: name.clone(),
            mutation,
            door,
            steps,
            works,
            end,
            cancelled_after: cancels.then(|| dice.between(0..=2_500)),
            asked_again: dice.chance(50),
        }
    });
    plans.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_lives_and_another_seed_others() {
        let lives = |seed| (0..50).map(|number| life(seed, number)).collect::<Vec<_>>();
        assert_eq!(lives(7), lives(7));
        assert_ne!(lives(7), lives(8));
    }

    #[test]
    fn lives_meet_all_that_they_can() {
        let plans: Vec<Plan> = (0..500).flat_map(|number| life(1, number)).collect();
        let some = |wanted: &dyn Fn(&Plan) -> bool| assert!(plans.iter().any(wanted));
        for door in [Door::CloudControl, Door::Event] {
            for mutation in [Mutation::Create, Mutation::Update, Mutation::Delete] {
                some(&|plan| plan.door == door && plan.mutation == mutation);
            }
            for end in [End::Success, End::Trap, End::Failure] {
                some(&|plan| plan.door == door && plan.end == end && plan.steps.len() > 2);
            }
        }
        some(&|plan| plan.cancelled_after.is_some());
        some(&|plan| plan.asked_again);
    }

    #[test]
    fn a_plan_says_its_steps_in_the_words_of_the_guest() {
        let plan = Plan {
            name: "s1-n2!record & success".to_owned(),
            mutation: Mutation::Update,
            door: Door::CloudControl,
            steps: vec![Step { works: 5, delay: 2 }],
            works: 7,
            end: End::Trap,
            cancelled_after: None,
            asked_again: false,
        };
        let script = [
            "record & sleep:5 & in-progress:2",
            "record & sleep:7 & attempts-trap:2",
        ];
        assert_eq!(plan.script(), script);
        assert_eq!(plan.key(), "s1-n2-update");
    }
}
