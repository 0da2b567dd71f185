//! The official tools, unmodified and offline, against `formwork serve`.
//!
//! `make python` installs the tools. How many official contract tests passed is
//! told on standard error.

pub(crate) mod process;
mod project;
pub(crate) mod served;
pub(crate) mod tools;

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use formwork_faulty_guest::Bug;
use serde_json::{Value, json};

use process::Process;
use project::{Project, Tally};
use served::Served;
use tools::Tools;

/// Tells the developer, past the capture of passing tests, that a test cannot run
/// here for want of a tool.
pub(crate) fn skipped(tool: &str, reason: &str) {
    let told = writeln!(io::stderr(), "{tool}: SKIPPED, {reason}");
    told.expect("standard error can be written");
}

/// How many of the contract tests of the official tool are for hooks.
const FOR_HOOKS: usize = 9;

fn passed(passed: usize, skipped: usize) -> Tally {
    Tally {
        passed,
        skipped,
        deselected: FOR_HOOKS,
        ..Tally::default()
    }
}

fn thing() -> Project {
    Project::of("tests/guests/faulty/schema.json").with_inputs("tests/guests/faulty/inputs")
}

#[test]
fn a_synchronous_type_passes_the_official_contract_tests() {
    let served = Served::start("file");
    let project = Project::of("examples/file/schema.json").with_inputs("examples/file/inputs");
    let tally = project.test(&served, "file", &[]);
    // The two about tags are skipped: it has none.
    assert_eq!(tally, passed(13, 2));
}

#[test]
fn an_asynchronous_type_with_a_role_passes_the_official_contract_tests() {
    let served = Served::start("stabilizing");
    let project =
        Project::of("examples/stabilizing/schema.json").with_inputs("examples/stabilizing/inputs");
    let role = ["--role-arn", "arn:aws:iam::123456789012:role/handler"];
    let tally = project.test(&served, "stabilizing", &role);
    // The two about tags are skipped, and those that create the same identifier twice.
    assert_eq!(tally, passed(11, 4));
}

#[test]
fn a_type_with_tags_and_callbacks_passes_the_official_contract_tests() {
    let served = Served::start("faulty-guest");
    assert_eq!(thing().test(&served, "thing", &[]), passed(15, 0));
}

#[test]
fn a_type_that_assigns_identifiers_passes_the_official_contract_tests() {
    let served = Served::start("faulty-assigned-guest");
    let project = Project::of("tests/guests/faulty-assigned/schema.json")
        .with_inputs("tests/guests/faulty-assigned/inputs");
    assert_eq!(project.test(&served, "assigned thing", &[]), passed(13, 2));
}

#[test]
fn inputs_that_the_official_tool_generates_pass_its_contract_tests() {
    let served = Served::start("file");
    let project = Project::of("examples/file/schema.json")
        .with_overrides("tests/official/file-overrides.json");
    let tally = project.test(&served, "file with generated inputs", &[]);
    assert_eq!(tally, passed(13, 2));
}

#[test]
fn generated_inputs_pass_for_a_type_that_assigns_identifiers_too() {
    let served = Served::start("stabilizing");
    let project = Project::of("examples/stabilizing/schema.json")
        .with_overrides("tests/official/stabilizing-overrides.json");
    let tally = project.test(&served, "stabilizing with generated inputs", &[]);
    assert_eq!(tally, passed(11, 4));
}

/// What the official tool can find, it finds through the doors.
#[track_caller]
fn finds(bug: Bug, failed: &[&str]) {
    let served = Served::start("faulty-guest");
    served.grant_file("bug", bug.name());
    let tally = thing().test(
        &served,
        &format!("thing with the bug {}, to be found", bug.name()),
        &[],
    );
    let failed: BTreeSet<String> = failed.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(tally.failed, failed);
}

#[test]
fn a_read_that_differs_fails_the_official_contract_tests() {
    finds(
        Bug::ReadDiffers,
        &[
            "contract_create_list",
            "contract_create_read",
            "contract_update_read",
        ],
    );
}

#[test]
fn a_delete_of_nothing_that_succeeds_fails_the_official_contract_tests() {
    finds(Bug::DeleteMissingOk, &["contract_delete_delete"]);
}

