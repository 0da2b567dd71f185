//! Work that takes long without waiting, kept from holding others up.

use std::future::{Future, poll_fn};
use std::pin::pin;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// From how many bytes on decoding and checking a payload is hefty: some
/// milliseconds.
const HEFTY: usize = 64 * 1_024;

/// Runs what is to be done about a payload of `size` bytes. While a large one
/// is worked on, the other tasks of this thread go on elsewhere; the operating
/// system shares the cores among all.
///
/// # Cancel safety
///
/// That of `work`.
pub(super) async fn run<T>(size: usize, work: impl Future<Output = T>) -> T {
    // A runtime of one thread has nowhere to go on.
    let alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
    if size < HEFTY || alone {
        return work.await;
    }
    let mut work = pin!(work);
    poll_fn(|context| block_in_place(|| work.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_large_payload_holds_no_other_task_up() {
        let (done, other) = mpsc::channel();
        // Both tasks are of the only worker; the first is done by the second.
        let first = tokio::spawn(run(HEFTY, async move {
            tokio::spawn(async move { done.send(()).expect("it is waited for") });
            other.recv_timeout(Duration::from_secs(60))
        }));
        first.await.expect("it ends").expect("the other task ran");
    }
}
