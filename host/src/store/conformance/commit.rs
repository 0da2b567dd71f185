//! Cases of [`Store::commit`].

use crate::operation::{CancelReason, EventKind, Status, WriteOnly};

use super::*;

pub(in crate::store) async fn a_commit_replaces_the_version_before_it(store: Arc<dyn Store>) {
    accept(&*store, full()).await;
    let leased = claim_one(&*store, T0).await;
    let transition = decide(&leased, progress(5, id("name")), at(1));
    store.commit(transition.clone()).await.expect("committed");
    assert_eq!(get(&*store, &leased).await, transition.operation);
    let events = store.events(leased.token, 1).await.expect("readable");
    assert_eq!(events.into_iter().next(), transition.event);

    let leased = claim_one(&*store, at(6)).await;
    assert_eq!(leased.work, transition.operation.work);
    let ended = decide(&leased, success(id("name")), at(7));
    store.commit(ended.clone()).await.expect("committed");
    let kept = get(&*store, &leased).await;
    assert_eq!(kept, ended.operation);
    assert_eq!(kept.status, Status::Success);
    let events = store.events(leased.token, 3).await.expect("readable");
    assert_eq!(events.into_iter().next(), ended.event);
}

pub(in crate::store) async fn the_loser_of_a_race_writes_nothing(store: Arc<dyn Store>) {
    accept(&*store, reported()).await;
    let leased = claim_one(&*store, T0).await;
    let won = advance(&*store, &leased, progress(5, None), T0).await;
    let lost = decide(&leased, success(id("late")), T0);
    let refused = store.commit(lost).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict { expected: 2 })),
        "{refused:?}"
    );
    assert_eq!(get(&*store, &leased).await, won);
    assert_eq!(store.events(leased.token, 0).await.expect("read").len(), 2);
    assert_eq!(store.reports(leased.token).await.expect("read").len(), 2);
    // Nor did it take the lock.
    let identifier = id("late");
    accept(
        &*store,
        NewOperation {
            identifier,
            ..create()
        },
    )
    .await;
}

pub(in crate::store) async fn a_commit_on_nothing_is_a_conflict(store: Arc<dyn Store>) {
    let nobody = new(create(), T0).operation;
    let cancel = Input::CancelAsked(CancelReason::Caller);
    let refused = store.commit(decide(&nobody, cancel, T0)).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict { expected: 1 })),
        "{refused:?}"
    );
    assert_eq!(store.get(nobody.token).await.expect("readable"), None);
}

