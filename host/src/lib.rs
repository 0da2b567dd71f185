//! Runs CloudFormation resource-type handlers as sandboxed WebAssembly components, durably.

pub mod model;
