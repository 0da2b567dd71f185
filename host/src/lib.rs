//! Runs CloudFormation resource-type handlers as sandboxed WebAssembly components, durably.

pub mod clock;
pub mod model;
pub mod sandbox;
