//! Cases of a process that went away and one that comes after it.

use crate::operation::EventKind;

use super::*;

/// Writes one test for each case of a store that outlives its process.
macro_rules! durable_suite {
    ($harness:expr) => {
        $crate::store::conformance::durable_suite!(
            $harness;
            what_was_answered_survives,
            a_lease_of_an_earlier_process_is_void,
            a_report_of_an_earlier_process_may_have_arrived,
            locks_and_client_tokens_survive,
        );
    };
    ($harness:expr; $($case:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            let harness = $harness;
            if $crate::store::conformance::Harness::is_there(&harness) {
                $crate::store::conformance::$case(&harness).await;
            }
        }
    )*};
}
pub(in crate::store) use durable_suite;

/// Gives all that can be read of an operation.
pub(in crate::store) async fn observed(
    store: &dyn Store,
    token: RequestToken,
) -> (
    Option<Operation>,
    Vec<crate::operation::Event>,
    Vec<crate::operation::PendingReport>,
) {
    (
        store.get(token).await.expect("readable"),
        store.events(token, 0).await.expect("readable"),
        store.reports(token).await.expect("readable"),
    )
}

pub(in crate::store) async fn what_was_answered_survives(harness: &dyn Harness) {
    let store = harness.open().await;
    let bytes: Arc<[u8]> = b"component".as_slice().into();
    let digest = store.put_component(Arc::clone(&bytes)).await.expect("kept");
    let mut tokens = Vec::new();
    for step in 0..4_u64 {
        // Accepted, then in progress, ended, parked.
        let operation = accept(
            &*store,
            NewOperation {
                identifier: None,
                ..full()
            },
        )
        .await;
        tokens.push(operation.token);
        if step == 0 {
            continue;
        }
        let operation = store
            .get(operation.token)
            .await
            .expect("readable")
            .expect("kept");
        let until = T0.after(LEASE);
        let leased = decide(&operation, Input::Leased { until }, T0);
        store.commit(leased.clone()).await.expect("committed");
        let input = if step == 1 {
            progress(5, id("made"))
        } else {
            success(id("other"))
        };
        advance(&*store, &leased.operation, input, at(1)).await;
        let settlement = if step == 3 {
            Settlement::Parked {
                reason: "expired".to_owned(),
            }
        } else {
            Settlement::Delivered { at: at(7) }
        };
        store
            .settle(operation.token, 1, settlement)
            .await
            .expect("settled");
    }
    let mut before = Vec::new();
    for token in &tokens {
        before.push(observed(&*store, *token).await);
    }
    drop(store);

    let store = harness.open().await;
    for (token, before) in tokens.into_iter().zip(before) {
        let mut after = observed(&*store, token).await;
        for (report, earlier) in after.2.iter_mut().zip(&before.2) {
            report.ambiguous = earlier.ambiguous;
        }
        assert_eq!(after, before);
    }
    let kept = store.component(digest).await.expect("readable");
    assert_eq!(kept, Some(bytes));
}

pub(in crate::store) async fn a_lease_of_an_earlier_process_is_void(harness: &dyn Harness) {
    let store = harness.open().await;
    accept(&*store, create()).await;
    let leased = claim_one(&*store, T0).await;
    drop(store);

    let store = harness.open().await;
    assert_eq!(claim(&*store, T0).await, []);
    let swept = store.sweep(T0, 10).await.expect("readable");
    assert_eq!(tokens(&swept), [leased.token]);
    assert_eq!(
        swept[0].lease.map(|l| l.number),
        leased.lease.map(|l| l.number)
    );
    assert!(!swept[0].is_leased(T0));
    let retried = advance(&*store, &swept[0], Input::LeaseLapsed, T0).await;
    let events = store.events(retried.token, 1).await.expect("readable");
    assert_eq!(events[0].kind, EventKind::Retried);
    assert_eq!(claim_one(&*store, retried.due).await.attempt, 2);
}

pub(in crate::store) async fn a_report_of_an_earlier_process_may_have_arrived(
    harness: &dyn Harness,
) {
    let store = harness.open().await;
    let operation = accept(&*store, reported()).await;
    assert!(!store.due_reports(T0, 9).await.expect("readable")[0].ambiguous);
    let leased = claim_one(&*store, T0).await;
    advance(&*store, &leased, progress(5, None), T0).await;
    drop(store);

    let store = harness.open().await;
    let reports = store.due_reports(T0, 9).await.expect("readable");
    assert_eq!(reports[0].event.token, operation.token);
    assert!(reports[0].ambiguous);
    // The one after it waited for it.
    let reports = store.reports(operation.token).await.expect("readable");
    let doubted: Vec<_> = reports.iter().map(|report| report.ambiguous).collect();
    assert_eq!(doubted, [true, false]);
    // What this process queues was never sent.
    let other = accept(&*store, reported()).await;
    let reports = store.reports(other.token).await.expect("readable");
    assert!(!reports[0].ambiguous);
}

pub(in crate::store) async fn locks_and_client_tokens_survive(harness: &dyn Harness) {
    let named = |request: &[u8]| Accept {
        transition: new(full(), T0),
        basis: None,
        tokens_expired: Horizon::NEVER.client_tokens,
        key: Some((
            IdempotencyKey::Client("key".parse().expect("a token")),
            request.to_vec(),
        )),
    };
    let store = harness.open().await;
    let first = store.accept(named(b"request")).await;
    assert!(matches!(first, Ok(Accepted::New)), "{first:?}");
    drop(store);

    let store = harness.open().await;
    let again = store.accept(named(b"request")).await;
    assert!(matches!(again, Ok(Accepted::Replayed(_))), "{again:?}");
    let reused = store.accept(named(b"other")).await;
    assert!(matches!(reused, Err(AcceptError::TokenReused { .. })));
    let busy = try_accept(&*store, new(full(), T0)).await;
    assert!(matches!(busy, Err(AcceptError::Busy { .. })), "{busy:?}");
    let leased = claim_one(&*store, T0).await;
    advance(&*store, &leased, failure(), at(1)).await;
    drop(store);

    // Nor is it forgotten who worked on the resource last.
    let store = harness.open().await;
    let accept = Accept {
        key: None,
        basis: Some(Basis(None)),
        ..named(b"request")
    };
    let overtaken = store.accept(accept).await;
    assert!(
        matches!(overtaken, Err(AcceptError::Overtaken { by }) if by == leased.token),
        "{overtaken:?}"
    );
}
