//! Accepts requests, runs their chains and reports their progress.

mod json_lines;
mod reporter;

pub use json_lines::JsonLinesReporter;
pub use reporter::Reporter;
