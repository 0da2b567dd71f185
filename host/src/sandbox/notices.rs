//! What the operator is told of an invocation, each thing once.
//!
//! *Invariant*: what one invocation can add to the log by what it is refused is
//! bounded in lines; a last one tells that there was more.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::logging::Subject;

/// How many things are told of an invocation: whoever is refused more has seen
/// what there is to see.
const MOST: usize = 20;

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
        if let Some(line) = self.next(line) {
            self.log(&line);
        }
    }

    /// Gives what is to be told, if anything is.
    fn next(&self, line: String) -> Option<String> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() > MOST || told.contains(&line) {
            return None;
        }
        let line = if told.len() == MOST {
            format!("more is refused than the {MOST} things that were told: the rest is left out")
        } else {
            line
        };
        told.insert(line.clone());
        Some(line)
    }

    fn log(&self, line: &str) {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_not_without_end() {
        let notices = Notices::new(None);
        let told: Vec<String> = (0..100)
            .flat_map(|number| [number, number])
            .filter_map(|number| notices.clone().next(format!("line {number}")))
            .collect();
        assert_eq!(told.len(), MOST + 1);
        assert_eq!(told[MOST - 1], "line 19");
        assert!(told[MOST].starts_with("more is refused"), "{}", told[MOST]);
    }
}
