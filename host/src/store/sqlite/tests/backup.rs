//! Copies of a data directory, and what is made of them.

use super::*;
use crate::store::conformance::{
    T0, accept, advance, at, claim_one, create, full, observed, success,
};
use crate::store::sqlite::backup::copy;
use crate::store::{BackupError, KeyError};

#[tokio::test]
async fn a_copy_is_of_one_moment_and_goes_on_by_itself() {
    let directory = Directory::new();
    let store = Arc::new(directory.store());
    let component = store.put_component(Arc::from(*b"component")).await;
    let mut before = Vec::new();
    for _ in 0..50 {
        let token = accept(&*store, full_of(None)).await.token;
        before.push((token, observed(&*store, token).await));
    }
    // The engine goes on while it is copied.
    let busy = Arc::clone(&store);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let engine = tokio::spawn(async move {
        let mut more = 0;
        while stopped.try_recv().is_err() {
            accept(&*busy, create()).await;
            more += 1;
        }
        more
    });
    let to = directory.path().join("copy");
    let client = SqliteStore::attach(directory.path()).expect("attached");
    let done = client.back_up(&to, true).await.expect("copied");
    assert!(done.with_key && done.components == 1 && done.database_bytes > 4096);
    stop.send(()).expect("it runs");
    let more: usize = engine.await.expect("no panic");

    let copy = SqliteStore::open(&to).expect("opened");
    for (token, mut before) in before {
        // What the process before was sending may have arrived.
        before
            .2
            .iter_mut()
            .for_each(|report| report.ambiguous = true);
        assert_eq!(observed(&copy, token).await, before);
    }
    let kept = copy.component(component.expect("kept")).await;
    assert!(kept.expect("readable").is_some());
    let all = Filter {
        limit: 100_000,
        ..Filter::default()
    };
    let listed = copy.list(&all).await.expect("readable").len();
    assert!((50..=50 + more).contains(&listed), "{listed}");
    // And it is another one from then on.
    accept(&copy, create()).await;
    accept(&*store, create()).await;
    let listed = store.list(&all).await.expect("readable").len();
    assert_eq!(listed, 51 + more);
}

fn full_of(identifier: Option<PrimaryIdentifier>) -> crate::operation::NewOperation {
    crate::operation::NewOperation {
        identifier,
        ..full()
    }
}

#[tokio::test]
async fn a_copy_without_its_key_says_which_key_it_needs() {
    let directory = Directory::new();
    let store = directory.store();
    let operation = accept(&store, create()).await;
    let leased = claim_one(&store, T0).await;
    let to = directory.path().join("copy");
    let done = store.back_up(&to, false).await.expect("copied");
    assert!(!done.with_key && !to.join("key").exists());
    let refused = SqliteStore::open(&to).err().expect("refused");
    let OpenError::Key { source, .. } = &refused else {
        panic!("{refused}");
    };
    assert!(matches!(source, KeyError::Missing { .. }), "{source}");

    let key = std::fs::read(directory.path().join("key")).expect("read");
    std::fs::write(to.join("key"), key).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(to.join("key"), owner).expect("set");
    }
    let copy = SqliteStore::open(&to).expect("opened");
    // Whoever had the lease is another engine's.
    let swept = copy.sweep(T0, 9).await.expect("readable");
    assert_eq!(swept.len(), 1);
    assert_eq!(swept[0].token, operation.token);
    advance(&store, &leased, success(None), at(1)).await;
}

#[test]
fn a_copy_whose_file_another_program_has_locked_is_none() {
    let directory = Directory::new();
    drop(directory.store());
    let (from, to) = (database(directory.path()), directory.path().join("copy.db"));
    let other = Connection::open(&to).expect("made");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let refused = copy(&from, &to, Duration::ZERO).expect_err("it is locked");
    let text = told(&refused.undone("here"));
    assert!(text.contains("another program holds"), "{text}");
    other.execute_batch("ROLLBACK").expect("let go");
    let wrong = copy(&from, &to, Duration::ZERO).expect("copied");
    assert_eq!(wrong, None);
    let copied = Connection::open(&to).expect("opened");
    assert_eq!(
        schema::version(&copied).expect("readable"),
        schema::SUPPORTED
    );
}

#[tokio::test]
async fn what_is_there_is_not_overwritten() {
    let directory = Directory::new();
    let store = directory.store();
    let refused = store.back_up(directory.path(), true).await;
    assert!(
        matches!(refused, Err(BackupError::NotEmpty { .. })),
        "{refused:?}"
    );
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("empty or not there"), "{text}");
}
