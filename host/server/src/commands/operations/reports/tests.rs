//! What is done about refused reports, in a store.

use formwork_host::operation::{CancelReason, Input, Operation, Policy, Settlement};
use formwork_host::store::{Accept, MemoryStore};

use super::*;
use crate::operations::tests::reported;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A store with an operation that is reported.
struct Kept {
    store: MemoryStore,
    operation: Operation,
}

impl Kept {
    async fn new() -> Self {
        let transition = Operation::accept(RequestToken::from_bytes([7; 16]), reported(), NOW);
        let operation = transition.operation.clone();
        let store = MemoryStore::new();
        let accept = Accept {
            transition,
            key: None,
            basis: None,
            tokens_expired: Timestamp::from_millis(0),
        };
        store.accept(accept).await.expect("accepted");
        Self { store, operation }
    }

    /// Has its first report refused.
    async fn refused(self) -> Self {
        let reason = "AccessDenied".to_owned();
        let parked = Settlement::Parked { reason };
        let settled = self.store.settle(self.operation.token, 1, parked).await;
        settled.expect("settled");
        self
    }

    async fn cancelled(self) -> Self {
        let asked = Input::CancelAsked(CancelReason::Caller);
        let transition = self.operation.apply(asked, NOW, &Policy::default());
        let committed = self.store.commit(transition.expect("it applies")).await;
        committed.expect("committed");
        self
    }

    async fn check(&self, remedy: Remedy, expected: Outcome) {
        let token = self.operation.token;
        let outcome = apply(&self.store, token, remedy, NOW).await;
        assert_eq!(outcome.expect("it can be done"), expected);
    }

    /// Gives how many reports there are, and how many of them are refused.
    async fn reports(&self) -> (usize, usize) {
        let reports = self.store.reports(self.operation.token).await;
        let reports = reports.expect("readable");
        let refused = reports.iter().filter(|it| it.parked.is_some());
        (reports.len(), refused.count())
    }
}

#[tokio::test]
async fn what_was_refused_is_due_again_with_what_it_held_back() {
    let kept = Kept::new().await.refused().await.cancelled().await;
    assert_eq!(kept.reports().await, (2, 1));
    kept.check(Remedy::Resend, Outcome::Done(1)).await;
    assert_eq!(kept.reports().await, (2, 0));
    let due = kept.store.due_reports(NOW, 9).await.expect("readable");
    assert_eq!(due.len(), 1);
    let refused = Outcome::No("none of them was refused or given up");
    kept.check(Remedy::Resend, refused).await;
}

#[tokio::test]
async fn reports_are_dropped_once_their_operation_has_ended() {
    let kept = Kept::new().await.refused().await;
    let token = kept.operation.token;
    let live = apply(&kept.store, token, Remedy::Drop, NOW).await;
    let live = live.expect("it can be read");
    assert!(matches!(live, Outcome::No(why) if why.contains("has not ended")));
    assert_eq!(kept.reports().await, (1, 1));
    let kept = kept.cancelled().await;
    kept.check(Remedy::Drop, Outcome::Done(2)).await;
    assert_eq!(kept.reports().await, (0, 0));
}

#[test]
fn what_cannot_be_read_is_listed_by_its_place() {
    let token = RequestToken::from_bytes([7; 16]);
    let said = line(&Err((token, 3)));
    assert!(said.starts_with(&format!("{token}  version 3 cannot be read")));
}

#[tokio::test]
async fn reports_that_were_not_refused_are_not_dropped() {
    let kept = Kept::new().await.cancelled().await;
    let refused = || Outcome::No("none of them was refused or given up");
    for remedy in [Remedy::Resend, Remedy::Drop] {
        kept.check(remedy, refused()).await;
    }
    assert_eq!(kept.reports().await, (2, 0));
    let nobody = RequestToken::from_bytes([8; 16]);
    let missing = apply(&kept.store, nobody, Remedy::Drop, NOW).await;
    assert_eq!(missing.expect("readable"), Outcome::Missing);
}
