//! What handlers may have of the file descriptors of the process.
//!
//! *Invariant*: all handlers together have no more files open than a quarter of what
//! the process may, and each leaves to others as many as it has: whatever they do, there
//! are descriptors left for connections, stores and processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sandbox::places::{Places, Share};

/// How many descriptors a process is taken to have where the system says nothing.
const UNSAID: u64 = 10_240;

/// The files that handlers have open, by their shares.
pub(in crate::sandbox) struct ProcessFiles {
    places: Arc<Places>,
    /// By the address of the component.
    shares: Mutex<HashMap<usize, Share>>,
}

impl ProcessFiles {
    /// Gives handlers a quarter of the descriptors that the process may have now.
    pub(in crate::sandbox) fn of_this_process() -> Self {
        Self::new(descriptors())
    }

    fn new(descriptors: u64) -> Self {
        let places = usize::try_from(descriptors / 4).unwrap_or(usize::MAX);
        Self {
            places: Places::new(places, 1),
            shares: Mutex::default(),
        }
    }

    /// Gives the share of a component, which is one for all its invocations.
    pub(in crate::sandbox) fn share<T>(&self, component: &Arc<T>) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let address = Arc::as_ptr(component).addr();
        if let Some(share) = shares.get(&address) {
            return share.clone();
        }
        shares.retain(|_, share| share.is_used());
        let share = Share::new(&self.places);
        shares.insert(address, share.clone());
        share
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_one_share_and_leaves_as_many_to_others() {
        let files = ProcessFiles::new(1_024);
        let [one, other] = [Arc::new(1), Arc::new(2)];
        let all = |share: &Share| std::iter::from_fn(|| share.try_take()).collect::<Vec<_>>();
        let mut held = all(&files.share(&one));
        assert_eq!(held.len(), 120);
        assert_eq!(all(&files.share(&other)).len(), 60);
        held.extend(all(&files.share(&one)));
        assert_eq!(held.len(), 120);
    }

    #[test]
    fn shares_that_nobody_uses_are_not_kept() {
        let files = ProcessFiles::new(1_024);
        let components: Vec<_> = (0..100).map(Arc::new).collect();
        let used = files.share(&components[0]).try_take();
        for component in &components {
            files.share(component);
        }
        let kept = files.shares.lock().expect("nobody panics").len();
        assert_eq!((used.is_some(), kept), (true, 2));
    }
}
