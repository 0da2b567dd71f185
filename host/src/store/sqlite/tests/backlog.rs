//! What counting costs.

use rusqlite::Connection;

use crate::store::sqlite::{backlog, schema};

#[test]
fn what_has_no_lease_is_counted_from_its_index_alone() {
    let connection = Connection::open_in_memory().expect("opened");
    schema::migrate_to(&connection, schema::SUPPORTED).expect("migrated");
    let plan: String = connection
        .query_row(
            &format!("EXPLAIN QUERY PLAN {}", backlog::READY),
            [0, 0],
            |row| row.get(3),
        )
        .expect("planned");
    assert!(
        plan.contains("USING COVERING INDEX operation_ready"),
        "{plan}"
    );
}
