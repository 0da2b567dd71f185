//! Cases of what is forgotten.

use crate::operation::CancelReason;
use crate::store::ForgetError;

use super::*;

/// Forgets what ended before `now`, and nothing else.
fn ended_before(now: Timestamp) -> Horizon {
    Horizon {
        ended: now,
        ..Horizon::NEVER
    }
}

const fn everything() -> Horizon {
    let end = Timestamp::from_millis(u64::MAX);
    Horizon {
        ended: end,
        client_tokens: end,
        parked: end,
    }
}

async fn prune(store: &dyn Store, horizon: &Horizon) -> usize {
    store.prune(horizon, 100).await.expect("pruned")
}

/// Accepts an operation and ends it at a moment.
async fn ended(store: &dyn Store, operation: NewOperation, now: Timestamp) -> Operation {
    let operation = accept_at(store, operation, now).await;
    let transition = decide(&operation, Input::CancelAsked(CancelReason::Caller), now);
    let ended = transition.operation.clone();
    store.commit(transition).await.expect("committed");
    ended
}

fn keyed(key: IdempotencyKey, request: &[u8], now: Timestamp, expired: Timestamp) -> Accept {
    Accept {
        transition: new(create(), now),
        key: Some((key, request.to_vec())),
        basis: None,
        tokens_expired: expired,
    }
}

fn client() -> IdempotencyKey {
    IdempotencyKey::Client("key".parse().expect("a client token"))
}

pub(in crate::store) async fn what_ended_is_kept_until_its_horizon_and_then_gone_whole(
    store: Arc<dyn Store>,
) {
    let operation = ended(&*store, full(), at(5)).await;
    for report in store.reports(operation.token).await.expect("readable") {
        let version = report.event.version;
        let settled = store.settle(
            operation.token,
            version,
            Settlement::Delivered { at: at(7) },
        );
        settled.await.expect("settled");
    }
    let kept = get(&*store, &operation).await;
    assert_eq!(prune(&*store, &ended_before(at(5))).await, 0);
    assert_eq!(get(&*store, &operation).await, kept);
    let later = Timestamp::from_millis(at(5).as_millis() + 1);
    assert_eq!(prune(&*store, &ended_before(later)).await, 1);
    let token = operation.token;
    assert_eq!(store.get(token).await.expect("readable"), None);
    assert_eq!(store.events(token, 0).await.expect("readable"), []);
    assert_eq!(store.reports(token).await.expect("readable"), []);
    let listed = store.list(&Filter::default()).await.expect("readable");
    assert_eq!(listed, []);
    assert_eq!(prune(&*store, &everything()).await, 0);
}

pub(in crate::store) async fn what_is_live_is_never_forgotten(store: Arc<dyn Store>) {
    let pending = accept(&*store, full()).await;
    let mut expected = vec![accept(&*store, create()).await];
    expected[0] = claim(&*store, T0).await.remove(1);
    expected.push(get(&*store, &pending).await);
    assert_eq!(prune(&*store, &everything()).await, 0);
    for operation in expected {
        assert_eq!(get(&*store, &operation).await, operation);
    }
    let busy = try_accept(&*store, new(full(), T0)).await;
    assert!(matches!(busy, Err(AcceptError::Busy { .. })), "{busy:?}");
}

pub(in crate::store) async fn those_of_longest_ago_are_forgotten_first_up_to_the_limit(
    store: Arc<dyn Store>,
) {
    let mut operations = Vec::new();
    for seconds in [3, 1, 4, 2] {
        operations.push((seconds, ended(&*store, create(), at(seconds)).await.token));
    }
    operations.sort_unstable();
    for left in (1..=4).rev() {
        let listed = store.list(&Filter::default()).await.expect("readable");
        let mut kept = tokens(&listed);
        kept.sort_by_key(|token| operations.iter().position(|(_, it)| it == token));
        let expected: Vec<_> = operations[4 - left..].iter().map(|(_, it)| *it).collect();
        assert_eq!(kept, expected);
        let pruned = store.prune(&everything(), 1).await.expect("pruned");
        assert_eq!(pruned, 1);
    }
    assert_eq!(store.prune(&everything(), 1).await.expect("pruned"), 0);
}

