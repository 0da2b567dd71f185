//! The integration tests: real components, real stores, real clients.

mod chaining;
// mod recovery;
mod tidy;
