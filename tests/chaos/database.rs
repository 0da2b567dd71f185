//! A PostgreSQL server of the campaign's own, which is stopped, killed and paused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use formwork_host::store::{Database, PostgresStore, SealingKey, Store};

/// What the hosts seal with: there is nothing to keep from anyone here.
pub(crate) const KEY: &str = "c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a0";

/// The password of the role.
pub(crate) const PASSWORD: &str = "formwork";

/// The status with which the script says that there is no server to run.
const SKIPPED: i32 = 77;

/// A running server. It ends with the campaign, however that ends.
pub(crate) struct Server {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    /// Starts the server; none where there is no PostgreSQL.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("run-postgres");
        let mut process = Command::new(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run tests/run-postgres")?;
        let commands = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().context("it has a pipe")?);
        let mut ready = String::new();
        answers.read_line(&mut ready)?;
        let Some(port) = ready
            .strip_prefix("ready ")
            .and_then(|ready| ready.rsplit(' ').next())
        else {
            let status = process.wait()?;
            if status.code() == Some(SKIPPED) {
                return Ok(None);
            }
            bail!("tests/run-postgres failed, {status}");
        };
        let port: u16 = port.trim().parse().context("a port")?;
        Ok(Some(Self {
            process,
            commands,
            answers,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }))
    }

    /// Gives where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does what the script calls `stop`, `kill`, `start`, `pause` or `go`.
    pub(crate) fn command(&mut self, command: &str) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| {
            let commands = self.commands.as_mut().context("it takes commands")?;
            writeln!(commands, "{command}")?;
            let mut answer = String::new();
            self.answers.read_line(&mut answer)?;
            if answer.trim() != "done" {
                bail!("tests/run-postgres did not {command}: {answer:?}");
            }
            Ok(())
        })
    }

    /// Opens the database beside the hosts.
    pub(crate) async fn attach(&self) -> anyhow::Result<Arc<dyn Store>> {
        let key = SealingKey::parse(KEY.as_bytes())?;
        let database = Database::new(url(self.address), key).password(PASSWORD);
        Ok(Arc::new(PostgresStore::attach(&database).await?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.commands = None;
        // Its status says nothing that matters any more.
        let _ended = self.process.wait();
    }
}

/// Gives the URL of the database at an address.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("postgres://formwork@{address}/formwork")
}
