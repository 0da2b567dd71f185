//! Cases of [`Store::claim`], [`Store::sweep`] and [`Store::upcoming`].

use std::collections::HashSet;

use crate::operation::{CancelReason, Lease, Status};

use super::*;

pub(in crate::store) async fn a_claim_takes_the_oldest_due_first(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for seconds in [5, 1, 9, 3] {
        let operation = accept_at(&*store, create(), at(seconds)).await;
        expected.push((operation.due, operation.token));
    }
    expected.sort();
    let shares = [share(thing(), 3)];
    let claimed = store
        .claim(&shares, usize::MAX, at(10), LEASE)
        .await
        .expect("claimed");
    let order: Vec<_> = claimed.iter().map(|o| (o.due, o.token)).collect();
    assert_eq!(order, expected[..3]);
    assert_eq!(tokens(&claim(&*store, at(10)).await), [expected[3].1]);
}

pub(in crate::store) async fn a_claim_is_never_early(store: Arc<dyn Store>) {
    accept(&*store, create()).await;
    let leased = claim_one(&*store, T0).await;
    let waiting = advance(&*store, &leased, progress(60, None), T0).await;
    assert_eq!(waiting.due, at(60));
    let early = Timestamp::from_millis(at(60).as_millis() - 1);
    assert_eq!(claim(&*store, early).await, []);
    assert_eq!(claim_one(&*store, at(60)).await.invocation, 2);
}

pub(in crate::store) async fn a_share_has_its_own_type_and_limit(store: Arc<dyn Store>) {
    // A hundred older ones of a busy type.
    for _ in 0..100 {
        accept(&*store, create()).await;
    }
    for _ in 0..3 {
        let type_name = other_thing();
        accept_at(
            &*store,
            NewOperation {
                type_name,
                ..create()
            },
            at(1),
        )
        .await;
    }
    let shares = [share(thing(), 7), share(other_thing(), 2)];
    let claimed = store
        .claim(&shares, usize::MAX, at(1), LEASE)
        .await
        .expect("claimed");
    let of = |name| claimed.iter().filter(|o| o.type_name == name).count();
    assert_eq!((of(thing()), of(other_thing())), (7, 2));

    let none = [share(thing(), 0)];
    assert_eq!(
        store
            .claim(&none, usize::MAX, at(1), LEASE)
            .await
            .expect("claimed"),
        []
    );
    assert_eq!(
        store
            .claim(&[], usize::MAX, at(1), LEASE)
            .await
            .expect("claimed"),
        []
    );
    let unknown = [share("Acme::Test::Nothing".parse().expect("a name"), 9)];
    let claimed = store.claim(&unknown, usize::MAX, at(1), LEASE).await;
    assert_eq!(claimed.expect("claimed"), []);
}

pub(in crate::store) async fn all_shares_together_have_a_limit(store: Arc<dyn Store>) {
    for _ in 0..4 {
        accept(&*store, create()).await;
        let type_name = other_thing();
        accept(
            &*store,
            NewOperation {
                type_name,
                ..create()
            },
        )
        .await;
    }
    let shares = [share(other_thing(), 3), share(thing(), 9)];
    assert_eq!(
        store.claim(&shares, 0, T0, LEASE).await.expect("claimed"),
        []
    );
    // In turn: the first share is served before the second.
    let claimed = store.claim(&shares, 5, T0, LEASE).await.expect("claimed");
    let types: Vec<_> = claimed.iter().map(|o| o.type_name.clone()).collect();
    let [other, thing] = [other_thing(), thing()];
    assert_eq!(
        types,
        [&other, &other, &other, &thing, &thing].map(Clone::clone)
    );
    let claimed = store.claim(&shares, 9, T0, LEASE).await.expect("claimed");
    assert_eq!(claimed.len(), 3);
}

pub(in crate::store) async fn an_operation_is_leased_once(store: Arc<dyn Store>) {
    accept(&*store, create()).await;
    claim_one(&*store, T0).await;
    assert_eq!(claim(&*store, T0).await, []);
    // Not even when the lease has lapsed: ending it is a transition of its own.
    assert_eq!(claim(&*store, T0.after(LEASE)).await, []);
    let twice = [share(thing(), 1), share(thing(), 1)];
    accept(&*store, create()).await;
    let claimed = store
        .claim(&twice, usize::MAX, T0, LEASE)
        .await
        .expect("claimed");
    assert_eq!(claimed.len(), 1);
}

pub(in crate::store) async fn a_claim_is_a_committed_lease(store: Arc<dyn Store>) {
    let accepted = accept(&*store, full()).await;
    let leased = claim_one(&*store, at(1)).await;
    let until = at(1).after(LEASE);
    let transition = decide(&accepted, Input::Leased { until }, at(1));
    assert_eq!(leased, transition.operation);
    assert_eq!(leased.lease, Some(Lease { number: 2, until }));
    assert_eq!(
        (leased.status, leased.attempt, leased.version),
        (Status::InProgress, 1, 2)
    );
    assert_eq!(get(&*store, &accepted).await, leased);
    let events = store.events(accepted.token, 0).await.expect("readable");
    assert_eq!(events.len(), 1, "a lease is no event");
}

