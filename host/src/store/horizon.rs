//! How far back a store remembers.

use crate::model::Timestamp;

/// The moments before which a store forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Operations that ended before this moment are forgotten.
    pub ended: Timestamp,
    /// Client tokens that were first used before this moment have expired.
    pub client_tokens: Timestamp,
    /// Parked reports of an operation whose deadline was before this moment
    /// hold it back no longer.
    pub parked: Timestamp,
}

impl Horizon {
    /// Forgets nothing.
    pub const NEVER: Self = Self {
        ended: Timestamp::from_millis(0),
        client_tokens: Timestamp::from_millis(0),
        parked: Timestamp::from_millis(0),
    };
}

/// How many events are forgotten in one write at most, unless one operation has
/// more: as many as are deleted before others wait too long.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) const EVENTS: i64 = 10_000;
