//! The server: the program itself, in a directory of its own.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use formwork_tests::guests;
use tempfile::TempDir;

/// How many of the units that Linux tells CPU time in make a second.
const TICKS: u64 = 100;

/// What the server writes a line of.
#[derive(Clone, Copy)]
pub(crate) enum Logged {
    Nothing,
    Answers,
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    /// Reads the log to its end.
    log: Option<JoinHandle<HashMap<String, Duration>>>,
    _place: TempDir,
}

impl Server {
    /// Starts it with two types, and waits until it listens.
    pub(crate) fn start(program: &Path, logged: Logged) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        fs::create_dir(place.path().join("files")).expect("a directory");
        let [scripted, file] = ["scripted-guest", "file"].map(guests::path);
        let config = format!(
            "listen = \"127.0.0.1:0\"\ndata = \"data\"\n\
             [[type]]\ncomponent = {scripted:?}\n\
             [[type]]\ncomponent = {file:?}\ngrants = [\"dir=files:bytes=10GiB,files=1000000\"]\n"
        );
        fs::write(place.path().join("formwork.toml"), config).expect("a file");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let filter = match logged {
            Logged::Nothing => "error",
            Logged::Answers => "error,formwork::doors::trace=info",
        };
        let mut process = Command::new(program)
            .arg("serve")
            .current_dir(place.path())
            .env("FORMWORK_CACHE_DIR", cache)
            .env("FORMWORK_LOG", filter)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut heard = String::new();
        let address = loop {
            let begin = heard.len();
            let read = said.read_line(&mut heard).expect("text");
            assert_ne!(read, 0, "it does not listen: {heard}");
            if let Some((_, address)) = heard[begin..].split_once("Listening on http://") {
                break address.trim().parse().expect("an address");
            }
        };
        let log = std::thread::spawn(move || {
            let lines = said.lines().map_while(Result::ok);
            lines.filter_map(|line| answered(&line)).collect()
        });
        Self {
            process,
            address,
            log: Some(log),
            _place: place,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives the CPU time that the server has taken; none where the system does
    /// not tell.
    pub(crate) fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(path).unwrap_or_default();
        // The name of the program, in brackets, may hold spaces.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS)
    }

    /// Stops the server, and gives how long each logged answer took, by the id
    /// of its request.
    pub(crate) fn stop(mut self) -> HashMap<String, Duration> {
        self.kill();
        let log = self.log.take().expect("it is taken once");
        log.join().expect("the log is read")
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the line of an answer.
fn answered(line: &str) -> Option<(String, Duration)> {
    let field = |name| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(name))
    };
    let milliseconds: f64 = field("milliseconds=")?.parse().ok()?;
    let id = field("request_id=")?.to_owned();
    Some((id, Duration::from_secs_f64(milliseconds / 1e3)))
}
