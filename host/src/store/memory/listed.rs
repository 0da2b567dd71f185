//! What lists of operations are read from.
//!
//! *Invariant*: an operation stands under its scope, status and mutation, and
//! nowhere else.

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::ops::Bound;

use crate::model::{Mutation, RequestToken, Scope};
use crate::operation::{Operation, Status};
use crate::store::Filter;

#[derive(Default)]
pub(super) struct Listed(HashMap<Key, BTreeSet<RequestToken>>);

type Key = (Scope, Status, Mutation);

fn key(operation: &Operation) -> Key {
    (
        operation.scope.clone(),
        operation.status,
        operation.mutation,
    )
}

impl Listed {
    pub(super) fn insert(&mut self, operation: &Operation) {
        let tokens = self.0.entry(key(operation)).or_default();
        tokens.insert(operation.token);
    }

    pub(super) fn remove(&mut self, operation: &Operation) {
        let key = key(operation);
        if let Some(tokens) = self.0.get_mut(&key) {
            tokens.remove(&operation.token);
            if tokens.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// Gives the tokens of all that passes the filter, whatever its type.
    pub(super) fn newest_first(&self, filter: &Filter) -> impl Iterator<Item = RequestToken> {
        let last = filter.before.map_or(Bound::Unbounded, Bound::Excluded);
        let mut sets: Vec<_> = self
            .0
            .iter()
            .filter(|((scope, status, mutation), _)| {
                filter.scope.as_ref().is_none_or(|wanted| wanted == scope)
                    && filter.any_status().any(|wanted| wanted == *status)
                    && filter.any_mutation().any(|wanted| wanted == *mutation)
            })
            .map(|(_, tokens)| tokens.range((Bound::Unbounded, last)).rev())
            .collect();
        let heads = sets.iter_mut().enumerate();
        let mut heads: BinaryHeap<_> = heads
            .filter_map(|(set, tokens)| Some((*tokens.next()?, set)))
            .collect();
        std::iter::from_fn(move || {
            let (newest, set) = heads.pop()?;
            heads.extend(sets[set].next().map(|token| (*token, set)));
            Some(newest)
        })
    }
}
