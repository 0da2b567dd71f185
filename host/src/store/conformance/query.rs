//! Cases of what reads: operations, lists, events and components.

use crate::operation::{CancelReason, Status};

use super::*;

pub(in crate::store) async fn what_is_not_there_is_none(store: Arc<dyn Store>) {
    let nobody = RequestToken::random();
    assert_eq!(store.get(nobody).await.expect("readable"), None);
    assert_eq!(store.events(nobody, 0).await.expect("readable"), []);
    assert_eq!(store.reports(nobody).await.expect("readable"), []);
    let filter = Filter::default();
    assert_eq!(store.list(&filter).await.expect("readable"), []);
    assert_eq!(store.sweep(T0, 10).await.expect("readable"), []);
    let nothing = Digest::of(b"nothing");
    let component = store.component(nothing).await.expect("readable");
    assert!(component.is_none());
}

pub(in crate::store) async fn a_backlog_counts_what_is_live_and_what_is_unreported(
    store: Arc<dyn Store>,
) {
    let now = at(1);
    let backlog = async || store.backlog(now).await.expect("readable");
    assert_eq!(backlog().await, Backlog::default());

    let waiting = accept(&*store, create()).await;
    let leased = claim_one(&*store, T0).await;
    advance(&*store, &leased, progress(60, None), T0).await;
    let reported = accept(&*store, reported()).await;
    let leased = claim_one(&*store, T0).await;
    accept_at(&*store, create(), now).await;
    accept_at(&*store, create(), at(2)).await;
    let type_name = other_thing();
    let other = NewOperation {
        type_name,
        ..create()
    };
    accept(&*store, other).await;
    let queue = |[due, waiting, leased]: [u64; 3], pending, cancelling| Queue {
        due,
        waiting,
        leased,
        pending,
        cancelling,
    };
    let types = |things| {
        let others = queue([1, 0, 0], 1, 0);
        [(thing(), things), (other_thing(), others)].into()
    };
    // One of the waiting ones was accepted by a clock that is ahead.
    let expected = Backlog {
        types: types(queue([1, 2, 1], 2, 0)),
        reports: 1,
        parked: 0,
        oldest_report: Some(T0),
    };
    assert_eq!(backlog().await, expected);

    let asked = || Input::CancelAsked(CancelReason::Caller);
    let leased = advance(&*store, &leased, asked(), at(2)).await;
    let expected = Backlog {
        types: types(queue([1, 2, 1], 2, 1)),
        reports: 1,
        ..expected
    };
    assert_eq!(backlog().await, expected);

    let ended = advance(&*store, &leased, success(None), at(3)).await;
    let waiting = get(&*store, &waiting).await;
    advance(&*store, &waiting, asked(), now).await;
    let mut expected = Backlog {
        types: types(queue([1, 1, 0], 2, 0)),
        reports: 2,
        ..expected
    };
    assert_eq!(backlog().await, expected);

    let settle = async |version, settlement| {
        let settled = store.settle(reported.token, version, settlement).await;
        settled.expect("settled");
    };
    settle(reported.version, Settlement::Delivered { at: at(7) }).await;
    expected.reports = 1;
    expected.oldest_report = Some(at(3));
    assert_eq!(backlog().await, expected);
    let reason = "no".to_owned();
    settle(ended.version, Settlement::Parked { reason }).await;
    expected.parked = 1;
    expected.oldest_report = None;
    assert_eq!(backlog().await, expected);
    store.unpark(reported.token, now).await.expect("unparked");
    settle(ended.version, Settlement::Delivered { at: at(7) }).await;
    expected.reports = 0;
    expected.parked = 0;
    assert_eq!(backlog().await, expected);
}

pub(in crate::store) async fn a_list_is_filtered_and_newest_first(store: Arc<dyn Store>) {
    let done = accept(&*store, create()).await;
    let leased = claim_one(&*store, T0).await;
    advance(&*store, &leased, success(None), T0).await;
    let running = accept(&*store, create()).await;
    claim_one(&*store, T0).await;
    let pending = accept(&*store, create()).await;
    let type_name = other_thing();
    let other = accept(
        &*store,
        NewOperation {
            type_name,
            ..create()
        },
    )
    .await;

    let list = async |statuses: &[Status], type_name: Option<TypeName>| {
        let filter = Filter {
            statuses: statuses.to_vec(),
            type_name,
            ..Filter::default()
        };
        tokens(&store.list(&filter).await.expect("readable"))
    };
    let mut all = [done.token, running.token, pending.token, other.token];
    all.sort();
    all.reverse();
    assert_eq!(list(&[], None).await, all);
    assert_eq!(list(&Status::ALL, None).await, all);
    assert_eq!(list(&[Status::Success], None).await, [done.token]);
    assert_eq!(list(&[Status::InProgress], None).await, [running.token]);
    assert_eq!(
        list(&[Status::Pending], Some(thing())).await,
        [pending.token]
    );
    assert_eq!(list(&[], Some(other_thing())).await, [other.token]);
    let found = list(&[Status::Success, Status::Pending], Some(thing())).await;
    let mut expected = [done.token, pending.token];
    expected.sort();
    expected.reverse();
    assert_eq!(found, expected);
    assert_eq!(list(&[Status::Failed], None).await, []);
}

