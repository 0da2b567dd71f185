//! Who is busy, who sleeps, and who waits for news.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::model::{RequestToken, Timestamp};
use crate::operation::Operation;
use crate::store::without_target;

/// One of the loops of an engine that have work to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loop {
    Dispatch,
    Sweep,
    Outbox,
}

/// Wakes the loops when there is work, and knows when there is none.
pub(super) struct Pulse {
    state: watch::Sender<State>,
    dispatch: Notify,
    sweep: Notify,
    outbox: Notify,
}

#[derive(Clone, Debug, Default)]
struct State {
    dispatch: LoopState,
    sweep: LoopState,
    outbox: LoopState,
    /// How many invocations are under way.
    invocations: usize,
    /// Those of them whose guests wait for the clock, by the moment they wait for.
    asleep: BTreeMap<Timestamp, usize>,
}

impl State {
    const fn loops(&self) -> [&LoopState; 3] {
        [&self.dispatch, &self.sweep, &self.outbox]
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct LoopState {
    /// How often there was news. A loop that saw nothing to do has seen
    /// nothing only if this has not risen since it began to look.
    news: u64,
    /// What `news` was when the loop began the look that found nothing to do.
    idle_at: Option<u64>,
    /// When the loop will have something to do.
    next: Option<Timestamp>,
    stopped: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::default(),
            dispatch: Notify::new(),
            sweep: Notify::new(),
            outbox: Notify::new(),
        }
    }

    /// Says that something may be due that was not.
    pub(super) fn work(&self, which: Loop) {
        self.change(which, |it| it.news += 1);
        self.notify(which).notify_one();
    }

    /// Begins a look for work.
    pub(super) fn look(&self, which: Loop) -> u64 {
        let state = self.state.borrow();
        match which {
            Loop::Dispatch => state.dispatch.news,
            Loop::Sweep => state.sweep.news,
            Loop::Outbox => state.outbox.news,
        }
    }

    /// Says that the look begun at `news` found nothing to do before `next`.
    pub(super) fn nothing(&self, which: Loop, news: u64, next: Option<Timestamp>) {
        self.change(which, |it| {
            it.idle_at = Some(news);
            it.next = next;
        });
    }

    /// Says that the loop has ended with all that it began.
    pub(super) fn stopped(&self, which: Loop) {
        self.change(which, |it| it.stopped = true);
    }

    /// Says that an invocation begins.
    pub(super) fn busy(&self) {
        self.state.send_modify(|state| state.invocations += 1);
    }

    /// Says that an invocation has ended, and what came of it is committed.
    pub(super) fn done(&self) {
        self.state.send_modify(|state| state.invocations -= 1);
    }

    /// Says that the guest of an invocation now waits for another moment than
    /// before, or for none.
    pub(super) fn sleeps(&self, before: Option<Timestamp>, now: Option<Timestamp>) {
        self.state.send_modify(|state| {
            if let Some(before) = before
                && let Entry::Occupied(mut count) = state.asleep.entry(before)
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
            if let Some(now) = now {
                *state.asleep.entry(now).or_default() += 1;
            }
        });
    }

    /// Waits for news.
    pub(super) async fn news(&self, which: Loop) {
        self.notify(which).notified().await;
    }

    const fn notify(&self, which: Loop) -> &Notify {
        match which {
            Loop::Dispatch => &self.dispatch,
            Loop::Sweep => &self.sweep,
            Loop::Outbox => &self.outbox,
        }
    }

    /// Waits until all loops have nothing to do by `clock` and each guest that
    /// is invoked waits for it, and gives when there will be something to do.
    pub(super) async fn idle(&self, clock: &dyn Clock) -> Option<Timestamp> {
        let idle = |it: &LoopState| {
            it.stopped
                || (it.idle_at == Some(it.news) && it.next.is_none_or(|next| next > clock.now()))
        };
        let all_asleep = |state: &State| {
            let asleep: usize = state.asleep.values().sum();
            let next = state.asleep.keys().next();
            asleep == state.invocations && next.is_none_or(|next| *next > clock.now())
        };
        let mut state = self.state.subscribe();
        let state = state
            .wait_for(|state| state.loops().into_iter().all(idle) && all_asleep(state))
            .await
            .expect("the sender lives as long as the pulse, which is borrowed");
        let wakes = state.asleep.keys().next().copied();
        let next = state.loops().into_iter().filter_map(|it| it.next);
        next.chain(wakes).min()
    }

    /// Waits until all loops have stopped.
    pub(super) async fn drained(&self) {
        let drained = self
            .state
            .subscribe()
            .wait_for(|state| state.loops().into_iter().all(|it| it.stopped))
            .await
            .map(|_| ());
        drained.expect("the sender lives as long as the pulse, which is borrowed");
    }

    fn change(&self, which: Loop, change: impl FnOnce(&mut LoopState)) {
        self.state.send_modify(|state| {
            change(match which {
                Loop::Dispatch => &mut state.dispatch,
                Loop::Sweep => &mut state.sweep,
                Loop::Outbox => &mut state.outbox,
            });
        });
    }
}

/// What is told to those who follow an operation.
#[derive(Clone, Debug, Default)]
pub(super) enum News {
    /// There may be a new version, which the store knows.
    #[default]
    Perhaps,
    /// This is the last version that is known here.
    Committed(Arc<Operation>),
}

/// Who waits for news of which operation.
///
/// Holds an entry for each operation that somebody follows, and none for others.
#[derive(Default)]
pub(super) struct Watchers(Mutex<HashMap<RequestToken, watch::Sender<News>>>);

impl Watchers {
    /// Follows one operation from now on.
    pub(super) fn watch(&self, token: RequestToken) -> watch::Receiver<News> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.entry(token).or_default().subscribe()
    }

    /// Tells those who follow an operation that it is committed like this. What
    /// comes late tells nothing.
    pub(super) fn tell(&self, operation: &Operation) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = watched.get(&operation.token) else {
            return;
        };
        if sender.is_closed() {
            watched.remove(&operation.token);
            return;
        }
        sender.send_if_modified(|news| {
            let is_new = match news {
                News::Perhaps => true,
                News::Committed(last) => last.version < operation.version,
            };
            if is_new {
                let told = operation.clone();
                // Whom to report an end to is between the store and the outbox.
                *news = News::Committed(Arc::new(if told.status.is_terminal() {
                    without_target(told)
                } else {
                    told
                }));
            }
            is_new
        });
    }

    /// Tells everybody: another process may have changed the store.
    pub(super) fn tell_all(&self) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, sender| sender.send(News::Perhaps).is_ok());
    }
}
