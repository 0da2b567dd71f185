//! What is forgotten.

use std::collections::HashSet;

use super::{
    BTreeSet, Digest, Fingerprint, Holder, Kept, Key, RequestToken, State, Timestamp, resource,
};
use crate::store::{ForgetError, Horizon};

impl Holder {
    pub(super) fn has_expired(&self, key: &Key, tokens_expired: Timestamp) -> bool {
        match key {
            Key::Client(..) => self.used_at < tokens_expired,
            Key::Bearer(_) => false,
        }
    }
}

impl Kept {
    fn is_held_back(&self, horizon: &Horizon) -> bool {
        let head = self.reports.values().next();
        head.is_some_and(|head| head.parked.is_none() || self.operation.deadline >= horizon.parked)
    }
}

impl State {
    /// Has a key stand for an operation, and for no other any more.
    pub(super) fn hold(
        &mut self,
        key: Key,
        token: RequestToken,
        request: Fingerprint,
        used_at: Timestamp,
    ) {
        self.let_go(&key);
        if let Key::Client(..) = key {
            self.client_tokens.insert((used_at, token));
        }
        let holder = Holder {
            token,
            request,
            used_at,
        };
        self.keys.insert(key, holder);
    }

    fn let_go(&mut self, key: &Key) {
        if let Some(holder) = self.keys.remove(key) {
            self.client_tokens.remove(&(holder.used_at, holder.token));
        }
    }

    pub(in crate::store::memory) fn prune(&mut self, horizon: &Horizon, limit: usize) -> usize {
        let expired: Vec<_> = before(&self.client_tokens, horizon.client_tokens)
            .filter_map(|token| self.operations.get(&token)?.key.clone())
            .take(limit)
            .collect();
        for key in &expired {
            self.let_go(key);
        }
        let ended: Vec<_> = before(&self.ended, horizon.ended)
            .filter(|token| {
                let kept = self.operations.get(token);
                kept.is_some_and(|kept| !kept.is_held_back(horizon))
            })
            .take(limit)
            .collect();
        for token in &ended {
            self.forget(*token);
        }
        expired.len() + ended.len()
    }

    pub(in crate::store::memory) fn forget_ended(
        &mut self,
        token: RequestToken,
    ) -> Result<(), ForgetError> {
        match self.operations.get(&token) {
            None => Err(ForgetError::Unknown { token }),
            Some(kept) if !kept.operation.status.is_terminal() => Err(ForgetError::Live { token }),
            Some(_) => {
                self.forget(token);
                Ok(())
            }
        }
    }

    /// Removes an operation that has ended, with all that belongs to it.
    fn forget(&mut self, token: RequestToken) {
        let Some(kept) = self.operations.remove(&token) else {
            return;
        };
        self.listed.remove(&kept.operation);
        if let Some(ended_at) = kept.operation.ended_at {
            self.ended.remove(&(ended_at, token));
        }
        if let Some(head) = kept.head() {
            self.outbox.remove(&head);
        }
        self.parked.remove(&token);
        if let Some(resource) = resource(&kept.operation)
            && self
                .locks
                .get(&resource)
                .is_some_and(|it| it.token == token)
        {
            self.locks.remove(&resource);
        }
        if let Some(key) = &kept.key
            && self.keys.get(key).is_some_and(|it| it.token == token)
        {
            self.let_go(key);
        }
    }

    pub(in crate::store::memory) fn prune_components(&mut self, used: &[Digest]) -> Vec<Digest> {
        let operations = self.operations.values();
        let referred: HashSet<Digest> = operations
            .map(|kept| kept.operation.component)
            .chain(used.iter().copied())
            .collect();
        let unused = self
            .components
            .extract_if(|digest, _| !referred.contains(digest));
        unused.map(|(digest, _)| digest).collect()
    }
}

/// Gives the tokens of the moments before `until`, the earliest first.
fn before(
    moments: &BTreeSet<(Timestamp, RequestToken)>,
    until: Timestamp,
) -> impl Iterator<Item = RequestToken> {
    let until = (until, RequestToken::from_bytes([0; 16]));
    moments.range(..until).map(|(_, token)| *token)
}
