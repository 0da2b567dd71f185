//! A project of the official command line, and what its contract tests say.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Ended, Process};
use super::served::Served;
use super::tools::{Tools, repository};

/// A directory as `cfn init` makes it, for a handler that is served elsewhere.
pub(super) struct Project {
    place: TempDir,
    tools: Arc<Tools>,
}

impl Project {
    /// Makes a project of a schema, a path of this repository.
    pub(super) fn of(schema: &str) -> Self {
        let place = TempDir::new().expect("a directory");
        let text = fs::read_to_string(repository(schema)).expect("a schema");
        let schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
        let type_name = schema["typeName"].as_str().expect("a schema has a name");
        let settings = json!({
            "artifact_type": "RESOURCE",
            "typeName": type_name,
            "language": "formwork",
            "runtime": "wasm",
            "entrypoint": null,
            "testEntrypoint": null,
            "settings": {"protocolVersion": "2.0.0"},
        });
        let name = type_name.to_lowercase().replace("::", "-");
        let write = |name: &str, text: &str| {
            fs::write(place.path().join(name), text).expect("a file");
        };
        write(".rpdk-config", &settings.to_string());
        write(&format!("{name}.json"), &text);
        Self {
            place,
            tools: Tools::get(),
        }
    }

    /// Gives the tests their inputs, a directory of this repository.
    pub(super) fn with_inputs(self, inputs: &str) -> Self {
        let to = self.place.path().join("inputs");
        fs::create_dir(&to).expect("a directory");
        for entry in fs::read_dir(repository(inputs)).expect("a directory") {
            let from = entry.expect("an entry").path();
            let name = from.file_name().expect("a name");
            fs::copy(&from, to.join(name)).expect("a file");
        }
        self
    }

    /// Lets the tests generate their inputs, with overrides: a file of this repository.
    pub(super) fn with_overrides(self, overrides: &str) -> Self {
        let to = self.place.path().join("overrides.json");
        fs::copy(repository(overrides), to).expect("a file");
        self
    }

    /// Runs `cfn` in the project.
    pub(super) fn cfn(&self, arguments: &[&str]) -> Ended {
        let mut command = self.tools.command("cfn");
        command.args(arguments).current_dir(self.place.path());
        Process::start(&mut command).end()
    }

    /// Runs `cfn invoke`, and gives the event of each round.
    pub(super) fn invoke(&self, served: &Served, action: &str, desired: &Value) -> Vec<Value> {
        let request = json!({"desiredResourceState": desired, "previousResourceState": null});
        fs::write(self.path().join("request.json"), request.to_string()).expect("a file");
        let arguments = [
            "invoke",
            "--endpoint",
            &served.url,
            "resource",
            action,
            "request.json",
        ];
        let said = self.cfn(&arguments).answer();
        let rounds = said.split("=== Handler response ===").skip(1);
        rounds
            .map(|round| {
                let event = round
                    .split("=== Handler input ===")
                    .next()
                    .unwrap_or_default();
                serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {said}"))
            })
            .collect()
    }

    /// Runs `cfn test`, and tells the developer what came out under `name`.
    pub(super) fn test(&self, served: &Served, name: &str, arguments: &[&str]) -> Tally {
        let mut all = vec!["test", "--endpoint", &served.url];
        all.extend(arguments);
        let ended = self.cfn(&all);
        let tally = Tally::of(&ended);
        // Past the capture of passing tests: these are tests, too.
        let told = writeln!(io::stderr(), "official: {name}: {tally}");
        told.expect("standard error can be written");
        tally
    }

    fn path(&self) -> &Path {
        self.place.path()
    }
}

/// What became of the official contract tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) skipped: usize,
    /// How many are not for the actions of the type.
    pub(super) deselected: usize,
    /// Which failed.
    pub(super) failed: BTreeSet<String>,
    /// In the setting-up or clearing-away of which something failed.
    pub(super) broken: BTreeSet<String>,
}

impl Tally {
    /// Reads what `cfn test` says at its end.
    fn of(ended: &Ended) -> Self {
        let said = &ended.said;
        let sum = said.lines().rev().find(|line| {
            line.starts_with("=====") && line.contains(" deselected") && line.contains(" in ")
        });
        let sum = sum.unwrap_or_else(|| panic!("cfn test gives no sum:\n{said}"));
        let words: Vec<&str> = sum
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        let count = |what: &str| {
            let mut pairs = words.windows(2);
            let pair = pairs.find(|pair| pair[1] == what);
            pair.map_or(0, |pair| {
                pair[0].parse().expect("a number stands before it")
            })
        };
        let named = |verdict: &str| -> BTreeSet<String> {
            said.lines()
                .filter_map(|line| line.strip_prefix(verdict)?.split_once("::"))
                .filter_map(|(_, rest)| rest.split_whitespace().next())
                .map(str::to_owned)
                .collect()
        };
        let tally = Self {
            passed: count("passed"),
            skipped: count("skipped"),
            deselected: count("deselected"),
            failed: named("FAILED "),
            broken: named("ERROR "),
        };
        assert_eq!(
            ended.status.success(),
            tally.failed.is_empty() && tally.broken.is_empty(),
            "{said}"
        );
        tally
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            skipped,
            deselected,
            failed,
            broken,
        } = self;
        let not_passed = failed.union(broken).count();
        write!(
            f,
            "{passed} passed, {not_passed} failed, {skipped} skipped, {deselected} deselected"
        )
    }
}
