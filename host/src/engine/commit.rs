//! Committing what came of an invocation, whatever the store does meanwhile.
//!
//! *Invariant*: an answer is kept and tried again until the store has said what
//! became of it: committed, overtaken by whoever took the lease over, or impossible
//! since what the store holds is damaged.

use crate::model::RequestToken;
use crate::operation::{Event, Input, Operation, Transition};
use crate::store::{CommitError, StoreError};

use super::Inner;
use super::backoff::Backoff;
use super::causes::Causes;
use super::slots::Slot;
use super::telemetry::{Happening, LeaseLoss, line};

/// What became of an answer.
pub(super) enum Fate {
    /// It is committed, and the operation is leased to go on in its place.
    GoesOn(Box<Operation>),
    /// It is committed.
    Committed,
    /// Nothing is kept of it.
    Dropped,
}

/// Commits what came of an invocation. An operation that is due at once and may go
/// on in its place is leased again by the same commit; any other frees its place
/// before it.
///
/// Whoever commits in between does not undo it: the input is applied again to
/// what they made of the operation, as long as our lease stands there.
pub(super) async fn commit(
    inner: &Inner,
    mut operation: Operation,
    mut input: Input,
    slot: &mut Slot,
) -> Fate {
    let lease = lease_number(&operation);
    let policy = inner.policy(&operation.type_name);
    let mut unsure = Unsure(Vec::new());
    let mut backoff = Backoff::new();
    loop {
        let now = inner.clock.now();
        let transition = match operation.apply(input.clone(), now, &policy) {
            Ok(transition) => transition,
            Err(refusal) => {
                line!(warn, &operation, %refusal, "an answer came too late and is dropped");
                return late(inner, &operation);
            }
        };
        let mut transition = inner.keeping(&operation, transition);
        if inner.goes_on(&operation.type_name, slot) {
            transition = transition.leased(now.after(inner.lease), now);
        }
        match transition.operation.lease {
            Some(lease) => slot.leasing(operation.token, lease),
            None => slot.answered(),
        }
        let tried = Tried::of(&transition);
        match inner.store.commit(transition).await {
            Ok(()) => {
                inner.committed(&tried.operation);
                return tried.fate();
            }
            Err(CommitError::IdentifierTaken { holder }) => {
                let Input::Answered(answer) = input else {
                    return Fate::Dropped;
                };
                line!(
                    info,
                    &operation,
                    %holder,
                    "the handler answered a resource that another operation works on"
                );
                input = Input::IdentifierTaken { answer };
                continue;
            }
            Err(CommitError::Conflict { expected: _ }) => {
                match inner.overtaken(&operation, lease, &unsure).await {
                    Ok(Overtaken::Beside(current)) => {
                        operation = *current;
                        continue;
                    }
                    Ok(Overtaken::ByUs(fate)) => {
                        if let Fate::GoesOn(operation) = &fate {
                            slot.retake();
                            inner.committed(operation);
                        }
                        return fate;
                    }
                    Ok(Overtaken::ByOthers) => {
                        line!(
                            warn,
                            &operation,
                            "an answer came after its lease and is dropped"
                        );
                        return late(inner, &operation);
                    }
                    Err(error) if is_final(&operation, &error) => return Fate::Dropped,
                    Err(_) => {}
                }
            }
            // The answer is not lost as long as this process lives: the store
            // may have space or a connection again in a moment.
            Err(CommitError::Store(error)) => {
                if is_final(&operation, &error) {
                    return Fate::Dropped;
                }
                if matches!(error, StoreError::Unknown { .. }) {
                    unsure.0.push(tried);
                }
            }
        }
        backoff.pause(inner.clock.as_ref()).await;
    }
}

/// Tells whether trying again is in vain, and logs what the store said.
fn is_final(operation: &Operation, error: &StoreError) -> bool {
    let causes = Causes(error);
    match error {
        StoreError::Corrupt { .. } => {
            line!(error, operation, error = %causes, "an answer cannot be committed and is dropped; its lease is left to lapse");
            true
        }
        StoreError::Unavailable { .. } | StoreError::Unknown { .. } => {
            line!(error, operation, error = %causes, "an answer could not be committed; trying again");
            false
        }
    }
}

fn late(inner: &Inner, operation: &Operation) -> Fate {
    inner.tell(|| Happening::LeaseLost {
        subject: operation.into(),
        loss: LeaseLoss::Late,
    });
    Fate::Dropped
}

fn lease_number(operation: &Operation) -> Option<u64> {
    operation.lease.map(|lease| lease.number)
}

/// A change that was tried to be committed.
struct Tried {
    operation: Operation,
    event: Option<Event>,
}

impl Tried {
    fn of(transition: &Transition) -> Self {
        Self {
            operation: transition.operation.clone(),
            event: transition.event.clone(),
        }
    }

    fn fate(self) -> Fate {
        match self.operation.lease {
            Some(_) => Fate::GoesOn(Box::new(self.operation)),
            None => Fate::Committed,
        }
    }

    /// Tells whether a committed event is that of this change. Two changes of one
    /// version by two hosts differ in what they say of it.
    fn made(&self, event: &Event) -> bool {
        let told = |event: &Event| {
            let of = (event.version, event.at, event.kind, event.status);
            (of, event.attempt, event.code, event.message.clone())
        };
        self.event.as_ref().map(told) == Some(told(event))
    }
}

/// What was tried, and the store does not know whether it took effect.
struct Unsure(Vec<Tried>);

/// By whom an operation was changed meanwhile.
enum Overtaken {
    /// By somebody who has left us our lease.
    Beside(Box<Operation>),
    /// By ourselves: what was not confirmed has taken effect.
    ByUs(Fate),
    /// By somebody who has taken the lease over.
    ByOthers,
}

impl Inner {
    /// Finds out who has changed an operation that was leased under this number.
    async fn overtaken(
        &self,
        operation: &Operation,
        lease: Option<u64>,
        unsure: &Unsure,
    ) -> Result<Overtaken, StoreError> {
        let token = operation.token;
        let Some(current) = self.store.get(token).await? else {
            return Ok(Overtaken::ByOthers);
        };
        if lease_number(&current) == lease {
            return Ok(Overtaken::Beside(Box::new(current)));
        }
        // Nobody else leases by a number that we have tried: to lease what we held,
        // they have to end our lease first, which makes a version of its own.
        let is_ours = |number| {
            let mut numbers = unsure.0.iter().map(|it| lease_number(&it.operation));
            numbers.any(|tried| tried == Some(number))
        };
        if lease_number(&current).is_some_and(is_ours) {
            return Ok(Overtaken::ByUs(Fate::GoesOn(Box::new(current))));
        }
        Ok(match self.confirmed(token, unsure).await? {
            Some(tried) => {
                self.committed(&tried.operation);
                Overtaken::ByUs(Fate::Committed)
            }
            None => Overtaken::ByOthers,
        })
    }

    /// Gives what of this took effect after all, if others have gone on from there.
    async fn confirmed<'u>(
        &self,
        token: RequestToken,
        unsure: &'u Unsure,
    ) -> Result<Option<&'u Tried>, StoreError> {
        let versions = unsure.0.iter().map(|it| it.operation.version);
        let Some(first) = versions.min() else {
            return Ok(None);
        };
        let events = self.store.events(token, first - 1).await?;
        let mut tried = unsure.0.iter();
        Ok(tried.find(|tried| events.iter().any(|event| tried.made(event))))
    }
}
