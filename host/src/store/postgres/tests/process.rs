//! Who may open a database, and what is in it.

use super::running::key;
use super::*;
use crate::operation::{CancelReason, Input};
use crate::store::conformance::*;

async fn refusal(database: &Database) -> ConnectError {
    let opened = PostgresStore::open(database).await;
    opened.err().expect("refused")
}

#[tokio::test]
async fn another_key_is_refused_with_both_names() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    drop(schema.store().await);
    let other = schema.database().sealed_with(key(8));
    let error = refusal(&other).await;
    let ConnectError::Key {
        found, expected, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_ne!(found, expected);
    let text = error.to_string();
    assert!(text.contains(found) && text.contains(expected), "{text}");
    schema.store().await;
}

#[tokio::test]
async fn hosts_that_start_at_once_make_the_tables_once() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    drop(schema.store().await);
    schema.meddle("DROP TABLE formwork, operation, sealed, event, outbox, resource_lock, client_token, bearer_token, write_only, component, component_part, host, host_component").await;
    let databases: Vec<_> = (0..4).map(|_| schema.database()).collect();
    let opening = databases.iter().map(PostgresStore::open);
    for store in futures_util::future::join_all(opening).await {
        let store = store.expect("opened");
        accept(&store, full_unnamed()).await;
    }
}

/// A whole operation of no known resource.
fn full_unnamed() -> crate::operation::NewOperation {
    crate::operation::NewOperation {
        identifier: None,
        ..full()
    }
}

#[tokio::test]
async fn a_client_changes_nothing_and_works_beside_hosts() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    schema.meddle("SELECT 1").await;
    let attached = PostgresStore::attach(&schema.database()).await.err();
    assert!(
        matches!(attached, Some(ConnectError::Empty { .. })),
        "{attached:?}"
    );
    let engine = schema.store().await;
    let operation = accept(&engine, full()).await;
    let client = PostgresStore::attach(&schema.database())
        .await
        .expect("attached");
    assert!(client.time().is_some(), "it goes by the server's clock");
    assert_eq!(client.tasks.len(), 1, "it looks again and again");
    let seen = client.get(operation.token).await.expect("readable");
    assert_eq!(seen, Some(operation));
    let hosts = schema.client().await;
    let row = hosts.query_one("SELECT count(*) FROM host", &[]).await;
    assert_eq!(row.expect("counted").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_newer_database_is_refused_by_name_also_by_a_host_that_runs() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let operation = accept(&store, create()).await;
    // Newer, and yet good for older programs.
    schema.meddle("UPDATE formwork SET version = 99").await;
    schema.store().await;
    accept(&store, create()).await;

    schema
        .meddle("UPDATE formwork SET needs_at_least = 98")
        .await;
    let error = refusal(&schema.database()).await;
    assert!(
        matches!(error, ConnectError::TooNew { needs: 98, .. }),
        "{error}"
    );
    let attached = PostgresStore::attach(&schema.database()).await.err();
    assert!(matches!(attached, Some(ConnectError::TooNew { .. })));
    let shares = [Share {
        type_name: thing(),
        limit: 9,
    }];
    let claimed = store.claim(&shares, 9, T0, LEASE).await;
    let told = |error: StoreError| {
        let cause = std::error::Error::source(&error)
            .expect("a cause")
            .to_string();
        assert!(cause.contains("run a newer one"), "{cause}");
    };
    told(claimed.expect_err("it is too old"));
    // Nor does it write anything else, nor judge what it cannot read.
    let flip = "UPDATE sealed SET record = set_byte(record, 40, get_byte(record, 40) # 1)";
    let late = T0.after(TIME * 2);
    schema.meddle(flip).await;
    told(store.sweep(late, 9).await.expect_err("it is too old"));
    schema.meddle(flip).await;
    let held = Held {
        token: operation.token,
        number: 1,
    };
    told(store.renew(&[held], late).await.expect_err("it is too old"));
    let unparked = store.unpark(operation.token, T0).await;
    told(unparked.expect_err("it is too old"));
    let reports = store.claim_reports(T0, 9, LEASE, &[]).await;
    told(reports.expect_err("it is too old"));
    let pruned = store.prune(&Horizon::NEVER, 9).await;
    told(pruned.expect_err("it is too old"));
    let asked = Input::CancelAsked(CancelReason::Caller);
    let cancelled = store.commit(decide(&operation, asked, T0)).await;
    let Err(CommitError::Store(error)) = cancelled else {
        panic!("{cancelled:?}");
    };
    told(error);
    schema
        .meddle("UPDATE formwork SET needs_at_least = 1")
        .await;
    let claimed = store.claim(&shares, 9, T0, LEASE).await;
    assert_eq!(claimed.expect("claimed").len(), 2);
}