pub(in crate::store) async fn a_list_is_read_page_by_page(store: Arc<dyn Store>) {
    for _ in 0..25 {
        accept(&*store, create()).await;
    }
    let all = store.list(&Filter::default()).await.expect("readable");
    assert_eq!(all.len(), 25);
    let mut pages = Vec::new();
    let mut filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    loop {
        let page = store.list(&filter).await.expect("readable");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 10);
        filter.before = Some(last.token);
        pages.extend(page);
    }
    assert_eq!(pages, all);
    filter.limit = 0;
    filter.before = None;
    assert_eq!(store.list(&filter).await.expect("readable"), []);
}

pub(in crate::store) async fn a_list_is_of_one_scope_and_of_some_mutations(store: Arc<dyn Store>) {
    let scopes = [
        scope("111111111111"),
        scope("222222222222"),
        Scope::default(),
    ];
    let mut all = Vec::new();
    for scope in &scopes {
        for mutation in Mutation::ALL {
            for _ in 0..3 {
                let new = NewOperation {
                    scope: scope.clone(),
                    mutation,
                    ..create()
                };
                all.push(accept(&*store, new).await);
            }
        }
    }
    // A third of them is running.
    let shares = [share(thing(), 9)];
    let claimed = store.claim(&shares, 9, T0, LEASE).await.expect("claimed");
    let running = tokens(&claimed);
    all.sort_by_key(|operation| std::cmp::Reverse(operation.token));
    let statuses = [vec![], vec![Status::Pending], vec![Status::InProgress; 2]];
    let mutations = [
        vec![],
        vec![Mutation::Delete],
        vec![Mutation::Update, Mutation::Create, Mutation::Update],
    ];
    for scope in [None].into_iter().chain(scopes.map(Some)) {
        for statuses in &statuses {
            for mutations in &mutations {
                let expected = all.iter().filter(|operation| {
                    let status = if running.contains(&operation.token) {
                        Status::InProgress
                    } else {
                        Status::Pending
                    };
                    scope.as_ref().is_none_or(|it| *it == operation.scope)
                        && (statuses.is_empty() || statuses.contains(&status))
                        && (mutations.is_empty() || mutations.contains(&operation.mutation))
                });
                let expected: Vec<_> = expected.map(|operation| operation.token).collect();
                let filter = Filter {
                    scope: scope.clone(),
                    statuses: statuses.clone(),
                    mutations: mutations.clone(),
                    limit: 4,
                    ..Filter::default()
                };
                assert_eq!(pages(&*store, filter.clone()).await, expected, "{filter:?}");
            }
        }
    }
}

/// Gives the tokens of all pages.
async fn pages(store: &dyn Store, mut filter: Filter) -> Vec<RequestToken> {
    let mut found = Vec::new();
    loop {
        let page = store.list(&filter).await.expect("readable");
        let Some(last) = page.last() else {
            return found;
        };
        assert!(page.len() <= filter.limit);
        filter.before = Some(last.token);
        found.extend(tokens(&page));
    }
}

pub(in crate::store) async fn events_come_in_order_after_a_version(store: Arc<dyn Store>) {
    accept(&*store, create()).await;
    let mut decided = Vec::new();
    for step in 0..3 {
        let leased = claim_one(&*store, at(step)).await;
        let transition = decide(&leased, progress(1, None), at(step));
        decided.extend(transition.event.clone());
        store.commit(transition).await.expect("committed");
    }
    let (_, earlier) = decided.split_last_mut().expect("events");
    earlier.iter_mut().for_each(|event| event.model = None);
    let token = decided[0].token;
    let events = store.events(token, 0).await.expect("readable");
    let versions: Vec<_> = events.iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 3, 5, 7]);
    assert_eq!(events[1..], decided);
    for (after, left) in [(1, 3), (2, 3), (3, 2), (7, 0), (u64::MAX, 0)] {
        let events = store.events(token, after).await.expect("readable");
        assert_eq!(events, decided[3 - left..], "after {after}");
    }
}

pub(in crate::store) async fn a_component_is_kept_by_its_digest(store: Arc<dyn Store>) {
    let bytes: Arc<[u8]> = b"\0asm component".as_slice().into();
    for _ in 0..2 {
        let digest = store.put_component(Arc::clone(&bytes)).await.expect("kept");
        assert_eq!(digest, Digest::of(&bytes));
        let kept = store.component(digest).await.expect("readable");
        assert_eq!(kept.as_ref(), Some(&bytes));
    }
}
