//! How much a store holds that is still to be done.

use std::collections::BTreeMap;

use crate::model::{Timestamp, TypeName};
use crate::operation::Status;

/// How much is live, and how much is unreported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The live operations of each type that has any.
    pub types: BTreeMap<TypeName, Queue>,
    /// The reports that are not yet accepted.
    pub reports: u64,
    /// Those of them that are parked.
    pub parked: u64,
    /// When the oldest event was decided whose report is next to be delivered,
    /// of the operations that are not held back by a refused one. A store may
    /// look at no more than 256 operations for it, those of the smallest tokens.
    pub oldest_report: Option<Timestamp>,
}

/// How many operations of a type are live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Those that may be taken, and are not.
    pub due: u64,
    /// Those whose time has not come.
    pub waiting: u64,
    /// Those with a lease, also a lapsed one.
    pub leased: u64,
    /// Those of the due and the waiting ones that were never leased.
    pub pending: u64,
    /// Those of the leased ones that are to be cancelled.
    pub cancelling: u64,
}

impl Queue {
    /// Gives how many operations have each status that a live one can have.
    #[must_use]
    pub const fn statuses(&self) -> [(Status, u64); 3] {
        let live = self.due + self.waiting + self.leased;
        let begun = live.saturating_sub(self.pending + self.cancelling);
        [
            (Status::Pending, self.pending),
            (Status::InProgress, begun),
            (Status::CancelInProgress, self.cancelling),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_pending_nor_cancelled_is_in_progress() {
        let queue = Queue {
            due: 1,
            waiting: 2,
            leased: 4,
            pending: 2,
            cancelling: 3,
        };
        let live = [
            (Status::Pending, 2),
            (Status::InProgress, 2),
            (Status::CancelInProgress, 3),
        ];
        assert_eq!(queue.statuses(), live);
    }
}
