//! Reports: telling CloudFormation of a committed event.

use std::time::Duration;

use crate::model::{HandlerErrorCode, Mutation, Timestamp, TypeName};

use super::{Event, EventKind, ReportTarget, Status, policy};

/// The pause after a first failed delivery, and the longest one.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_CAP: Duration = Duration::from_secs(60);

/// A report that is committed and not yet accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingReport {
    /// The resource type.
    pub type_name: TypeName,
    /// What is done.
    pub mutation: Mutation,
    /// When the operation ends at the latest.
    pub deadline: Timestamp,
    /// Whom to tell.
    pub target: ReportTarget,
    /// What to tell.
    pub event: Event,
    /// How many deliveries have failed, since an operator last had it sent again.
    pub attempts: u32,
    /// Whether an earlier send may have arrived without our learning so.
    pub ambiguous: bool,
    /// When it is next to be tried.
    pub due: Timestamp,
    /// Why it is not sent until an operator says so, if it is not.
    pub parked: Option<String>,
}

/// The status that CloudFormation is told; it knows no cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportStatus {
    /// The first report: `IN_PROGRESS`, expecting PENDING.
    Acknowledgement,
    /// `IN_PROGRESS`, expecting `IN_PROGRESS`.
    InProgress,
    /// SUCCESS, expecting `IN_PROGRESS`.
    Success,
    /// FAILED with a code, expecting `IN_PROGRESS`.
    Failed(HandlerErrorCode),
}

/// What became of sending a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// CloudFormation took it.
    Accepted,
    /// The status that CloudFormation holds is not the expected one.
    ConditionalCheckFailed,
    /// The status that CloudFormation holds cannot become the reported one.
    InvalidStateTransition,
    /// It may or may not have arrived: a broken connection, a 5xx.
    Ambiguous {
        /// What happened.
        reason: String,
    },
    /// It did not arrive: no connection, throttling.
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// It will never be taken: validation, access, an expired token.
    Refused {
        /// What CloudFormation said.
        reason: String,
    },
}

/// What is to be done after a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Forget the report, which was accepted.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// Somebody else has ended the operation: forget all its reports and cancel it.
    Superseded,
    /// Try again.
    Retry {
        /// When.
        due: Timestamp,
        /// Whether this send may have arrived.
        ambiguous: bool,
        /// What happened.
        reason: String,
    },
    /// Keep it, and do not try again until an operator says so.
    Parked {
        /// Why.
        reason: String,
    },
}

impl Event {
    /// Gives what CloudFormation is told of this event, or none if it is not told.
    #[must_use]
    pub fn report_status(&self) -> Option<ReportStatus> {
        match self.kind {
            EventKind::Accepted => Some(ReportStatus::Acknowledgement),
            EventKind::Progressed => Some(ReportStatus::InProgress),
            // What is recorded from outside, CloudFormation's side knows already.
            EventKind::Recorded | EventKind::Retried | EventKind::CancelAsked => None,
            EventKind::Ended => Some(match self.status {
                Status::Success => ReportStatus::Success,
                Status::Failed => {
                    ReportStatus::Failed(self.code.unwrap_or(HandlerErrorCode::InternalFailure))
                }
                Status::CancelComplete
                | Status::Pending
                | Status::InProgress
                | Status::CancelInProgress => {
                    ReportStatus::Failed(HandlerErrorCode::InternalFailure)
                }
            }),
        }
    }
}

impl PendingReport {
    /// How long after an operation's deadline its reports are still tried: 48 hours.
    pub const GIVE_UP_AFTER: Duration = Duration::from_secs(48 * 60 * 60);

    /// How often a report is tried at least before it is given up: for a day at the
    /// longest pauses. So one that is sent again later is not lost to a short outage.
    pub const LEAST_ATTEMPTS: u32 = 24 * 60;

    /// Decides what is to be done after a delivery.
    #[must_use]
    pub fn settle(&self, delivery: Delivery, now: Timestamp) -> Settlement {
        let terminal = self.event.status.is_terminal();
        let acknowledgement = self.event.kind == EventKind::Accepted;
        match delivery {
            Delivery::Accepted => Settlement::Delivered { at: now },
            Delivery::ConditionalCheckFailed if acknowledgement || (terminal && self.ambiguous) => {
                Settlement::Delivered { at: now }
            }
            Delivery::InvalidStateTransition if terminal && self.ambiguous => {
                Settlement::Delivered { at: now }
            }
            Delivery::ConditionalCheckFailed | Delivery::InvalidStateTransition => {
                Settlement::Superseded
            }
            Delivery::Ambiguous { reason } => self.again(now, true, reason),
            Delivery::Unreachable { reason } => self.again(now, self.ambiguous, reason),
            Delivery::Refused { reason } => Settlement::Parked { reason },
        }
    }

    fn again(&self, now: Timestamp, ambiguous: bool, reason: String) -> Settlement {
        let attempt = self.attempts.saturating_add(1);
        let is_late = now >= self.deadline.after(Self::GIVE_UP_AFTER);
        if is_late && attempt >= Self::LEAST_ATTEMPTS {
            let reason = format!("given up after {attempt} attempts: {reason}");
            return Settlement::Parked { reason };
        }
        let due = now.after(policy::backoff(
            BACKOFF,
            BACKOFF_CAP,
            self.event.token,
            attempt,
        ));
        Settlement::Retry {
            due,
            ambiguous,
            reason,
        }
    }
}
