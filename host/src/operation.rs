//! The operation: the durable unit made from one accepted request.
//!
//! Everything here is pure: no clock, no I/O, no async.
//!
//! *Invariant*: status changes only through [`Operation::apply`], and terminal
//! absorbs: nothing changes an operation that has ended. One that has nothing to
//! do is made ended ([`Operation::unchanged`]).
//!
//! *Invariant*: the identifier, once known, never changes.
//!
//! *Invariant*: the next invocation sees the callback context and the model of
//! the last committed event and nothing else.
//!
//! *Invariant*: no operation outlives its deadline or its cap on invocations.
//!
//! *Invariant*: READ and LIST are never operations, since they are never in
//! progress; only a [`Mutation`] is.

mod apply;
mod event;
mod policy;
mod report;

use std::ops::Deref;

use crate::model::{
    BearerToken, Call, Credentials, Digest, HandlerErrorCode, Invocation, JsonObject, Mutation,
    PrimaryIdentifier, Region, RequestDetails, RequestToken, Scope, Timestamp, TypeName,
};

pub(crate) use apply::identifier_changed;
pub use apply::{CancelReason, Input, Refusal, Transition, WriteOnly};
pub use event::{Event, EventKind, InvalidStatus, Status};
pub use policy::Policy;
pub use report::{Delivery, PendingReport, ReportStatus, Settlement};

/// An operation as it was last committed.
///
/// Reads like [`OperationState`] and changes only by [`Operation::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation(OperationState);

/// All that is known of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationState {
    /// Our id of the operation.
    pub token: RequestToken,
    /// Where the resource lives.
    pub scope: Scope,
    /// The resource type.
    pub type_name: TypeName,
    /// What is done.
    pub mutation: Mutation,
    /// The component with which the operation began and goes on.
    pub component: Digest,
    /// When the operation was accepted.
    pub accepted_at: Timestamp,
    /// When it ends at the latest.
    pub deadline: Timestamp,
    /// What the next invocation is given; none once the operation has ended.
    pub work: Option<Work>,
    /// Whom to tell of the progress.
    pub reporting: Option<ReportTarget>,
    /// How far the operation is.
    pub status: Status,
    /// 1 when accepted, one more with each committed change.
    pub version: u64,
    /// When the operation may next be taken; its deadline if nothing is to be
    /// done before.
    pub due: Timestamp,
    /// The right of a worker to invoke the handler.
    pub lease: Option<Lease>,
    /// The name of the resource, once known.
    pub identifier: Option<PrimaryIdentifier>,
    /// The last known model, without write-only properties.
    pub model: Option<JsonObject>,
    /// The number of the current invocation, from 1.
    pub invocation: u32,
    /// How many attempts of the current invocation have begun.
    pub attempt: u32,
    /// How many events in a row asked for a callback without delay.
    pub zero_delays: u32,
    /// What the handler, or the engine, last said.
    pub message: Option<String>,
    /// Why the operation failed.
    pub code: Option<HandlerErrorCode>,
    /// When the operation ended.
    pub ended_at: Option<Timestamp>,
}

/// What an operation needs to go on, and what is erased when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The state that is asked for, write-only properties included; for a
    /// delete the properties that name the resource.
    pub desired_state: JsonObject,
    /// The state before an update.
    pub previous_state: Option<JsonObject>,
    /// What the last event gave back.
    pub callback_context: Option<JsonObject>,
    /// What the caller said besides.
    pub details: RequestDetails,
    /// What is wrong with the request: the operation fails with it when it is
    /// first leased, and its handler is never invoked.
    pub fault: Option<Fault>,
}

/// What is wrong with a request that was accepted all the same, because its
/// caller hears of it only through a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why, in CloudFormation's words.
    pub code: HandlerErrorCode,
    /// Why, for the user.
    pub message: String,
}

/// A worker's time-limited right to invoke the handler of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The version that the lease made: no two leases of an operation share it.
    pub number: u64,
    /// When the lease lapses.
    pub until: Timestamp,
}

