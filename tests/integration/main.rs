//! The integration tests: real components, real stores, real clients.

mod chaining;
mod cloudformation;
// mod recovery;
mod tidy;
