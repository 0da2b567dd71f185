//! What a granted directory holds, and how much it may.
//!
//! *Invariant*: what a directory holds is never counted as less than it is, as
//! far as handlers of this process change it. Growth is counted before it is made;
//! what is removed stays counted until the directory is measured again, which happens
//! when it seems to be full. A file that is removed and still open is measured too.
//!
//! *Invariant*: while a directory is measured, handlers make nothing in it grow, and
//! open, move and remove nothing; also while nobody waits for that any more.
//!
//! *Invariant*: a directory that is measured within seconds is measured for a tenth of the
//! time at most, whatever handlers do: who needs to know waits until it has had its rest.

mod walk;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use self::walk::{Found, Identity, removed, walk};
use super::Quota;

/// How long a measurement is believed: others may change the directory too.
const FRESH: Duration = Duration::from_secs(60);

/// How soon a directory that is full is measured again, though no handler has
/// removed anything from it.
const AGAIN: Duration = Duration::from_secs(1);

/// For how many times as long as a measurement took no other one is made, whatever is
/// removed meanwhile: handlers that are refused by turns would stop each other by that.
const REST: u32 = 10;

/// The granted directories of a process, by their paths without links.
#[derive(Default)]
pub(super) struct Ledgers(Mutex<HashMap<PathBuf, Arc<Ledger>>>);

impl Ledgers {
    pub(super) fn of(&self, directory: &Path) -> Arc<Ledger> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = known.entry(directory.to_owned()).or_insert_with(|| {
            Arc::new(Ledger {
                directory: directory.to_owned(),
                growing: Arc::default(),
                held: Mutex::default(),
            })
        });
        Arc::clone(ledger)
    }
}

/// What one directory holds.
pub(super) struct Ledger {
    directory: PathBuf,
    /// Held for reading by what makes it grow, for writing by who measures it.
    growing: Arc<RwLock<()>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// At least what is there, if it was measured whole.
    sum: Sum,
    measured: Option<Measured>,
    /// When it may be measured again.
    due: Option<Instant>,
    /// Whether something was removed since.
    released: bool,
    /// Files that handlers have opened.
    open: Vec<Weak<File>>,
    /// How many of these there may be before those that are closed are dropped.
    prune_at: usize,
}

#[derive(Clone, Copy)]
struct Measured {
    at: Instant,
    /// Whether nothing was left out, since it was too much already.
    whole: bool,
}

/// Bytes and files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

impl Sum {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
        }
    }

    fn is_within(self, quota: Quota) -> bool {
        self.bytes <= quota.bytes && self.files <= quota.files
    }
}

/// Keeps a directory from being measured while it grows.
pub(super) type Growing = OwnedRwLockReadGuard<()>;

/// Whether a directory may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may, and the growth is counted.
    Taken,
    /// That cannot be told before it is measured.
    Unmeasured,
    /// It may not.
    Full,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the directory from being measured until what is given is dropped.
    pub(super) async fn growing(&self) -> Growing {
        Arc::clone(&self.growing).read_owned().await
    }

    /// Keeps handlers from changing the directory until what is given is dropped.
    pub(super) async fn alone(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.growing).write_owned().await
    }

    /// Counts growth, if the quota allows it.
    pub(super) fn take(&self, quota: Quota, growth: Sum) -> Verdict {
        if growth == Sum::default() {
            return Verdict::Taken;
        }
        let mut held = self.lock();
        let Some(measured) = held.measured else {
            return Verdict::Unmeasured;
        };
        let age = age(measured.at);
        let grown = held.sum.plus(growth);
        match (grown.is_within(quota), measured.whole) {
            (true, true) if age < FRESH => {
                held.sum = grown;
                Verdict::Taken
            }
            (true, _) => Verdict::Unmeasured,
            (false, _) if held.released || age >= AGAIN => Verdict::Unmeasured,
            (false, _) => Verdict::Full,
        }
    }

    /// Notes that something was removed, while the directory was not measured: that
    /// would have forgotten it.
    pub(super) fn released(&self, _growing: &Growing) {
        self.lock().released = true;
    }

    /// Notes that a handler has opened a file, while the directory was not measured:
    /// that would have missed it.
    pub(super) fn opened(&self, file: &Arc<File>, _growing: &Growing) {
        let mut held = self.lock();
        if held.open.len() >= held.prune_at {
            held.open.retain(|file| file.strong_count() > 0);
            held.prune_at = (2 * held.open.len()).max(64);
        }
        held.open.push(Arc::downgrade(file));
    }

    /// Measures what the directory holds, as far as a quota is interested, once it has
    /// had its rest. Who asks beside others is answered with them.
    pub(super) async fn measure(self: &Arc<Self>, quota: Quota) -> io::Result<()> {
        let asked = now();
        let due = self.lock().due;
        rest_until(due).await;
        let alone = self.alone().await;
        if self.lock().is_known_since(asked, quota) {
            return Ok(());
        }
        let ledger = Arc::clone(self);
        // It goes on to its end, whoever waits for it, and nothing may grow until then.
        tokio::task::spawn_blocking(move || {
            let begun = now();
            let measured = ledger.measure_now(quota);
            ledger.lock().due = now().checked_add(rest(age(begun)));
            drop(alone);
            measured
        })
        .await
        .map_err(io::Error::other)?
    }

    fn measure_now(&self, quota: Quota) -> io::Result<()> {
        let open: Vec<_> = self.lock().open.iter().filter_map(Weak::upgrade).collect();
        let mut tally = Tally::default();
        for file in open {
            if let Some(found) = removed(&file)? {
                tally.removed(&found);
            }
        }
        let has_removed = tally.sum != Sum::default();
        let whole = tally.walk(&self.directory, quota)?;
        let mut held = self.lock();
        held.sum = tally.sum;
        // Nobody says when what has no name any more is closed.
        held.released = has_removed;
        held.measured = Some(Measured { at: now(), whole });
        Ok(())
    }
}

