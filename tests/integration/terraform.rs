//! Terraform, unmodified, manages resources through Cloud Control: whole lives,
//! applies that are interrupted, and a server that is killed under one.
//!
//! Where there is no Terraform, or it cannot get hashicorp/aws, the tests say so
//! and are skipped.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cloud_control::aws;
use crate::official::process::{Ended, Process};
use crate::official::served::Served;
use crate::official::skipped;
use crate::official::tools::repository;

const KEY: (&str, &str) = ("AKIDTERRAFORMTEST", "s3cr3t/of+terraform");

/// What of the caller's environment says where Terraform is and what it may install.
const AMBIENT: [&str; 4] = ["PATH", "HOME", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"];

/// What a command gets that would ask before it changes something.
const UNASKED: [&str; 2] = ["-input=false", "-auto-approve"];

/// A directory with a configuration, and the state that Terraform keeps in it.
struct Project {
    place: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Project {
    /// Makes a project of a configuration in `tests/clients/terraform`. Gives
    /// none, and tells the developer, where Terraform cannot work with it.
    fn of(configuration: &str, settings: &[(&'static str, &str)]) -> Option<Self> {
        let found = terraform().arg("version").stdout(Stdio::null()).status();
        if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            skipped("terraform", "there is no terraform on the PATH");
            return None;
        }
        let place = TempDir::new().expect("a directory");
        let from = repository("tests/clients/terraform").join(configuration);
        fs::copy(from, place.path().join("main.tf")).expect("a configuration");
        let settings = settings
            .iter()
            .map(|&(name, value)| (name, value.to_owned()))
            .collect();
        let project = Self { place, settings };
        let ended = project.start(&["init", "-input=false"]).end();
        if ended.status.success() {
            return Some(project);
        }
        let (_, error) = ended.said.split_once("Error: ").expect("it says why");
        let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
        // What it looks for, it names; a configuration that is wrong fails before.
        assert!(ended.said.contains("Finding hashicorp/aws"), "{error}");
        skipped("terraform", &format!("it cannot be set up here: {error}"));
        None
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let mut command = terraform();
        command
            .args(arguments)
            .current_dir(self.place.path())
            .env_clear()
            .envs(
                AMBIENT
                    .iter()
                    .filter_map(|name| Some((name, env::var_os(name)?))),
            )
            .env("AWS_CONFIG_FILE", self.place.path().join("none"))
            .env(
                "AWS_SHARED_CREDENTIALS_FILE",
                self.place.path().join("none"),
            )
            .env("AWS_ACCESS_KEY_ID", KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", KEY.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_IN_AUTOMATION", "1")
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        Process::start(&mut command)
    }

    fn start_apply(&self, variables: &[&str]) -> Process {
        self.start(&[&["apply"], &UNASKED[..], variables].concat())
    }

    /// Gives the state of a resource as Terraform keeps it, without a command.
    fn resource(&self, name: &str) -> Value {
        let mut state = self.state();
        let resources = state["resources"].as_array_mut().expect("a list");
        let found = resources
            .iter_mut()
            .find(|resource| resource["mode"] == "managed" && resource["name"] == name);
        found.expect("it is in the state")["instances"][0].take()
    }

    fn state(&self) -> Value {
        let text = fs::read_to_string(self.place.path().join("terraform.tfstate"));
        serde_json::from_str(&text.expect("a state")).expect("a state is JSON")
    }
}

fn terraform() -> Command {
    Command::new("terraform")
}

/// Fails unless `terraform` said `words`.
#[track_caller]
fn says(ended: Ended, words: &str) {
    let said = ended.well();
    assert!(said.contains(words), "{words:?} is not in: {said}");
}

fn id(resource: &Value) -> &str {
    resource["attributes"]["id"].as_str().expect("an id")
}

fn operations(served: &Served) -> Vec<Value> {
    let lines = served.operations();
    let lines = lines.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("a line is JSON")
}

#[test]
fn terraform_takes_resources_through_their_lives() {
    let key = format!(
        r#"
        id = "{}"
        secret = "{}"
        allow = [{{ types = ["Formwork::Examples::*"], actions = ["CREATE", "READ", "UPDATE", "DELETE"] }}]
        "#,
        KEY.0, KEY.1
    );
    let served = Served::start_for(&key, &["file", "stabilizing"]);
    let Some(project) = Project::of("life.tf", &[("TF_VAR_endpoint", &served.url)]) else {
        return;
    };
    let run = |arguments: &[&str]| project.start(arguments).end();
    let apply = |variables: &[&str]| project.start_apply(variables).end();
    let read = |name: &str| project.state()["outputs"]["read"]["value"][name].take();

    let planned = run(&["plan", "-input=false", "-out=first.tfplan"]);
    says(planned, "Plan: 2 to add, 0 to change, 0 to destroy.");
    let applied = run(&["apply", "-input=false", "first.tfplan"]);
    says(applied, "2 added, 0 changed, 0 destroyed.");
    let archive = id(&project.resource("archive")).to_owned();
    assert_eq!(id(&project.resource("file")), "a.txt");
    assert_eq!(read("Contents"), "one");

    // The code would be 2 if there were something to do.
    let nothing = run(&["plan", "-input=false", "-detailed-exitcode"]);
    says(nothing, "No changes.");

    let three = "-var=contents=three";
    says(apply(&[three]), "0 added, 2 changed, 0 destroyed.");
    assert_eq!(read("Size"), json!(5));
    assert_eq!(id(&project.resource("archive")), archive);

    let renamed = apply(&[three, "-var=name=b.txt"]);
    says(renamed, "1 added, 0 changed, 1 destroyed.");
    assert_eq!(id(&project.resource("file")), "b.txt");
    assert_eq!(read("Name"), "b.txt");
    let files = served.granted_files();
    assert!(
        files.contains("b.txt") && !files.contains("a.txt"),
        "{files:?}"
    );

    let destroyed = run(&[&["destroy"], &UNASKED[..], &[three]].concat());
    says(destroyed, "2 destroyed.");
    assert_eq!(served.granted_files(), [].into());
}

#[test]
fn an_apply_of_terraform_that_is_interrupted_loses_nothing() {
    let served = Served::start_all(&["stabilizing", "scripted-guest"]);
    let Some(project) = Project::of("broken.tf", &at(&served)) else {
        return;
    };
    let mut interrupted = project.start_apply(&["-var=delay=60"]);
    // It has its first answer then, and asks again and again for the end.
    interrupted.until("Still creating...");
    interrupted.signal("-INT");
    let ended = interrupted.end();
    assert!(ended.said.contains("context canceled"), "{}", ended.said);
    let kept = project.resource("archive");
    assert_eq!(kept["status"], "tainted");
    let made = &operations(&served)[0];
    assert_eq!(made["identifier"], id(&kept));
    assert_eq!(made["status"], "IN_PROGRESS", "no client cancels of itself");

    // While the operation goes on, the resource cannot be replaced.
    let token = made["requestToken"].as_str().expect("a token");
    let cancel = ["cloudcontrol", "cancel-resource-request", "--request-token"];
    aws(&served, &[&cancel[..], &[token]].concat());
    let again = project.start_apply(&["-var=delay=1"]).end();
    says(again, "1 added, 0 changed, 1 destroyed.");
    let new = project.resource("archive");
    assert_ne!(id(&new), id(&kept));
    // Nothing is left of the archive that was interrupted.
    let files = served.granted_files();
    let expected = [format!(".{}.json", id(&new)), format!("{}.tar", id(&new))];
    assert_eq!(files, expected.into());
}

#[test]
fn an_apply_of_terraform_outlives_the_server() {
    let guests = ["stabilizing", "scripted-guest"];
    let served = Served::start_all(&guests);
    let Some(project) = Project::of("broken.tf", &at(&served)) else {
        return;
    };
    let mut applying = project.start_apply(&["-var=delay=3", "-var=scripted=3"]);
    applying.until("Creating...");
    let begun = (0..600).any(|_| operations(&served).len() == 4);
    assert!(begun, "{}", served.operations());
    let running = served.operations().matches("IN_PROGRESS").count();
    assert_ne!(running, 0, "it is killed in the middle");
    let served = served.restart_at_the_same_address(&guests);
    says(applying.end(), "4 added, 0 changed, 0 destroyed.");
    let operations = operations(&served);
    assert_eq!(
        operations.len(),
        4,
        "no create is made twice: {operations:?}"
    );
    for operation in &operations {
        assert_eq!(operation["status"], "SUCCESS", "{operation}");
    }
    let archive = id(&project.resource("archive")).to_owned();
    let expected = [format!(".{archive}.json"), format!("{archive}.tar")];
    assert_eq!(served.granted_files(), expected.into());
}

/// Names a server in the environment, as with every client of AWS.
fn at(served: &Served) -> [(&'static str, &str); 2] {
    [
        ("AWS_ENDPOINT_URL", &served.url),
        ("AWS_REGION", "us-east-1"),
    ]
}
