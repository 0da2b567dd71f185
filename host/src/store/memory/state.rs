//! The maps of the memory store, and the indexes that follow them.
//!
//! *Invariant*: an operation is in the indexes of what is to be done exactly while
//! it is live: without a lease among the ready ones and the deadlines, with one
//! among the leases.

mod backlog;
mod prune;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{
    ClientToken, Digest, JsonObject, PrimaryIdentifier, RequestToken, Scope, Timestamp, TypeName,
};
use crate::operation::{
    Event, Input, Lease, Operation, PendingReport, Policy, ReportTarget, Settlement, Status,
    Transition, WriteOnly,
};
use crate::store::{
    AcceptError, Accepted, Basis, CommitError, Filter, Held as HeldLease, Moment,
    fingerprint::{Claim, Fingerprint, Held},
    queues_report, without_target,
};

use super::listed::Listed;

#[derive(Default)]
pub(super) struct State {
    operations: BTreeMap<RequestToken, Kept>,
    ready: HashMap<TypeName, BTreeSet<(Timestamp, RequestToken)>>,
    /// Those of the ready ones that were never leased.
    pending: HashMap<TypeName, BTreeSet<RequestToken>>,
    deadlines: BTreeSet<(Timestamp, RequestToken)>,
    leases: BTreeSet<(Timestamp, RequestToken)>,
    /// The first pending report of each operation, unless it is parked.
    outbox: BTreeSet<(Timestamp, RequestToken)>,
    /// The operations whose first pending report is parked.
    parked: BTreeSet<RequestToken>,
    locks: HashMap<Resource, Lock>,
    keys: HashMap<Key, Holder>,
    /// The client tokens, by when they were first used.
    client_tokens: BTreeSet<(Timestamp, RequestToken)>,
    /// What has ended, by when.
    ended: BTreeSet<(Timestamp, RequestToken)>,
    listed: Listed,
    pub(super) write_only: HashMap<Resource, JsonObject>,
    pub(super) components: HashMap<Digest, Arc<[u8]>>,
}

/// An operation and what belongs to it.
struct Kept {
    operation: Box<Operation>,
    /// What it was accepted with.
    key: Option<Key>,
    events: Vec<Event>,
    reports: BTreeMap<u64, Report>,
}

#[derive(Clone)]
struct Report {
    due: Timestamp,
    attempts: u32,
    ambiguous: bool,
    parked: Option<String>,
}

/// What an idempotency key stands for.
struct Holder {
    token: RequestToken,
    request: Fingerprint,
    used_at: Timestamp,
}

/// The lock of a resource. It stays behind, let go of, as long as the last
/// operation that had it is kept.
struct Lock {
    token: RequestToken,
    held: bool,
}

/// An idempotency key where it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Client(Scope, ClientToken),
    Bearer(Fingerprint),
}

impl Key {
    fn of(scope: &Scope, held: Held) -> Self {
        match held {
            Held::Client(token) => Self::Client(scope.clone(), token),
            Held::Bearer(bearer) => Self::Bearer(bearer),
        }
    }
}

pub(super) type Resource = (Scope, TypeName, PrimaryIdentifier);

fn resource(operation: &Operation) -> Option<Resource> {
    let identifier = operation.identifier.clone()?;
    Some((
        operation.scope.clone(),
        operation.type_name.clone(),
        identifier,
    ))
}

impl Kept {
    fn head(&self) -> Option<(Timestamp, RequestToken)> {
        let report = self.reports.values().next()?;
        report
            .parked
            .is_none()
            .then_some((report.due, self.operation.token))
    }

    fn pending(&self, version: u64, target: &ReportTarget) -> Option<PendingReport> {
        let report = self.reports.get(&version)?;
        let at = self
            .events
            .binary_search_by_key(&version, |event| event.version)
            .ok()?;
        Some(PendingReport {
            type_name: self.operation.type_name.clone(),
            mutation: self.operation.mutation,
            deadline: self.operation.deadline,
            target: target.clone(),
            event: self.events[at].clone(),
            attempts: report.attempts,
            ambiguous: report.ambiguous,
            due: report.due,
            parked: report.parked.clone(),
        })
    }

    /// Erases what neither the operation needs any more nor a pending report.
    fn erase(&mut self) {
        let earlier = self.events.len().saturating_sub(1);
        for event in &mut self.events[..earlier] {
            if event.model.is_some() && !self.reports.contains_key(&event.version) {
                event.model = None;
            }
        }
        if !self.operation.status.is_terminal() {
            return;
        }
        if self.reports.is_empty() && self.operation.reporting.is_some() {
            *self.operation = without_target(Operation::clone(&self.operation));
        }
    }
}

