//! What handlers may have of the file descriptors of the process.
//!
//! *Invariant*: all handlers together have no more files open than a quarter of what
//! the process may, and each leaves to others as many as it has: whatever they do, there
//! are descriptors left for connections, stores and processes.

use std::sync::Arc;

use crate::sandbox::places::Places;

/// How many descriptors a process is taken to have where the system says nothing.
const UNSAID: u64 = 10_240;

/// Gives handlers a quarter of the descriptors that the process may have now.
pub(in crate::sandbox) fn files_of_this_process() -> Arc<Places> {
    let places = usize::try_from(descriptors() / 4).unwrap_or(usize::MAX);
    Places::new(places, 1)
}

#[cfg(unix)]
fn descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit};

    getrlimit(Resource::Nofile).current.unwrap_or(UNSAID)
}

#[cfg(not(unix))]
fn descriptors() -> u64 {
    UNSAID
}
