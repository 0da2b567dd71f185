//! How long the scheduler of the system lets a thread of guests go on while others
//! wait for the processor.

/// The time slice that is asked for, in nanoseconds: the shortest that Linux gives.
/// Its usual one is 3 ms, which a guest that computes for ever would take each time
/// from a neighbour whose threads wake up on the same processor.
#[cfg(target_os = "linux")]
const SLICE: u64 = 100_000;

/// `SCHED_FLAG_KEEP_POLICY` of Linux.
#[cfg(target_os = "linux")]
const KEEP_POLICY: u64 = 0x08;

/// Asks the system for short time slices for the thread that calls it, as the threads
/// of guests have.
///
/// A thread that waits for guests wakes up sooner beside one that computes for ever
/// if it has asked for them too: name it as `on_thread_start` of tokio's builder.
/// Linux 6.12 and newer heeds it; elsewhere nothing happens.
#[cfg(target_os = "linux")]
pub fn ask_for_short_slices() {
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: 0,
        sched_flags: KEEP_POLICY,
        sched_nice: nice(),
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the pointer is to a struct of the size that it names, which the kernel
    // reads before the call returns; thread 0 is the caller.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// Gives how nice the process is, which stays as it is.
#[cfg(target_os = "linux")]
fn nice() -> i32 {
    rustix::process::getpriority_process(None).unwrap_or(0)
}

/// Does nothing on this system.
#[cfg(not(target_os = "linux"))]
pub const fn ask_for_short_slices() {}
