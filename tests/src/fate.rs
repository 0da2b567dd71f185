//! What becomes of what a store is asked, as a test decides it.

use std::fmt;
use std::future::pending;
use std::sync::{Mutex, PoisonError};

use formwork_host::operation::{Operation, PendingReport};
use formwork_host::store::{Held, StoreError};
use tokio::task::yield_now;

/// How many turns all others have before a late answer: more than they need until
/// they wait for the clock.
const TURNS: usize = 1_000;

/// What a store is asked, and a test may want to decide about.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// To accept an operation.
    Accept(&'a Operation),
    /// To lease what is due.
    Claim,
    /// To commit an operation as it shall be.
    Commit(&'a Operation),
    /// To renew leases.
    Renew(&'a [Held]),
    /// For reports to deliver, and these are what it gives.
    Reports(&'a [PendingReport]),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It is refused for now.
    Refused,
    /// What the store holds of it cannot be read.
    Damaged,
    /// It is done, and not confirmed.
    Unconfirmed,
    /// It is done, and answered when all others have done what they can.
    Late,
    /// It is not done, and never answered.
    Silence,
    /// Somebody else came before: a commit conflicts, leases are lost.
    Overtaken,
    /// Somebody else came before, and did the same.
    Beaten,
}

type Decide = dyn FnMut(Asked<'_>) -> Fate + Send;

/// Who decides; nobody at first, and everything is done.
#[derive(Default)]
pub struct Fates(Mutex<Option<Box<Decide>>>);

impl fmt::Debug for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fates")
    }
}

impl Fates {
    /// Leaves it to `decide` from now on.
    pub fn decide(&self, decide: impl FnMut(Asked<'_>) -> Fate + Send + 'static) {
        let mut decides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *decides = Some(Box::new(decide));
    }

    /// Asks what becomes of something.
    pub fn of(&self, asked: Asked<'_>) -> Fate {
        let mut decides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        decides.as_mut().map_or(Fate::Done, |decide| decide(asked))
    }

    /// Has something done as is decided, which is `overtaken` if somebody else came
    /// before.
    ///
    /// # Errors
    ///
    /// Those of what is done, and those that are decided.
    pub async fn meet<T, E: From<StoreError>>(
        &self,
        asked: Asked<'_>,
        doing: impl Future<Output = Result<T, E>> + Send,
        overtaken: Result<T, E>,
    ) -> Result<T, E> {
        let place = "this test".to_owned();
        let fate = self.of(asked);
        let error = match fate {
            Fate::Done => return doing.await,
            Fate::Refused => StoreError::Unavailable {
                place,
                source: "it is refused".into(),
            },
            Fate::Damaged => StoreError::Corrupt {
                place,
                what: "it is damaged".to_owned(),
            },
            Fate::Unconfirmed => {
                doing.await?;
                StoreError::Unknown {
                    place,
                    source: "it is not confirmed".into(),
                }
            }
            Fate::Late => {
                let done = doing.await;
                for _ in 0..TURNS {
                    yield_now().await;
                }
                return done;
            }
            Fate::Silence => pending().await,
            Fate::Overtaken => return overtaken,
            Fate::Beaten => {
                doing.await?;
                return overtaken;
            }
        };
        Err(error.into())
    }
}
