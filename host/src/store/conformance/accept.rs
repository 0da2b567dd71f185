//! Cases of [`Store::accept`].

use super::*;

fn keyed(transition: &Transition, key: &str, request: &[u8]) -> Accept {
    Accept {
        transition: transition.clone(),
        basis: None,
        tokens_expired: Horizon::NEVER.client_tokens,
        key: Some((
            IdempotencyKey::Client(key.parse().expect("a client token")),
            request.to_vec(),
        )),
    }
}

pub(in crate::store) async fn an_accepted_operation_is_read_back_whole(store: Arc<dyn Store>) {
    let operation = accept(&*store, full()).await;
    assert_eq!(get(&*store, &operation).await, operation);
    let events = store.events(operation.token, 0).await.expect("readable");
    assert_eq!(events.len(), 1);
    let transition = Operation::accept(operation.token, full(), T0);
    assert_eq!(events.into_iter().next(), transition.event);

    // And what an operation without anything has.
    let bare = NewOperation {
        scope: Scope::default(),
        mutation: Mutation::Delete,
        ..create()
    };
    let operation = accept(&*store, bare).await;
    assert_eq!(get(&*store, &operation).await, operation);
}

pub(in crate::store) async fn a_client_token_of_the_same_request_replays(store: Arc<dyn Store>) {
    let first = new(create(), T0);
    let accepted = store.accept(keyed(&first, "key", b"request")).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    let leased = claim_one(&*store, T0).await;
    let ended = advance(&*store, &leased, success(id("a")), at(1)).await;

    let second = new(create(), at(2));
    let accepted = store.accept(keyed(&second, "key", b"request")).await;
    let Ok(Accepted::Replayed(replayed)) = accepted else {
        panic!("{accepted:?}");
    };
    assert_eq!(replayed, ended);
    assert_eq!(store.get(second.operation.token).await.expect("read"), None);
}

pub(in crate::store) async fn a_client_token_of_another_request_is_refused(store: Arc<dyn Store>) {
    let first = new(create(), T0);
    let accepted = store.accept(keyed(&first, "key", b"request")).await;
    assert!(accepted.is_ok());
    let second = new(create(), T0);
    let refused = store.accept(keyed(&second, "key", b"Request")).await;
    assert!(
        matches!(refused, Err(AcceptError::TokenReused { holder }) if holder == first.operation.token),
        "{refused:?}"
    );
    assert_eq!(store.get(second.operation.token).await.expect("read"), None);
}

pub(in crate::store) async fn client_tokens_of_two_scopes_do_not_meet(store: Arc<dyn Store>) {
    for account in ["111111111111", "222222222222"] {
        let scope = scope(account);
        let transition = new(NewOperation { scope, ..create() }, T0);
        let accepted = store.accept(keyed(&transition, "key", account.as_bytes()));
        assert!(matches!(accepted.await, Ok(Accepted::New)));
    }
    let scope = Scope::default();
    let transition = new(NewOperation { scope, ..create() }, T0);
    let accepted = store.accept(keyed(&transition, "key", b"nowhere")).await;
    assert!(matches!(accepted, Ok(Accepted::New)));
}

fn taken_over(transition: &Transition, bearer: &str, request: &[u8]) -> Accept {
    Accept {
        transition: transition.clone(),
        basis: None,
        tokens_expired: Horizon::NEVER.client_tokens,
        key: Some((
            IdempotencyKey::Bearer(bearer.parse().expect("a bearer token")),
            request.to_vec(),
        )),
    }
}

pub(in crate::store) async fn a_bearer_token_stands_for_one_request_in_all_scopes(
    store: Arc<dyn Store>,
) {
    let first = new(reported(), T0);
    let token = first.operation.token;
    let bearer = "canary-bearer".parse().expect("a bearer token");
    assert_eq!(store.taken_over(&bearer).await.expect("readable"), None);
    let accepted = store.accept(taken_over(&first, "canary-bearer", b"request"));
    assert!(matches!(accepted.await, Ok(Accepted::New)));
    assert_eq!(
        store.taken_over(&bearer).await.expect("readable"),
        Some(token)
    );

    let elsewhere = NewOperation {
        scope: Scope::default(),
        ..reported()
    };
    let second = new(elsewhere, at(2));
    let accepted = store.accept(taken_over(&second, "canary-bearer", b"request"));
    let Ok(Accepted::Replayed(replayed)) = accepted.await else {
        panic!("the same request is not replayed");
    };
    assert_eq!(replayed.token, token);
    let refused = store.accept(taken_over(&second, "canary-bearer", b"another"));
    let refused = refused.await;
    assert!(
        matches!(refused, Err(AcceptError::TokenReused { holder }) if holder == token),
        "{refused:?}"
    );
    // Client tokens are keys of their own.
    let accepted = store.accept(keyed(&second, "canary-bearer", b"another"));
    assert!(matches!(accepted.await, Ok(Accepted::New)));
}

