//! Committing what came of an invocation, whatever the store does meanwhile.
//!
//! *Invariant*: an answer is kept and tried again until the store has said what
//! became of it: committed, overtaken by whoever took the lease over, or impossible
//! since the record of its operation is damaged. Whatever else fails concerns all
//! answers, and none is dropped for it: they are kept until there is room for no more.

use crate::model::{Digest, HandlerErrorCode, RequestToken, Timestamp};
use crate::operation::{Event, EventKind, Input, Operation, Status};
use crate::store::{CommitError, StoreError};

use super::Inner;
use super::backoff::Backoff;
use super::causes::Causes;
use super::leases::Holding;
use super::outage::concerns_all;
use super::pulse::Loop;
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
/// before it. The event says when the invocation began.
///
/// Whoever commits in between does not undo it: the input is applied again to
/// what they made of the operation, as long as our lease stands there.
pub(super) async fn commit(
    inner: &Inner,
    mut operation: Operation,
    mut input: Input,
    began: Timestamp,
    holding: &Holding,
    slot: &mut Slot,
) -> Fate {
    let lease = lease_number(&operation);
    let policy = inner.policy(&operation.type_name);
    let mut unsure = Vec::new();
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
        if let Some(event) = &mut transition.event {
            event.began = Some(began);
        }
        if inner.goes_on(&operation.type_name, slot) {
            transition = transition.leased(now.after(inner.lease), now);
        }
        match transition.operation.lease {
            Some(lease) => holding.tries(lease),
            None => slot.answered(),
        }
        let changed = transition.operation.clone();
        let event = transition.event.clone();
        match inner.store.commit(transition).await {
            Ok(()) => {
                inner.committed(&changed);
                return went_on(changed, holding, slot);
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
                match inner.overtaken(&operation, lease, holding, &unsure).await {
                    Ok(Overtaken::Beside(current)) => {
                        operation = *current;
                        continue;
                    }
                    Ok(Overtaken::ByUs(current)) => {
                        inner.committed(&current);
                        return went_on(*current, holding, slot);
                    }
                    Ok(Overtaken::ByOthersAfterUs) => {
                        inner.pulse.work(Loop::Outbox);
                        return Fate::Committed;
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
                    unsure.extend(event.as_ref().map(Tried::of));
                }
            }
        }
        backoff.pause(inner.clock.as_ref()).await;
    }
}

/// Says what follows from a change that is committed.
fn went_on(operation: Operation, holding: &Holding, slot: &mut Slot) -> Fate {
    let Some(lease) = operation.lease else {
        return Fate::Committed;
    };
    holding.goes_on(lease);
    slot.retake();
    Fate::GoesOn(Box::new(operation))
}

/// Tells whether trying again is in vain, and logs what the store said.
fn is_final(operation: &Operation, error: &StoreError) -> bool {
    let causes = Causes(error);
    if concerns_all(error) {
        line!(error, operation, error = %causes, "an answer could not be committed; trying again");
        return false;
    }
    line!(error, operation, error = %causes, "an answer cannot be committed and is dropped; its lease is left to lapse");
    true
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

/// What is known of a change that was tried and not confirmed, to find it by: little,
/// since there are many of them while a store does not confirm any.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tried {
    version: u64,
    at: Timestamp,
    kind: EventKind,
    status: Status,
    attempt: u32,
    code: Option<HandlerErrorCode>,
    message: Option<Digest>,
}

impl Tried {
    /// Two changes of one version by two hosts differ in what they say of it.
    fn of(event: &Event) -> Self {
        let message = event.message.as_ref();
        Self {
            version: event.version,
            at: event.at,
            kind: event.kind,
            status: event.status,
            attempt: event.attempt,
            code: event.code,
            message: message.map(|it| Digest::of(it.as_bytes())),
        }
    }
}

/// By whom an operation was changed meanwhile.
enum Overtaken {
    /// By somebody who has left us our lease.
    Beside(Box<Operation>),
    /// By ourselves: what was not confirmed has taken effect, and made this of it.
    ByUs(Box<Operation>),
    /// By ourselves, and then by others.
    ByOthersAfterUs,
    /// By somebody who has taken the lease over.
    ByOthers,
}

impl Inner {
    /// Finds out who has changed an operation that was leased under this number.
    async fn overtaken(
        &self,
        operation: &Operation,
        lease: Option<u64>,
        holding: &Holding,
        unsure: &[Tried],
    ) -> Result<Overtaken, StoreError> {
        let token = operation.token;
        let Some(current) = self.store.get(token).await? else {
            return Ok(Overtaken::ByOthers);
        };
        let current = Box::new(current);
        let number = lease_number(&current);
        if number == lease {
            return Ok(Overtaken::Beside(current));
        }
        // Nobody else leases by a number that we have tried: to lease what we held,
        // they have to end our lease first, which makes a version of its own.
        if number.is_some_and(|number| holding.may_be(number)) {
            return Ok(Overtaken::ByUs(current));
        }
        Ok(match self.confirmed(token, unsure).await? {
            Some(version) if version == current.version => Overtaken::ByUs(current),
            Some(_) => Overtaken::ByOthersAfterUs,
            None => Overtaken::ByOthers,
        })
    }

    /// Gives the version of what of this took effect after all.
    async fn confirmed(
        &self,
        token: RequestToken,
        unsure: &[Tried],
    ) -> Result<Option<u64>, StoreError> {
        let Some(first) = unsure.iter().map(|it| it.version).min() else {
            return Ok(None);
        };
        let events = self.store.events(token, first - 1).await?;
        let mut made = events.iter().map(Tried::of);
        Ok(made.find(|it| unsure.contains(it)).map(|it| it.version))
    }
}