impl State {
    pub(super) fn accept(
        &mut self,
        transition: Transition,
        claim: Option<Claim>,
        basis: Option<Basis>,
        tokens_expired: Timestamp,
    ) -> Result<Accepted, AcceptError> {
        let token = transition.operation.token;
        let now = transition.operation.accepted_at;
        let scope = &transition.operation.scope;
        let claim = claim.map(|claim| (Key::of(scope, claim.key), claim.request));
        if let Some((key, request)) = &claim
            && let Some(operation) = self.holder(key, request, tokens_expired)?
        {
            return Ok(Accepted::Replayed(operation));
        }
        if let Some(operation) = self.get(token) {
            return Ok(Accepted::Replayed(operation));
        }
        if let Some(resource) = resource(&transition.operation) {
            let found = self.basis(&resource)?;
            if let Some(by) = basis.and_then(|basis| basis.overtaken_by(found)) {
                return Err(AcceptError::Overtaken { by });
            }
            if !transition.operation.status.is_terminal() {
                self.locks.insert(resource, Lock { token, held: true });
            }
        }
        let key = claim.as_ref().map(|(key, _)| key.clone());
        if let Some((key, request)) = claim {
            self.hold(key, token, request, now);
        }
        let kept = Kept {
            operation: Box::new(transition.operation.clone()),
            key,
            events: Vec::new(),
            reports: BTreeMap::new(),
        };
        self.operations.insert(token, kept);
        self.write(transition);
        Ok(Accepted::New)
    }

    pub(super) fn replayed(
        &self,
        scope: &Scope,
        claim: Claim,
        tokens_expired: Timestamp,
    ) -> Result<Option<Operation>, AcceptError> {
        let key = Key::of(scope, claim.key);
        self.holder(&key, &claim.request, tokens_expired)
    }

    /// Gives the operation that a key stands for, if it is of this request.
    fn holder(
        &self,
        key: &Key,
        request: &Fingerprint,
        tokens_expired: Timestamp,
    ) -> Result<Option<Operation>, AcceptError> {
        let known = self.keys.get(key);
        let Some(known) = known.filter(|known| !known.has_expired(key, tokens_expired)) else {
            return Ok(None);
        };
        let operation = self.get(known.token);
        if operation.is_some() && known.request != *request {
            return Err(AcceptError::TokenReused {
                holder: known.token,
            });
        }
        Ok(operation)
    }

    pub(super) fn basis(&self, resource: &Resource) -> Result<Basis, AcceptError> {
        match self.locks.get(resource) {
            Some(Lock { token, held: true }) => Err(AcceptError::Busy { holder: *token }),
            lock => Ok(Basis(lock.map(|lock| lock.token))),
        }
    }