/// A caller that does not know whether its accept took effect asks again.
pub(in crate::store) async fn a_request_token_that_is_kept_replays(store: Arc<dyn Store>) {
    let transition = new(full(), T0);
    let accepted = try_accept(&*store, transition.clone()).await;
    assert!(matches!(accepted, Ok(Accepted::New)));
    let accepted = try_accept(&*store, transition.clone()).await;
    let Ok(Accepted::Replayed(replayed)) = accepted else {
        panic!("{accepted:?}");
    };
    assert_eq!(replayed, transition.operation);
    let reports = store.reports(replayed.token).await.expect("readable");
    assert_eq!(reports.len(), 1);
}

pub(in crate::store) async fn a_busy_resource_is_refused_with_its_holder_and_leaves_no_trace(
    store: Arc<dyn Store>,
) {
    let named = || NewOperation {
        identifier: id("a"),
        ..reported()
    };
    let holder = accept(&*store, named()).await;
    let transition = new(named(), T0);
    let token = transition.operation.token;
    let refused = store.accept(keyed(&transition, "key", b"request")).await;
    assert!(
        matches!(refused, Err(AcceptError::Busy { holder: h }) if h == holder.token),
        "{refused:?}"
    );
    assert_eq!(store.get(token).await.expect("readable"), None);
    assert_eq!(store.events(token, 0).await.expect("readable"), []);
    assert_eq!(store.reports(token).await.expect("readable"), []);

    // Nor does it keep the client token.
    let free = new(create(), T0);
    let accepted = store.accept(keyed(&free, "key", b"another")).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
}

pub(in crate::store) async fn equal_identifiers_of_other_scopes_and_types_are_other_resources(
    store: Arc<dyn Store>,
) {
    let named = || NewOperation {
        identifier: id("a"),
        ..create()
    };
    accept(&*store, named()).await;
    let (there, nowhere) = (scope("000000000000"), Scope::default());
    for scope in [there, nowhere] {
        accept(&*store, NewOperation { scope, ..named() }).await;
    }
    let type_name = other_thing();
    accept(
        &*store,
        NewOperation {
            type_name,
            ..named()
        },
    )
    .await;
    // `|` joins the parts in an identifier's text, and may stand in a part.
    for parts in [vec!["a|b", "c"], vec!["a", "b", "c"], vec!["a|b|c"]] {
        let parts = parts.into_iter().map(str::to_owned).collect();
        let identifier = PrimaryIdentifier::new(parts);
        accept(
            &*store,
            NewOperation {
                identifier,
                ..create()
            },
        )
        .await;
    }
}

pub(in crate::store) async fn a_replay_comes_before_busy(store: Arc<dyn Store>) {
    let first = new(full(), T0);
    let accepted = store.accept(keyed(&first, "key", b"request")).await;
    assert!(accepted.is_ok());
    let again = new(full(), T0);
    let accepted = store.accept(keyed(&again, "key", b"request")).await;
    assert!(
        matches!(&accepted, Ok(Accepted::Replayed(o)) if o.token == first.operation.token),
        "{accepted:?}"
    );
}

pub(in crate::store) async fn a_lock_is_free_again_when_its_operation_ends(store: Arc<dyn Store>) {
    let named = || NewOperation {
        identifier: id("a"),
        ..create()
    };
    for _ in 0..2 {
        accept(&*store, named()).await;
        let leased = claim_one(&*store, T0).await;
        let waiting = advance(&*store, &leased, progress(0, None), T0).await;
        let refused = try_accept(&*store, new(named(), T0)).await;
        assert!(
            matches!(refused, Err(AcceptError::Busy { holder }) if holder == waiting.token),
            "{refused:?}"
        );
        let leased = claim_one(&*store, T0).await;
        advance(&*store, &leased, failure(), T0).await;
    }
}

pub(in crate::store) async fn a_replay_is_told_without_a_write(store: Arc<dyn Store>) {
    let asked = |account: &str, request: &[u8], expired| {
        store.replayed(Keyed {
            scope: scope(account),
            token: "key".parse().expect("a client token"),
            request: request.to_vec(),
            tokens_expired: expired,
        })
    };
    let (here, never) = ("123456789012", Horizon::NEVER.client_tokens);
    let free = asked(here, b"request", never).await;
    assert!(matches!(free, Ok(None)), "{free:?}");
    let first = new(create(), T0);
    let accepted = store.accept(keyed(&first, "key", b"request")).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    let leased = claim_one(&*store, T0).await;
    let ended = advance(&*store, &leased, success(id("a")), at(1)).await;

    let again = asked(here, b"request", never).await;
    assert_eq!(again.expect("the same request"), Some(ended));
    let other = asked(here, b"Request", never).await;
    assert!(
        matches!(other, Err(AcceptError::TokenReused { holder }) if holder == first.operation.token),
        "{other:?}"
    );
    for free in [
        asked("000000000000", b"Request", never).await,
        asked(here, b"Request", at(1)).await,
    ] {
        assert!(matches!(free, Ok(None)), "{free:?}");
    }
}

