//! What reaches the disk, and what happens when the disk says no.

use super::*;
use crate::operation::{NewOperation, WriteOnly};
use crate::store::IdempotencyKey;
use crate::store::conformance::{
    T0, TIME, accept, advance, at, claim, claim_one, create, decide, end_three,
    forget_three_one_by_one, full, id, object, progress, success, thing,
};
use crate::store::row;

fn bytes_of(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(bytes_of(&path));
        } else {
            let bytes = std::fs::read(&path).expect("readable");
            files.push((path, bytes));
        }
    }
    files
}

fn assert_no_canary(directory: &Directory) {
    let files = bytes_of(directory.path());
    assert!(files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 10_000);
    for (path, bytes) in files {
        let found = bytes.windows(6).any(|window| window == b"canary");
        assert!(!found, "a secret stands in {}", path.display());
    }
}

#[tokio::test]
async fn no_secret_stands_in_the_clear_in_any_file() {
    let directory = Directory::new();
    let store = directory.store();
    let operation = accept(&store, full()).await;
    let client = Accept {
        transition: Operation::accept(RequestToken::random(), create(), T0),
        basis: None,
        tokens_expired: Horizon::NEVER.client_tokens,
        key: Some((
            IdempotencyKey::Bearer("canary-bearer".parse().expect("a token")),
            b"canary-request".to_vec(),
        )),
    };
    let shown = format!("{client:?}");
    let canary = format!("{:?}", b"canary");
    assert!(!shown.contains(canary.trim_matches(['[', ']'])), "{shown}");
    assert!(store.accept(client).await.is_ok());
    assert_no_canary(&directory);
    for leased in claim(&store, T0).await {
        advance(&store, &leased, progress(0, None), at(1)).await;
    }
    let reason = "the token canary-bearer has expired".to_owned();
    let parked = Settlement::Parked { reason };
    store
        .settle(operation.token, 1, parked)
        .await
        .expect("settled");
    assert_no_canary(&directory);
    for leased in claim(&store, at(1)).await {
        let input = success(leased.identifier.clone().or_else(|| id("made")));
        let mut ended = decide(&leased, input, at(2));
        ended.write_only = WriteOnly::Keep(object(r#"{"Password":"canary-kept"}"#));
        store.commit(ended).await.expect("committed");
    }
    assert_no_canary(&directory);
    drop(store);
    assert_no_canary(&directory);
}

#[tokio::test]
async fn write_only_values_of_another_resource_are_refused() {
    let directory = Directory::new();
    let store = directory.store();
    for name in ["a", "b"] {
        let identifier = id(name);
        accept(
            &store,
            NewOperation {
                identifier,
                ..create()
            },
        )
        .await;
        let leased = claim_one(&store, T0).await;
        let mut ended = decide(&leased, success(None), at(1));
        ended.write_only = WriteOnly::Keep(object(&format!(r#"{{"Password":"{name}"}}"#)));
        store.commit(ended).await.expect("committed");
    }
    directory.meddle(
        "UPDATE write_only SET record = (SELECT record FROM write_only WHERE identifier LIKE '%a%')",
    );
    let read = async |name| {
        let identifier = id(name).expect("an identifier");
        store
            .write_only(&create().scope, &thing(), &identifier)
            .await
    };
    assert!(read("a").await.is_ok());
    let error = read("b").await.expect_err("it is a's");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("its seal is broken"), "{error}");
}

#[tokio::test]
async fn what_ended_leaves_no_blob_behind() {
    let directory = Directory::new();
    let store = directory.store();
    let operation = accept(&store, full()).await;
    let leased = claim_one(&store, T0).await;
    advance(&store, &leased, progress(0, None), at(1)).await;
    let leased = claim_one(&store, at(1)).await;
    advance(&store, &leased, success(None), at(2)).await;
    let count = |sql: &'static str| {
        store.on_writer(move |connection| {
            Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        })
    };
    let models = "SELECT count(*) FROM event WHERE model IS NOT NULL";
    let targets = "SELECT count(*) FROM sealed WHERE target IS NOT NULL";
    assert_eq!(count(models).await.expect("read"), 1, "a report needs it");
    assert_eq!(count(targets).await.expect("read"), 1, "reports need it");
    for version in [1, 3, 5] {
        let settled = store.settle(
            operation.token,
            version,
            Settlement::Delivered { at: at(7) },
        );
        settled.await.expect("settled");
    }
    assert_eq!(count(models).await.expect("read"), 0);
    assert_eq!(count(targets).await.expect("read"), 0);
    assert_eq!(
        count("SELECT count(*) FROM resource_lock WHERE held = 1")
            .await
            .expect("read"),
        0
    );
}

#[tokio::test]
async fn a_damaged_operation_is_named_and_hides_no_other() {
    let directory = Directory::new();
    let store = directory.store();
    let damaged = accept(&store, create()).await;
    let whole = accept(&store, create()).await;
    // What is remembered would be leased all the same.
    drop(store);
    let store = directory.store();
    let hex = damaged.token.to_string().replace('-', "");
    directory.meddle(&format!(
        "UPDATE sealed SET record = zeroblob(200) WHERE token = x'{hex}'"
    ));
    let error = store.get(damaged.token).await.expect_err("damaged");
    assert!(matches!(error, StoreError::Corrupt { .. }));
    assert!(
        error.to_string().contains(&damaged.token.to_string()),
        "{error}"
    );

    let listed = store.list(&Filter::default()).await.expect("readable");
    assert_eq!(listed, std::slice::from_ref(&whole));
    let shares = [Share {
        type_name: thing(),
        limit: 1,
    }];
    let claimed = store.claim(&shares, 1, T0, TIME).await.expect("claimed");
    assert_eq!(claimed.len(), 1, "the damaged one, older, took no room");
    assert_eq!(claimed[0].token, whole.token);
    advance(&store, &claimed[0], success(None), T0).await;
    let wake = store
        .upcoming(&[thing()], Timestamp::from_millis(0), 9)
        .await
        .expect("readable");
    assert_eq!(wake, [], "nobody is woken for it again and again");
}

#[tokio::test]
async fn a_damaged_operation_keeps_its_resource_until_it_is_forgotten() {
    let directory = Directory::new();
    let store = directory.store();
    let named = || NewOperation {
        identifier: id("name"),
        ..create()
    };
    let damaged = accept(&store, named()).await;
    drop(store);
    let store = directory.store();
    directory.meddle("UPDATE sealed SET record = zeroblob(200)");
    assert_eq!(claim(&store, T0).await, []);
    let again = Accept {
        transition: Operation::accept(RequestToken::random(), named(), T0),
        key: None,
        basis: None,
        tokens_expired: T0,
    };
    let busy = store.accept(again.clone()).await;
    assert!(
        matches!(busy, Err(AcceptError::Busy { holder }) if holder == damaged.token),
        "{busy:?}"
    );
    let other = accept(&store, create()).await;
    let refused = store.forget(other.token).await;
    assert!(matches!(refused, Err(ForgetError::Live { .. })));
    // Nobody knows when it would have ended, save not after its deadline.
    let mut horizon = Horizon {
        ended: damaged.deadline,
        ..Horizon::NEVER
    };
    assert_eq!(store.prune(&horizon, 9).await.expect("pruned"), 0);
    horizon.ended = damaged.deadline.after(Duration::from_millis(1));
    assert_eq!(store.prune(&horizon, 9).await.expect("pruned"), 1);
    let accepted = store.accept(again.clone()).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");

    // An operator need not wait for that, whether or not it was met.
    let damaged = again.transition.operation.token;
    directory.meddle("UPDATE sealed SET record = zeroblob(200)");
    store.forget(damaged).await.expect("forgotten");
    let accepted = store.accept(again).await;
    assert!(matches!(accepted, Ok(Accepted::New)), "{accepted:?}");
}

#[tokio::test]
async fn damaged_operations_are_swept_aside() {
    let directory = Directory::new();
    let store = directory.store();
    let first = accept(&store, create()).await;
    accept(&store, create()).await;
    // Both are of the age of the test; one record is put in the other's place.
    let hex = first.token.to_string().replace('-', "");
    directory.meddle(&format!(
        "UPDATE sealed SET record = (SELECT record FROM sealed WHERE token <> x'{hex}')
         WHERE token = x'{hex}'"
    ));
    let error = store.get(first.token).await.expect_err("moved");
    assert!(error.to_string().contains("seal is broken"), "{error}");
    let late = T0.after(TIME);
    assert_eq!(store.sweep(late, 10).await.expect("readable").len(), 1);
    directory.meddle("DELETE FROM operation WHERE live = 1");
    assert_eq!(
        store
            .upcoming(&[], Timestamp::from_millis(0), 9)
            .await
            .expect("readable"),
        []
    );
}

#[tokio::test]
async fn no_senseless_row_makes_a_panic() {
    let directory = Directory::new();
    let store = directory.store();
    let operation = accept(&store, full()).await;
    for column in [
        "account = 'x'",
        "region = '!'",
        "type = 'x'",
        "identifier = '{'",
        "identifier = '[]'",
        "status = 17",
        "version = -1",
        "due = -1",
        "deadline = -1",
        "attempt = -1",
        "lease_number = 3",
        "lease_until = 3",
    ] {
        let name = column.split(' ').next().expect("a name");
        directory.meddle(&format!(
            "CREATE TABLE saved AS SELECT {name} AS value FROM operation;
             UPDATE operation SET {column}"
        ));
        let error = store.get(operation.token).await.expect_err(column);
        assert!(
            matches!(error, StoreError::Corrupt { .. }),
            "{column}: {error}"
        );
        assert!(
            error.to_string().contains(&operation.token.to_string()),
            "{error}"
        );
        directory.meddle(&format!(
            "UPDATE operation SET {name} = (SELECT value FROM saved); DROP TABLE saved"
        ));
        let mended = store.get(operation.token).await.expect("readable");
        assert_eq!(mended.as_ref(), Some(&operation), "{column}");
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_parked() {
    let directory = Directory::new();
    let store = directory.store();
    let operation = accept(&store, full()).await;
    directory.meddle("UPDATE event SET record = zeroblob(100)");
    assert_eq!(store.due_reports(T0, 9).await.expect("readable"), []);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        None
    );
    let events = store.events(operation.token, 0).await;
    assert!(matches!(events, Err(StoreError::Corrupt { .. })));
    let parked = store.parked_reports(9).await.expect("readable");
    assert_eq!(parked, [Err((operation.token, 1))]);
    let dropped = store.drop_parked(operation.token).await;
    assert_eq!(dropped.expect("written"), 1);
    assert_eq!(store.parked_reports(9).await.expect("readable"), []);
}

#[tokio::test]
async fn concurrent_writes_share_commits() {
    const WRITES: u64 = 500;
    let directory = Directory::new();
    let store = Arc::new(directory.store());
    // The writer is held until all have asked, so that it finds them together.
    let (release, held) = std::sync::mpsc::channel();
    let mut writers = tokio::task::JoinSet::new();
    let holder = Arc::clone(&store);
    writers.spawn(async move {
        let hold = holder.on_writer(move |_| {
            held.recv().expect("it is released");
            Ok(())
        });
        hold.await.expect("it was held");
    });
    for _ in 0..WRITES {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            accept(&*store, create()).await;
        });
    }
    writers.spawn(async move { release.send(()).expect("the writer waits") });
    writers.join_all().await;
    // Those that were there when it was held, and the rest.
    let commits = store.commits();
    assert!((1..=2).contains(&commits), "{commits} commits");

    let before = store.commits();
    for _ in 0..3 {
        accept(&*store, create()).await;
    }
    assert_eq!(store.commits(), before + 3, "one after the other");
    let claimed = store.claim(&[], 9, T0, TIME).await.expect("claimed");
    assert_eq!((claimed.len(), store.commits()), (0, before + 3));
}

#[tokio::test]
async fn what_has_many_events_is_forgotten_in_several_writes() {
    let directory = Directory::new();
    let store = directory.store();
    end_three(&store).await;
    directory.meddle(
        "WITH more (number) AS (SELECT 100 UNION ALL SELECT number + 1 FROM more LIMIT 6000)
         INSERT INTO event (token, version, record)
         SELECT token, number, x'00' FROM operation, more",
    );
    forget_three_one_by_one(&store).await;
}

#[tokio::test]
async fn a_failed_write_undoes_itself_alone() {
    let directory = Directory::new();
    let store = directory.store();
    let insert = |name: &'static str, fails: bool| {
        store.on_writer(move |connection| {
            let sql = "INSERT INTO meta (name, value) VALUES (?, x'00')";
            connection.execute(sql, [name])?;
            if fails {
                let what = name.to_owned();
                return Err(row::Damaged::new(what).into());
            }
            Ok(())
        })
    };
    let (first, second, third) = tokio::join!(
        insert("first", false),
        insert("second", true),
        insert("third", false)
    );
    assert!(first.is_ok() && second.is_err() && third.is_ok());
    let names = store.on_writer(|connection| {
        let sql = "SELECT group_concat(name) FROM (SELECT name FROM meta ORDER BY name)";
        Ok(connection.query_row(sql, [], |row| row.get::<_, String>(0))?)
    });
    assert_eq!(names.await.expect("read"), "first,key,third");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_recovers() {
    let directory = Directory::new();
    let store = directory.store();
    let mut kept = vec![accept(&store, full()).await];
    let leased = claim_one(&store, T0).await;
    let pages = |pages: u32| {
        store.on_writer(move |connection| {
            Ok(connection.pragma_update(None, "max_page_count", pages)?)
        })
    };
    let used = store.on_writer(|connection| {
        Ok(connection.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0))?)
    });
    let used = used.await.expect("read");
    pages(used + 8).await.expect("limited");

    let error = loop {
        let transition = Operation::accept(RequestToken::random(), create(), T0);
        let operation = transition.operation.clone();
        let accepting = Accept {
            transition,
            key: None,
            basis: None,
            tokens_expired: Horizon::NEVER.client_tokens,
        };
        match store.accept(accepting).await {
            Ok(_) => kept.push(operation),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, AcceptError::Store(StoreError::Unavailable { .. })),
        "{error:?}"
    );
    let text = told(&error);
    assert!(text.contains("the disk is full: free some space"), "{text}");
    assert!(
        text.contains(&directory.path().display().to_string()),
        "{text}"
    );
    assert!(kept.len() > 3);
    let listed = store.list(&Filter::default()).await.expect("readable");
    assert_eq!(listed.len(), kept.len(), "the refused one left nothing");

    // Space returns, and everything goes on.
    pages(1 << 30).await.expect("unlimited");
    advance(&store, &leased, success(None), T0).await;
    kept.push(accept(&store, create()).await);
    drop(store);
    let store = directory.store();
    for operation in &kept[1..] {
        let found = store.get(operation.token).await.expect("readable");
        assert_eq!(found.as_ref(), Some(operation));
    }
}

