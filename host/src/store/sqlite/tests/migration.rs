//! What older versions wrote.

use super::*;
use crate::model::Mutation;
use crate::operation::NewOperation;
use crate::store::IdempotencyKey;
use crate::store::conformance::{
    T0, accept, advance, at, claim_one, create, full, observed, progress, success,
};

/// The tables as a database of that version has them.
fn tables(connection: &Connection) -> Vec<(String, String)> {
    let mut statement = connection
        .prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        .expect("prepared");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.expect("queried")
        .map(|row| row.expect("read"))
        .collect()
}

#[test]
fn a_downgraded_database_is_what_the_older_program_made() {
    for version in 1..schema::SUPPORTED {
        let directory = Directory::new();
        drop(directory.store());
        directory.downgrade(version);
        let older = Connection::open_in_memory().expect("opened");
        schema::migrate_to(&older, version).expect("migrated");
        let found = Connection::open(database(directory.path())).expect("opened");
        assert_eq!(tables(&found), tables(&older), "version {version}");
    }
}

#[tokio::test]
async fn a_database_of_each_older_version_is_migrated_with_what_it_holds() {
    for version in 1..schema::SUPPORTED {
        let directory = Directory::new();
        let store = directory.store();
        let mut tokens = Vec::new();
        for mutation in Mutation::ALL {
            let new = NewOperation {
                mutation,
                identifier: None,
                ..full()
            };
            tokens.push(accept(&store, new).await.token);
        }
        let shares = [Share {
            type_name: create().type_name,
            limit: 2,
        }];
        let claimed = store.claim(&shares, 2, T0, conformance::LEASE).await;
        let claimed = claimed.expect("claimed");
        advance(&store, &claimed[0], progress(5, None), at(1)).await;
        let ended = advance(&store, &claimed[1], success(None), at(1)).await;
        let mut before = Vec::new();
        for token in &tokens {
            before.push(observed(&store, *token).await);
        }
        drop(store);
        directory.downgrade(version);

        let store = directory.store();
        for (token, before) in tokens.iter().zip(before) {
            let mut after = observed(&store, *token).await;
            for report in &mut after.2 {
                // What the process before was sending may have arrived.
                report.ambiguous = false;
            }
            assert_eq!(after, before, "version {version}");
        }
        for (mutation, token) in Mutation::ALL.into_iter().zip(&tokens) {
            let filter = Filter {
                mutations: vec![mutation],
                scope: Some(ended.scope.clone()),
                ..Filter::default()
            };
            let found = store.list(&filter).await.expect("readable");
            assert_eq!(found.len(), 1, "version {version}");
            assert_eq!(found[0].token, *token, "version {version}");
        }
        // And it goes on.
        let leased = claim_one(&store, T0).await;
        advance(&store, &leased, success(None), at(9)).await;
        accept(&store, create()).await;
    }
}

#[tokio::test]
async fn what_an_older_version_kept_is_forgotten_at_its_time() {
    for version in 1..schema::SUPPORTED {
        let directory = Directory::new();
        let store = directory.store();
        let component = store.put_component(Arc::from(*b"component")).await;
        let keyed = |now: Timestamp, expired| Accept {
            transition: Operation::accept(RequestToken::random(), create(), now),
            key: Some((
                IdempotencyKey::Client("key".parse().expect("a token")),
                b"request".to_vec(),
            )),
            basis: None,
            tokens_expired: expired,
        };
        let accepted = store.accept(keyed(T0, T0)).await;
        assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
        let leased = claim_one(&store, T0).await;
        let ended = advance(&store, &leased, success(None), at(5)).await;
        drop(store);
        directory.downgrade(version);

        let store = directory.store();
        let removed = store.prune_components(&[]).await.expect("pruned");
        assert_eq!(removed, [], "version {version}");
        let accepted = store.accept(keyed(at(9), T0)).await;
        assert!(
            matches!(accepted, Ok(Accepted::Replayed(it)) if it == ended),
            "version {version}"
        );
        let mut horizon = Horizon {
            client_tokens: at(1),
            ended: at(5),
            parked: T0,
        };
        assert_eq!(store.prune(&horizon, 9).await.expect("pruned"), 1);
        assert_eq!(store.prune(&horizon, 9).await.expect("pruned"), 0);
        horizon.ended = at(6);
        assert_eq!(store.prune(&horizon, 9).await.expect("pruned"), 1);
        assert_eq!(store.get(ended.token).await.expect("readable"), None);
        let removed = store.prune_components(&[]).await.expect("pruned");
        assert_eq!(removed, [component.expect("kept")], "version {version}");
    }
}

#[tokio::test]
async fn an_older_row_that_cannot_be_read_does_not_hinder_the_others() {
    let directory = Directory::new();
    let store = directory.store();
    let damaged = accept(&store, create()).await;
    let whole = accept(&store, create()).await;
    drop(store);
    directory.downgrade(2);
    let hex = damaged.token.to_string().replace('-', "");
    directory.meddle(&format!(
        "UPDATE sealed SET record = zeroblob(200) WHERE token = x'{hex}'"
    ));
    let store = directory.store();
    let found = store.get(whole.token).await.expect("readable");
    assert_eq!(found, Some(whole));
    assert!(store.get(damaged.token).await.is_err());
}