#[tokio::test]
async fn what_can_be_secret_is_nowhere_in_the_clear() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let operation = accept(&store, full()).await;
    let leased = claim_one(&store, T0).await;
    advance(&store, &leased, progress(5, id("name")), at(1)).await;
    let parked = Settlement::Parked {
        reason: "the token has expired: canary-bearer".to_owned(),
    };
    store
        .settle(operation.token, 1, parked)
        .await
        .expect("settled");
    let client = schema.client().await;
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()";
    let mut rows = 0;
    for table in client.query(tables, &[]).await.expect("listed") {
        let table: String = table.get(0);
        let all = format!("SELECT t::text FROM \"{table}\" t");
        for row in client.query(&all, &[]).await.expect("readable") {
            let text: String = row.get(0);
            rows += 1;
            // As text, and as PostgreSQL shows bytes.
            for canary in ["canary", "63616e617279"] {
                assert!(!text.contains(canary), "{table}: {text}");
            }
        }
    }
    assert!(rows >= 6, "{rows}");
}

#[tokio::test]
async fn what_was_meddled_with_is_said_and_hides_nothing_else() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let bad = accept(&store, create()).await;
    let good = accept(&store, create()).await;
    let token = bad.token;
    schema
        .meddle(&format!(
            "UPDATE sealed SET record = set_byte(record, 40, get_byte(record, 40) # 1) WHERE token = '{token}'"
        ))
        .await;
    let read = store.get(token).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    assert_eq!(claim_one(&store, T0).await.token, good.token);
    let listed = store.list(&Filter::default()).await.expect("readable");
    assert_eq!(listed.len(), 1);
    store.forget(token).await.expect("forgotten");
    assert_eq!(store.get(token).await.expect("readable"), None);
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_parked_listed_and_dropped() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let operation = accept(&store, full()).await;
    schema.meddle("UPDATE event SET record = '\\x00'").await;
    assert_eq!(store.due_reports(T0, 9).await.expect("readable"), []);
    let parked = store.parked_reports(9).await.expect("readable");
    assert_eq!(parked, [Err((operation.token, 1))]);
    let dropped = store.drop_parked(operation.token).await;
    assert_eq!(dropped.expect("written"), 1);
    assert_eq!(store.parked_reports(9).await.expect("readable"), []);
}

#[tokio::test]
async fn what_another_program_may_read_is_left_alone_and_takes_nobodys_room() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let foreign = accept(&store, create()).await;
    let own = accept(&store, create()).await;
    // It names another key than it is sealed with, and back again.
    let flip = format!(
        "UPDATE sealed SET record = set_byte(record, 0, get_byte(record, 0) # 1)
         WHERE token = '{}'",
        foreign.token
    );
    schema.meddle(&flip).await;
    let shares = [Share {
        type_name: thing(),
        limit: 1,
    }];
    for expected in [1, 0] {
        let claimed = store.claim(&shares, 1, T0, LEASE).await;
        let claimed = claimed.expect("claimed");
        assert_eq!(claimed.len(), expected);
        assert!(claimed.iter().all(|it| it.token == own.token));
    }
    // Its deadline is there, and so is that of another.
    let leased = store.get(own.token).await.expect("readable");
    advance(&store, &leased.expect("kept"), success(None), T0).await;
    let other = accept(&store, create()).await;
    let late = T0.after(TIME * 2);
    let swept = store.sweep(late, 1).await.expect("readable");
    assert_eq!(swept[0].token, other.token);
    // It has been met, and is not even looked at any more.
    schema.meddle(&flip).await;
    let claimed = store.claim(&shares, 1, T0, LEASE).await;
    assert_eq!(claimed.expect("claimed")[0].token, other.token);
    let swept = store.sweep(late, 9).await.expect("readable");
    assert_eq!(swept.len(), 1);
    let store = schema.store().await;
    assert_eq!(store.sweep(late, 9).await.expect("readable").len(), 2);
    assert_eq!(
        store.get(foreign.token).await.expect("readable"),
        Some(foreign)
    );
}

#[tokio::test]
async fn each_statement_sees_what_was_committed_whatever_the_defaults_are() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let defaults = "%20-c%20default_transaction_isolation%3Dserializable\
                    %20-c%20default_transaction_read_only%3Don";
    schema.store().await;
    let store = PostgresStore::open(&schema.database_with(defaults)).await;
    let store = store.expect("opened");
    let session = store.inner.server.connect().await.expect("connected");
    for (setting, expected) in [
        ("transaction_isolation", "read committed"),
        ("transaction_read_only", "off"),
    ] {
        let row = session.query_one(&format!("SHOW {setting}"), &[]).await;
        assert_eq!(row.expect("told").get::<_, &str>(0), expected);
    }
    accept(&store, create()).await;
}

