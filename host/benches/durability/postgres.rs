//! A PostgreSQL server of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use formwork_host::store::{Database, PostgresStore, SealingKey};
use tokio_postgres::NoTls;

/// A server that ends when its standard input is closed.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts a server with its usual settings, or gives none where there is no
    /// PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/run-postgres");
        let mut process = Command::new(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script runs");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("readable");
        let mut words = line.split_whitespace().skip(1);
        let Some((folder, port)) = words.next().zip(words.next()) else {
            process.wait().expect("it ends");
            return None;
        };
        let host = folder.replace('/', "%2F");
        Some(Self {
            process,
            url: format!("postgres://formwork@/formwork?host={host}&port={port}"),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Has it do at once what it would do by and by about what was written, so that
    /// none of that falls into what is measured.
    pub(crate) async fn settle(&self) {
        let url = self.url.replace("formwork@", "admin@");
        let (client, connection) = tokio_postgres::connect(&url, NoTls)
            .await
            .expect("a server");
        tokio::spawn(connection);
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            client.batch_execute(statement).await.expect("it does so");
        }
    }
}

/// Opens a database as one more host does.
pub(crate) async fn open(url: &str) -> PostgresStore {
    let key = SealingKey::parse(&[7; 32]).expect("a key");
    let database = Database::new(url, key);
    PostgresStore::open(&database).await.expect("a store")
}

/// Asks a server how often it has made the disk write its log, where it counts that.
pub(crate) async fn fsyncs(url: &str) -> Option<u64> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    let row = client
        .query_one("SHOW server_version_num", &[])
        .await
        .ok()?;
    let version: u32 = row.get::<_, &str>(0).parse().ok()?;
    let query = if version < 180_000 {
        "SELECT wal_sync FROM pg_stat_wal"
    } else {
        // Apart from those of new files, which the other does not count either.
        "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal' AND context = 'normal'"
    };
    let row = client.query_one(query, &[]).await.ok()?;
    row.get::<_, i64>(0).try_into().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("it ends");
    }
}
