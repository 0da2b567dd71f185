//! The rules of the house, as tests: where things may be named, how files look,
//! and that the README's code map is the code.
//!
//! Each rule says in its failure what to do. Each has been seen to fail: a wall
//! carries the code that breaches it, the others are tried on bad files in `trial`.

mod map;
mod source;
mod trial;
mod walls;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;
use walls::WALLS;

/// What is wrong and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; the whole file if 0.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// No hand-written file is longer, its tests not counted.
const LONGEST_FILE: usize = 600;

/// What the modules of the engine may name of each other. Who is not here may
/// name all.
const DIRECTION: [(&str, &[&str]); 6] = [
    ("model", &[]),
    ("operation", &["model"]),
    ("clock", &["model"]),
    ("store", &["operation", "model"]),
    ("sandbox", &["model", "clock"]),
    (
        "registry",
        &["sandbox", "store", "operation", "model", "clock"],
    ),
];

/// Words that another word of the house stands for.
const FOREIGN_WORDS: [(&str, &str); 5] = [
    ("plugin", "handler"),
    ("provider", "resource type or handler"),
    ("job", "operation"),
    ("workflow", "operation"),
    ("polling", "stabilization"),
];

/// Names that say nothing of what a module holds.
const EMPTY_NAMES: [&str; 6] = ["common", "helper", "helpers", "misc", "prelude", "utils"];

const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Where a path that only one machine has begins.
const MACHINE_PATHS: [&str; 3] = ["/home/", "/root/", "/work/"];

#[test]
fn every_wall_stands() {
    let sources = code();
    report(
        WALLS
            .iter()
            .flat_map(|wall| sources.iter().flat_map(|source| wall.breaches(source))),
    );
}

#[test]
fn modules_of_the_engine_depend_in_one_direction() {
    report(code().iter().flat_map(against_the_direction));
}

#[test]
fn the_engine_uses_the_words_of_its_field() {
    report(code().iter().flat_map(foreign_words));
}

#[test]
fn files_have_a_size_a_name_and_a_head() {
    report(code().iter().flat_map(shape));
}

#[test]
fn nothing_is_left_for_later() {
    report(
        texts()
            .iter()
            .flat_map(|(path, text)| unfinished(path, text)),
    );
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let sources = code();
    report(
        texts()
            .iter()
            .flat_map(|(path, text)| machine_paths(path, text))
            .chain(sources.iter().flat_map(temporary_paths)),
    );
}

#[test]
fn the_code_map_is_the_code() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README is there");
    let paths: Vec<String> = files().iter().map(|path| relative(path)).collect();
    report(map::check(&readme, &paths));
}

/// Gives what a module of the engine names that stands above it.
fn against_the_direction(source: &Source) -> Vec<Finding> {
    let Some(module) = top_module(&source.path) else {
        return Vec::new();
    };
    let Some((_, below)) = DIRECTION.iter().find(|(name, _)| *name == module) else {
        return Vec::new();
    };
    let named = source
        .mentions
        .iter()
        .filter_map(|mention| match mention.segments.as_slice() {
            [krate, other, ..] if krate == "crate" => Some((other, mention.line)),
            _ => None,
        });
    named
        .filter(|(other, _)| *other != module && !below.contains(&other.as_str()))
        .map(|(other, line)| {
            let below = if below.is_empty() { "nothing".to_owned() } else { below.join(", ") };
            let what = format!("{module} names {other}, and may name {below}; move the code up, or pass in what it needs");
            Finding::new(&source.path, line, what)
        })
        .collect()
}

/// Gives the identifiers of the engine that say it in another field's words.
fn foreign_words(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("host/src/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for mention in &source.mentions {
        // What another crate calls a thing is not ours to choose.
        let own = mention.segments.len() == 1
            || ["crate", "self", "super"].contains(&mention.segments[0].as_str());
        for segment in mention.segments.iter().filter(|_| own) {
            for word in words(segment) {
                if let Some((_, ours)) = FOREIGN_WORDS.iter().find(|(foreign, _)| *foreign == word)
                {
                    let what = format!("`{segment}` says {word}; the word of this house is {ours}");
                    findings.push(Finding::new(&source.path, mention.line, what));
                }
            }
        }
    }
    findings
}

/// Splits an identifier, of either case, into its words, in lower case.
fn words(identifier: &str) -> Vec<String> {
    let mut split = String::new();
    for letter in identifier.chars() {
        if letter.is_uppercase() && split.ends_with(char::is_lowercase) {
            split.push('_');
        }
        split.push(letter);
    }
    split.to_lowercase().split('_').map(str::to_owned).collect()
}

