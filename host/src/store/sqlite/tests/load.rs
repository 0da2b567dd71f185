//! What many rows and long reads do to the store.

use super::*;
use crate::operation::NewOperation;
use crate::store::conformance::{T0, accept, advance, at, claim, create, id, progress, thing};
use crate::store::{pressure, row};

/// Gives the plan of a statement, as SQLite tells it.
fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .expect("prepared");
    let count = statement.parameter_count();
    for at in 1..=count {
        statement.raw_bind_parameter(at, 1).expect("bound");
    }
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect("read") {
        steps.push(row.get::<_, String>(3).expect("a text"));
    }
    steps.join("; ")
}

#[test]
fn what_is_asked_of_a_million_rows_is_a_stretch_of_an_index() {
    let directory = Directory::new();
    drop(directory.store());
    let connection = connect(&database(directory.path())).expect("opened");
    let [due, lapses, deadlines] = read::UPCOMING;
    let [leases, reports] = write::RECOVER;
    for (sql, index) in [
        (claim::READY, "operation_ready (type=? AND due<?)"),
        (due, "operation_ready (type=? AND due>?)"),
        (lapses, "operation_lease (lease_until>?)"),
        (deadlines, "operation_deadline (deadline>?)"),
        (leases, "operation_lease (lease_until>?)"),
        (reports, "USING INDEX outbox_"),
        (prune::LOOK, "operation_ended (ended_at<?)"),
    ] {
        let plan = plan(&connection, sql);
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

fn log_of(directory: &Directory) -> u64 {
    let log = directory.path().join("formwork.db-wal");
    std::fs::metadata(log).map_or(0, |file| file.len())
}

#[tokio::test]
async fn who_asks_for_more_than_can_wait_is_told_that_the_disk_does_not_keep_up() {
    let directory = Directory::new();
    let store = directory.store();
    let (release, held) = std::sync::mpsc::channel();
    let hold = store.on_writer(move |_| {
        held.recv().expect("it is released");
        Ok(())
    });
    let others = (1..pressure::QUEUE).map(|_| store.on_writer(|_| Ok(())));
    let others = futures_util::future::join_all(others);
    let one_more = async {
        let nothing = |_: &Connection, _: &Context| Ok(());
        let refused = store.writer.write_within(Duration::ZERO, nothing).await;
        release.send(()).expect("the writer waits");
        refused
    };
    let all = async { tokio::join!(hold, others, one_more) };
    let (held, others, refused) = tokio::task::unconstrained(all).await;
    held.expect("written");
    assert!(others.into_iter().all(|other| other.is_ok()));
    let refused = refused.expect_err("there is no room");
    assert!(matches!(refused, StoreError::Unavailable { .. }));
    assert!(told(&refused).contains("does not keep up"), "{refused}");
    accept(&store, create()).await;
}

/// Writes rows of 64 KiB, so many at a time.
async fn fill(store: &SqliteStore, rows: u32, from: u32) {
    for number in from..from + rows {
        let write = store.on_writer(move |connection| {
            let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, randomblob(65536))";
            let name = format!("filler {}", number % 64);
            Ok(connection.execute(sql, [name])?)
        });
        write.await.expect("written");
    }
}

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_bounded_however_many_short_reads_there_are() {
    let directory = Directory::new();
    let store = Arc::new(directory.store());
    // There is always a read under way that began before the last commit.
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let store = Arc::clone(&store);
        readers.spawn(async move {
            loop {
                let read = |connection: &Connection, _: &Context| {
                    let read = "SELECT count(*) FROM meta";
                    for _ in 0..50 {
                        connection.query_row(read, [], |_| Ok(()))?;
                    }
                    Ok(())
                };
                store.readers.read(read).await.expect("read");
            }
        });
    }
    let mut longest = 0;
    for step in 0..60 {
        fill(&store, 32, step * 32).await;
        longest = longest.max(log_of(&directory));
    }
    readers.abort_all();
    // 120 MiB were written.
    assert!(longest < 80 * MIB, "{longest} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_read_holds_the_log_for_as_long_as_it_lasts() {
    let directory = Directory::new();
    let store = directory.store();
    let reader = connect(&database(directory.path())).expect("opened");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM meta")
        .expect("read");
    fill(&store, 320, 0).await;
    let held = log_of(&directory);
    assert!(
        (20 * MIB..28 * MIB).contains(&held),
        "what was written: {held}"
    );
    reader.execute_batch("COMMIT").expect("ended");
    fill(&store, 640, 0).await;
    let after = log_of(&directory);
    assert!(after < held + 9 * MIB, "it began anew: {held}, {after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_lasts_holds_up_no_write_and_what_it_held_is_carried_over_beside() {
    let directory = Directory::new();
    let store = directory.store();
    // A row of 1 MiB each, the same again and again.
    let write = async |count: u64| {
        for _ in 0..count {
            let write = store.on_writer(|connection| {
                let sql = "INSERT OR REPLACE INTO meta (name, value)
                           VALUES ('filler', randomblob(1048576))";
                Ok(connection.execute(sql, [])?)
            });
            write.await.expect("written");
        }
    };
    write(40).await;
    let reader = connect(&database(directory.path())).expect("opened");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM meta")
        .expect("read");
    let carried = || store.fsyncs() - store.commits();
    let before = carried();
    write(240).await;
    // A look for each 8 MiB, each with two, and five where the writer waited.
    let looks = carried() - before;
    assert!(looks < 100, "{looks}");
    let held = log_of(&directory);
    assert!(held > 200 * MIB, "{held}");
    reader.execute_batch("COMMIT").expect("ended");
    let mut more = 0;
    while log_of(&directory) >= held {
        write(8).await;
        more += 1;
        assert!(more < 100, "it never begins anew");
    }
}

#[tokio::test]
async fn opening_and_claiming_cost_what_is_due_and_not_what_waits() {
    const WAITING: u64 = 3_000;
    let directory = Directory::new();
    let store = directory.store();
    for number in 0..WAITING {
        let new = NewOperation {
            identifier: id(&number.to_string()),
            ..create()
        };
        accept(&store, new).await;
        if number % 500 == 499 {
            for leased in claim(&store, T0).await {
                advance(&store, &leased, progress(3600, None), at(1)).await;
            }
        }
    }
    let last = accept(&store, create()).await;
    claim(&store, T0).await;
    drop(store);
    // What SQLite counts of its own work, whatever the clock says.
    let steps = |connection: &Connection, sql: &str| {
        let mut statement = connection.prepare(sql).expect("prepared");
        for at in 1..=statement.parameter_count() {
            statement
                .raw_bind_parameter(at, row::number(T0.as_millis()))
                .expect("bound");
        }
        let mut rows = statement.raw_query();
        while rows.next().expect("read").is_some() {}
        drop(rows);
        statement.get_status(rusqlite::StatementStatus::VmStep)
    };
    let connection = connect(&database(directory.path())).expect("opened");
    let [leases, reports] = write::RECOVER;
    for sql in [leases, reports] {
        let steps = steps(&connection, sql);
        assert!(steps < 500, "{sql}: {steps} steps");
    }
    drop(connection);
    let store = directory.store();
    assert_eq!(store.sweep(T0, 9).await.expect("read")[0].token, last.token);
    let found = store.upcoming(&[thing()], at(1), 4).await.expect("read");
    assert_eq!(found.len(), 4);
}
