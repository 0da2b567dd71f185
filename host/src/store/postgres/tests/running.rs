//! A real server: one for all tests of the process, with a schema for each, and
//! others for those that stop it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::store::conformance::Harness;
use crate::store::postgres::{Database, PostgresStore};
use crate::store::{SealingKey, Store};

/// A server that ends with what holds it, and with this process.
pub(super) struct Running {
    folder: String,
    port: String,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts a server, or gives none where there is no PostgreSQL, which is said.
    pub(super) fn start(settings: &[&str]) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/run-postgres");
        let mut process = Command::new(script)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script runs");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("readable");
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", folder, port] = words[..] else {
            let code = process.wait().expect("it ends").code();
            assert_eq!(code, Some(77), "the server does not start");
            return None;
        };
        Some(Self {
            folder: folder.to_owned(),
            port: port.to_owned(),
            input: process.stdin.take(),
            process,
            output,
        })
    }

    /// Tells the server to do something, and waits until it is done.
    pub(super) fn tell(&mut self, command: &str) {
        let input = self.input.as_mut().expect("it runs");
        writeln!(input, "{command}").expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("readable");
        assert_eq!(line.trim(), "done");
    }

    pub(super) fn port(&self) -> &str {
        &self.port
    }

    /// Gives what the server has logged.
    pub(super) fn log(&self) -> String {
        let log = std::path::Path::new(&self.folder).join("server.log");
        std::fs::read_to_string(log).expect("readable")
    }

    /// The URL of the database of this server and of another, over the network.
    pub(super) fn url_or(&self, other: &Self) -> String {
        format!(
            "postgres://formwork:formwork@127.0.0.1:{},127.0.0.1:{}/formwork",
            self.port, other.port
        )
    }

    /// The URL of the database, over the socket.
    pub(super) fn url(&self) -> String {
        format!(
            "postgres://formwork@/formwork?host={}&port={}",
            self.folder.replace('/', "%2F"),
            self.port
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}

/// The server that most tests share.
fn shared() -> Option<&'static Running> {
    static SHARED: OnceLock<Option<Running>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Running::start(&["fsync=off", "max_connections=500"]));
    shared.as_ref()
}

pub(super) fn key(byte: u8) -> SealingKey {
    SealingKey::parse(&[byte; 32]).expect("a key")
}

/// Tables of a test's own.
pub(super) struct Schema {
    url: Option<String>,
    name: String,
}

impl Schema {
    pub(super) fn new() -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let url = shared().map(Running::url);
        Self {
            url: url.map(|url| format!("{url}&options=-c%20search_path%3D{name}")),
            name,
        }
    }

    pub(super) fn database(&self) -> Database {
        let url = self.url.as_deref().expect("there is a server");
        Database::new(url, key(7)).host_name("test")
    }

    /// The same with more options of the session.
    pub(super) fn database_with(&self, options: &str) -> Database {
        let url = self.url.as_deref().expect("there is a server");
        Database::new(format!("{url}{options}"), key(7))
    }

    pub(super) async fn store(&self) -> PostgresStore {
        self.meddle(&format!("CREATE SCHEMA IF NOT EXISTS {}", self.name))
            .await;
        PostgresStore::open(&self.database()).await.expect("opened")
    }

    /// Changes the database as no program of ours would.
    pub(super) async fn meddle(&self, sql: &str) {
        let client = self.client().await;
        client.batch_execute(sql).await.expect("changed");
    }

    pub(super) async fn client(&self) -> Client {
        let url = self.url.as_deref().expect("there is a server");
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("there");
        tokio::spawn(connection);
        client
    }
}

#[async_trait]
impl Harness for Schema {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }

    fn is_there(&self) -> bool {
        self.url.is_some()
    }
}