#[test]
fn a_create_over_another_fails_the_official_contract_tests() {
    finds(
        Bug::AlreadyExistsOk,
        &["contract_create_create", "contract_create_list"],
    );
}

#[test]
fn an_upsert_fails_the_official_contract_tests() {
    finds(
        Bug::Upsert,
        &[
            "contract_delete_delete",
            "contract_delete_update",
            "contract_update_without_create",
        ],
    );
}

#[test]
fn a_leak_of_a_write_only_property_fails_the_official_contract_tests() {
    // The program stops the leak, and says so in place of the success.
    finds(
        Bug::LeaksWriteOnly,
        &["contract_create_delete", "contract_update_without_create"],
    );
}

#[test]
fn the_official_tool_finds_the_schemas_valid() {
    for schema in [
        "tests/guests/faulty/schema.json",
        "tests/guests/faulty-assigned/schema.json",
    ] {
        let said = Project::of(schema).cfn(&["validate"]).well();
        assert!(said.contains("Resource schema is valid."), "{said}");
    }
}

#[test]
fn the_official_tool_invokes_a_chain() {
    let served = Served::start("stabilizing");
    let project = Project::of("examples/stabilizing/schema.json");
    let desired = json!({
        "Files": [{"Name": "a", "Contents": "first"}, {"Name": "b", "Contents": "second"}],
        "Delay": 0,
    });
    let created = project.invoke(&served, "CREATE", &desired);
    let statuses = |events: &[Value]| -> Vec<Value> {
        events.iter().map(|event| event["status"].clone()).collect()
    };
    assert_eq!(
        statuses(&created),
        ["IN_PROGRESS", "IN_PROGRESS", "SUCCESS"]
    );
    let model = &created[2]["resourceModel"];
    assert_eq!(
        project.invoke(&served, "READ", model)[0]["resourceModel"],
        *model
    );
    let deleted = project.invoke(&served, "DELETE", model);
    assert_eq!(statuses(&deleted).last(), Some(&json!("SUCCESS")));
    let read = project.invoke(&served, "READ", model);
    assert_eq!(read[0]["errorCode"], "NotFound");
}

#[test]
fn the_official_command_line_completes_an_operation_that_waits() {
    let served = Served::start("scripted-guest");
    let tools = Tools::get();
    let aws = |arguments: &[&str]| {
        let mut command = tools.command("aws");
        command
            .args(["--endpoint-url", &served.url])
            .args(arguments);
        Process::start(&mut command).end()
    };
    let token = "00000000-0000-0000-0000-000000000001";
    let request = json!({
        "action": "CREATE",
        "bearerToken": token,
        "resourceType": "Formwork::Tests::Scripted",
        "requestData": {"resourceProperties": {"Name": "a", "Script": ["in-progress-no-callback"]}},
    });
    let answer = served.file("answer.json");
    let answer = answer.to_str().expect("a path of UTF-8");
    let event = [
        "lambda",
        "invoke",
        "--function-name",
        "TypeFunction",
        "--invocation-type",
        "Event",
    ];
    let said = aws(&[&event[..], &["--payload", &request.to_string(), answer]].concat()).well();
    assert!(said.contains("202"), "{said}");
    let begun = (0..200).any(|_| !served.operations().contains("PENDING"));
    assert!(begun, "{}", served.operations());

    let record = |status: &str, current: &str| {
        let command = [
            "cloudformation",
            "record-handler-progress",
            "--bearer-token",
            token,
        ];
        let progress = [
            "--operation-status",
            status,
            "--current-operation-status",
            current,
        ];
        aws(&[
            &command[..],
            &progress,
            &["--resource-model", "{\"Name\":\"a\"}"],
        ]
        .concat())
    };
    let refused = record("SUCCESS", "PENDING");
    assert!(
        refused.said.contains("(ConditionalCheckFailed)"),
        "{refused:?}"
    );
    record("SUCCESS", "IN_PROGRESS").well();
    let operations = served.operations();
    assert!(operations.contains("SUCCESS"), "{operations}");
    let refused = record("IN_PROGRESS", "SUCCESS");
    assert!(
        refused.said.contains("(InvalidStateTransition)"),
        "{refused:?}"
    );
}