pub(in crate::store) async fn an_operation_at_its_deadline_is_swept_not_leased(
    store: Arc<dyn Store>,
) {
    let operation = accept(&*store, create()).await;
    let before = Timestamp::from_millis(operation.deadline.as_millis() - 1);
    assert_eq!(store.sweep(before, 10).await.expect("readable"), []);
    assert_eq!(claim(&*store, operation.deadline).await, []);
    let swept = store.sweep(operation.deadline, 10).await.expect("readable");
    assert_eq!(swept, std::slice::from_ref(&operation));
    let ended = advance(
        &*store,
        &operation,
        Input::DeadlinePassed,
        operation.deadline,
    );
    assert_eq!(ended.await.code, Some(HandlerErrorCode::NotStabilized));
    let swept = store.sweep(operation.deadline, 10).await;
    assert_eq!(swept.expect("readable"), []);
}

pub(in crate::store) async fn many_claimers_never_get_the_same_operation(store: Arc<dyn Store>) {
    const ALL: usize = 300;
    for _ in 0..ALL {
        accept(&*store, create()).await;
    }
    let claimers: Vec<_> = (0..30)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let shares = [share(thing(), 4)];
                    let claimed = store
                        .claim(&shares, usize::MAX, T0, LEASE)
                        .await
                        .expect("claimed");
                    if claimed.is_empty() {
                        return mine;
                    }
                    mine.extend(tokens(&claimed));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.expect("no panic"));
    }
    assert_eq!(all.len(), ALL);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), ALL);
}

pub(in crate::store) async fn a_sweep_gives_lapsed_leases_and_no_live_ones(store: Arc<dyn Store>) {
    let type_name = other_thing();
    accept(&*store, create()).await;
    accept(
        &*store,
        NewOperation {
            type_name,
            ..create()
        },
    )
    .await;
    let leased = claim_one(&*store, T0).await;
    let shares = [share(other_thing(), 1)];
    let other = store
        .claim(&shares, usize::MAX, at(10), LEASE)
        .await
        .expect("claimed");

    let end = T0.after(LEASE);
    let before = Timestamp::from_millis(end.as_millis() - 1);
    assert_eq!(store.sweep(before, 10).await.expect("readable"), []);
    let swept = store.sweep(end, 10).await.expect("readable");
    assert_eq!(swept, std::slice::from_ref(&leased));
    let swept = store.sweep(at(10).after(LEASE), 10).await;
    assert_eq!(swept.expect("readable"), [leased.clone(), other[0].clone()]);

    // Anyone may end it, and it is leased again when the retry is due.
    let retried = advance(&*store, &leased, Input::LeaseLapsed, end).await;
    assert_eq!(store.sweep(end, 10).await.expect("readable"), []);
    assert_eq!(claim_one(&*store, retried.due).await.attempt, 2);
}

pub(in crate::store) async fn a_sweep_has_a_limit(store: Arc<dyn Store>) {
    for _ in 0..5 {
        accept(&*store, create()).await;
    }
    claim(&*store, T0).await;
    for _ in 0..5 {
        accept(&*store, create()).await;
    }
    for (limit, given) in [(0, 0), (3, 3), (7, 7), (20, 10)] {
        let swept = store.sweep(T0.after(TIME), limit).await.expect("readable");
        assert_eq!(swept.len(), given);
        let distinct: HashSet<_> = tokens(&swept).into_iter().collect();
        assert_eq!(distinct.len(), given);
    }
}

fn held(operation: &Operation) -> Held {
    let lease = operation.lease.expect("it is leased");
    Held {
        token: operation.token,
        number: lease.number,
    }
}

pub(in crate::store) async fn a_renewed_lease_lapses_later(store: Arc<dyn Store>) {
    accept(&*store, reported()).await;
    let leased = claim_one(&*store, T0).await;
    let (first, second) = (T0.after(LEASE), at(20).after(LEASE));
    let lost = store.renew(&[held(&leased)], second).await;
    assert_eq!(lost.expect("renewed"), []);
    let mut kept = get(&*store, &leased).await.into_state();
    assert_eq!(
        (kept.version, kept.lease),
        (leased.version, {
            let number = leased.version;
            Some(Lease {
                number,
                until: second,
            })
        })
    );
    kept.lease = leased.lease;
    assert_eq!(Operation::restore(kept), leased);
    assert_eq!(store.sweep(first, 9).await.expect("readable"), []);
    let upcoming = store.upcoming(&[thing()], first, 9).await;
    assert_eq!(upcoming.expect("readable"), [(second, leased.token)]);
    let swept = store.sweep(second, 9).await.expect("readable");
    assert_eq!(tokens(&swept), [leased.token]);
    // Whoever holds it commits on the version that made it.
    advance(&*store, &leased, success(None), at(25)).await;
}