#[tokio::test]
async fn what_has_many_events_is_forgotten_in_several_writes() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    end_three(&store).await;
    let more = "INSERT INTO event (token, version, record)
                SELECT token, more, '\\x00' FROM operation, generate_series(100, 6099) AS more";
    schema.meddle(more).await;
    forget_three_one_by_one(&store).await;
}

/// Makes the tables what they were at first.
const AS_OF_VERSION_1: &str = "
    DROP INDEX operation_ready;
    CREATE INDEX operation_ready ON operation (type, due, token)
        WHERE live AND lease_until IS NULL;
    ALTER TABLE event DROP COLUMN delivered_at;
    UPDATE formwork SET version = 1";

#[tokio::test]
async fn a_migration_that_has_to_wait_holds_up_nobody() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    schema.meddle(AS_OF_VERSION_1).await;
    let (reader, onlooker) = (schema.client().await, schema.client().await);
    for table in ["operation", "event"] {
        let reading = format!("BEGIN; SELECT FROM {table}");
        reader.batch_execute(&reading).await.expect("readable");
        let opening = tokio::spawn({
            let database = schema.database();
            async move { PostgresStore::open(&database).await }
        });
        let waits =
            format!("SELECT 1 FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted");
        while onlooker
            .query_opt(&waits, &[])
            .await
            .expect("told")
            .is_none()
        {
            tokio::task::yield_now().await;
        }
        let operation = accept(&store, create()).await;
        let seen = store.get(operation.token).await.expect("readable");
        assert_eq!(seen, Some(operation));
        assert!(!opening.is_finished(), "it cannot be done yet");
        reader.batch_execute("COMMIT").await.expect("ended");
        opening.await.expect("no panic").expect("opened");
        schema.meddle(AS_OF_VERSION_1).await;
    }
}

#[tokio::test]
async fn a_database_of_the_version_before_is_migrated_with_what_it_holds() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let operation = accept(&store, create()).await;
    drop(store);
    schema.meddle(AS_OF_VERSION_1).await;
    let attached = PostgresStore::attach(&schema.database()).await.err();
    assert!(
        matches!(attached, Some(ConnectError::TooOld { found: 1, .. })),
        "{attached:?}"
    );
    let store = schema.store().await;
    let row = schema.client().await;
    let said = "SELECT version, needs_at_least FROM formwork";
    let row = row.query_one(said, &[]).await.expect("readable");
    let said: (i32, i32) = (row.get(0), row.get(1));
    assert_eq!(said, (3, 1), "older programs go on");
    assert_eq!(claim_one(&store, T0).await.token, operation.token);
}

#[tokio::test]
async fn what_is_live_is_counted_from_the_indexes_of_what_is_live() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let session = store.inner.server.connect().await.expect("connected");
    let mut sql = format!("EXPLAIN {}", backlog::LIVE);
    for value in ["$1", "$2", "$3"] {
        sql = sql.replace(value, "0");
    }
    let rows = session.query(&sql, &[]).await.expect("explained");
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = lines.join("; ");
    for index in [
        "Index Only Scan using operation_ready",
        "Index Scan using operation_lease",
    ] {
        assert!(plan.contains(index), "{plan}");
    }
}

#[tokio::test]
async fn a_connection_is_in_use_until_it_is_given_back() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let keepers = || {
        let pools = store.pools();
        let sizes: Vec<_> = pools.iter().map(|pool| (pool.name, pool.size)).collect();
        assert_eq!(sizes, [("readers", 3), ("writers", 5), ("keepers", 1)]);
        (pools[2].in_use, pools[2].idle)
    };
    let taken = store.inner.keepers.take().await.expect("a connection");
    assert_eq!(keepers(), (1, 0));
    taken.done(Ok(())).expect("given back");
    assert_eq!(keepers(), (0, 1));
}

#[test]
fn a_url_that_cannot_be_used_is_refused_with_the_reason() {
    for (url, said) in [
        ("mysql://a/b", "must begin with `postgres://`"),
        (
            "postgres://a/b?sslmode=prefer",
            "must be `require` or `disable`",
        ),
        ("postgres://a/b?colour=blue", "colour"),
        ("postgres:///b", "names no host"),
    ] {
        let database = Database::new(url, key(7));
        let told = database.place().expect_err(url).to_string();
        assert!(told.contains(said), "{url}: {told}");
    }
    let database = Database::new("postgres://u:canary@[::1]:5/b?sslmode=require", key(7));
    let place = database.place().expect("a place");
    assert_eq!(place, "postgres://u@[::1]:5/b");
    assert!(!format!("{database:?}").contains("canary"));
}