/// Looks at a file as a whole: how long it is, what it is called, how it begins.
fn shape(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wrong = |what: String| findings.push(Finding::new(&source.path, 0, what));
    let lines = source.lines().count();
    if lines > LONGEST_FILE {
        wrong(format!(
            "has {lines} lines without its tests, and {LONGEST_FILE} are the most; split it by reason to change"
        ));
    }
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if EMPTY_NAMES
        .iter()
        .any(|empty| name == format!("{empty}.rs"))
    {
        wrong("is named for no thing; call it what it holds".to_owned());
    }
    if name == "mod.rs" {
        wrong("is a mod.rs; a module is NAME.rs with its parts under NAME/".to_owned());
    }
    let head: Vec<&str> = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    if head.is_empty() {
        wrong("does not say what it is for; begin it with //!".to_owned());
    }
    let is_top = top_module(&source.path)
        .is_some_and(|module| source.path == format!("host/src/{module}.rs"));
    if is_top && !head.iter().any(|line| line.contains("*Invariant*")) {
        wrong(
            "promises nothing; state in its head, after the word *Invariant*, what always holds"
                .to_owned(),
        );
    }
    findings
}

fn unfinished(path: &str, text: &str) -> Vec<Finding> {
    let marked = |line: &str| {
        UNFINISHED.into_iter().find(|mark| {
            line.split(|c: char| !c.is_alphanumeric())
                .any(|word| word == *mark)
        })
    };
    (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| {
            let what = format!(
                "says {}; do it, or write down elsewhere that it is to be done",
                marked(line)?
            );
            Some(Finding::new(path, number, what))
        })
        .collect()
}

fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let holds = |line: &str, start: &str| {
        line.match_indices(start).any(|(at, _)| {
            line[..at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && !"./_-~}".contains(before))
        })
    };
    (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| {
            let start = MACHINE_PATHS.into_iter().find(|start| holds(line, start))?;
            let what = format!(
                "holds a path under {start}, which other machines do not have; find it at run time"
            );
            Some(Finding::new(path, number, what))
        })
        .collect()
}

fn temporary_paths(source: &Source) -> Vec<Finding> {
    source
        .lines()
        .filter(|(_, line)| line.contains("\"/tmp") && !line.trim_start().starts_with("//"))
        .map(|(line, _)| {
            Finding::new(
                &source.path,
                line,
                "fixes a place for temporary files; ask for one at run time",
            )
        })
        .collect()
}

/// Gives the module of the engine at the top of which a file stands.
fn top_module(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("host/src/")?;
    let module = rest.split('/').next()?;
    let module = module.strip_suffix(".rs").unwrap_or(module);
    (module != "lib").then_some(module)
}

/// Reads every file of Rust that is not a test.
fn code() -> Vec<Source> {
    let sources: Vec<Source> = texts()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs") && !is_test(path))
        .map(|(path, text)| Source::parse(&path, &text))
        .collect();
    let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
    sources
        .into_iter()
        .filter(|source| {
            let stem = source.path.trim_end_matches(".rs");
            !tests
                .iter()
                .any(|module| stem == module || stem.starts_with(&format!("{module}/")))
        })
        .collect()
}

fn is_test(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| ["tests", "tests.rs", "benches"].contains(&part))
}

/// Gives the files, without ending, of the modules that `source` has for tests alone.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "lib" | "main")) => folder,
        _ => stem,
    };
    source
        .test_modules
        .iter()
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// Reads every file that is text, save these rules, which quote what they forbid.
fn texts() -> Vec<(String, String)> {
    files()
        .iter()
        .map(|path| (relative(path), path))
        .filter(|(name, _)| !name.starts_with("tests/integration/tidy"))
        .filter_map(|(name, path)| Some((name, fs::read_to_string(path).ok()?)))
        .collect()
}

/// Gives the files of the repository, without links and what tools leave behind.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository is readable") {
            let entry = entry.expect("an entry is readable");
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let left_behind = ["target", "node_modules", "__pycache__", "LICENSE"]
                .contains(&&*name)
                || name.ends_with(".lock");
            let hidden = name.starts_with('.') && name != ".ci";
            let kind = entry.file_type().expect("an entry has a type");
            if left_behind || hidden || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the package stands in the repository")
}

fn relative(path: &Path) -> String {
    let path = path
        .strip_prefix(root())
        .expect("the file was found under the root");
    path.to_string_lossy().replace('\\', "/")
}

/// Fails with every finding.
fn report(findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<String> = findings
        .into_iter()
        .map(|finding| finding.to_string())
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