pub(in crate::store) async fn a_lease_that_was_lost_is_not_renewed(store: Arc<dyn Store>) {
    let nobody = new(create(), T0).operation.token;
    for _ in 0..3 {
        accept(&*store, create()).await;
    }
    let [ended, retried, kept]: [_; 3] = claim(&*store, T0).await.try_into().expect("three");
    advance(&*store, &ended, success(None), at(1)).await;
    let end = T0.after(LEASE);
    let again = advance(&*store, &retried, Input::LeaseLapsed, end).await;
    let all = [
        held(&ended),
        held(&retried),
        held(&kept),
        Held {
            token: nobody,
            number: 2,
        },
    ];
    let until = end.after(LEASE);
    let mut lost = store.renew(&all, until).await.expect("renewed");
    lost.sort();
    let mut expected = [ended.token, retried.token, nobody];
    expected.sort();
    assert_eq!(lost, expected);
    // Nor is it once another has taken it.
    let taken = claim_one(&*store, again.due).await;
    let lost = store.renew(&[held(&retried)], until).await;
    assert_eq!(lost.expect("renewed"), [taken.token]);
    assert_eq!(get(&*store, &taken).await, taken);
    assert_eq!(store.renew(&[], until).await.expect("renewed"), []);
}

pub(in crate::store) async fn what_is_upcoming_is_in_order_due_lease_and_deadline(
    store: Arc<dyn Store>,
) {
    let upcoming = async |types: &[TypeName], after, limit| {
        let found = store.upcoming(types, after, limit).await;
        found.expect("readable")
    };
    let never = Timestamp::from_millis(0);
    assert_eq!(upcoming(&[thing()], never, 9).await, []);
    let operation = accept(&*store, create()).await;
    let token = operation.token;
    let both = [(T0, token), (operation.deadline, token)];
    assert_eq!(upcoming(&[thing()], never, 9).await, both);
    assert_eq!(upcoming(&[other_thing(), thing()], never, 9).await, both);
    assert_eq!(upcoming(&[thing()], never, 1).await, both[..1]);
    assert_eq!(upcoming(&[thing()], T0, 9).await, both[1..]);
    // A host without the type still ends it at its deadline.
    assert_eq!(upcoming(&[other_thing()], never, 9).await, both[1..]);
    assert_eq!(upcoming(&[], never, 9).await, both[1..]);

    let leased = claim_one(&*store, T0).await;
    let lapse = [(T0.after(LEASE), token)];
    assert_eq!(upcoming(&[thing()], never, 9).await, lapse);
    assert_eq!(upcoming(&[], never, 9).await, lapse);

    let waiting = advance(&*store, &leased, progress(60, None), at(1)).await;
    let other = accept_at(&*store, create(), at(2)).await;
    let mut all = [
        (at(2), other.token),
        (at(61), token),
        (operation.deadline, token),
        (other.deadline, other.token),
    ];
    all.sort();
    assert_eq!(upcoming(&[thing()], at(1), 9).await, all);
    assert_eq!(upcoming(&[thing()], at(1), 2).await, all[..2]);
    let cancel = Input::CancelAsked(CancelReason::Caller);
    advance(&*store, &waiting, cancel, at(2)).await;
    assert_eq!(
        upcoming(&[thing()], at(2), 9).await,
        [(other.deadline, other.token)]
    );
}

pub(in crate::store) async fn what_is_accepted_leased_is_leased_once(store: Arc<dyn Store>) {
    let until = T0.after(LEASE);
    let transition = new(full(), T0).leased(until, T0);
    let leased = transition.operation.clone();
    assert_eq!(leased.lease, Some(Lease { number: 1, until }));
    assert_eq!((leased.status, leased.attempt), (Status::InProgress, 1));
    let accepted = try_accept(&*store, transition.clone()).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    assert_eq!(get(&*store, &leased).await, leased);
    let events = store.events(leased.token, 0).await.expect("readable");
    assert_eq!(events.into_iter().next(), transition.event);
    assert_eq!(claim(&*store, T0).await, []);
    let swept = store.sweep(until, 9).await.expect("readable");
    assert_eq!(swept, std::slice::from_ref(&leased));

    // And so is what goes on at once.
    let going = decide(&leased, progress(0, None), at(1)).leased(at(40), at(1));
    let again = going.operation.clone();
    assert_eq!((again.version, again.invocation, again.attempt), (2, 2, 1));
    store.commit(going).await.expect("committed");
    assert_eq!(get(&*store, &again).await, again);
    assert_eq!(claim(&*store, at(1)).await, []);
    let stale = store.commit(decide(&leased, success(None), at(1))).await;
    assert!(
        matches!(stale, Err(CommitError::Conflict { .. })),
        "{stale:?}"
    );
    advance(&*store, &again, success(None), at(2)).await;
    assert_eq!(store.sweep(at(9000), 9).await.expect("readable"), []);
}
