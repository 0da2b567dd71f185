//! Operations as they were last committed here, so that who leases one need not
//! read it again.
//!
//! *Invariant*: an operation is given out for the version that it has, and for no
//! other: a version has one content.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{JsonObject, RequestToken};
use crate::operation::Operation;

/// How many bytes of documents are held at most: 16 MiB.
const MOST: usize = 16 << 20;

/// What an operation costs besides its documents, about.
const EACH: usize = 1024;

/// Holds the operations that were committed last and wait to be leased.
#[derive(Default)]
pub(super) struct Recent(Mutex<State>);

#[derive(Default)]
struct State {
    operations: HashMap<RequestToken, (u64, Operation)>,
    /// In the order in which they came.
    order: BTreeMap<u64, RequestToken>,
    last: u64,
    bytes: usize,
}

impl State {
    fn remove(&mut self, token: RequestToken) {
        if let Some((number, operation)) = self.operations.remove(&token) {
            self.order.remove(&number);
            self.bytes -= size(&operation);
        }
    }
}

impl Recent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an operation that was committed.
    pub(super) fn note(&self, operation: &Operation) {
        let mut state = self.state();
        let token = operation.token;
        state.remove(token);
        if operation.status.is_terminal() || operation.lease.is_some() {
            return;
        }
        state.last += 1;
        let number = state.last;
        state.bytes += size(operation);
        state.order.insert(number, token);
        state.operations.insert(token, (number, operation.clone()));
        while state.bytes > MOST
            && let Some(token) = state.order.values().next().copied()
        {
            state.remove(token);
        }
    }

    /// Gives the operation of that token, if it is held at that version.
    pub(super) fn get(&self, token: RequestToken, version: u64) -> Option<Operation> {
        let state = self.state();
        let (_, operation) = state.operations.get(&token)?;
        (operation.version == version).then(|| operation.clone())
    }

    /// Lets go of operations that were leased.
    pub(super) fn forget<'a>(&self, leased: impl IntoIterator<Item = &'a Operation>) {
        let mut state = self.state();
        for operation in leased {
            state.remove(operation.token);
        }
    }
}

fn size(operation: &Operation) -> usize {
    let length = |object: Option<&JsonObject>| object.map_or(0, |object| object.as_str().len());
    let work = operation.work.as_ref();
    let documents = [
        operation.model.as_ref(),
        work.map(|work| &work.desired_state),
        work.and_then(|work| work.previous_state.as_ref()),
        work.and_then(|work| work.callback_context.as_ref()),
        work.and_then(|work| work.details.type_configuration.as_ref()),
    ];
    EACH + documents.into_iter().map(length).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::NewOperation;
    use crate::store::conformance::{T0, create, decide, object, success};

    fn operation(bytes: usize) -> Operation {
        let mut new: NewOperation = create();
        new.work.desired_state = object(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes)));
        Operation::accept(RequestToken::random(), new, T0).operation
    }

    #[test]
    fn an_operation_is_given_for_its_version_alone_until_it_is_leased() {
        let recent = Recent::default();
        let kept = operation(9);
        recent.note(&kept);
        assert_eq!(recent.get(kept.token, 2), None);
        assert_eq!(recent.get(kept.token, 1), Some(kept.clone()));
        recent.forget([&kept]);
        assert_eq!(recent.get(kept.token, 1), None);
        assert_eq!(recent.state().bytes, 0);
    }

    #[test]
    fn what_is_leased_or_has_ended_is_not_held() {
        let recent = Recent::default();
        let kept = operation(9);
        recent.note(&kept);
        let until = T0.after(std::time::Duration::from_secs(9));
        let leased = decide(&kept, crate::operation::Input::Leased { until }, T0).operation;
        recent.note(&leased);
        assert_eq!(recent.get(kept.token, 2), None);
        recent.note(&decide(&leased, success(None), T0).operation);
        assert_eq!(recent.get(kept.token, 3), None);
    }

    #[test]
    fn those_of_longest_ago_make_room() {
        let recent = Recent::default();
        let all: Vec<_> = (0..40).map(|_| operation(1 << 20)).collect();
        for kept in &all {
            recent.note(kept);
        }
        let held: Vec<bool> = all
            .iter()
            .map(|kept| recent.get(kept.token, 1).is_some())
            .collect();
        assert!(!held[0] && held[39]);
        assert!((10..=16).contains(&held.iter().filter(|held| **held).count()));
        // One that changes again and again takes no room in the order.
        let same = operation(1);
        for _ in 0..1_000 {
            recent.note(&same);
        }
        assert!(recent.state().order.len() < 20);
    }
}
