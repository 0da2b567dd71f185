//! The command line of Formwork: runs handlers of CloudFormation resource types,
//! looks into them, and shows and cancels what an engine is doing.
//!
//! Everything that is shaped for people or for AWS is here; the engine is the
//! library `formwork-host`, and an embedder starts there.
//!
//! *Invariant*: results go to standard output, words to standard error. What is
//! on standard output is all JSON, or a table for `inspect` and `operations`.
//!
//! *Invariant*: a program that reads our output and stops early changes nothing
//! about what we do.

mod access;
mod commands;
mod config;
mod data;
mod doors;
mod environment;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod http_client;
mod limits;
mod operations;
mod telemetry;

pub use commands::{Cli, run};
pub use environment::Environment;
