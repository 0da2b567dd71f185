//! What the operator is told of an invocation, each thing once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::logging::Subject;

/// Tells of what one invocation was refused. Clones share what was told.
#[derive(Clone)]
pub(super) struct Notices {
    subject: Option<Subject>,
    told: Arc<Mutex<HashSet<String>>>,
}

impl Notices {
    pub(super) fn new(subject: Option<Subject>) -> Self {
        Self {
            subject,
            told: Arc::default(),
        }
    }

    pub(super) fn tell(&self, line: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&line) {
            return;
        }
        match &self.subject {
            Some(subject) => tracing::warn!(
                request_token = %subject.token,
                type_name = %subject.type_name,
                action = %subject.action,
                invocation = subject.invocation,
                "{line}"
            ),
            None => tracing::warn!("{line}"),
        }
        told.insert(line);
    }
}
