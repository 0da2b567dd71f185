//! Whom committed events are told to.

use async_trait::async_trait;

use crate::operation::{Delivery, PendingReport};

/// Tells somebody, CloudFormation as a rule, of a committed event.
///
/// The engine's outbox calls it, for each operation in order, until the report
/// is accepted, superseded or refused for good. What to do after a delivery is
/// decided by [`PendingReport::settle`], not here.
#[async_trait]
pub trait Reporter: Send + Sync + 'static {
    /// Sends one report and says what became of it.
    ///
    /// It must end by itself, within seconds: bound every wait. The same report
    /// may be sent again after a crash of the host; its operation and version
    /// tell so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the report arrived; it will
    /// be sent again.
    async fn deliver(&self, report: &PendingReport) -> Delivery;
}
