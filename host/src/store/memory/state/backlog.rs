//! Counting what is live and what is unreported.

use std::collections::BTreeSet;

use crate::model::Timestamp;
use crate::operation::Status;
use crate::store::Backlog;

use super::State;

impl State {
    pub(in crate::store::memory) fn backlog(&self, now: Timestamp) -> Backlog {
        let mut backlog = Backlog::default();
        for (type_name, ready) in self.ready.iter().filter(|(_, ready)| !ready.is_empty()) {
            let due = ready.iter().take_while(|(due, _)| *due <= now).count();
            let queue = backlog.types.entry(type_name.clone()).or_default();
            queue.due = due as u64;
            queue.waiting = (ready.len() - due) as u64;
            let pending = self.pending.get(type_name);
            queue.pending = pending.map_or(0, BTreeSet::len) as u64;
        }
        let leased = self.leases.iter().map(|(_, token)| token);
        for kept in leased.filter_map(|token| self.operations.get(token)) {
            let type_name = kept.operation.type_name.clone();
            let queue = backlog.types.entry(type_name).or_default();
            queue.leased += 1;
            queue.cancelling += u64::from(kept.operation.status == Status::CancelInProgress);
        }
        let to_deliver = self.outbox.iter().map(|(_, token)| token);
        for kept in to_deliver
            .chain(&self.parked)
            .filter_map(|token| self.operations.get(token))
        {
            let parked = kept.reports.values().filter(|it| it.parked.is_some());
            backlog.reports += kept.reports.len() as u64;
            backlog.parked += parked.count() as u64;
        }
        backlog.oldest_report = self
            .outbox
            .iter()
            .filter_map(|(_, token)| {
                let kept = self.operations.get(token)?;
                let head = *kept.reports.keys().next()?;
                let at = kept.events.binary_search_by_key(&head, |it| it.version);
                Some(kept.events[at.ok()?].at)
            })
            .min();
        backlog
    }
}