pub(in crate::store) async fn one_of_many_racing_commits_wins(store: Arc<dyn Store>) {
    accept(&*store, reported()).await;
    let leased = claim_one(&*store, T0).await;
    let racers: Vec<_> = (0..40_u64)
        .map(|racer| {
            let store = Arc::clone(&store);
            let transition = decide(&leased, progress(racer + 1, None), T0);
            tokio::spawn(async move {
                let won = store.commit(transition.clone()).await.is_ok();
                won.then_some(transition.operation)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        winners.extend(racer.await.expect("no panic"));
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&*store, &leased).await, winners[0]);
    assert_eq!(store.events(leased.token, 0).await.expect("read").len(), 2);
    assert_eq!(store.reports(leased.token).await.expect("read").len(), 2);
}

pub(in crate::store) async fn an_identifier_learned_late_is_locked(store: Arc<dyn Store>) {
    let named = || NewOperation {
        identifier: id("made"),
        ..create()
    };
    accept(&*store, create()).await;
    let leased = claim_one(&*store, T0).await;
    let holder = advance(&*store, &leased, progress(5, id("made")), T0).await;
    let refused = try_accept(&*store, new(named(), T0)).await;
    assert!(
        matches!(refused, Err(AcceptError::Busy { holder: h }) if h == holder.token),
        "{refused:?}"
    );
    // Saying it again is no conflict with itself.
    let leased = claim_one(&*store, at(5)).await;
    let waiting = advance(&*store, &leased, progress(5, id("made")), at(5)).await;
    let cancel = Input::CancelAsked(CancelReason::Caller);
    advance(&*store, &waiting, cancel, at(6)).await;
    accept(&*store, named()).await;
}

pub(in crate::store) async fn an_identifier_that_is_taken_is_not_committed(store: Arc<dyn Store>) {
    let type_name = other_thing();
    let identifier = id("made");
    for name in [thing(), type_name] {
        let holder = accept(
            &*store,
            NewOperation {
                identifier: identifier.clone(),
                type_name: name.clone(),
                ..create()
            },
        )
        .await;
        let shares = [share(name.clone(), 1)];
        store
            .claim(&shares, usize::MAX, T0, LEASE)
            .await
            .expect("claimed");
        accept(
            &*store,
            NewOperation {
                type_name: name,
                ..reported()
            },
        )
        .await;
        let claimed = store
            .claim(&shares, usize::MAX, T0, LEASE)
            .await
            .expect("claimed");
        let leased = &claimed[0];
        for input in [progress(5, identifier.clone()), success(identifier.clone())] {
            let refused = store.commit(decide(leased, input, at(1))).await;
            assert!(
                matches!(refused, Err(CommitError::IdentifierTaken { holder: h }) if h == holder.token),
                "{refused:?}"
            );
        }
        assert_eq!(get(&*store, leased).await, *leased);
        assert_eq!(store.events(leased.token, 0).await.expect("read").len(), 1);

        let Input::Answered(answer) = success(identifier.clone()) else {
            unreachable!("a success is an answer")
        };
        let taken = Input::IdentifierTaken { answer };
        let failed = advance(&*store, leased, taken, at(1)).await;
        assert_eq!(failed.code, Some(HandlerErrorCode::ResourceConflict));
        assert_eq!(get(&*store, &failed).await, failed);
        // The holder still holds it.
        let again = NewOperation {
            identifier: identifier.clone(),
            type_name: failed.type_name.clone(),
            ..create()
        };
        let refused = try_accept(&*store, new(again, T0)).await;
        assert!(matches!(refused, Err(AcceptError::Busy { .. })));
    }
}

pub(in crate::store) async fn a_lease_lost_to_another_cannot_be_used(store: Arc<dyn Store>) {
    accept(&*store, create()).await;
    let stale = claim_one(&*store, T0).await;
    let retried = advance(&*store, &stale, Input::LeaseLapsed, T0.after(LEASE)).await;
    let fresh = claim_one(&*store, retried.due).await;
    assert_ne!(
        stale.lease.map(|lease| lease.number),
        fresh.lease.map(|lease| lease.number)
    );
    let refused = store.commit(decide(&stale, success(None), at(1))).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    advance(&*store, &fresh, success(None), retried.due).await;
}

pub(in crate::store) async fn what_ended_is_never_claimed_or_swept(store: Arc<dyn Store>) {
    accept(&*store, create()).await;
    accept(&*store, create()).await;
    let [first, second]: [_; 2] = claim(&*store, T0).await.try_into().expect("two");
    advance(&*store, &first, success(id("a")), T0).await;
    let cancelling = Input::CancelAsked(CancelReason::Caller);
    let second = advance(&*store, &second, cancelling, T0).await;
    assert_eq!(get(&*store, &second).await, second);
    let ended = advance(&*store, &second, progress(0, None), T0).await;
    assert_eq!(ended.status, Status::CancelComplete);
    let late = T0.after(TIME * 2);
    assert_eq!(claim(&*store, late).await, []);
    assert_eq!(store.sweep(late, 10).await.expect("readable"), []);
    let types = [thing()];
    let upcoming = store.upcoming(&types, Timestamp::from_millis(0), 9);
    assert_eq!(upcoming.await.expect("readable"), []);
}

pub(in crate::store) async fn an_end_erases_work_and_the_last_event_alone_has_its_model(
    store: Arc<dyn Store>,
) {
    accept(&*store, create()).await;
    for step in 0..3 {
        let leased = claim_one(&*store, at(step * 10)).await;
        let waiting = advance(&*store, &leased, progress(10, None), at(step * 10)).await;
        let events = store.events(leased.token, 0).await.expect("readable");
        let (last, earlier) = events.split_last().expect("events");
        assert!(last.model.is_some());
        assert_eq!(last.model, waiting.model);
        assert!(earlier.iter().all(|event| event.model.is_none()));
    }
    let leased = claim_one(&*store, at(30)).await;
    let ended = advance(&*store, &leased, success(id("a")), at(30)).await;
    let kept = get(&*store, &ended).await;
    assert_eq!(kept.work, None);
    let events = store.events(leased.token, 0).await.expect("readable");
    let (last, earlier) = events.split_last().expect("events");
    assert!(earlier.iter().all(|event| event.model.is_none()));
    assert_eq!(earlier.len(), 4);
    assert_eq!((last.kind, &last.model), (EventKind::Ended, &kept.model));
    assert!(last.model.is_some());
}

pub(in crate::store) async fn write_only_values_are_kept_replaced_and_forgotten(
    store: Arc<dyn Store>,
) {
    let kept = async |scope: &Scope, type_name: &TypeName, name: &str| {
        let identifier = id(name).expect("an identifier");
        let found = store.write_only(scope, type_name, &identifier).await;
        found.expect("readable")
    };
    let end = async |new: NewOperation, name: &str, write_only| {
        let identifier = id(name);
        let operation = accept(&*store, NewOperation { identifier, ..new }).await;
        let leased = decide(&operation, Input::Leased { until: at(9) }, T0);
        store.commit(leased.clone()).await.expect("committed");
        let mut ended = decide(&leased.operation, success(None), at(1));
        assert_eq!(ended.write_only, WriteOnly::Forget, "a success says so");
        ended.write_only = write_only;
        store.commit(ended).await.expect("committed");
        operation
    };
    let first = object(r#"{"Password":"canary-first"}"#);
    let second = object(r#"{"Password":"canary-second"}"#);
    let here = create().scope;
    assert_eq!(kept(&here, &thing(), "a").await, None);
    let operation = end(create(), "a", WriteOnly::Keep(first.clone())).await;
    assert_eq!(kept(&here, &thing(), "a").await, Some(first.clone()));

    // They are those of this resource alone.
    let type_name = other_thing();
    let there = scope("222222222222");
    assert_eq!(kept(&here, &type_name, "a").await, None);
    assert_eq!(kept(&there, &thing(), "a").await, None);
    assert_eq!(kept(&here, &thing(), "b").await, None);
    let other = NewOperation {
        type_name: type_name.clone(),
        ..create()
    };
    end(other, "a", WriteOnly::Keep(second.clone())).await;
    end(create(), "b", WriteOnly::Forget).await;
    assert_eq!(kept(&here, &thing(), "a").await, Some(first.clone()));

    // And outlive what brought them.
    store.forget(operation.token).await.expect("forgotten");
    end(create(), "a", WriteOnly::AsIs).await;
    assert_eq!(kept(&here, &thing(), "a").await, Some(first));
    end(create(), "a", WriteOnly::Keep(second.clone())).await;
    assert_eq!(kept(&here, &thing(), "a").await, Some(second.clone()));
    end(create(), "a", WriteOnly::Forget).await;
    assert_eq!(kept(&here, &thing(), "a").await, None);
    assert_eq!(kept(&here, &type_name, "a").await, Some(second));
}
