//! How many requests wait for the one invocation that answers them.
//!
//! *Invariant*: those that wait leave connections for others: for requests of
//! other types, for what is answered without an invocation, and for probes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use formwork_host::model::TypeName;

/// How many wait in all: fewer than there are connections.
const MOST: usize = 768;

/// How many wait of one type.
const MOST_OF_TYPE: usize = 512;

/// What is said to one more.
pub(super) const MESSAGE: &str =
    "Too many requests wait for this handler; send the request again later";

/// The requests that wait, by type.
#[derive(Debug, Default)]
pub(crate) struct Crowd(Mutex<HashMap<TypeName, usize>>);

impl Crowd {
    /// Lets one more request wait, until what this gives is dropped; none if too
    /// many do.
    pub(super) fn enter(&self, type_name: &TypeName) -> Option<Waiting<'_>> {
        let mut waiting = self.waiting();
        let of_type = waiting.get(type_name).copied().unwrap_or(0);
        if of_type >= MOST_OF_TYPE || waiting.values().sum::<usize>() >= MOST {
            return None;
        }
        waiting.insert(type_name.clone(), of_type + 1);
        Some(Waiting {
            crowd: self,
            type_name: type_name.clone(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<TypeName, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that waits.
pub(super) struct Waiting<'a> {
    crowd: &'a Crowd,
    type_name: TypeName,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.crowd.waiting();
        if let Some(count) = waiting.get_mut(&self.type_name) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.type_name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_leaves_room_for_others_and_all_leave_room() {
        let crowd = Crowd::default();
        let name = |text: &str| text.parse::<TypeName>().expect("a name");
        let many = |type_name: &TypeName| -> Vec<_> {
            std::iter::from_fn(|| crowd.enter(type_name)).collect()
        };
        let first = many(&name("Acme::Test::Aa"));
        assert_eq!(first.len(), MOST_OF_TYPE);
        let second = many(&name("Acme::Test::Bb"));
        assert_eq!(second.len(), MOST - MOST_OF_TYPE);
        assert!(crowd.enter(&name("Acme::Test::Cc")).is_none());
        drop(first);
        assert!(crowd.enter(&name("Acme::Test::Cc")).is_some());
        drop(second);
        assert!(crowd.waiting().is_empty());
    }
}