#[tokio::test]
async fn reads_go_on_and_writes_are_refused_while_another_program_holds_the_lock() {
    let directory = Directory::new();
    let store = directory.store();
    let operation = accept(&store, create()).await;
    let impatient = |connection: &Connection| Ok(connection.busy_timeout(Duration::ZERO)?);
    store.on_writer(impatient).await.expect("set");
    let other = Connection::open(database(directory.path())).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");

    let transition = Operation::accept(RequestToken::random(), create(), T0);
    let refused = store.accept(Accept {
        transition,
        key: None,
        basis: None,
        tokens_expired: Horizon::NEVER.client_tokens,
    });
    let error = refused.await.expect_err("locked");
    let text = told(&error);
    assert!(
        text.contains("another program holds the database locked"),
        "{text}"
    );
    let found = store.get(operation.token).await.expect("readable");
    assert_eq!(found.as_ref(), Some(&operation));

    other.execute_batch("ROLLBACK").expect("unlocked");
    accept(&store, create()).await;
}

#[test]
fn what_is_no_database_is_refused() {
    let directory = Directory::new();
    std::fs::write(database(directory.path()), [b'x'; 8192]).expect("written");
    let error = directory.refusal();
    let OpenError::Store { source } = &error else {
        panic!("{error}");
    };
    assert!(matches!(source, StoreError::Unavailable { .. }), "{source}");
    let text = told(source);
    assert!(text.contains("`formwork.db` is damaged"), "{text}");
}

#[tokio::test]
async fn a_changed_component_is_refused_and_mended_by_keeping_it_again() {
    let directory = Directory::new();
    let store = directory.store();
    let bytes: Arc<[u8]> = b"component".as_slice().into();
    let digest = store.put_component(Arc::clone(&bytes)).await.expect("kept");
    let components = directory.path().join("components");
    let path = components.join(format!("{}.wasm", digest.hex()));
    std::fs::write(&path, b"changed").expect("written");
    let error = store.component(digest).await.expect_err("changed");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    store.put_component(Arc::clone(&bytes)).await.expect("kept");
    let kept = store.component(digest).await.expect("readable");
    assert_eq!(kept, Some(bytes));
    drop(store);

    // What a crash left unfinished goes when the next engine opens.
    let unfinished = components.join("00.1.0.tmp");
    std::fs::write(&unfinished, b"half").expect("written");
    drop(directory.store());
    assert!(!unfinished.exists() && path.exists());
}
