//! `formwork serve` as a process that is killed, paused and started again.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How long a host may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host. Dropping it kills its process.
pub(crate) struct Host {
    configuration: PathBuf,
    log: PathBuf,
    process: Option<Child>,
    /// Keeps what the process says.
    words: Option<JoinHandle<()>>,
    address: Arc<watch::Sender<Option<SocketAddr>>>,
    /// What its process is started through: a program with its arguments.
    through: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Host {
    /// Makes a host of a configuration, which is not running.
    pub(crate) fn new(configuration: PathBuf) -> Self {
        Self {
            log: configuration.with_extension("log"),
            configuration,
            process: None,
            words: None,
            address: Arc::new(watch::Sender::new(None)),
            through: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Starts its processes through another program.
    pub(crate) fn through(mut self, through: &[&str]) -> Self {
        self.through = through.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Gives where it listens, whenever it does.
    pub(crate) fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.subscribe()
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.is_gone();
        let program = program()?;
        let mut words = self
            .through
            .iter()
            .map(PathBuf::from)
            .chain([program.clone()]);
        let mut process = Command::new(words.next().unwrap_or(program))
            .args(words)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&self.configuration)
            .env_clear()
            .env("FORMWORK_CACHE_DIR", cache())
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a host")?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let words = process.stderr.take().context("it has a pipe")?;
        let address = Arc::clone(&self.address);
        self.words = Some(thread::spawn(move || listen(words, log, &address)));
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it listens.
    pub(crate) async fn listens(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.address.borrow().is_none() {
            if let Some(status) = self.ended()? {
                bail!(
                    "a host ended before it listened, {status}: see {}",
                    self.log.display()
                );
            }
            if Instant::now() > until {
                bail!("a host does not listen: see {}", self.log.display());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Says how the process ended, if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let process = self.process.as_mut().context("it was started")?;
        Ok(process.try_wait()?)
    }

    /// Kills the process, wherever it is, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("it was started")?;
        // It may have ended by itself.
        process.kill().or_else(|error| match process.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err(error),
        })?;
        process.wait()?;
        self.is_gone();
        Ok(())
    }

    /// Sends a signal, in the words of `kill`: `-STOP`.
    pub(crate) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("it was started")?;
        let id = process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status()?;
        sent.success()
            .then_some(())
            .ok_or_else(|| anyhow!("kill {signal} failed"))
    }

    /// Takes note that nobody listens any more, after the last word.
    fn is_gone(&mut self) {
        if let Some(words) = self.words.take() {
            words.join().unwrap_or_default();
        }
        self.address.send_replace(None);
    }

    /// Gives the process, for a program that changes it.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Asks it to stop, and gives how it did.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal("-TERM")?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended()? {
                self.process = None;
                self.is_gone();
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("a host does not stop: see {}", self.log.display());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Both fail only where it has ended already.
            let _ended = process.kill();
            let _ended = process.wait();
        }
    }
}

/// Keeps what a process says, and tells where it listens.
fn listen(words: ChildStderr, mut log: File, address: &watch::Sender<Option<SocketAddr>>) {
    for line in BufReader::new(words).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // A log that cannot be kept is no reason to hold up the process.
        let _written = writeln!(log, "{line}");
        if let Some((_, found)) = line.split_once("Listening on http://") {
            address.send_replace(found.trim().parse().ok());
        }
    }
}

/// Gives the directory of this build, `target/PROFILE`.
fn build() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("this program is a file")?;
    let directory = program.parent().context("it is in target/PROFILE")?;
    Ok(directory.to_owned())
}

/// Gives the program, which is built beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let path = build()?.join(format!("formwork{}", env::consts::EXE_SUFFIX));
    if !path.exists() {
        bail!(
            "there is no {}: build it with `cargo build -p formwork`",
            path.display()
        );
    }
    Ok(path)
}

/// Gives the directory for what campaigns leave.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let build = build()?;
    let target = build.parent().context("it is in target/PROFILE")?;
    Ok(target.join("chaos"))
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache")
}
