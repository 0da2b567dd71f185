//! Core dumps, which hold all secrets of a process.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Has this process leave no core dump, and lets no other process of its user look
/// into its memory.
///
/// Where the system refuses, the log says so, and the process goes on.
pub(super) fn forbid() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may leave a core dump, which holds secrets");
    }
    // The limit does not hold where dumps are handed to another program.
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "a crash may leave a core dump, which holds secrets");
    }
}
