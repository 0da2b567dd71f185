//! Accepts requests, runs their chains and reports their progress.

mod reporter;

pub use reporter::Reporter;
