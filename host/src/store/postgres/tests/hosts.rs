//! Several hosts on one database.

use std::collections::HashSet;

use super::*;
use crate::operation::{Input, NewOperation, WriteOnly};
use crate::store::conformance::*;

/// Two hosts on the tables of a test.
async fn two(schema: &Schema) -> Option<(Arc<dyn Store>, Arc<dyn Store>)> {
    if !schema.is_there() {
        return None;
    }
    Some((schema.open().await, schema.open().await))
}

#[tokio::test]
async fn who_comes_later_voids_no_lease_and_who_was_paused_commits_nothing() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    accept(&*first, reported()).await;
    let leased = claim_one(&*first, T0).await;
    let third = schema.open().await;
    for other in [&second, &third] {
        assert_eq!(claim(&**other, T0).await, []);
        assert_eq!(other.sweep(at(29), 9).await.expect("readable"), []);
    }
    let end = T0.after(LEASE);
    let swept = second.sweep(end, 9).await.expect("readable");
    assert_eq!(swept, std::slice::from_ref(&leased));
    let retried = advance(&*second, &swept[0], Input::LeaseLapsed, end).await;
    assert_eq!(retried.attempt, 1, "the lost attempt counts");
    let taken = claim_one(&*third, retried.due).await;
    assert_eq!(taken.attempt, 2);
    let late = first
        .commit(decide(&leased, success(id("a")), at(40)))
        .await;
    assert!(
        matches!(late, Err(CommitError::Conflict { .. })),
        "{late:?}"
    );
    let held = Held {
        token: leased.token,
        number: 2,
    };
    let lost = first.renew(&[held], at(99)).await.expect("renewed");
    assert_eq!(lost, [leased.token]);
    advance(&*third, &taken, success(id("a")), at(41)).await;
}

#[tokio::test]
async fn what_is_due_is_shared_and_nobody_waits_for_another() {
    const ALL: usize = 200;
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    for _ in 0..ALL {
        accept(&*first, create()).await;
    }
    let some_of = async |store: &dyn Store| {
        let shares = [Share {
            type_name: thing(),
            limit: 10,
        }];
        let claimed = store.claim(&shares, 10, T0, LEASE).await.expect("claimed");
        claimed.into_iter().map(|it| it.token).collect::<Vec<_>>()
    };
    // What somebody else has locked is left to him.
    let client = schema.client().await;
    let lock = "SELECT token FROM operation ORDER BY due, token LIMIT 10 FOR UPDATE";
    client.batch_execute("BEGIN").await.expect("begun");
    let locked = client.query(lock, &[]).await.expect("locked");
    let locked: HashSet<String> = locked
        .iter()
        .map(|row| row.get::<_, Uuid>(0).to_string())
        .collect();
    let early = some_of(&*second).await;
    assert_eq!(early.len(), 10);
    assert!(early.iter().all(|it| !locked.contains(&it.to_string())));
    client.batch_execute("ROLLBACK").await.expect("undone");
    // At once, while there is enough for both.
    let (one, other) = tokio::join!(some_of(&*first), some_of(&*second));
    assert!(!one.is_empty() && !other.is_empty());
    let rest_of = async |store: &dyn Store, mut mine: Vec<_>| {
        loop {
            match some_of(store).await {
                some if some.is_empty() => return mine,
                some => mine.extend(some),
            }
        }
    };
    let (one, other) = tokio::join!(rest_of(&*first, one), rest_of(&*second, other));
    let all = [early, one, other].concat();
    assert_eq!(all.len(), ALL);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), ALL);
}

#[tokio::test]
async fn a_report_is_delivered_by_one_host_and_taken_over_when_that_is_gone() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    let operation = accept(&*first, reported()).await;
    let lease = Duration::from_secs(60);
    let claimed = first
        .claim_reports(T0, 9, lease, &[])
        .await
        .expect("claimed");
    assert!(!claimed[0].ambiguous);
    assert_eq!(
        second
            .claim_reports(at(59), 9, lease, &[])
            .await
            .expect("claimed"),
        []
    );
    let next = second.next_report(T0).await.expect("readable");
    assert_eq!(next, Some(at(60)));
    let claimed = second
        .claim_reports(at(60), 9, lease, &[])
        .await
        .expect("claimed");
    assert!(claimed[0].ambiguous, "the first may have sent it");
    let delivered = || Settlement::Delivered { at: at(7) };
    let settled = first.settle(operation.token, 1, delivered()).await;
    settled.expect("nothing is changed");
    let pending = second.reports(operation.token).await.expect("readable");
    assert_eq!(pending.len(), 1);
    let settled = second.settle(operation.token, 1, delivered()).await;
    settled.expect("settled");
    let pending = first.reports(operation.token).await.expect("readable");
    assert_eq!(pending, []);
}

