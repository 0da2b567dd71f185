//! The integration tests: real components, real stores, real clients.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod chaining;
// mod recovery;
