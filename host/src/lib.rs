//! Runs CloudFormation resource-type handlers as sandboxed WebAssembly components, durably.

pub mod clock;
pub mod engine;
pub mod model;
pub mod operation;
pub mod registry;
pub mod sandbox;
pub mod store;
