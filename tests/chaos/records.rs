//! When the campaign itself has seen what handlers write down: by its own clock,
//! which no host can be wrong about.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::load::now;

/// How often is looked: what is seen was written that much earlier at most.
const LOOK: Duration = Duration::from_millis(100);

type Seen = HashMap<PathBuf, File>;

#[derive(Default)]
struct File {
    length: u64,
    /// When each of its lines was seen.
    lines: Vec<u64>,
}

/// Looks for as long as it is held.
pub(crate) struct Records {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Records {
    pub(crate) fn watch(directory: PathBuf) -> Self {
        let seen = Arc::new(Mutex::new(Seen::new()));
        let looked = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                look(&directory, &looked);
                sleep(LOOK).await;
            }
        });
        Self { seen, task }
    }

    /// Gives when a line of a file was seen, if it was.
    pub(crate) fn seen(&self, path: &Path, line: usize) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(path)?.lines.get(line).copied()
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes note of lines that are new. What cannot be read is there at the next look.
fn look(directory: &Path, seen: &Mutex<Seen>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(length) = entry.metadata().map(|it| it.len()) else {
            continue;
        };
        let file = seen.entry(entry.path()).or_default();
        if length == file.length {
            continue;
        }
        let Ok(text) = fs::read(entry.path()) else {
            continue;
        };
        file.length = length;
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        file.lines.resize(lines.max(file.lines.len()), now());
    }
}
