//! What CloudFormation remembers of each bearer token.

use std::collections::BTreeMap;

use super::Refusal;
use super::check::{Checked, Status};

/// What is recorded for a bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// `PENDING`, `IN_PROGRESS`, `SUCCESS` or `FAILED`.
    pub status: &'static str,
    /// The last message.
    pub message: Option<String>,
    /// The last error code.
    pub code: Option<String>,
    /// The last resource model.
    pub model: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    status: Status,
    message: Option<String>,
    code: Option<String>,
    model: Option<String>,
    /// What each client request token was answered.
    seen: BTreeMap<String, Result<(), Refusal>>,
}

impl Ledger {
    pub(super) fn issue(&mut self, bearer_token: &str) {
        self.entries.insert(
            bearer_token.to_owned(),
            Entry {
                status: Status::Pending,
                message: None,
                code: None,
                model: None,
                seen: BTreeMap::new(),
            },
        );
    }

    pub(super) fn recorded(&self, bearer_token: &str) -> Option<Recorded> {
        let entry = self.entries.get(bearer_token)?;
        Some(Recorded {
            status: entry.status.as_str(),
            message: entry.message.clone(),
            code: entry.code.clone(),
            model: entry.model.clone(),
        })
    }

    pub(super) fn record(&mut self, request: &Checked) -> Result<(), Refusal> {
        let Some(entry) = self.entries.get_mut(&request.bearer_token) else {
            return Err(Refusal {
                status: 400,
                code: "ValidationError",
                message: "The bearer token is not valid".to_owned(),
            });
        };
        let client_request_token = request.client_request_token.as_ref();
        if let Some(outcome) = client_request_token.and_then(|token| entry.seen.get(token)) {
            return outcome.clone();
        }
        let outcome = entry.record(request);
        if let Some(token) = client_request_token {
            entry.seen.insert(token.clone(), outcome.clone());
        }
        outcome
    }
}

impl Entry {
    fn record(&mut self, request: &Checked) -> Result<(), Refusal> {
        if request
            .current_status
            .is_some_and(|expected| expected != self.status)
        {
            return Err(Refusal {
                status: 400,
                code: "ConditionalCheckFailed",
                message: format!("The status of the operation is {}", self.status.as_str()),
            });
        }
        if !may_become(self.status, request.status) {
            return Err(Refusal {
                status: 400,
                code: "InvalidStateTransition",
                message: format!(
                    "{} cannot become {}",
                    self.status.as_str(),
                    request.status.as_str()
                ),
            });
        }
        self.status = request.status;
        self.message.clone_from(&request.message);
        self.code.clone_from(&request.code);
        if request.model.is_some() {
            self.model.clone_from(&request.model);
        }
        Ok(())
    }
}

/// Tells whether a status may follow another. AWS does not publish this: it is
/// what handlers of the first protocol version do, read strictly.
const fn may_become(stored: Status, requested: Status) -> bool {
    match (stored, requested) {
        (Status::Pending, Status::Pending | Status::InProgress | Status::Failed)
        | (Status::InProgress, Status::InProgress | Status::Success | Status::Failed) => true,
        (Status::Pending, Status::Success)
        | (Status::InProgress, Status::Pending)
        | (
            Status::Success | Status::Failed,
            Status::Pending | Status::InProgress | Status::Success | Status::Failed,
        ) => false,
    }
}
