//! The time by the server's clock, which all hosts go by.
//!
//! *Invariant*: between two looks at the server's clock time goes on by the
//! monotonic clock, and goes back only where the server's clock jumps back.

#![expect(
    clippy::disallowed_methods,
    reason = "the server's clock is the time here, and this counts from one look at it to the next"
)]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Timestamp;

use super::connections::Connection;
use super::fault::Fault;

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Going back by more than this is a jump, to be followed; less is an imprecise
/// look, which is waited out.
const JUMP: Duration = Duration::from_millis(500);

/// A look that takes longer tells less than the one before it, which goes on unless
/// the clock has jumped meanwhile.
const LONGEST: Duration = Duration::from_millis(200);

/// One part in so many is how far clocks drift from each other at most.
const DRIFT: u32 = 1_000;

/// Gives the moment by the monotonic clock.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Counts from the last look at the server's clock.
#[derive(Default)]
pub(super) struct ServerTime(Mutex<Anchor>);

#[derive(Clone, Copy, Default)]
struct Anchor {
    /// A moment of ours, and since the Unix epoch by the server's clock.
    at: Option<(Instant, Duration)>,
    /// How long that look took.
    took: Duration,
    /// What was last told.
    told: Duration,
}

impl Anchor {
    /// Takes over what a look has shown. The server told the time at some moment
    /// before the answer, so that this goes after its clock, by no more than the look
    /// took, and never before it.
    fn set(&mut self, answered: Instant, took: Duration, server: Duration) {
        let tells_less = self.at.is_some_and(|(at, before)| {
            let age = answered.saturating_duration_since(at);
            // More than a look of that length is wrong by is a jump.
            let has_jumped = server.abs_diff(before + age) > took;
            took > LONGEST.max(self.took + age / DRIFT) && !has_jumped
        });
        if !tells_less {
            self.at = Some((answered, server));
            self.took = took;
        }
    }

    fn read(&mut self, now: Instant) -> Option<Duration> {
        let (at, server) = self.at?;
        let counted = server + now.saturating_duration_since(at);
        if counted + JUMP > self.told {
            self.told = self.told.max(counted);
        } else {
            self.told = counted;
        }
        Some(self.told)
    }
}

impl ServerTime {
    /// Gives the server's time, or none before the first look.
    pub(super) fn now(&self) -> Option<Timestamp> {
        let now = self.anchor().read(now())?;
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Some(Timestamp::from_millis(millis))
    }

    /// Looks at the server's clock.
    pub(super) async fn look(&self, on: &Connection) -> Result<(), Fault> {
        // The first may have to prepare the statement.
        on.statement(NOW).await?;
        let asked = now();
        let rows = on.query(NOW, &[]).await?;
        let answered = now();
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let micros = u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
        let took = answered.saturating_duration_since(asked);
        self.anchor()
            .set(answered, took, Duration::from_micros(micros));
        Ok(())
    }

    fn anchor(&self) -> std::sync::MutexGuard<'_, Anchor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_never_ahead_and_a_long_look_tells_of_jumps_alone() {
        let start = Instant::now();
        let at = |millis| Duration::from_millis(millis);
        let mut anchor = Anchor::default();
        // When it was answered, after how long, with what, and what the time is then.
        for (answered, took, told, known) in [
            // It is better than nothing.
            (3_000, 3_000, 10_000, 10_000),
            (4_000, 100, 13_950, 13_950),
            // The one before it goes on.
            (5_000, 201, 14_800, 14_950),
            (6_000, 200, 15_850, 15_850),
            // In a while clocks drift by more than a long look is wrong.
            (306_000, 450, 316_100, 316_100),
            (307_000, 800, 316_400, 317_100),
            (308_000, 800, 400_000, 400_000),
            (309_000, 900, 390_000, 390_000),
        ] {
            anchor.set(start + at(answered), at(took), at(told));
            let read = anchor.read(start + at(answered));
            assert_eq!(read, Some(at(known)), "{answered}");
        }
    }

    #[test]
    fn an_imprecise_look_is_waited_out_and_a_jump_is_followed() {
        let start = Instant::now();
        let at = |millis| Duration::from_millis(millis);
        for (server, first, later) in [
            (10_000, 10_000, 10_100),
            (10_040, 10_040, 10_140),
            (9_950, 10_000, 10_050),
            (9_600, 10_000, 10_000),
            (9_000, 9_000, 9_100),
            (60_000, 60_000, 60_100),
        ] {
            let mut anchor = Anchor {
                at: Some((start, at(server))),
                told: at(10_000),
                ..Anchor::default()
            };
            assert_eq!(anchor.read(start), Some(at(first)), "{server}");
            let then = anchor.read(start + at(100));
            assert_eq!(then, Some(at(later)), "{server}");
        }
        assert_eq!(Anchor::default().read(start), None);
    }
}
