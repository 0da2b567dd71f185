//! Sessions: credentials for a while, which do what the key may that asked for
//! them. They hold until the server ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use formwork_host::model::Timestamp;
use uuid::Uuid;

use crate::environment::Secret;

/// How many sessions are known at once. One more ends the one that would end
/// first.
const MOST: usize = 10_000;

/// Credentials of a session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The access key id.
    pub(crate) id: String,
    /// The secret access key.
    pub(crate) secret: Secret,
    /// The token that requests must carry.
    pub(crate) token: Secret,
    /// When it ends.
    pub(crate) until: Timestamp,
    /// The id of the key that it is of.
    pub(super) of: String,
}

impl Session {
    /// Makes credentials that nobody has had.
    fn new(of: String, until: Timestamp) -> Self {
        let word = || Uuid::new_v4().simple().to_string();
        Self {
            id: format!("ASIA{}", &word().to_ascii_uppercase()[..16]),
            secret: Secret(word() + &word()[..8]),
            token: Secret(word() + &word()),
            until,
            of,
        }
    }
}

/// The sessions that the server knows.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    /// Begins a session of a key.
    pub(super) fn begin(&self, of: String, now: Timestamp, until: Timestamp) -> Session {
        let session = Session::new(of, until);
        let mut sessions = self.all();
        if sessions.len() >= MOST {
            sessions.retain(|_, session| session.until > now);
        }
        if sessions.len() >= MOST {
            let first = sessions.values().min_by_key(|session| session.until);
            if let Some(first) = first.map(|session| session.id.clone()) {
                sessions.remove(&first);
            }
        }
        sessions.insert(session.id.clone(), session.clone());
        session
    }

    /// Gives the session of that access key id, also one that is over.
    pub(super) fn get(&self, id: &str) -> Option<Session> {
        self.all().get(id).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_sessions_is_too_many() {
        let sessions = Sessions::default();
        let at = Timestamp::from_millis;
        let begin = |until| sessions.begin("key".to_owned(), at(100), at(until));
        let over = begin(50);
        let long = begin(1_000_000);
        for until in 0..MOST as u64 - 2 {
            begin(1_000 + until);
        }
        assert!(sessions.get(&over.id).is_some());
        let first = begin(500);
        assert!(sessions.get(&over.id).is_none(), "what is over goes first");
        begin(2_000);
        assert!(sessions.get(&first.id).is_none(), "then what ends first");
        assert!(sessions.get(&long.id).is_some());
        assert_eq!(sessions.all().len(), MOST);
    }
}
