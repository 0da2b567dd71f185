//! The integration tests: real components, real stores, real clients.

mod access;
mod bearer;
mod bucket;
mod chaining;
mod cloud_control;
mod cloudformation;
mod contract;
mod corpus;
mod generated;
mod hostile;
mod hosts;
mod leases;
mod official;
mod outbound;
mod recovery;
mod retention;
mod secrets;
mod telemetry;
mod terraform;
mod tidy;
mod unchanged;
mod write_only;
