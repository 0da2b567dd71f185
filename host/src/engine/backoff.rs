//! The pauses of who tries the same again until the store takes it.

use std::time::Duration;

use crate::clock::Clock;

/// The first and the longest pause.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles with each pause.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    pub(super) async fn pause(&mut self, clock: &dyn Clock) {
        clock.sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}
