//! Cloud Control as its clients use it: boto3, the AWS SDK for JavaScript and the
//! aws command line, unmodified, against `formwork serve`.
//!
//! `make python` and `make node` install the clients.

use std::ffi::OsStr;
use std::process::Command;

use serde_json::{Value, json};

use crate::official::process::Process;
use crate::official::served::Served;
use crate::official::skipped;
use crate::official::tools::{node, repository, tool};

pub(crate) const KEY: (&str, &str) = ("AKIDEXAMPLEEXAMPLE", "s3cr3t/of+clients");
const SCRIPTED: &str = "Formwork::Tests::Scripted";
const GUESTS: [&str; 3] = ["file", "scripted-guest", "faulty-guest"];

/// Prepares a client, with nothing of the caller's environment.
fn client(program: impl AsRef<OsStr>, served: &Served) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", served.file("home"))
        .env("AWS_ENDPOINT_URL", &served.url)
        .env("AWS_ACCESS_KEY_ID", KEY.0)
        .env("AWS_SECRET_ACCESS_KEY", KEY.1)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs `aws` and gives what it answers.
pub(crate) fn aws(served: &Served, args: &[&str]) -> Value {
    let said = Process::start(client(tool("aws"), served).args(args))
        .end()
        .answer();
    if said.trim().is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn boto3_drives_handlers() {
    let served = Served::start_all(&GUESTS);
    let mut command = client(tool("python"), &served);
    command.arg(repository("tests/clients/boto3_cloud_control.py"));
    let said = Process::start(&mut command).end().well();
    assert!(said.contains("\nOK"), "{said}");
}

#[test]
fn the_sdk_for_javascript_drives_handlers() {
    let node = match node() {
        Ok(node) => node,
        Err(reason) => return skipped("node", &reason),
    };
    // Callers who sign have to sign well here.
    let key = format!("id = \"{}\"\nsecret = \"{}\"", KEY.0, KEY.1);
    let served = Served::start_for(&key, &GUESTS);
    let mut command = client(node, &served);
    command
        .env("NODE_PATH", repository("target/node/node_modules"))
        .args(["--test-reporter", "spec"])
        .arg(repository("tests/clients/node_cloud_control.cjs"));
    let said = Process::start(&mut command).end().well();
    assert!(said.contains(" fail 0\n"), "{said}");
}

#[test]
fn the_command_line_drives_a_handler() {
    let served = Served::start_all(&GUESTS);
    let aws = |args: &[&str]| aws(&served, args);
    let on_file = |args: &[&'static str]| {
        let names = [
            "cloudcontrol",
            args[0],
            "--type-name",
            "Formwork::Examples::File",
        ];
        aws(&[&names, &args[1..]].concat())
    };
    let event = &on_file(&[
        "create-resource",
        "--desired-state",
        r#"{"Name": "a.txt", "Contents": "one"}"#,
    ])["ProgressEvent"];
    assert_eq!(event["Identifier"], "a.txt");
    let token = event["RequestToken"].as_str().expect("a token");
    let wait = ["cloudcontrol", "wait", "resource-request-success"];
    aws(&[&wait[..], &["--request-token", token]].concat());
    let event = on_file(&[
        "update-resource",
        "--identifier",
        "a.txt",
        "--patch-document",
        r#"[{"op": "replace", "path": "Contents", "value": "two"}]"#,
    ]);
    assert_eq!(event["ProgressEvent"]["Operation"], "UPDATE");
    let got = on_file(&["get-resource", "--identifier", r#"{"Name": "a.txt"}"#]);
    let properties = got["ResourceDescription"]["Properties"].as_str();
    let properties: Value = serde_json::from_str(properties.expect("text")).expect("JSON");
    assert_eq!(properties["Contents"], "two");
    let listed = on_file(&["list-resources"]);
    assert_eq!(listed["ResourceDescriptions"][0]["Identifier"], "a.txt");
    on_file(&["delete-resource", "--identifier", "a.txt"]);
    let requests = aws(&[
        "cloudcontrol",
        "list-resource-requests",
        "--resource-request-status-filter",
        "Operations=CREATE,DELETE,OperationStatuses=SUCCESS",
    ]);
    let operations: Vec<_> = requests["ResourceRequestStatusSummaries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["Operation"].clone())
        .collect();
    assert_eq!(operations, [json!("DELETE"), json!("CREATE")]);
    let described = aws(&[
        "cloudformation",
        "describe-type",
        "--type",
        "RESOURCE",
        "--type-name",
        "Formwork::Examples::File",
    ]);
    assert_eq!(described["ProvisioningType"], "FULLY_MUTABLE");
    let caller = aws(&["sts", "get-caller-identity"]);
    assert_eq!(caller["Account"], "000000000000");
}

#[test]
fn the_command_line_goes_through_every_page() {
    let served = Served::start_all(&GUESTS);
    let list = |args: &[&str]| {
        let list = ["cloudcontrol", "list-resources", "--type-name", SCRIPTED];
        aws(&served, &[&list[..], args].concat())
    };
    let named = |listed: &Value| -> Vec<Value> {
        let resources = listed["ResourceDescriptions"].as_array().expect("a list");
        resources
            .iter()
            .map(|one| one["Identifier"].clone())
            .collect()
    };
    assert_eq!(named(&list(&[])), ["item-0", "item-1", "item-2"]);
    let first = list(&["--max-items", "1"]);
    assert_eq!(named(&first), ["item-0"]);
    let next = first["NextToken"].as_str().expect("a token");
    let rest = list(&["--starting-token", next]);
    assert_eq!(named(&rest), ["item-1", "item-2"]);
}

#[test]
fn the_command_line_tells_what_is_refused_and_what_failed() {
    let served = Served::start_all(&GUESTS);
    let failing = r#"{"Name": "a", "Script": ["fail:NotStabilized:it is not stable"]}"#;
    let create = [
        "cloudcontrol",
        "create-resource",
        "--type-name",
        SCRIPTED,
        "--desired-state",
    ];
    let event = &aws(&served, &[&create[..], &[failing]].concat())["ProgressEvent"];
    assert_eq!(event["ErrorCode"], "NotStabilized");
    let token = event["RequestToken"].as_str().expect("a token");
    let get = ["get-resource", "--type-name", SCRIPTED, "--identifier"];
    let table: [(&[&str], &str); 5] = [
        (
            &["wait", "resource-request-success", "--request-token", token],
            "Waiter ResourceRequestSuccess failed: Waiter encountered a terminal failure state",
        ),
        (
            &[&get[..], &["a!fail:NotFound:gone"]].concat(),
            "(ResourceNotFoundException) when calling the GetResource operation: ",
        ),
        (
            &[&get[..], &["a!fail:Throttling:slow"]].concat(),
            "(ThrottlingException) when calling the GetResource operation (reached max retries: 2)",
        ),
        (
            &[
                "create-resource",
                "--type-name",
                SCRIPTED,
                "--desired-state",
                "{}",
            ],
            "(ValidationException) when calling the CreateResource operation: ",
        ),
        (
            &[
                "delete-resource",
                "--type-name",
                "Acme::Not::Served",
                "--identifier",
                "a",
            ],
            "(TypeNotFoundException) when calling the DeleteResource operation: ",
        ),
    ];
    for (args, words) in table {
        let mut command = client(tool("aws"), &served);
        command
            .env("AWS_MAX_ATTEMPTS", "3")
            .arg("cloudcontrol")
            .args(args);
        let ended = Process::start(&mut command).end();
        assert!(!ended.status.success(), "{args:?}: {}", ended.said);
        assert!(ended.said.contains(words), "{args:?}: {}", ended.said);
    }
}

/// Nothing that a caller holds is lost with the process.
#[test]
fn a_request_outlives_the_server() {
    let served = Served::start_all(&GUESTS);
    let state = r#"{"Name": "a", "Script": ["in-progress:3600"]}"#;
    let create = [
        "cloudcontrol",
        "create-resource",
        "--type-name",
        SCRIPTED,
        "--client-token",
        "once",
        "--desired-state",
        state,
    ];
    let event = aws(&served, &create)["ProgressEvent"].take();
    assert_eq!(event["OperationStatus"], "IN_PROGRESS");
    assert_eq!(event["Identifier"], "a");
    let retry = event["RetryAfter"].as_f64().expect("a number");
    let time = event["EventTime"].as_f64().expect("a number");
    assert!((3_600.0..3_660.0).contains(&(retry - time)), "{event}");
    let served = served.restart(&GUESTS);
    let token = event["RequestToken"].as_str().expect("a token");
    let on_request = |operation: &str| {
        let event = aws(
            &served,
            &["cloudcontrol", operation, "--request-token", token],
        );
        event["ProgressEvent"].clone()
    };
    assert_eq!(on_request("get-resource-request-status"), event);
    assert_eq!(aws(&served, &create)["ProgressEvent"], event);
    let cancelled = on_request("cancel-resource-request");
    assert_eq!(cancelled["OperationStatus"], "CANCEL_COMPLETE");
    assert_eq!(on_request("cancel-resource-request"), cancelled);
}