#[tokio::test]
async fn of_racing_hosts_one_has_the_token_and_one_the_resource() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    for round in 0..10 {
        let named = |key: String| {
            let new = NewOperation {
                identifier: id(&format!("r{round}")),
                ..create()
            };
            let token = RequestToken::random();
            Accept {
                transition: Operation::accept(token, new, T0),
                key: Some((
                    IdempotencyKey::Client(key.parse().expect("a client token")),
                    b"request".to_vec(),
                )),
                basis: None,
                tokens_expired: Horizon::NEVER.client_tokens,
            }
        };
        let racers = (0..8).map(|racer| {
            let store = Arc::clone(if racer % 2 == 0 { &first } else { &second });
            // Half of them say that they are the same request.
            let key = format!("key-{round}-{}", if racer < 4 { 0 } else { racer });
            let accept = named(key);
            tokio::spawn(async move { store.accept(accept).await })
        });
        let (mut new, mut busy) = (0, 0);
        for racer in racers.collect::<Vec<_>>() {
            match racer.await.expect("no panic") {
                Ok(Accepted::New) => new += 1,
                Ok(Accepted::Replayed(_)) => {}
                Err(AcceptError::Busy { .. }) => busy += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(new, 1);
        assert!(busy >= 4, "{busy}");
    }
}

#[tokio::test]
async fn one_of_many_racing_commits_of_two_hosts_wins() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    for _ in 0..10 {
        accept(&*first, reported()).await;
        let leased = claim_one(&*second, T0).await;
        let racers = (0..10_u64).map(|racer| {
            let store = Arc::clone(if racer % 2 == 0 { &first } else { &second });
            let transition = decide(&leased, success(id(&format!("n{racer}"))), at(racer));
            tokio::spawn(async move { store.commit(transition).await.is_ok() })
        });
        let mut won = 0;
        for racer in racers.collect::<Vec<_>>() {
            won += usize::from(racer.await.expect("no panic"));
        }
        assert_eq!(won, 1);
        let events = first.events(leased.token, 0).await.expect("readable");
        assert_eq!(events.len(), 2);
    }
}

#[tokio::test]
async fn a_component_that_another_host_uses_stays() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    // More than one part.
    let bytes: Arc<[u8]> = vec![7; (2 << 20) + 5].into();
    let digest = first.put_component(Arc::clone(&bytes)).await.expect("kept");
    assert_eq!(second.prune_components(&[]).await.expect("pruned"), []);
    let kept = second.component(digest).await.expect("readable");
    assert_eq!(kept, Some(bytes));
    let removed = first.prune_components(&[]).await.expect("pruned");
    assert_eq!(removed, [digest]);
    assert_eq!(second.component(digest).await.expect("readable"), None);
}

#[tokio::test]
async fn a_part_of_a_component_that_was_meddled_with_is_written_anew() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let bytes: Arc<[u8]> = vec![7; (1 << 20) + 5].into();
    let digest = store.put_component(Arc::clone(&bytes)).await.expect("kept");
    for damage in [
        "UPDATE component_part SET bytes = '\\x00' WHERE number = 1",
        "DELETE FROM component_part WHERE number = 1",
    ] {
        schema.meddle(damage).await;
        let damaged = store.component(digest).await;
        assert!(matches!(damaged, Err(StoreError::Corrupt { .. })));
        let again = store.put_component(Arc::clone(&bytes)).await;
        assert_eq!(again.expect("kept"), digest);
        let kept = store.component(digest).await.expect("readable");
        assert_eq!(kept, Some(Arc::clone(&bytes)));
    }
}

#[tokio::test]
async fn a_host_hears_that_another_has_accepted_something() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    let mut heard = second.hints().expect("there are hints");
    let mut own = first.hints().expect("there are hints");
    // Once they listen, they take note of that.
    for hints in [&mut heard, &mut own] {
        if *hints.borrow_and_update() == 0 {
            hints.changed().await.expect("the store lives");
        }
        hints.mark_unchanged();
    }
    let before = *own.borrow();
    accept(&*first, create()).await;
    let changed = tokio::time::timeout(Duration::from_secs(20), heard.changed());
    changed
        .await
        .expect("a hint comes")
        .expect("the store lives");
    assert_eq!(*own.borrow(), before, "nobody hears himself");
}

#[tokio::test]
async fn all_hosts_go_by_the_clock_of_the_server() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    let client = schema.client().await;
    let now = async || {
        let said = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let row = client.query_one(said, &[]).await.expect("it tells");
        u64::try_from(row.get::<_, i64>(0)).expect("after the epoch")
    };
    for store in [first, second] {
        let before = now().await;
        let told = store.time().expect("it has looked").as_millis();
        let after = now().await;
        // Half of a round trip, on a machine that is busy.
        assert!(before <= told + 2_000 && told <= after + 2_000);
    }
}

#[tokio::test]
async fn write_only_values_are_seen_by_all_hosts() {
    let schema = Schema::new();
    let Some((first, second)) = two(&schema).await else {
        return;
    };
    let values = object(r#"{"Password":"canary"}"#);
    let named = NewOperation {
        identifier: id("a"),
        ..create()
    };
    accept(&*first, named).await;
    let leased = claim_one(&*first, T0).await;
    let mut ended = decide(&leased, success(id("a")), at(1));
    ended.write_only = WriteOnly::Keep(values.clone());
    first.commit(ended).await.expect("committed");
    let identifier = id("a").expect("an identifier");
    let kept = second
        .write_only(&leased.scope, &thing(), &identifier)
        .await;
    assert_eq!(kept.expect("readable"), Some(values));
}
