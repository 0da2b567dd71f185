//! Operations as an operator looks at them: which ones, and what is told of each.
//!
//! Used by who asks (`formwork operations`) and by who answers (the door for
//! operators), so that a data directory, a database and a running server are
//! asked for the same and tell the same.

pub(crate) mod read;
pub(crate) mod shapes;

use formwork_host::model::{AccountId, Mutation, Region, RequestToken, Scope, Timestamp, TypeName};
use formwork_host::operation::{Event, Operation, PendingReport, Status};
use formwork_host::store::{Filter, Store, StoreError};

/// How many operations are read at a time where some of them are left out.
const PAGE: usize = 256;

/// How far the time in a token may be from that of the acceptance: hosts have
/// clocks of their own.
const SKEW_MILLIS: u64 = 60_000;

/// Which operations; all if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Criteria {
    /// Those of these statuses.
    pub(crate) statuses: Vec<Status>,
    /// Those that do one of these.
    pub(crate) mutations: Vec<Mutation>,
    /// Those of this type.
    pub(crate) type_name: Option<TypeName>,
    /// Those of this account.
    pub(crate) account: Option<AccountId>,
    /// Those of this region.
    pub(crate) region: Option<Region>,
    /// Those that work on the resource of this name.
    pub(crate) identifier: Option<String>,
    /// Those that were accepted then or later.
    pub(crate) from: Option<Timestamp>,
    /// Those that were accepted before.
    pub(crate) until: Option<Timestamp>,
}

/// A part of what was looked for, newest first.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) operations: Vec<Operation>,
    /// Where to go on, if there may be more.
    pub(crate) next: Option<RequestToken>,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Begins with what has a smaller token.
    pub(crate) before: Option<RequestToken>,
    /// Ends with so many.
    pub(crate) limit: usize,
    /// Or once so many were looked at, rounded up to a page.
    pub(crate) looks: usize,
}

/// An operation, its chain, and what is still to be reported of it.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) operation: Operation,
    pub(crate) events: Vec<Event>,
    pub(crate) reports: Vec<Report>,
}

/// A report that is not yet accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// That of its event.
    pub(crate) version: u64,
    pub(crate) status: Status,
    /// How many deliveries have failed.
    pub(crate) attempts: u32,
    /// When it is next to be tried.
    pub(crate) due: Timestamp,
    /// Why it is no longer sent, if it is not.
    pub(crate) refused: Option<String>,
}

impl From<PendingReport> for Report {
    fn from(report: PendingReport) -> Self {
        Self {
            version: report.event.version,
            status: report.event.status,
            attempts: report.attempts,
            due: report.due,
            refused: report.parked,
        }
    }
}

impl Details {
    /// Reads what a store has of an operation, or none.
    pub(crate) async fn of(
        store: &dyn Store,
        token: RequestToken,
    ) -> Result<Option<Self>, StoreError> {
        let Some(operation) = store.get(token).await? else {
            return Ok(None);
        };
        let mut details = Self {
            operation,
            events: Vec::new(),
            reports: Vec::new(),
        };
        details.chain(store).await?;
        Ok(Some(details))
    }

    /// Reads what has changed since, and tells whether the operation is still there.
    pub(crate) async fn look_again(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let Some(operation) = store.get(self.operation.token).await? else {
            return Ok(false);
        };
        self.operation = operation;
        self.chain(store).await?;
        Ok(true)
    }

    /// Reads the events that are not known yet, those whose report may have been
    /// accepted since, and the reports.
    async fn chain(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let token = self.operation.token;
        let oldest = self.reports.iter().map(|report| report.version).min();
        if let Some(oldest) = oldest {
            self.events.retain(|event| event.version < oldest);
        }
        let known = self.events.last().map_or(0, |event| event.version);
        let reports = store.reports(token).await?;
        self.reports = reports.into_iter().map(Report::from).collect();
        self.events.extend(store.events(token, known).await?);
        Ok(())
    }
}

impl Criteria {
    /// Gives what a store can look for by itself.
    fn filter(&self) -> Filter {
        let scope = self.account.clone().zip(self.region.clone());
        Filter {
            scope: scope.map(|(account, region)| Scope {
                account: Some(account),
                region: Some(region),
            }),
            statuses: self.statuses.clone(),
            mutations: self.mutations.clone(),
            type_name: self.type_name.clone(),
            ..Filter::default()
        }
    }

    /// Tells whether an operation that has passed the filter is among those.
    fn admits(&self, operation: &Operation) -> bool {
        let accepted = operation.accepted_at;
        let scope = &operation.scope;
        (self.account.is_none() || self.account == scope.account)
            && (self.region.is_none() || self.region == scope.region)
            && self.from.is_none_or(|from| accepted >= from)
            && self.until.is_none_or(|until| accepted < until)
            && self.identifier.as_ref().is_none_or(|wanted| {
                let name = operation.identifier.as_ref();
                name.is_some_and(|name| name.to_string() == *wanted)
            })
    }

    /// Tells whether a store finds all that is left out by itself.
    fn is_plain(&self) -> bool {
        let scoped = self.account.is_some() == self.region.is_some();
        scoped && self.identifier.is_none() && self.from.is_none() && self.until.is_none()
    }
}

/// Looks for operations, the newest first, among those that `sees` lets pass.
///
/// # Errors
///
/// When the store cannot be read.
pub(crate) async fn search(
    store: &dyn Store,
    criteria: &Criteria,
    reach: Reach,
    sees: impl Fn(&Operation) -> bool,
) -> Result<Found, StoreError> {
    let mut filter = criteria.filter();
    let latest = criteria.until.map(|until| bound(until, true));
    filter.before = match (reach.before, latest) {
        (Some(before), Some(latest)) => Some(before.min(latest)),
        (before, latest) => before.or(latest),
    };
    let earliest = criteria.from.map(|from| bound(from, false));
    let mut operations = Vec::new();
    let mut looked = 0;
    loop {
        let left = reach.limit - operations.len();
        filter.limit = if criteria.is_plain() { left } else { PAGE };
        let page = store.list(&filter).await?;
        let (full, count) = (page.len() == filter.limit, page.len());
        for operation in page {
            let token = operation.token;
            if earliest.is_some_and(|earliest| token < earliest) {
                return Ok(Found {
                    operations,
                    next: None,
                });
            }
            filter.before = Some(token);
            if criteria.admits(&operation) && sees(&operation) {
                operations.push(operation);
                if operations.len() == reach.limit {
                    return Ok(Found {
                        operations,
                        next: Some(token),
                    });
                }
            }
        }
        looked += count;
        if !full || looked >= reach.looks {
            return Ok(Found {
                operations,
                next: filter.before.filter(|_| full),
            });
        }
    }
}

/// Gives a token that those of operations accepted at a moment are surely after,
/// or before.
fn bound(at: Timestamp, above: bool) -> RequestToken {
    let millis = at.as_millis();
    let millis = if above {
        millis.saturating_add(SKEW_MILLIS)
    } else {
        millis.saturating_sub(SKEW_MILLIS)
    };
    // A version 7 UUID begins with its time, 48 bits of it.
    let millis = millis.min((1 << 48) - 1) << 16;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&millis.to_be_bytes());
    RequestToken::from_bytes(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
