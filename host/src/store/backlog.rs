//! How much a store holds that is still to be done.

use std::collections::BTreeMap;

use crate::model::{Timestamp, TypeName};

/// How much is live, and how much is unreported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The live operations of each type that has any.
    pub types: BTreeMap<TypeName, Queue>,
    /// The reports that are not yet accepted.
    pub reports: u64,
    /// Those of them that were refused for good.
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
}
