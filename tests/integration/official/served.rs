//! `formwork serve`, as a process of its own.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use formwork_tests::guests;
use tempfile::TempDir;

use super::process::{Ended, Process};
use super::tools::repository;

const ANY_PORT: &str = "127.0.0.1:0";

/// A handler behind the program's doors.
pub(crate) struct Served {
    /// Where the doors are, a URL.
    pub(crate) url: String,
    /// Where its metrics are, a URL, if the configuration gives them an address.
    pub(crate) metrics: String,
    server: Process,
    place: TempDir,
}

impl Served {
    /// Serves a guest, with a directory of its own. A success that breaks the
    /// handler contract fails, so that the official tests see it.
    pub(crate) fn start(guest: &str) -> Self {
        Self::start_all(&[guest])
    }

    /// Serves several guests.
    pub(crate) fn start_all(guests: &[&str]) -> Self {
        Self::start_in(place(), guests, ANY_PORT)
    }

    /// Serves several guests to callers who sign with a key, in the words of the
    /// configuration.
    pub(crate) fn start_for(key: &str, guests: &[&str]) -> Self {
        Self::start_with(&format!("[[key]]\n{key}\n"), guests)
    }

    /// Serves several guests with more tables in the configuration.
    pub(crate) fn start_with(tables: &str, guests: &[&str]) -> Self {
        let place = place();
        let mut configuration = "data = \"data\"\n".to_owned();
        for guest in guests {
            let component = guests::path(guest);
            let component = component.display();
            configuration.push_str(&format!(
                "[[type]]\ncomponent = \"{component}\"\ngrants = [\"dir=granted\"]\nstrict = true\n"
            ));
        }
        configuration.push_str(tables);
        fs::write(place.path().join("formwork.toml"), configuration).expect("a file");
        Self::start_by_file(place)
    }

    /// Kills the server that was started with a configuration, and starts it again.
    pub(crate) fn restart_with_its_file(self) -> Self {
        let Self { place, server, .. } = self;
        drop(server);
        Self::start_by_file(place)
    }

    fn start_by_file(place: TempDir) -> Self {
        let mut command = program();
        command.args(["serve", "--listen", ANY_PORT, "--config"]);
        command.arg(place.path().join("formwork.toml"));
        Self::start_by(&mut command, place)
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(self) {
        self.server.signal("-INT");
        self.server.end();
    }

    /// Kills the server and starts it again where it was.
    pub(crate) fn restart(self, guests: &[&str]) -> Self {
        let Self { place, server, .. } = self;
        drop(server);
        Self::start_in(place, guests, ANY_PORT)
    }

    /// Does the same so that a client in the middle of its work finds it again.
    pub(crate) fn restart_at_the_same_address(self, guests: &[&str]) -> Self {
        let Self {
            place, server, url, ..
        } = self;
        drop(server);
        let address = url.trim_start_matches("http://");
        Self::start_in(place, guests, address)
    }

    fn start_in(place: TempDir, guests: &[&str], address: &str) -> Self {
        let mut command = program();
        command
            .arg("serve")
            .args(guests.iter().map(|guest| guests::path(guest)))
            .args(["--listen", address, "--strict", "--data"])
            .arg(place.path().join("data"))
            .arg("--grant")
            .arg(format!("dir={}", place.path().join("granted").display()));
        Self::start_by(&mut command, place)
    }

    fn start_by(command: &mut Command, place: TempDir) -> Self {
        let mut server = Process::start(command);
        let url = format!("http://{}", server.until("Listening on http://"));
        let metrics = server.said("Metrics on ").unwrap_or_default();
        Self {
            url,
            metrics: metrics
                .trim_end_matches(", for whoever reaches that")
                .to_owned(),
            server,
            place,
        }
    }

    /// Waits for the next line that the server prints.
    pub(crate) fn line(&mut self) -> String {
        self.server.until("")
    }

    /// Writes a file for the handler.
    pub(crate) fn grant_file(&self, name: &str, text: &str) {
        fs::write(self.place.path().join("granted").join(name), text).expect("a file");
    }

    /// Gives the names of the files that the handlers have made.
    pub(crate) fn granted_files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.place.path().join("granted")).expect("a directory");
        entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// Gives a place for files of the test, which the handler does not see.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Asks the program beside the server what the operations are, a line of
    /// JSON each.
    pub(crate) fn operations(&self) -> String {
        let mut command = program();
        command.args(["operations", "list", "--json", "--data"]);
        command.arg(self.place.path().join("data"));
        let ended: Ended = Process::start(&mut command).end();
        ended.answer()
    }
}

/// Makes a directory for a server, with one to grant in it.
fn place() -> TempDir {
    let place = TempDir::new().expect("a directory");
    fs::create_dir(place.path().join("granted")).expect("a directory");
    place
}

/// Prepares the program, which `cargo test --workspace` builds beside the tests.
pub(crate) fn program() -> Command {
    let tests = env::current_exe().expect("the test is a file");
    let directory = tests
        .ancestors()
        .nth(2)
        .expect("it is in target/PROFILE/deps");
    let path = directory.join(format!("formwork{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "there is no {}; build it with `cargo build -p formwork`",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("FORMWORK_CACHE_DIR", repository("target/test-cache"));
    command
}
