use super::*;
use crate::store::conformance::{self, Harness};

mod backlog;
mod backup;
mod disk;
mod equal;
mod full;
mod list;
mod load;
mod migration;
mod process;

/// A data directory that is opened again and again.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(self.path()).expect("opened")
    }

    fn refusal(&self) -> OpenError {
        SqliteStore::open(self.path()).err().expect("refused")
    }

    /// Makes the database one that a program of an older version has written.
    fn downgrade(&self, version: usize) {
        const DOWN: [&str; 8] = [
            "DROP INDEX operation_listed;
             ALTER TABLE operation DROP COLUMN mutation;",
            "DROP INDEX operation_ended;
             DROP INDEX client_token_used;
             DROP INDEX bearer_token_operation;
             ALTER TABLE operation DROP COLUMN ended_at;
             ALTER TABLE operation DROP COLUMN component;
             ALTER TABLE client_token DROP COLUMN used_at;",
            "DROP TABLE write_only",
            "DELETE FROM resource_lock WHERE held = 0;
             ALTER TABLE resource_lock DROP COLUMN held;",
            "DROP INDEX outbox_certain",
            "DROP INDEX operation_ready;
             CREATE INDEX operation_ready ON operation (type, due, token)\n    \
                 WHERE live = 1 AND lease_until IS NULL;",
            "DROP INDEX operation_ready;
             CREATE INDEX operation_ready ON operation (type, due, token, live, lease_until)\n    \
                 WHERE live = 1 AND lease_until IS NULL;",
            "ALTER TABLE event DROP COLUMN delivered_at",
        ];
        for (step, down) in DOWN.into_iter().enumerate().rev() {
            if step + 2 >= version {
                self.meddle(down);
            }
        }
        if version < 2 {
            self.meddle("DROP TABLE bearer_token");
        }
        self.meddle(&format!("PRAGMA user_version = {version}"));
    }

    /// Changes the database as no program of ours would.
    fn meddle(&self, sql: &str) {
        let connection = Connection::open(database(self.path())).expect("opened");
        connection.busy_timeout(BUSY).expect("set");
        connection.execute_batch(sql).expect("changed");
    }
}

#[async_trait]
impl Harness for Directory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store())
    }
}

impl SqliteStore {
    /// Runs something in the writer's thread, inside of its transaction.
    async fn on_writer<T: Send + 'static>(
        &self,
        run: impl Fn(&Connection) -> Result<T, fault::Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let write = move |connection: &Connection, _: &Context| run(connection);
        self.writer.write(write).await
    }
}

/// Gives what an error says, with its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

conformance::suite!(Directory::new());
conformance::durable_suite!(Directory::new());
