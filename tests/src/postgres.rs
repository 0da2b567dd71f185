//! A real PostgreSQL server, which `tests/run-postgres` runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use formwork_host::store::{Database, PostgresStore, SealingKey};

/// A server with an empty database. It ends when it is dropped, and with this
/// process however that ends.
pub struct Server {
    folder: String,
    port: String,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server with settings such as `fsync=off`, or gives none where
    /// there is no PostgreSQL, which is said.
    ///
    /// # Panics
    ///
    /// When there is one that does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/run-postgres");
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

    /// Tells the server to `stop`, `kill`, `start`, `pause` or `go`, and waits
    /// until that is done.
    ///
    /// # Panics
    ///
    /// When the server does not do it.
    pub fn tell(&mut self, command: &str) {
        let input = self.input.as_mut().expect("it runs");
        writeln!(input, "{command}").expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("readable");
        assert_eq!(line.trim(), "done");
    }

    /// Gives the URL of the database, over the server's socket.
    #[must_use]
    pub fn url(&self) -> String {
        let folder = self.folder.replace('/', "%2F");
        format!(
            "postgres://formwork@/formwork?host={folder}&port={}",
            self.port
        )
    }

    /// Gives the port of 127.0.0.1 that the server listens on; role, password and
    /// database are all `formwork`.
    #[must_use]
    pub fn port(&self) -> &str {
        &self.port
    }

    /// Opens the database as a host does.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn host(&self) -> PostgresStore {
        let key = SealingKey::parse(&[7; 32]).expect("a key");
        let database = Database::new(self.url(), key);
        PostgresStore::open(&database).await.expect("opened")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}
