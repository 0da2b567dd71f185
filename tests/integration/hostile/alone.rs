//! A test that runs in a process of its own: its memory is its own, and what kills
//! it does not kill the other tests.

use std::env;
use std::process::Command;

/// Tells the other process that it is that, and what part of the test to run.
const VARIABLE: &str = "FORMWORK_TESTS_ALONE";

/// Tells, in the process of one test, with what the names begin of which the test
/// is to run; in other processes nothing.
pub(super) fn part() -> Option<String> {
    env::var(VARIABLE).ok()
}

/// Runs a test of this program in a process of its own.
///
/// # Panics
///
/// When it fails or dies.
#[expect(
    clippy::print_stdout,
    reason = "what that process said is worth telling"
)]
pub(super) fn run(test: &str) {
    let program = env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args([test, "--exact", "--nocapture"])
        .env(VARIABLE, "")
        .output()
        .expect("this program runs");
    let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    println!("{said}");
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} in a process of its own: {}\n{said}\n{errors}",
        output.status
    );
}