pub(in crate::store) async fn a_report_to_deliver_holds_its_operation_back(store: Arc<dyn Store>) {
    let operation = ended(&*store, reported(), at(5)).await;
    assert_eq!(prune(&*store, &everything()).await, 0);
    let settle = async |version, settlement| {
        let settled = store.settle(operation.token, version, settlement);
        settled.await.expect("settled");
    };
    settle(1, Settlement::Delivered { at: at(7) }).await;
    assert_eq!(prune(&*store, &everything()).await, 0);
    settle(2, Settlement::Delivered { at: at(7) }).await;
    assert_eq!(prune(&*store, &everything()).await, 1);
}

pub(in crate::store) async fn a_parked_report_holds_its_operation_back_until_its_horizon(
    store: Arc<dyn Store>,
) {
    let operation = ended(&*store, reported(), at(5)).await;
    let reason = "the token has expired".to_owned();
    let settled = store.settle(operation.token, 1, Settlement::Parked { reason });
    settled.await.expect("settled");
    let until = |parked| Horizon {
        parked,
        ..everything()
    };
    assert_eq!(prune(&*store, &until(operation.deadline)).await, 0);
    // An operator may retry it until then.
    let unparked = store.unpark(operation.token, at(9)).await;
    unparked.expect("unparked");
    assert_eq!(prune(&*store, &everything()).await, 0);
    let reason = "the token has expired".to_owned();
    let settled = store.settle(operation.token, 1, Settlement::Parked { reason });
    settled.await.expect("settled");
    let later = operation.deadline.after(Duration::from_millis(1));
    assert_eq!(prune(&*store, &until(later)).await, 1);
    assert_eq!(store.due_reports(later, 9).await.expect("readable"), []);
    let reports = store.reports(operation.token).await.expect("readable");
    assert_eq!(reports, []);
}

pub(in crate::store) async fn a_client_token_that_has_expired_can_be_used_anew(
    store: Arc<dyn Store>,
) {
    let first = keyed(client(), b"request", at(5), Timestamp::from_millis(0));
    let token = first.transition.operation.token;
    let accepted = store.accept(first).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    let again = keyed(client(), b"request", at(8), at(5));
    let accepted = store.accept(again).await;
    assert!(matches!(accepted, Ok(Accepted::Replayed(it)) if it.token == token));
    let other = keyed(client(), b"other", at(8), at(5));
    let refused = store.accept(other).await;
    assert!(matches!(refused, Err(AcceptError::TokenReused { holder }) if holder == token));

    let anew = keyed(client(), b"other", at(8), at(6));
    let second = anew.transition.operation.token;
    let accepted = store.accept(anew).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    // It lives from then on, and the operation before it is untouched.
    let again = keyed(client(), b"other", at(9), at(7));
    let accepted = store.accept(again).await;
    assert!(matches!(accepted, Ok(Accepted::Replayed(it)) if it.token == second));
    assert!(store.get(token).await.expect("readable").is_some());
    let horizon = Horizon {
        client_tokens: at(8),
        ..Horizon::NEVER
    };
    assert_eq!(prune(&*store, &horizon).await, 0);
}

pub(in crate::store) async fn a_client_token_is_forgotten_before_its_operation(
    store: Arc<dyn Store>,
) {
    let never = Horizon::NEVER.client_tokens;
    let first = keyed(client(), b"request", at(5), never);
    let token = first.transition.operation.token;
    assert!(store.accept(first).await.is_ok());
    let until = |client_tokens| Horizon {
        client_tokens,
        ..Horizon::NEVER
    };
    assert_eq!(prune(&*store, &until(at(5))).await, 0);
    assert_eq!(prune(&*store, &until(at(6))).await, 1);
    assert_eq!(prune(&*store, &until(at(6))).await, 0);
    assert!(store.get(token).await.expect("readable").is_some());
    let accepted = store.accept(keyed(client(), b"other", at(6), never)).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
}

