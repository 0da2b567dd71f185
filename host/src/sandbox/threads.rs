//! The threads that guests run on: most, those that compute, and those in reserve.
//!
//! Most invocations take some ten microseconds of a processor, and some compute for
//! seconds. These run on threads of their own, which the scheduler of the system lets
//! go last, so that they take neither turns nor processors from the others: all
//! guests begin where most run, and go on among those that compute once they have
//! held a thread for long. The next invocation of a component begins there if the
//! last ones did.
//!
//! A guest gives its thread back at every tick, save in the midst of a single
//! instruction or call: filling all its memory takes some hundred milliseconds
//! where the system has to provide the memory. So a guest that has not begun
//! within a tick, since that is what all threads do, begins on a thread in
//! reserve, which go before those of guests that compute, and after all others.
//!
//! *Invariant*: as many guests as there are threads, whatever they do, keep no
//! other one from beginning for longer than a tick.

mod pace;
mod priority;
mod reserve;

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use self::pace::{Paced, Stay};
use self::priority::Priority;
use self::reserve::{Reserve, Waits};
use super::meter::Metered;
use super::{SandboxConfig, SandboxError};

pub(super) use self::pace::Pace;

pub(super) struct Threads {
    /// There until the sandbox is dropped, as are the others.
    guests: Option<Runtime>,
    computing: Option<Runtime>,
    in_reserve: Option<Runtime>,
    reserve: Arc<Reserve>,
}

/// A guest, until somebody begins it.
struct Guest<F: Future> {
    future: Mutex<Option<F>>,
    /// Takes the task that begins it on a thread in reserve.
    elsewhere: Mutex<Option<oneshot::Sender<AbortOnDrop<F::Output>>>>,
}

/// Gives how a guest ended; nothing if somebody else has begun it.
type Task<T> = JoinHandle<Option<T>>;

impl Threads {
    pub(super) fn start(settings: &SandboxConfig) -> Result<Self, SandboxError> {
        let guests = threads(settings, "formwork-guest");
        let mut computing = threads(settings, "formwork-compute");
        let priority = Priority::computing();
        computing.on_thread_start(move || priority.take());
        let mut in_reserve = threads(settings, "formwork-reserve");
        let priority = Priority::in_reserve();
        in_reserve.on_thread_start(move || priority.take());
        let start = |mut threads: Builder| {
            let started = threads.build();
            started.map_err(|source| SandboxError::Threads { source })
        };
        let in_reserve = start(in_reserve)?;
        Ok(Self {
            guests: Some(start(guests)?),
            computing: Some(start(computing)?),
            reserve: Reserve::new(in_reserve.handle().clone()),
            in_reserve: Some(in_reserve),
        })
    }

    /// Gives the runtime of the threads that guests run on at first.
    pub(super) fn guests(&self) -> &Runtime {
        self.guests
            .as_ref()
            .expect("the threads are there until the sandbox is dropped")
    }

    /// Gives what is to be called twice in a tick.
    pub(super) fn watch(&self) -> impl Fn() + Send + use<> {
        let reserve = Arc::downgrade(&self.reserve);
        move || {
            if let Some(reserve) = reserve.upgrade() {
                reserve.look();
            }
        }
    }

    fn computing(&self) -> &Runtime {
        self.computing
            .as_ref()
            .expect("the threads are there until the sandbox is dropped")
    }

    /// Runs a guest to its end; dropping the future ends it at its next tick. One
    /// without a pace stays where most guests run.
    pub(super) async fn run<F>(
        &self,
        guest: Metered<F>,
        pace: Option<Arc<Pace>>,
    ) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let Some(pace) = pace else {
            return self.run_on(self.guests(), guest).await;
        };
        let mut guest = Paced::new(guest, pace);
        if !guest.is_known_to_compute() {
            guest = match self
                .run_on(self.guests(), guest.until_it_computes())
                .await?
            {
                Stay::Ended(output) => return Ok(output),
                Stay::Computes(guest) => guest,
            };
        }
        self.run_on(self.computing(), guest).await
    }

    /// Runs it on these threads, or in reserve if they have no turn for it.
    async fn run_on<F>(&self, threads: &Runtime, guest: F) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send> + Send + Unpin + 'static,
    {
        let (sender, elsewhere) = oneshot::channel();
        let guest = Arc::new(Guest {
            future: Mutex::new(Some(guest)),
            elsewhere: Mutex::new(Some(sender)),
        });
        let mut first = guest.begin(threads.handle());
        self.reserve.watch(&guest);
        let mut second = tokio::select! {
            biased;
            ended = first.ended() => return ended,
            Ok(second) = elsewhere => second,
        };
        tokio::select! {
            ended = first.ended() => ended,
            ended = second.ended() => ended,
        }
    }
}

impl<F> Guest<F>
where
    F: Future<Output: Send> + Send + Unpin + 'static,
{
    /// Begins it as soon as a thread has its turn, if it is still waiting then.
    fn begin(self: &Arc<Self>, on: &Handle) -> AbortOnDrop<F::Output> {
        let guest = Arc::clone(self);
        AbortOnDrop(Some(on.spawn(async move {
            let future = guest.take();
            drop(guest);
            Some(future?.await)
        })))
    }

    fn take(&self) -> Option<F> {
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        future.take()
    }
}