    pub(super) fn claim(
        &mut self,
        type_name: &TypeName,
        limit: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> Vec<Operation> {
        let Some(ready) = self.ready.get(type_name) else {
            return Vec::new();
        };
        let leased: Vec<_> = ready
            .iter()
            .take_while(|(due, _)| *due <= now)
            .filter_map(|(_, token)| {
                let operation = &self.operations.get(token)?.operation;
                let input = Input::Leased { until };
                // Past its deadline an operation is not leased but swept.
                operation.apply(input, now, &Policy::default()).ok()
            })
            .take(limit)
            .collect();
        leased
            .into_iter()
            .map(|transition| {
                let operation = transition.operation.clone();
                self.write(transition);
                operation
            })
            .collect()
    }

    /// Prolongs leases, and gives the operations whose lease is lost.
    pub(super) fn renew(&mut self, held: &[HeldLease], until: Timestamp) -> Vec<RequestToken> {
        let mut lost = Vec::new();
        for HeldLease { token, number } in held {
            let kept = self.operations.get_mut(token);
            let lease = kept.as_ref().and_then(|kept| kept.operation.lease);
            match (kept, lease) {
                (Some(kept), Some(lease)) if lease.number == *number => {
                    self.leases.remove(&(lease.until, *token));
                    self.leases.insert((until, *token));
                    let mut state = Operation::clone(&kept.operation).into_state();
                    state.lease = Some(Lease { until, ..lease });
                    *kept.operation = Operation::restore(state);
                }
                _ => lost.push(*token),
            }
        }
        lost
    }

    pub(super) fn sweep(&self, now: Timestamp, limit: usize) -> Vec<Operation> {
        self.leases
            .iter()
            .take_while(|(until, _)| *until <= now)
            .chain(self.deadlines.iter().take_while(|(at, _)| *at <= now))
            .take(limit)
            .filter_map(|(_, token)| self.get(*token))
            .collect()
    }

    pub(super) fn commit(&mut self, transition: Transition) -> Result<(), CommitError> {
        let token = transition.operation.token;
        let expected = transition.operation.version.saturating_sub(1);
        let Some(before) = self
            .operations
            .get(&token)
            .map(|kept| &kept.operation)
            .filter(|before| before.version == expected)
        else {
            return Err(CommitError::Conflict { expected });
        };
        if before.identifier.is_none()
            && let Some(resource) = resource(&transition.operation)
        {
            if let Some(Lock { token, held: true }) = self.locks.get(&resource) {
                return Err(CommitError::IdentifierTaken { holder: *token });
            }
            self.locks.insert(resource, Lock { token, held: true });
        }
        if transition.operation.status.is_terminal()
            && let Some(resource) = resource(&transition.operation)
            && let Some(lock) = self.locks.get_mut(&resource)
            && lock.token == token
        {
            lock.held = false;
        }
        self.write(transition);
        Ok(())
    }

    pub(super) fn upcoming(
        &self,
        types: &[TypeName],
        after: Timestamp,
        limit: usize,
    ) -> Vec<Moment> {
        let ready = types.iter().filter_map(|name| self.ready.get(name));
        let mut moments: Vec<Moment> = ready
            .chain([&self.leases, &self.deadlines])
            .flat_map(|moments| after_moment(moments, after).take(limit))
            .collect();
        moments.sort_unstable();
        moments.truncate(limit);
        moments
    }

    pub(super) fn get(&self, token: RequestToken) -> Option<Operation> {
        let kept = self.operations.get(&token)?;
        Some(Operation::clone(&kept.operation))
    }

    pub(super) fn taken_over(&self, bearer: Fingerprint) -> Option<RequestToken> {
        let holder = self.keys.get(&Key::Bearer(bearer))?;
        Some(holder.token)
    }

    pub(super) fn list(&self, filter: &Filter) -> Vec<Operation> {
        self.listed
            .newest_first(filter)
            .filter_map(|token| Some(&self.operations.get(&token)?.operation))
            .filter(|operation| {
                let name = filter.type_name.as_ref();
                name.is_none_or(|name| *name == operation.type_name)
            })
            .take(filter.limit)
            .map(|operation| Operation::clone(operation))
            .collect()
    }

    pub(super) fn events(&self, token: RequestToken, after: u64) -> Vec<Event> {
        self.operations.get(&token).map_or_else(Vec::new, |kept| {
            let from = kept.events.partition_point(|event| event.version <= after);
            kept.events[from..].to_vec()
        })
    }

    pub(super) fn due_reports(&self, now: Timestamp, limit: usize) -> Vec<PendingReport> {
        self.outbox
            .iter()
            .take_while(|(due, _)| *due <= now)
            .take(limit)
            .filter_map(|(_, token)| {
                let kept = self.operations.get(token)?;
                let version = *kept.reports.keys().next()?;
                kept.pending(version, kept.operation.reporting.as_ref()?)
            })
            .collect()
    }

    pub(super) fn parked_reports(&self, limit: usize) -> Vec<PendingReport> {
        let heads = self.parked.iter().filter_map(|token| {
            let kept = self.operations.get(token)?;
            let version = *kept.reports.keys().next()?;
            kept.pending(version, kept.operation.reporting.as_ref()?)
        });
        heads.take(limit).collect()
    }

    pub(super) fn next_report(&self, after: Timestamp) -> Option<Timestamp> {
        let (at, _) = after_moment(&self.outbox, after).next()?;
        Some(at)
    }

    pub(super) fn reports(&self, token: RequestToken) -> Vec<PendingReport> {
        let Some(kept) = self.operations.get(&token) else {
            return Vec::new();
        };
        let Some(target) = &kept.operation.reporting else {
            return Vec::new();
        };
        kept.reports
            .keys()
            .filter_map(|version| kept.pending(*version, target))
            .collect()
    }

    pub(super) fn settle(&mut self, token: RequestToken, version: u64, settlement: Settlement) {
        if let Settlement::Delivered { at } = settlement
            && let Some(kept) = self.operations.get_mut(&token)
            && kept.reports.contains_key(&version)
            && let Ok(event) = kept.events.binary_search_by_key(&version, |it| it.version)
        {
            kept.events[event].delivered = Some(at);
        }
        self.change_reports(token, |reports| match settlement {
            Settlement::Delivered { .. } => {
                reports.remove(&version);
            }
            Settlement::Superseded => {
                if reports.contains_key(&version) {
                    reports.clear();
                }
            }
            Settlement::Retry {
                due,
                ambiguous,
                reason: _,
            } => {
                if let Some(report) = reports.get_mut(&version) {
                    report.attempts = report.attempts.saturating_add(1);
                    report.due = due;
                    report.ambiguous = ambiguous;
                }
            }
            Settlement::Parked { reason } => {
                if let Some(report) = reports.get_mut(&version) {
                    report.attempts = report.attempts.saturating_add(1);
                    report.parked = Some(reason);
                }
            }
        });
    }

    pub(super) fn unpark(&mut self, token: RequestToken, now: Timestamp) -> usize {
        let mut unparked = 0;
        self.change_reports(token, |reports| {
            for report in reports.values_mut() {
                if report.parked.take().is_some() {
                    (report.due, report.attempts) = (now, 0);
                    unparked += 1;
                }
            }
        });
        unparked
    }

    pub(super) fn drop_parked(&mut self, token: RequestToken) -> usize {
        let mut dropped = 0;
        self.change_reports(token, |reports| {
            let oldest = reports.values().next();
            if oldest.is_some_and(|oldest| oldest.parked.is_some()) {
                dropped = reports.len();
                reports.clear();
            }
        });
        dropped
    }

    fn change_reports(
        &mut self,
        token: RequestToken,
        change: impl FnOnce(&mut BTreeMap<u64, Report>),
    ) {
        let Some(kept) = self.operations.get_mut(&token) else {
            return;
        };
        if let Some(head) = kept.head() {
            self.outbox.remove(&head);
        }
        change(&mut kept.reports);
        kept.erase();
        let head = kept.head();
        if head.is_none() && !kept.reports.is_empty() {
            self.parked.insert(token);
        } else {
            self.parked.remove(&token);
        }
        self.outbox.extend(head);
    }

    /// Puts a transition in the place of the operation before it.
    fn write(&mut self, transition: Transition) {
        let queued = queues_report(&transition);
        let Transition {
            operation,
            event,
            write_only,
        } = transition;
        let token = operation.token;
        if let Some(resource) = resource(&operation) {
            match write_only {
                WriteOnly::AsIs => {}
                WriteOnly::Forget => {
                    self.write_only.remove(&resource);
                }
                WriteOnly::Keep(values) => {
                    self.write_only.insert(resource, values);
                }
            }
        }
        let Some(kept) = self.operations.get_mut(&token) else {
            return;
        };
        // Taken out of the indexes as it was, put back as it is.
        self.ended
            .extend(operation.ended_at.map(|ended| (ended, token)));
        let before = &kept.operation;
        self.listed.remove(before);
        self.listed.insert(&operation);
        match before.lease {
            Some(lease) => {
                self.leases.remove(&(lease.until, token));
            }
            None => {
                self.deadlines.remove(&(before.deadline, token));
                if let Some(ready) = self.ready.get_mut(&before.type_name) {
                    ready.remove(&(before.due, token));
                }
                if let Some(pending) = self.pending.get_mut(&before.type_name) {
                    pending.remove(&token);
                }
            }
        }
        match operation.lease {
            Some(lease) => {
                self.leases.insert((lease.until, token));
            }
            None if operation.status.is_terminal() => {}
            None => {
                let of_type = || operation.type_name.clone();
                self.deadlines.insert((operation.deadline, token));
                let ready = self.ready.entry(of_type()).or_default();
                ready.insert((operation.due, token));
                if operation.status == Status::Pending {
                    self.pending.entry(of_type()).or_default().insert(token);
                }
            }
        }
        *kept.operation = operation;
        let due = event.as_ref().map(|event| (event.version, event.at));
        kept.events.extend(event);
        self.change_reports(token, |reports| {
            if let Some((version, due)) = due.filter(|_| queued) {
                let report = Report {
                    due,
                    attempts: 0,
                    ambiguous: false,
                    parked: None,
                };
                reports.insert(version, report);
            }
        });
        if let Some(kept) = self.operations.get_mut(&token)
            && kept.operation.reporting.is_none()
        {
            // Without a target there is nobody to tell.
            self.change_reports(token, BTreeMap::clear);
        }
    }
}

/// Gives those of `moments` that are after `after`, in order.
fn after_moment(
    moments: &BTreeSet<Moment>,
    after: Timestamp,
) -> impl Iterator<Item = Moment> + use<'_> {
    let next = Timestamp::from_millis(after.as_millis().saturating_add(1));
    let first = (next, RequestToken::from_bytes([0; 16]));
    moments.range(first..).copied()
}
