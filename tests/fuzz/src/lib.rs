//! What is fuzzed: a function of bytes for each target, which panics when a
//! promise of Formwork is broken.
//!
//! `make fuzz` has libFuzzer look for such bytes. What it finds is kept under
//! `regressions`, and every test run replays it, the seeds in `corpus`, and
//! thousands of changes to both (`tests/replay.rs`).
//!
//! Most inputs are text in lines, so that a seed can be read and written by hand.

mod address;
mod component;
mod doors;
mod operation;
mod patch;
mod request;
mod signature;
mod translation;

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its folders and of its program for libFuzzer.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
    /// How many changed inputs an ordinary test run tries.
    pub changed: usize,
}

/// All that is fuzzed.
pub const TARGETS: [Target; 10] = [
    target("address", address::classify, 20_000),
    target("cloud_control", doors::cloud_control, 3_000),
    target("component", component::load, 300),
    target("lambda", doors::lambda, 2_000),
    target("operation", operation::history, 300),
    target("patch", patch::patch, 10_000),
    target("query", doors::query, 2_000),
    target("request", request::matches, 20_000),
    target("signature", signature::verify, 10_000),
    target("translation", translation::translate, 10_000),
];

const fn target(name: &'static str, run: fn(&[u8]), changed: usize) -> Target {
    Target { name, run, changed }
}

/// Runs the target of that name.
///
/// # Panics
///
/// When there is none, and when what it found is a bug.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of the table").run)(data);
}

/// Splits an input into so many parts, each but the last a line. Gives none
/// where there are fewer, or it is no text.
fn lines<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let text = str::from_utf8(data).ok()?;
    let parts: Vec<&str> = text.splitn(N, '\n').collect();
    parts.try_into().ok()
}
