//! How often and how fast an operation goes on.

use std::time::Duration;

use crate::model::{RequestToken, Timestamp};

/// The settings of a type that decide about retries and re-invocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many attempts each invocation has. Default 3.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with each. Default 1 s.
    pub backoff: Duration,
    /// The longest pause between two attempts. Default 60 s.
    pub backoff_cap: Duration,
    /// How many invocations an operation may have. Default 10,000.
    pub max_invocations: u32,
    /// How many callbacks without delay are honoured in a row. Default 10.
    pub zero_delays: u32,
    /// The least delay after that. Default 1 s.
    pub least_delay: Duration,
    /// Whether a success that breaks the handler contract fails the operation,
    /// instead of being logged. Default false, because failing what succeeded
    /// would leak it.
    pub strict: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(60),
            max_invocations: 10_000,
            zero_delays: 10,
            least_delay: Duration::from_secs(1),
            strict: false,
        }
    }
}

impl Policy {
    /// Gives when the attempt after `attempt` may begin.
    pub(super) fn retry_at(&self, token: RequestToken, attempt: u32, now: Timestamp) -> Timestamp {
        now.after(backoff(self.backoff, self.backoff_cap, token, attempt))
    }

    /// Gives the delay before the next invocation, and how many delays of zero
    /// there were in a row with this one.
    pub(super) fn delay(&self, asked: Duration, zero_delays: u32) -> (Duration, u32) {
        if !asked.is_zero() {
            return (asked, 0);
        }
        let in_a_row = zero_delays.saturating_add(1);
        (
            if in_a_row > self.zero_delays {
                self.least_delay
            } else {
                Duration::ZERO
            },
            in_a_row,
        )
    }
}

/// Gives the pause after failed attempt number `attempt`: `base` doubled for
/// each, at most `cap`, and of that between a half and the whole.
///
/// The share is drawn from the token and the number: operations that failed
/// together spread out, and the same input always gives the same transition.
pub(super) fn backoff(
    base: Duration,
    cap: Duration,
    token: RequestToken,
    attempt: u32,
) -> Duration {
    let doubled = base.saturating_mul(
        1_u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX),
    );
    let whole = doubled.min(cap);
    let bytes = token.as_bytes();
    // The last bytes of a version 7 UUID are random.
    let draw = u32::from(u16::from_be_bytes([bytes[14], bytes[15]]).rotate_left(attempt % 16));
    whole / 2 + whole.mul_f64(f64::from(draw) / f64::from(u16::MAX)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_up_to_its_cap_and_keeps_at_least_a_half() {
        for (attempt, whole) in [(1, 1), (2, 2), (3, 4), (7, 60), (40, 60), (u32::MAX, 60)] {
            for draw in 0..50 {
                let token = RequestToken::from_bytes([draw * 5; 16]);
                let pause = backoff(
                    Duration::from_secs(1),
                    Duration::from_secs(60),
                    token,
                    attempt,
                );
                let whole = Duration::from_secs(whole);
                assert!(whole / 2 <= pause && pause <= whole, "{attempt}: {pause:?}");
            }
        }
    }

    #[test]
    fn the_eleventh_delay_of_zero_in_a_row_is_a_second() {
        let policy = Policy::default();
        let mut in_a_row = 0;
        for _ in 0..10 {
            let (delay, next) = policy.delay(Duration::ZERO, in_a_row);
            assert_eq!(delay, Duration::ZERO);
            in_a_row = next;
        }
        assert_eq!(
            policy.delay(Duration::ZERO, in_a_row),
            (Duration::from_secs(1), 11)
        );
        assert_eq!(
            policy.delay(Duration::from_secs(5), in_a_row),
            (Duration::from_secs(5), 0)
        );
    }
}
