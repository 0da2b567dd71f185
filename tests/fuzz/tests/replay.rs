//! Replays the seeds and what fuzzing has found, and changes to them.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use formwork_fuzz::{TARGETS, Target};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Where changed inputs begin; another number tries others.
const SEED: u64 = 20_261_122;

/// What an input is often changed to: where texts begin, end and go wrong.
const SIGNS: &[u8] = b"\0\"'!*-./0129:;AZ\\_az{}~\x7f\xff";

/// The folders of inputs, and whether each target must have some there.
const FOLDERS: [(&str, bool); 2] = [("corpus", true), ("regressions", false)];

#[test]
fn every_target_has_seeds_and_every_folder_and_program_a_target() {
    let names: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(names.len(), TARGETS.len(), "names differ");
    for (folder, must) in FOLDERS {
        let found: BTreeSet<String> = entries(&root().join(folder))
            .iter()
            .map(|path| name(path))
            .collect();
        let strangers: Vec<_> = found.difference(&names).collect();
        assert!(strangers.is_empty(), "no targets are called {strangers:?}");
        assert!(
            !must || found == names,
            "targets without a {folder}: {:?}",
            names.difference(&found)
        );
        for target in &found {
            let inputs = entries(&root().join(folder).join(target));
            assert!(!inputs.is_empty(), "{folder}/{target} is empty");
        }
    }
    let programs = entries(&root().join("targets"));
    let programs: BTreeSet<String> = programs.iter().map(|path| name(path)).collect();
    let programs: BTreeSet<String> = programs
        .iter()
        .map(|name| name.replace(".rs", ""))
        .collect();
    assert_eq!(programs, names, "each target has a program");
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|target| target.name).as_slice(), [$(stringify!($name)),*]);
        }
    };
}

replays!(address cloud_control component lambda operation patch query request signature translation);

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of the table");
    let mut inputs = Vec::new();
    for (folder, _) in FOLDERS {
        for path in entries(&root().join(folder).join(name)) {
            let input = fs::read(&path).expect("an input is readable");
            try_input(target, &input, &path.display().to_string());
            inputs.push(input);
        }
    }
    let mut random = StdRng::seed_from_u64(SEED);
    for number in 0..target.changed {
        let input = changed(&inputs, &mut random);
        try_input(target, &input, &format!("the changed input {number}"));
    }
}

/// Runs a target, and says on what it fails: a line to put the input into a file.
fn try_input(target: &Target, input: &[u8], what: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(
        outcome.is_ok(),
        "{} fails on {what}; keep it as a regression: printf '{}' > tests/fuzz/regressions/{}/NAME",
        target.name,
        printf(input),
        target.name
    );
}

fn printf(input: &[u8]) -> String {
    input
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' if !b"'%\\".contains(byte) => char::from(*byte).to_string(),
            byte => format!("\\{byte:03o}"),
        })
        .collect()
}

/// Changes one of the inputs in a few places, as a fuzzer does.
fn changed(inputs: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = inputs.choose(random).expect("there are seeds").clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=input.len().min(at + 16));
        match random.random_range(0..6) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = *SIGNS.choose(random).expect("there are some"),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let other = inputs.choose(random).expect("there are seeds");
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len().min(from + 16));
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => input.insert(at, random.random()),
        }
    }
    input
}

/// Gives what is in a folder, by name; nothing where there is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("a folder is readable").path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    let name = path.file_name().expect("an entry has a name");
    name.to_string_lossy().into_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
