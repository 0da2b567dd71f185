//! What a page of a list costs.

use rusqlite::StatementStatus;

use super::super::list::Page;
use super::*;
use crate::model::{Mutation, TypeName};
use crate::operation::Status;
use crate::store::conformance::{accept, create, scope};

/// How many operations there are, all but one of them alike.
const MANY: u32 = 100_000;

const PAGE: usize = 100;

/// How many steps of SQLite's machine a page may take: some for each operation
/// of it, some for each stretch of the index.
const STEPS: i32 = 20_000;

/// A connection to a database with [`MANY`] operations that have succeeded and
/// one that is pending, the oldest.
fn many() -> Connection {
    let connection = Connection::open_in_memory().expect("opened");
    schema::migrate_to(&connection, schema::SUPPORTED).expect("migrated");
    let insert = format!(
        "WITH RECURSIVE n(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n WHERE n < {MANY})
         INSERT INTO operation (token, account, region, type, status, live, version, due,
                                deadline, attempt, mutation)
         SELECT unhex(printf('%032x', n)), '123456789012', 'eu-central-1', 'Acme::Test::Thing',
                iif(n = 0, 0, 3), 0, 1, 0, 0, 0, iif(n = 0, 2, 0)
         FROM n"
    );
    connection.execute_batch(&insert).expect("inserted");
    connection
}

/// Gives how many tokens a page has, and how many steps it took to find them.
fn cost(connection: &Connection, filter: &Filter) -> (usize, i32) {
    let page = Page::of(connection, filter).expect("made");
    let values: Vec<_> = page.values.iter().map(AsRef::as_ref).collect();
    let mut statement = connection.prepare(&page.sql).expect("prepared");
    let mut rows = statement.query(values.as_slice()).expect("queried");
    let mut found = 0;
    while rows.next().expect("read").is_some() {
        found += 1;
    }
    drop(rows);
    (found, statement.get_status(StatementStatus::VmStep))
}

#[test]
fn a_page_costs_the_page_however_many_operations_there_are() {
    let connection = many();
    let before = RequestToken::from_bytes(50_000_u128.to_be_bytes());
    for scope in [None, Some(scope("123456789012")), Some(Scope::default())] {
        for statuses in [vec![], vec![Status::Pending], vec![Status::Success]] {
            for mutations in [vec![], vec![Mutation::Delete], vec![Mutation::Create]] {
                for before in [None, Some(before)] {
                    let filter = Filter {
                        scope: scope.clone(),
                        statuses: statuses.clone(),
                        mutations: mutations.clone(),
                        type_name: None,
                        before,
                        limit: PAGE,
                    };
                    let (found, steps) = cost(&connection, &filter);
                    assert!(steps < STEPS, "{steps} steps for {filter:?}");
                    let pending = statuses == [Status::Pending];
                    let deleting = mutations == [Mutation::Delete];
                    let succeeded = statuses == [Status::Success];
                    let creating = mutations == [Mutation::Create];
                    let expected = if filter.scope == Some(Scope::default())
                        || (pending && creating)
                        || (succeeded && deleting)
                    {
                        0
                    } else if pending || deleting {
                        1
                    } else {
                        PAGE
                    };
                    assert_eq!(found, expected, "{filter:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_type_leaves_out_is_looked_through_in_the_index_alone() {
    let connection = many();
    let type_name: TypeName = "Acme::Test::None".parse().expect("a type name");
    let filter = Filter {
        scope: Some(scope("123456789012")),
        type_name: Some(type_name),
        ..Filter::default()
    };
    let page = Page::of(&connection, &filter).expect("made");
    let plan = plan(&connection, &page.sql);
    let covering = "USING COVERING INDEX operation_listed";
    let searches = plan.iter().filter(|line| line.contains(covering)).count();
    assert_eq!(
        searches,
        Status::ALL.len() * Mutation::ALL.len(),
        "{plan:#?}"
    );
    assert!(!plan.iter().any(|line| line.contains("TEMP")), "{plan:#?}");
}

#[test]
fn what_is_to_be_forgotten_is_found_by_its_index() {
    let connection = many();
    for (sql, index) in [
        (prune::LOOK, "operation_ended"),
        (prune::EXPIRED, "client_token_used"),
        (
            "DELETE FROM bearer_token WHERE token = 0",
            "bearer_token_operation",
        ),
    ] {
        let plan = plan(&connection, sql);
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:#?}");
        assert!(
            !plan.iter().any(|line| line.starts_with("SCAN")),
            "{plan:#?}"
        );
    }
}

/// Gives how SQLite goes about a statement, with nothing bound.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .expect("prepared");
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().expect("read") {
        plan.push(row.get(3).expect("read"));
    }
    plan
}

#[tokio::test]
async fn what_cannot_be_read_makes_no_page_shorter() {
    let directory = Directory::new();
    let store = directory.store();
    let mut kept = Vec::new();
    for _ in 0..6 {
        kept.push(accept(&store, create()).await.token);
    }
    kept.sort();
    kept.reverse();
    for damaged in [kept[0], kept[2], kept[3]] {
        let hex = damaged.to_string().replace('-', "");
        directory.meddle(&format!(
            "UPDATE sealed SET record = zeroblob(200) WHERE token = x'{hex}'"
        ));
    }
    let filter = Filter {
        limit: 2,
        ..Filter::default()
    };
    let found = store.list(&filter).await.expect("readable");
    let found: Vec<_> = found.iter().map(|operation| operation.token).collect();
    assert_eq!(found, [kept[1], kept[4]]);
}
