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

/// Counts from the last look at the server's clock.
#[derive(Default)]
pub(super) struct ServerTime(Mutex<Anchor>);

#[derive(Clone, Copy, Default)]
struct Anchor {
    /// A moment of ours, and since the Unix epoch by the server's clock.
    at: Option<(Instant, Duration)>,
    /// What was last told.
    told: Duration,
}

impl Anchor {
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
        let now = self.anchor().read(Instant::now())?;
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Some(Timestamp::from_millis(millis))
    }

    /// Looks at the server's clock.
    pub(super) async fn look(&self, on: &Connection) -> Result<(), Fault> {
        // The first may have to prepare the statement.
        on.statement(NOW).await?;
        let asked = Instant::now();
        let rows = on.query(NOW, &[]).await?;
        let answered = Instant::now();
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let micros = u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
        // Half of the way there and back is the way there.
        let at = asked + answered.saturating_duration_since(asked) / 2;
        self.anchor().at = Some((at, Duration::from_micros(micros)));
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
            };
            assert_eq!(anchor.read(start), Some(at(first)), "{server}");
            let then = anchor.read(start + at(100));
            assert_eq!(then, Some(at(later)), "{server}");
        }
        assert_eq!(Anchor::default().read(start), None);
    }
}
