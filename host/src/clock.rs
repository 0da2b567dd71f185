//! The engine's clock: the one place that asks the operating system for the time.
//!
//! *Invariant*: a wait may end late and never early, also across a change of
//! the system's time.
//!
//! *Invariant*: [`Clock::uptime`] never goes back, whatever happens to the
//! wall time.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the clock that all else takes time from"
)]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::model::Timestamp;

/// Tells the time and waits for it.
///
/// Guests read the same clock: a manual clock is theirs too.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Gives the wall time.
    fn now(&self) -> Timestamp;

    /// Gives the time since some fixed moment; it never goes back.
    fn uptime(&self) -> Duration;

    /// Waits until the wall time is `due` or later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and leaves nothing behind.
    async fn sleep_until(&self, due: Timestamp);

    /// Waits until [`Clock::uptime`] has grown by `span` or more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and leaves nothing behind.
    async fn sleep(&self, span: Duration);
}

/// A difference between the system's time and ours beyond this is a jump, to
/// be followed; less is the slewing that time servers do, to be ignored.
const JUMP: Duration = Duration::from_millis(500);

/// The longest wait without a look at the system's time. Bounds how late a
/// jump is noticed.
const SLICE: Duration = Duration::from_secs(5);

/// Follows the system: wall time at rest, monotonic within the process.
///
/// Time is counted from an anchor by the monotonic clock, so that it does not
/// go back when the system's time is slewed. When the two differ by more than
/// 500 ms the clock takes the system's time as its new anchor.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    anchor: Mutex<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    instant: Instant,
    /// Time since the Unix epoch at `instant`.
    wall: Duration,
}

impl Anchor {
    /// Gives the wall time at `instant`, and moves to `system` if that is a
    /// jump away.
    fn read(&mut self, instant: Instant, system: Duration) -> Duration {
        let counted = self.wall + instant.saturating_duration_since(self.instant);
        if counted.abs_diff(system) <= JUMP {
            return counted;
        }
        *self = Self {
            instant,
            wall: system,
        };
        system
    }
}

impl SystemClock {
    /// Makes a clock anchored at the system's present time.
    #[must_use]
    pub fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            anchor: Mutex::new(Anchor {
                instant: start,
                wall: system_time(),
            }),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives the system's time since the Unix epoch; zero before it.
fn system_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let wall = self
            .anchor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(Instant::now(), system_time());
        Timestamp::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep_until(&self, due: Timestamp) {
        loop {
            let left = due.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }

    async fn sleep(&self, span: Duration) {
        let due = self.uptime().saturating_add(span);
        loop {
            let left = due.saturating_sub(self.uptime());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Stands still until it is moved. For tests, contract tests and embedders
/// that simulate time.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Manual>);

#[derive(Clone, Copy, Debug)]
struct Manual {
    now: Timestamp,
    uptime: Duration,
}

impl ManualClock {
    /// Makes a clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(watch::Sender::new(Manual {
            now,
            uptime: Duration::ZERO,
        }))
    }

    /// Moves the clock on by `span`, in whole milliseconds rounded up, and
    /// wakes whoever waited for that.
    pub fn advance(&self, span: Duration) {
        self.0.send_modify(|manual| {
            let now = manual.now.after(span);
            manual.uptime += now.since(manual.now);
            manual.now = now;
        });
    }

    /// Sets the wall time, back too, and wakes whoever waited for that.
    pub fn set(&self, now: Timestamp) {
        self.0.send_modify(|manual| {
            manual.uptime += now.since(manual.now);
            manual.now = now;
        });
    }

    async fn wait(&self, reached: impl Fn(&Manual) -> bool + Send) {
        self.0
            .subscribe()
            .wait_for(|manual| reached(manual))
            .await
            .expect("the sender lives as long as the clock, which is borrowed");
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    fn uptime(&self) -> Duration {
        self.0.borrow().uptime
    }

    async fn sleep_until(&self, due: Timestamp) {
        self.wait(|manual| manual.now >= due).await;
    }

    async fn sleep(&self, span: Duration) {
        let due = self.uptime().saturating_add(span);
        self.wait(|manual| manual.uptime >= due).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn is_ready(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        pin!(future)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn slewing_is_ignored_and_a_jump_is_followed() {
        let instant = Instant::now();
        let wall = 1000 * SECOND;
        let later = instant + SECOND;
        for (system, expected) in [
            (wall + SECOND, wall + SECOND),
            (wall + SECOND - JUMP, wall + SECOND),
            (wall + SECOND + JUMP, wall + SECOND),
            (wall + 3 * SECOND, wall + 3 * SECOND),
            (wall - 100 * SECOND, wall - 100 * SECOND),
        ] {
            let mut anchor = Anchor { instant, wall };
            assert_eq!(anchor.read(later, system), expected, "{system:?}");
            assert_eq!(
                anchor.read(later + SECOND, system + SECOND),
                expected + SECOND
            );
        }
    }

    #[tokio::test]
    async fn the_system_clock_never_wakes_early() {
        let clock = SystemClock::new();
        let due = clock.now().after(Duration::from_millis(3));
        clock.sleep_until(due).await;
        assert!(clock.now() >= due);
    }

    #[test]
    fn a_manual_clock_wakes_sleepers_when_it_is_moved_far_enough() {
        let clock = ManualClock::new(Timestamp::from_millis(5_000));
        let mut until = clock.sleep_until(Timestamp::from_millis(7_000));
        let mut span = clock.sleep(3 * SECOND);
        assert!(!is_ready(&mut until) && !is_ready(&mut span));
        clock.advance(2 * SECOND);
        assert!(is_ready(&mut until) && !is_ready(&mut span));
        clock.advance(SECOND);
        assert!(is_ready(&mut span));
    }

    #[test]
    fn uptime_never_goes_back() {
        let clock = ManualClock::new(Timestamp::from_millis(5_000));
        clock.advance(SECOND);
        clock.set(Timestamp::from_millis(0));
        assert_eq!((clock.now().as_millis(), clock.uptime()), (0, SECOND));
        clock.set(Timestamp::from_millis(2_000));
        assert_eq!(clock.uptime(), 3 * SECOND);
    }
}
