//! Who may open a data directory.

use super::*;
use crate::operation::{CancelReason, Input};
use crate::store::KeyError;
use crate::store::conformance::{T0, accept, advance, claim_one, create, full, success};

#[test]
fn a_second_engine_is_refused_with_the_process_of_the_first() {
    let directory = Directory::new();
    let first = directory.store();
    let text = directory.refusal().to_string();
    let process = format!("process {}:", std::process::id());
    assert!(text.contains(&process), "{text}");
    assert!(
        text.contains(&format!("`{}`", directory.path().display())),
        "{text}"
    );
    drop(first);
    directory.store();
}

#[test]
fn a_first_engine_that_has_not_written_its_process_is_another_process() {
    let directory = Directory::new();
    let first = directory.store();
    std::fs::write(directory.path().join("lock"), "").expect("emptied");
    let text = directory.refusal().to_string();
    let place = format!("`{}`", directory.path().display());
    assert!(text.contains(&place), "{text}");
    assert!(text.contains("in use by another process:"), "{text}");
    drop(first);
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_made_anew_beside_its_components() {
    let directory = Directory::new();
    let store = directory.store();
    let kept = store.put_component(Arc::from(*b"component")).await;
    kept.expect("it is kept");
    drop(store);
    for name in ["formwork.db", "formwork.db-wal", "formwork.db-shm"] {
        let path = directory.path().join(name);
        if path.exists() {
            std::fs::write(path, "").expect("emptied");
        }
    }
    let error = directory.refusal();
    assert!(matches!(error, OpenError::Emptied { .. }), "{error}");
}

#[test]
fn a_newer_database_is_refused_and_left_as_it_is() {
    let directory = Directory::new();
    drop(directory.store());
    directory.meddle("PRAGMA user_version = 99");
    let error = directory.refusal();
    assert!(
        matches!(
            error,
            OpenError::TooNew {
                found: 99,
                supported: schema::SUPPORTED,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("use a newer one"), "{error}");
    let attached = SqliteStore::attach(directory.path()).err();
    assert!(matches!(attached, Some(OpenError::TooNew { .. })));
    directory.meddle(&format!("PRAGMA user_version = {}", schema::SUPPORTED));
    directory.store();
}

#[test]
fn an_older_database_is_not_changed_by_a_client() {
    let directory = Directory::new();
    drop(directory.store());
    directory.meddle("PRAGMA user_version = 0");
    let attached = SqliteStore::attach(directory.path()).err();
    assert!(matches!(attached, Some(OpenError::TooOld { found: 0, .. })));
}

#[test]
fn another_key_is_refused_with_both_names() {
    let directory = Directory::new();
    drop(directory.store());
    let key = directory.path().join("key");
    std::fs::write(&key, [7; 32]).expect("written");
    let OpenError::Key { source, .. } = directory.refusal() else {
        panic!("refused for another reason");
    };
    let KeyError::Other {
        found, expected, ..
    } = &source
    else {
        panic!("{source}");
    };
    assert_ne!(found, expected);
    let text = source.to_string();
    assert!(text.contains(found) && text.contains(expected), "{text}");

    std::fs::remove_file(&key).expect("removed");
    let text = told(&directory.refusal());
    assert!(
        text.contains("missing") && text.contains("backup"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn the_files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = Directory::new();
    let path = parent.path().join("data");
    let store = SqliteStore::open(&path).expect("opened");
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o077
    };
    assert_eq!(mode(&path), 0);
    let mut files = 0;
    for entry in std::fs::read_dir(&path).expect("readable") {
        let path = entry.expect("readable").path();
        assert_eq!(mode(&path), 0, "{}", path.display());
        files += 1;
    }
    assert!(files >= 4, "database, key, lock and components");
    drop(store);
}

/// Has a record name another key than it is sealed with, and back again.
fn seal_otherwise(directory: &Directory, operation: &Operation) {
    let connection = Connection::open(database(directory.path())).expect("opened");
    let token = operation.token.as_bytes();
    let sql = "SELECT record FROM sealed WHERE token = ?";
    let record = connection.query_row(sql, [token], |row| row.get::<_, Vec<u8>>(0));
    let mut record = record.expect("there is one");
    record[0] ^= 1;
    let sql = "UPDATE sealed SET record = ? WHERE token = ?";
    let changed = connection.execute(sql, rusqlite::params![record, token]);
    assert_eq!(changed.expect("changed"), 1);
}

#[tokio::test]
async fn what_another_program_may_read_is_left_alone_and_takes_nobodys_room() {
    let directory = Directory::new();
    let store = directory.store();
    let foreign = accept(&store, create()).await;
    let own = accept(&store, create()).await;
    drop(store);
    seal_otherwise(&directory, &foreign);

    let store = directory.store();
    let shares = [Share {
        type_name: create().type_name,
        limit: 1,
    }];
    for expected in [1, 0] {
        let claimed = store.claim(&shares, 1, T0, conformance::LEASE).await;
        let claimed = claimed.expect("claimed");
        assert_eq!(claimed.len(), expected);
        assert!(claimed.iter().all(|it| it.token == own.token));
    }
    // Its deadline is there, and so is that of another.
    let leased = store.get(own.token).await.expect("readable");
    advance(&store, &leased.expect("kept"), success(None), T0).await;
    let other = accept(&store, create()).await;
    let late = T0.after(conformance::TIME * 2);
    let swept = store.sweep(late, 1).await.expect("readable");
    assert_eq!(swept[0].token, other.token);
    drop(store);
    seal_otherwise(&directory, &foreign);
    let store = directory.store();
    assert_eq!(store.sweep(late, 9).await.expect("readable").len(), 2);
    assert_eq!(
        store.get(foreign.token).await.expect("readable"),
        Some(foreign)
    );
}

#[tokio::test]
async fn a_client_works_beside_a_running_engine() {
    let directory = Directory::new();
    let missing = SqliteStore::attach(directory.path())
        .err()
        .expect("refused");
    assert!(
        missing.to_string().contains("` is no data directory"),
        "{missing}"
    );
    assert!(
        !database(directory.path()).exists(),
        "a client makes nothing"
    );

    let engine = directory.store();
    accept(&engine, full()).await;
    let leased = claim_one(&engine, T0).await;
    let client = SqliteStore::attach(directory.path()).expect("attached");
    let seen = client.get(leased.token).await.expect("readable");
    assert_eq!(seen.as_ref(), Some(&leased), "its lease is not void");
    let listed = client.list(&Filter::default()).await.expect("readable");
    assert_eq!(listed, std::slice::from_ref(&leased));
    let asked = Input::CancelAsked(CancelReason::Caller);
    let cancelling = advance(&client, &leased, asked, T0).await;
    let seen = engine.get(leased.token).await.expect("readable");
    assert_eq!(seen, Some(cancelling));
}

#[tokio::test]
async fn a_client_may_outlive_the_engine() {
    let directory = Directory::new();
    let engine = directory.store();
    let operation = accept(&engine, create()).await;
    let client = SqliteStore::attach(directory.path()).expect("attached");
    drop(engine);
    let engine = directory.store();
    for store in [&client, &engine] {
        let seen = store.get(operation.token).await.expect("readable");
        assert_eq!(seen.as_ref(), Some(&operation));
    }
}
