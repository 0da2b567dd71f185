//! How the scheduler of the system treats the threads of guests that may compute.

/// Whom a thread lets go before itself.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "it is heeded on Linux alone")
)]
pub(super) struct Priority {
    nice: i32,
    /// In nanoseconds. A thread that wakes up waits for the time slice of the running
    /// one to end, 3 ms as a rule, unless its own is the shorter one.
    slice: u64,
}

impl Priority {
    /// Goes before those that compute.
    pub(super) fn in_reserve() -> Self {
        Self {
            nice: nicer_by(3),
            slice: 10_000_000,
        }
    }

    /// Goes last: a quarter of a processor is left for it if one that is not nicer wants
    /// it whole. No longer slice is given.
    pub(super) fn computing() -> Self {
        Self {
            nice: nicer_by(5),
            slice: 100_000_000,
        }
    }

    /// Has the calling thread let others go first from now on.
    ///
    /// On Linux it becomes a batch thread, which takes the processor from nobody who
    /// runs; see `sched(7)` and `sched_setattr(2)`. Slices are heeded since Linux 6.12.
    /// Elsewhere the thread stays as it is.
    #[cfg(target_os = "linux")]
    pub(super) fn take(self) {
        let attributes = libc::sched_attr {
            size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
            sched_policy: libc::SCHED_BATCH.unsigned_abs(),
            sched_flags: 0,
            sched_nice: self.nice,
            sched_priority: 0,
            sched_runtime: self.slice,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the pointer is to a struct of the size that it names, which the
        // kernel reads before the call returns; thread 0 is the caller.
        let refused =
            unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if refused != 0 {
            let error = std::io::Error::last_os_error();
            tracing::debug!(%error, "threads of guests that compute compete with all others");
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) const fn take(self) {}
}

/// Gives how nice a thread is that is nicer than the calling one, which is none of
/// those that are started later: these take after who starts them.
fn nicer_by(much: i32) -> i32 {
    rustix::process::getpriority_process(None)
        .unwrap_or(0)
        .saturating_add(much)
}
