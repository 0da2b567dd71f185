//! `formwork serve`, as a process of its own.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use formwork_tests::guests;
use tempfile::TempDir;

use super::process::{Ended, Process};
use super::tools::repository;

/// A handler behind the program's doors.
pub(crate) struct Served {
    /// Where the doors are, a URL.
    pub(crate) url: String,
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
        let place = TempDir::new().expect("a directory");
        fs::create_dir(place.path().join("granted")).expect("a directory");
        Self::start_in(place, guests)
    }

    /// Kills the server and starts it again where it was.
    pub(crate) fn restart(self, guests: &[&str]) -> Self {
        let Self { place, server, .. } = self;
        drop(server);
        Self::start_in(place, guests)
    }

    fn start_in(place: TempDir, guests: &[&str]) -> Self {
        let mut command = program();
        command
            .arg("serve")
            .args(guests.iter().map(|guest| guests::path(guest)))
            .args(["--listen", "127.0.0.1:0", "--strict", "--data"])
            .arg(place.path().join("data"))
            .arg("--grant")
            .arg(format!("dir={}", place.path().join("granted").display()));
        let mut server = Process::start(&mut command);
        let url = format!("http://{}", server.until("Listening on http://"));
        Self { url, server, place }
    }

    /// Writes a file for the handler.
    pub(crate) fn grant_file(&self, name: &str, text: &str) {
        fs::write(self.place.path().join("granted").join(name), text).expect("a file");
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
        ended.well()
    }
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