impl Held {
    /// Tells whether it was measured since then, as far as a quota is interested.
    fn is_known_since(&self, then: Instant, quota: Quota) -> bool {
        self.measured.is_some_and(|measured| {
            measured.at >= then && (measured.whole || !self.sum.is_within(quota))
        })
    }
}

/// Gives for how long no other measurement is made after one.
fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).min(FRESH)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what lies on a disk changes in real time, whatever the clock"
)]
async fn rest_until(due: Option<Instant>) {
    if let Some(due) = due.filter(|due| *due > now()) {
        tokio::time::sleep_until(due.into()).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what lies on a disk changes in real time, whatever the clock"
)]
fn now() -> Instant {
    Instant::now()
}

fn age(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Adds up what there is.
#[derive(Default)]
struct Tally {
    sum: Sum,
    /// The files that have several names, and those without any: each is there
    /// once.
    seen: HashSet<Identity>,
}

impl Tally {
    /// Adds all that is below a directory, and gives whether it went through all of it:
    /// what is too much already is not counted on.
    fn walk(&mut self, directory: &Path, quota: Quota) -> io::Result<bool> {
        walk(directory, |found| {
            self.entry(found);
            if self.sum.is_within(quota) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
    }

    fn entry(&mut self, found: &Found) {
        let is_counted =
            found.is_directory || (found.names > 1 && !self.seen.insert(found.identity));
        let bytes = if is_counted { 0 } else { found.bytes };
        self.sum = self.sum.plus(Sum { bytes, files: 1 });
    }

    /// Adds an open file that has no name any more.
    fn removed(&mut self, found: &Found) {
        if self.seen.insert(found.identity) {
            self.sum = self.sum.plus(Sum {
                bytes: found.bytes,
                files: 1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wasmtime_wasi::runtime::poll_noop;

    use super::*;

    const QUOTA: Quota = Quota {
        bytes: 100,
        files: 10,
    };

    fn bytes(bytes: u64) -> Sum {
        Sum { bytes, files: 0 }
    }

    async fn measured(directory: &Path) -> Arc<Ledger> {
        let ledger = Ledgers::default().of(directory);
        assert_eq!(ledger.take(QUOTA, bytes(1)), Verdict::Unmeasured);
        ledger.measure(QUOTA).await.expect("a measurement");
        ledger
    }

    fn held(ledger: &Ledger) -> Sum {
        ledger.lock().sum
    }

    #[tokio::test]
    async fn what_is_there_counts_each_file_once_and_each_name() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("below")).expect("a directory");
        fs::write(path("a"), [0; 10]).expect("a file");
        fs::write(path("below/b"), [0; 20]).expect("a file");
        fs::hard_link(path("a"), path("below/a")).expect("a link");
        std::os::unix::fs::symlink("a", path("link")).expect("a link");
        File::create(path("sparse"))
            .and_then(|file| file.set_len(30))
            .expect("a file");
        let ledger = measured(place.path()).await;
        let expected = Sum {
            bytes: 10 + 20 + 30 + 1,
            files: 6,
        };
        assert_eq!(held(&ledger), expected);
    }

    #[tokio::test]
    async fn growth_is_taken_until_the_quota_is_used_up() {
        let place = tempfile::tempdir().expect("a directory");
        let ledger = measured(place.path()).await;
        assert_eq!(ledger.take(QUOTA, bytes(60)), Verdict::Taken);
        assert_eq!(ledger.take(QUOTA, bytes(41)), Verdict::Full);
        assert_eq!(ledger.take(QUOTA, bytes(40)), Verdict::Taken);
        let file = Sum {
            bytes: 0,
            files: 11,
        };
        assert_eq!(ledger.take(QUOTA, file), Verdict::Full);
    }

    #[tokio::test]
    async fn what_was_removed_is_room_after_a_measurement_unless_it_is_open() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("a");
        fs::write(&path, [0; 100]).expect("a file");
        let ledger = measured(place.path()).await;
        let open = Arc::new(File::open(&path).expect("a file"));
        ledger.opened(&open, &ledger.growing().await);
        fs::remove_file(&path).expect("it is there");
        assert_eq!(ledger.take(QUOTA, bytes(1)), Verdict::Full);
        for (open, expected) in [
            (
                Some(open),
                Sum {
                    bytes: 100,
                    files: 1,
                },
            ),
            (None, Sum::default()),
        ] {
            ledger.released(&ledger.growing().await);
            assert_eq!(ledger.take(QUOTA, bytes(1)), Verdict::Unmeasured);
            ledger.measure(QUOTA).await.expect("a measurement");
            assert_eq!(held(&ledger), expected);
            drop(open);
        }
    }

    #[tokio::test]
    async fn nothing_grows_until_a_measurement_has_ended_that_nobody_waits_for() {
        let place = tempfile::tempdir().expect("a directory");
        for name in 0..1_000 {
            fs::write(place.path().join(name.to_string()), "").expect("a file");
        }
        let ledger = Ledgers::default().of(place.path());
        let many = Quota {
            files: 2_000,
            ..QUOTA
        };
        let mut measuring = Box::pin(ledger.measure(many));
        assert!(poll_noop(measuring.as_mut()).is_none(), "it takes its time");
        drop(measuring);
        let _growing = ledger.growing().await;
        assert_eq!(held(&ledger).files, 1_000);
    }

    #[test]
    fn a_rest_is_ten_times_as_long_as_a_measurement_and_ends() {
        for (took, expected) in [(0, 0), (20, 200), (5_000, 50_000), (60_000, 60_000)] {
            let took = Duration::from_millis(took);
            assert_eq!(rest(took), Duration::from_millis(expected));
        }
    }

    #[tokio::test]
    async fn no_directory_is_measured_before_it_has_had_its_rest() {
        let place = tempfile::tempdir().expect("a directory");
        let ledger = measured(place.path()).await;
        ledger.lock().due = now().checked_add(FRESH);
        let measuring = Box::pin(ledger.measure(QUOTA));
        ledger.released(&ledger.growing().await);
        let again = tokio::time::timeout(Duration::from_millis(1), measuring);
        again.await.expect_err("it waits");
        // Beside that, all goes on.
        assert_eq!(ledger.take(QUOTA, bytes(100)), Verdict::Taken);
        assert_eq!(ledger.take(QUOTA, bytes(1)), Verdict::Unmeasured);
        ledger.lock().due = Some(now());
        ledger.measure(QUOTA).await.expect("a measurement");
        assert_eq!(ledger.take(QUOTA, bytes(1)), Verdict::Taken);
    }

    #[tokio::test]
    async fn those_that_wait_together_are_answered_by_one_measurement() {
        let place = tempfile::tempdir().expect("a directory");
        let ledger = measured(place.path()).await;
        ledger.lock().due = None;
        let growing = ledger.growing().await;
        let mut waiting = [(); 2].map(|()| Box::pin(ledger.measure(QUOTA)));
        for waiting in &mut waiting {
            assert!(poll_noop(waiting.as_mut()).is_none());
        }
        drop(growing);
        let [one, other] = waiting;
        one.await.expect("a measurement");
        fs::write(place.path().join("a"), "").expect("a file");
        other.await.expect("it is known");
        assert_eq!(held(&ledger).files, 0);
    }

    #[tokio::test]
    async fn more_than_a_quota_is_not_counted_on_and_no_room_for_another() {
        let place = tempfile::tempdir().expect("a directory");
        for name in 0..50 {
            fs::write(place.path().join(name.to_string()), "").expect("a file");
        }
        let ledger = measured(place.path()).await;
        assert_eq!(held(&ledger).files, 11);
        let larger = Quota { files: 20, ..QUOTA };
        let file = Sum { bytes: 0, files: 1 };
        assert!(ledger.take(QUOTA, file) == Verdict::Full);
        assert_eq!(ledger.take(larger, file), Verdict::Unmeasured);
    }
}