/// Where and with which right the progress of an operation is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportTarget {
    /// The capability for reporting.
    pub bearer_token: BearerToken,
    /// The URL of the CloudFormation endpoint, where it is not the reporter's own.
    pub endpoint: Option<String>,
    /// The region to sign for, where it is not the reporter's own.
    pub region: Option<Region>,
    /// The credentials to sign with, where they are not the reporter's own.
    pub credentials: Option<Credentials>,
}

/// What makes a new operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperation {
    /// Where the resource lives.
    pub scope: Scope,
    /// The resource type.
    pub type_name: TypeName,
    /// What is done.
    pub mutation: Mutation,
    /// The component to run.
    pub component: Digest,
    /// When it ends at the latest.
    pub deadline: Timestamp,
    /// What the first invocation is given.
    pub work: Work,
    /// The name of the resource, if it follows from the request.
    pub identifier: Option<PrimaryIdentifier>,
    /// Whom to tell of the progress.
    pub reporting: Option<ReportTarget>,
}

impl Operation {
    /// Makes an operation that is due now, and the event that says so.
    #[must_use]
    pub fn accept(token: RequestToken, new: NewOperation, now: Timestamp) -> Transition {
        let operation = Self(OperationState {
            token,
            scope: new.scope,
            type_name: new.type_name,
            mutation: new.mutation,
            component: new.component,
            accepted_at: now,
            deadline: new.deadline,
            work: Some(new.work),
            reporting: new.reporting,
            status: Status::Pending,
            version: 1,
            due: now,
            lease: None,
            identifier: new.identifier,
            model: None,
            invocation: 1,
            attempt: 0,
            zero_delays: 0,
            message: None,
            code: None,
            ended_at: None,
        });
        let event = Event::of(&operation, EventKind::Accepted, now);
        Transition {
            operation,
            event: Some(event),
            write_only: WriteOnly::AsIs,
        }
    }

    /// Makes an operation that had nothing to do and has ended well, and the
    /// event that says so: the resource is as it was asked to be, and `model` is
    /// what it is. There is no invocation, and nobody is told.
    #[must_use]
    pub fn unchanged(
        token: RequestToken,
        new: NewOperation,
        model: JsonObject,
        now: Timestamp,
    ) -> Transition {
        let Transition { operation, .. } = Self::accept(token, new, now);
        let operation = Self(OperationState {
            work: None,
            reporting: None,
            status: Status::Success,
            model: Some(model),
            ended_at: Some(now),
            ..operation.0
        });
        let event = Event::of(&operation, EventKind::Ended, now);
        Transition {
            operation,
            event: Some(event),
            write_only: WriteOnly::AsIs,
        }
    }

    /// Takes back what a store has kept.
    #[must_use]
    pub const fn restore(state: OperationState) -> Self {
        Self(state)
    }

    /// Gives everything, for a store to keep.
    #[must_use]
    pub fn into_state(self) -> OperationState {
        self.0
    }

    /// Tells whether a worker may be running the handler at `now`.
    #[must_use]
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.lease.is_some_and(|lease| lease.until > now)
    }

    /// Gives the invocation that a worker with a lease is to make, or none once
    /// the operation has ended.
    #[must_use]
    pub fn invocation_of(&self) -> Option<Invocation> {
        let work = self.work.as_ref()?;
        let call = Call::changing(
            self.mutation,
            work.desired_state.clone(),
            work.previous_state.clone(),
            work.callback_context.clone(),
        );
        Some(Invocation {
            token: self.token,
            type_name: self.type_name.clone(),
            scope: self.scope.clone(),
            start_time: self.accepted_at,
            deadline: self.deadline,
            invocation: self.invocation,
            attempt: self.attempt,
            details: work.details.clone(),
            call,
        })
    }
}

impl Deref for Operation {
    type Target = OperationState;

    fn deref(&self) -> &OperationState {
        &self.0
    }
}

#[cfg(test)]
mod tests;