pub(in crate::store) async fn the_keys_of_what_is_forgotten_are_free(store: Arc<dyn Store>) {
    let bearer: crate::model::BearerToken = "bearer".parse().expect("a bearer token");
    let never = Horizon::NEVER.client_tokens;
    for key in [client(), IdempotencyKey::Bearer(bearer.clone())] {
        let accept = keyed(key.clone(), b"request", T0, never);
        let operation = accept.transition.operation.clone();
        assert!(store.accept(accept).await.is_ok());
        // A bearer token does not expire while its operation is kept.
        let replayed = keyed(key.clone(), b"request", at(9), T0);
        let replayed = store.accept(replayed).await;
        assert!(matches!(replayed, Ok(Accepted::Replayed(_))));
        let cancel = Input::CancelAsked(CancelReason::Caller);
        advance(&*store, &operation, cancel, at(1)).await;
        assert_eq!(prune(&*store, &ended_before(at(2))).await, 1);
        let taken_over = store.taken_over(&bearer).await.expect("readable");
        assert_eq!(taken_over, None);
        let accepted = store.accept(keyed(key, b"other", at(2), never)).await;
        assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    }
}

pub(in crate::store) async fn what_ended_can_be_forgotten_at_once_and_what_is_live_cannot(
    store: Arc<dyn Store>,
) {
    let accept = keyed(client(), b"request", T0, T0);
    let operation = accept.transition.operation.clone();
    let token = operation.token;
    assert!(store.accept(accept).await.is_ok());
    let refused = store.forget(token).await;
    assert!(
        matches!(refused, Err(ForgetError::Live { token: it }) if it == token),
        "{refused:?}"
    );
    assert_eq!(get(&*store, &operation).await, operation);
    let cancel = Input::CancelAsked(CancelReason::Caller);
    advance(&*store, &operation, cancel, at(1)).await;
    store.forget(token).await.expect("forgotten");
    assert_eq!(store.get(token).await.expect("readable"), None);
    let refused = store.forget(token).await;
    assert!(matches!(refused, Err(ForgetError::Unknown { .. })));
    let anew = store.accept(keyed(client(), b"other", T0, T0)).await;
    assert!(matches!(anew, Ok(Accepted::New)), "{anew:?}");

    // A report to deliver does not hold it back.
    let reporting = ended(&*store, reported(), at(1)).await;
    store.forget(reporting.token).await.expect("forgotten");
    assert_eq!(store.due_reports(at(9), 9).await.expect("readable"), []);
}

pub(in crate::store) async fn a_component_goes_when_nobody_refers_to_it(store: Arc<dyn Store>) {
    let put = async |name: &'static str| {
        let bytes: Arc<[u8]> = name.as_bytes().into();
        store.put_component(bytes).await.expect("kept")
    };
    let (of_live, of_ended, loaded, unused) = (
        put("live").await,
        put("ended").await,
        put("loaded").await,
        put("unused").await,
    );
    let of = |component| NewOperation {
        component,
        ..create()
    };
    accept(&*store, of(of_live)).await;
    ended(&*store, of(of_ended), at(1)).await;
    let missing = async || {
        let mut missing = Vec::new();
        for component in [of_live, of_ended, loaded, unused] {
            if store.component(component).await.expect("read").is_none() {
                missing.push(component);
            }
        }
        missing
    };
    let removed = store.prune_components(&[loaded]).await.expect("pruned");
    assert_eq!(removed, [unused]);
    assert_eq!(missing().await, [unused]);
    assert_eq!(prune(&*store, &everything()).await, 1);
    let removed = store.prune_components(&[loaded]).await.expect("pruned");
    assert_eq!(removed, [of_ended]);
    let removed = store.prune_components(&[]).await.expect("pruned");
    assert_eq!(removed, [loaded]);
    assert_eq!(missing().await, [of_ended, loaded, unused]);
    assert_eq!(put("unused").await, unused);
    assert_eq!(missing().await, [of_ended, loaded]);
}