impl<F> Waits for Guest<F>
where
    F: Future<Output: Send> + Send + Unpin + 'static,
{
    fn is_begun(&self) -> bool {
        let future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        future.is_none()
    }

    fn begin_too(self: Arc<Self>, on: &Handle) {
        let mut elsewhere = self
            .elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(elsewhere) = elsewhere.take() {
            // Where nobody waits for it any more, it ends at once.
            drop(elsewhere.send(self.begin(on)));
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A plain drop waits for the threads, and panics within async code. The timers of
        // a guest are those of the threads where it began, so these end last.
        for runtime in [
            self.computing.take(),
            self.in_reserve.take(),
            self.guests.take(),
        ]
        .into_iter()
        .flatten()
        {
            runtime.shutdown_background();
        }
    }
}

/// The intervals make a thread look for other work after each guest's turn, so
/// that a guest that computes delays nobody by more than a tick.
fn threads(settings: &SandboxConfig, name: &str) -> Builder {
    let mut threads = Builder::new_multi_thread();
    threads
        .worker_threads(settings.worker_threads.max(1))
        .thread_name(name)
        .event_interval(1)
        .global_queue_interval(1)
        .enable_all();
    threads
}

/// Ends a guest when nobody waits for its answer any more.
struct AbortOnDrop<T>(Option<Task<T>>);

impl<T> AbortOnDrop<T> {
    /// Waits until the guest has ended, and without end if another task has begun it.
    async fn ended(&mut self) -> Result<T, JoinError> {
        if let Some(task) = &mut self.0 {
            if let Some(ended) = task.await.transpose() {
                return ended;
            }
            self.0 = None;
        }
        pending().await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    use super::*;
    use crate::sandbox::Compiler;
    use crate::sandbox::meter::Meter;

    fn threads() -> Threads {
        let settings = SandboxConfig {
            worker_threads: 1,
            ..SandboxConfig::new(Compiler::Unbounded)
        };
        Threads::start(&settings).expect("threads")
    }

    fn metered<F: Future>(guest: F) -> Metered<F> {
        Metered::new(guest, Arc::new(Meter::new(Duration::MAX)))
    }

    #[tokio::test]
    async fn a_guest_begins_though_another_one_holds_all_threads() {
        let threads = threads();
        let (let_go, held) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let holding = async move {
            begun.send(()).expect("it is waited for");
            held.recv()
        };
        let holding = threads.run(metered(holding), Some(Arc::default()));
        let beside = async {
            has_begun.await.expect("it begins");
            let name = async { std::thread::current().name().map(str::to_owned) };
            let watch = threads.watch();
            let a_tick = async { (0..2).for_each(|_| watch()) };
            let (name, ()) = tokio::join!(threads.run(metered(name), Some(Arc::default())), a_tick);
            let name = name.expect("it ends");
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
        let name = async {
            tokio::task::yield_now().await;
            std::thread::current().name().map(str::to_owned)
        };
        let name = threads.run(metered(name), Some(Arc::default()));
        assert_eq!(
            name.await.expect("it ends").as_deref(),
            Some("formwork-guest")
        );
    }

    #[tokio::test]
    async fn a_guest_that_panics_is_told() {
        let threads = threads();
        let guest = metered(async { panic!("as it should") });
        let ended = threads.run(guest, Some(Arc::default()));
        assert!(ended.await.expect_err("a panic").is_panic());
    }

    /// Computes for a millisecond, gives its thread back, and tells on which one it
    /// goes on, and how nice that is.
    async fn compute() -> (Option<String>, i32) {
        let computed = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime));
        let begun = computed().expect("a time");
        while computed().expect("a time") - begun < Duration::from_millis(1) {}
        tokio::task::yield_now().await;
        let name = std::thread::current().name().map(str::to_owned);
        let nice = rustix::process::getpriority_process(None).expect("a priority");
        (name, nice)
    }

    #[tokio::test]
    async fn a_guest_that_computes_goes_on_among_those_that_do_and_behind_all_others() {
        let threads = threads();
        let ended = threads.run(metered(compute()), Some(Arc::default())).await;
        let (name, nice) = ended.expect("it ends");
        assert_eq!(name.as_deref(), Some("formwork-compute"));
        let usual = rustix::process::getpriority_process(None).expect("a priority");
        assert_eq!(nice > usual, cfg!(target_os = "linux"), "{nice}, {usual}");
    }

    #[tokio::test]
    async fn a_guest_begins_among_those_that_compute_once_two_have_computed() {
        let threads = threads();
        let pace = Arc::<Pace>::default();
        let begins_on = async || {
            let name = async { std::thread::current().name().map(str::to_owned) };
            let name = threads.run(metered(name), Some(Arc::clone(&pace))).await;
            name.expect("it ends").expect("it has a name")
        };
        let mut seen = Vec::new();
        for computing in [0, 1, 2, 0] {
            for _ in 0..computing {
                let ended = threads
                    .run(metered(compute()), Some(Arc::clone(&pace)))
                    .await;
                ended.expect("it ends");
            }
            seen.push(begins_on().await);
        }
        let (most, compute) = ("formwork-guest", "formwork-compute");
        assert_eq!(seen, [most, most, compute, most]);
    }

    #[tokio::test]
    async fn a_guest_without_a_pace_stays_where_most_run() {
        let ended = threads().run(metered(compute()), None).await;
        let (name, _) = ended.expect("it ends");
        assert_eq!(name.as_deref(), Some("formwork-guest"));
    }
}