/// Gives the basis of the resource that [`follow`] is about.
async fn basis(store: &dyn Store) -> Result<Basis, AcceptError> {
    let identifier = id("a").expect("an identifier");
    store.basis(&create().scope, &thing(), &identifier).await
}

async fn follow(store: &dyn Store, basis: Option<Basis>) -> Result<Accepted, AcceptError> {
    let named = NewOperation {
        identifier: id("a"),
        ..create()
    };
    let accept = Accept {
        transition: new(named, T0),
        key: None,
        basis,
        tokens_expired: Horizon::NEVER.client_tokens,
    };
    store.accept(accept).await
}

pub(in crate::store) async fn what_follows_from_an_overtaken_state_is_refused(
    store: Arc<dyn Store>,
) {
    let mut bases = vec![basis(&*store).await.expect("nobody is there")];
    for _ in 0..2 {
        // Once the operation knows the resource from the start, once it learns it.
        for identifier in [id("a"), None] {
            let named = NewOperation {
                identifier: identifier.clone(),
                ..create()
            };
            let first = accept(&*store, named).await;
            let leased = claim_one(&*store, T0).await;
            let waiting = advance(&*store, &leased, progress(0, id("a")), T0).await;
            let busy = basis(&*store).await;
            assert!(
                matches!(busy, Err(AcceptError::Busy { holder }) if holder == first.token),
                "{busy:?}"
            );
            for basis in &bases {
                let busy = follow(&*store, Some(*basis)).await;
                assert!(
                    matches!(busy, Err(AcceptError::Busy { holder }) if holder == first.token),
                    "{busy:?}"
                );
            }
            let leased = claim_one(&*store, T0).await;
            advance(&*store, &leased, failure(), T0).await;
            for basis in &bases {
                let overtaken = follow(&*store, Some(*basis)).await;
                assert!(
                    matches!(overtaken, Err(AcceptError::Overtaken { by }) if by == waiting.token),
                    "{overtaken:?}"
                );
            }
            bases.push(basis(&*store).await.expect("it is free"));
        }
    }
    let latest = bases.pop();
    let accepted = follow(&*store, latest).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    let leased = claim_one(&*store, T0).await;
    advance(&*store, &leased, failure(), T0).await;
    // Who has read nothing is not held up.
    let accepted = follow(&*store, None).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
}

pub(in crate::store) async fn a_basis_that_is_forgotten_holds_nobody_up(store: Arc<dyn Store>) {
    let nothing = basis(&*store).await.expect("nobody is there");
    let accepted = follow(&*store, None).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    let leased = claim_one(&*store, T0).await;
    let ended = advance(&*store, &leased, failure(), T0).await;
    let known = basis(&*store).await.expect("it is free");
    assert_ne!(known, nothing);
    store.forget(ended.token).await.expect("forgotten");
    assert_eq!(basis(&*store).await.expect("it is free"), nothing);
    let accepted = follow(&*store, Some(known)).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
}

pub(in crate::store) async fn what_is_accepted_unchanged_has_ended_and_locks_nothing(
    store: Arc<dyn Store>,
) {
    let model = object(r#"{"Name":"a","Value":"canary-model"}"#);
    let unchanged = || {
        let token = RequestToken::random();
        Operation::unchanged(token, full(), model.clone(), at(3))
    };
    let transition = unchanged();
    let operation = transition.operation.clone();
    let accepted = store.accept(keyed(&transition, "key", b"request")).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
    assert_eq!(get(&*store, &operation).await, operation);
    let events = store.events(operation.token, 0).await.expect("readable");
    assert_eq!(events, Vec::from_iter(transition.event));
    assert_eq!(events[0].model, Some(model.clone()));
    assert_eq!(claim(&*store, at(9)).await, []);
    assert_eq!(store.sweep(at(9_999), 9).await.expect("readable"), []);
    assert_eq!(store.due_reports(at(9), 9).await.expect("readable"), []);
    let accepted = store.accept(keyed(&unchanged(), "key", b"request")).await;
    assert!(matches!(accepted, Ok(Accepted::Replayed(it)) if it == operation));

    // The resource is free; and while it is not, nothing is said of it.
    let live = accept(&*store, full()).await;
    let refused = store.accept(keyed(&unchanged(), "other", b"request")).await;
    assert!(
        matches!(refused, Err(AcceptError::Busy { holder }) if holder == live.token),
        "{refused:?}"
    );
    let horizon = Horizon {
        ended: at(4),
        ..Horizon::NEVER
    };
    assert_eq!(store.prune(&horizon, 9).await.expect("pruned"), 1);
}
