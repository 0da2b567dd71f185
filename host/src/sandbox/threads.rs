//! The threads that guests run on, and those in reserve.
//!
//! A guest gives its thread back at every tick, save in the midst of a single
//! instruction or call: filling all its memory takes some hundred milliseconds
//! where the system has to provide the memory. So a guest that has not begun
//! within a tick, since that is what all threads do, begins on a thread in
//! reserve. There the scheduler of the system, which nothing holds up, shares the
//! processors.
//!
//! *Invariant*: as many guests as there are threads, whatever they do, keep no
//! other one from beginning for longer than a tick.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

use super::{SandboxConfig, SandboxError};

pub(super) struct Threads {
    /// There until the sandbox is dropped, as is the reserve.
    guests: Option<Runtime>,
    reserve: Option<Runtime>,
    tick: Duration,
}

/// A guest that nobody has begun yet.
type Waiting<F> = Arc<Mutex<Option<Pin<Box<F>>>>>;

impl Threads {
    pub(super) fn start(settings: &SandboxConfig) -> Result<Self, SandboxError> {
        Ok(Self {
            guests: Some(runtime(settings, "formwork-guest")?),
            reserve: Some(runtime(settings, "formwork-reserve")?),
            tick: settings.tick,
        })
    }

    /// Gives the runtime of the threads that guests run on at first.
    pub(super) fn guests(&self) -> &Runtime {
        self.guests
            .as_ref()
            .expect("the threads are there until the sandbox is dropped")
    }

    fn reserve(&self) -> &Runtime {
        self.reserve
            .as_ref()
            .expect("the threads are there until the sandbox is dropped")
    }

    /// Runs a guest to its end; dropping the future ends it at its next tick.
    pub(super) async fn run<F>(&self, guest: F) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let waiting: Waiting<F> = Arc::new(Mutex::new(Some(Box::pin(guest))));
        let mut first = begin(self.guests(), &waiting);
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread is held up in real time, whatever the clock"
        )]
        let tick = tokio::time::sleep(self.tick);
        tokio::select! {
            biased;
            Some(ended) = outcome(&mut first) => return ended,
            () = tick => {}
        }
        if is_begun(&waiting) {
            let ended = outcome(&mut first).await;
            return ended.expect("nobody else can have begun it");
        }
        let mut second = begin(self.reserve(), &waiting);
        tokio::select! {
            Some(ended) = outcome(&mut first) => ended,
            Some(ended) = outcome(&mut second) => ended,
            else => unreachable!("one of the two has begun it"),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A plain drop waits for the threads, and panics within async code.
        for runtime in [self.guests.take(), self.reserve.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_background();
        }
    }
}

/// The intervals make a thread look for other work after each guest's turn, so
/// that a guest that computes delays nobody by more than a tick.
fn runtime(settings: &SandboxConfig, name: &str) -> Result<Runtime, SandboxError> {
    Builder::new_multi_thread()
        .worker_threads(settings.worker_threads.max(1))
        .thread_name(name)
        .event_interval(1)
        .global_queue_interval(1)
        .enable_all()
        .build()
        .map_err(|source| SandboxError::Threads { source })
}

/// Begins a guest as soon as a thread has its turn, if it is still waiting then.
fn begin<F>(runtime: &Runtime, waiting: &Waiting<F>) -> AbortOnDrop<Option<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let waiting = Arc::clone(waiting);
    AbortOnDrop(runtime.spawn(async move {
        let guest = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Some(guest?.await)
    }))
}

fn is_begun<F>(waiting: &Waiting<F>) -> bool {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.is_none()
}

/// Gives how a guest ended; nothing if somebody else has begun it.
async fn outcome<T>(task: &mut AbortOnDrop<Option<T>>) -> Option<Result<T, JoinError>> {
    (&mut task.0).await.transpose()
}

/// Ends a guest when nobody waits for its answer any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn threads() -> Threads {
        let settings = SandboxConfig {
            worker_threads: 1,
            ..SandboxConfig::default()
        };
        Threads::start(&settings).expect("threads")
    }

    #[tokio::test]
    async fn a_guest_begins_though_another_one_holds_all_threads() {
        let threads = threads();
        let (let_go, held) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let holding = threads.run(async move {
            begun.send(()).expect("it is waited for");
            held.recv()
        });
        let beside = async {
            has_begun.await.expect("it begins");
            let name = threads.run(async { std::thread::current().name().map(str::to_owned) });
            let name = name.await.expect("it ends");
            let_go.send(()).expect("it is held");
            name
        };
        let (held, name) = tokio::join!(holding, beside);
        assert_eq!(held.expect("it ends"), Ok(()));
        assert_eq!(name.as_deref(), Some("formwork-reserve"));
    }

    #[tokio::test]
    async fn a_guest_begins_on_the_threads_for_guests_and_stays_there() {
        let threads = threads();
        let name = threads.run(async {
            tokio::task::yield_now().await;
            std::thread::current().name().map(str::to_owned)
        });
        assert_eq!(
            name.await.expect("it ends").as_deref(),
            Some("formwork-guest")
        );
    }

    #[tokio::test]
    async fn a_guest_that_panics_is_told() {
        let threads = threads();
        let ended = threads.run(async { panic!("as it should") });
        assert!(ended.await.expect_err("a panic").is_panic());
    }
}
