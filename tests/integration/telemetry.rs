//! What a server tells its operators, as their tools read it: Prometheus's parser,
//! a receiver of OTLP, and whoever reads the log.
//!
//! `make python` installs the tools.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud_control::{KEY, aws};
use crate::official::process::{Ended, Process};
use crate::official::served::{Served, program};
use crate::official::tools::{repository, tool};

const SCRIPTED: &str = "Formwork::Tests::Scripted";
const CALLER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

fn python(script: &str) -> Command {
    let mut command = Command::new(tool("python"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(repository(script));
    command
}

/// Makes a call of Cloud Control, within a span of the caller's.
fn call(served: &Served, operation: &str, body: &Value) -> Value {
    let address = served.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    let body = body.to_string();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         x-amz-target: CloudApiService.{operation}\r\n\
         content-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\
         traceparent: 00-{}-{}-01\r\n\r\n{body}",
        body.len(),
        CALLER.0,
        CALLER.1
    )
    .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn create(served: &Served, name: &str, script: &[&str]) -> String {
    let state = json!({"Name": name, "Script": script}).to_string();
    let request = json!({"TypeName": SCRIPTED, "DesiredState": state});
    let answer = call(served, "CreateResource", &request);
    let token = answer["ProgressEvent"]["RequestToken"].as_str();
    token
        .unwrap_or_else(|| panic!("it is accepted: {answer}"))
        .to_owned()
}

#[test]
fn prometheus_reads_what_the_history_was() {
    let served = Served::start_with(
        "[telemetry]\nlisten = \"127.0.0.1:0\"\n",
        &["scripted-guest"],
    );
    let mut command = python("tests/clients/metrics.py");
    command
        .env("AWS_ENDPOINT_URL", &served.url)
        .env("METRICS_URL", &served.metrics)
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let said = Process::start(&mut command).end().well();
    assert!(said.contains("\nOK"), "{said}");
}

/// Reads spans until there is one of this name, and gives all of its trace.
fn trace_until(receiver: &mut Process, trace: &str, last: &str) -> Vec<Value> {
    let mut spans = Vec::new();
    loop {
        let span = receiver.until("span ");
        let span: Value = serde_json::from_str(&span).expect("JSON");
        if span["trace"] == trace {
            let is_last = span["name"] == last;
            spans.push(span);
            if is_last {
                return spans;
            }
        }
    }
}

#[test]
fn an_operation_is_one_trace_across_invocations_and_a_restart() {
    let mut receiver = Process::start(&mut python("tests/clients/otlp_receiver.py"));
    let endpoint = receiver.until("receiving on ");
    let telemetry = format!("[telemetry]\nendpoint = \"{endpoint}\"\n");
    let served = Served::start_with(&telemetry, &["scripted-guest"]);
    let token = create(&served, "a", &["in-progress:4", "fail:AccessDenied:no"]);
    let trace = token.replace('-', "");

    let first = trace_until(&mut receiver, &trace, "invocation");
    let served = served.restart_with_its_file();
    let root = format!("CREATE {SCRIPTED}");
    let mut rest = trace_until(&mut receiver, &trace, &root);
    // The last invocation ends a moment after the operation that it commits.
    if !rest.iter().any(|span| span["name"] == "invocation") {
        rest.extend(trace_until(&mut receiver, &trace, "invocation"));
    }
    drop(served);

    let spans: Vec<Value> = first.into_iter().chain(rest).collect();
    let named =
        |name: &str| -> Vec<&Value> { spans.iter().filter(|span| span["name"] == name).collect() };
    let [root] = named(&root)[..] else {
        panic!("one root: {spans:?}")
    };
    assert_eq!(root["parent"], "");
    assert_eq!(root["id"], trace[16..]);
    assert_eq!(root["error"], true);
    assert_eq!(root["attributes"]["error.type"], "AccessDenied");
    assert_eq!(root["attributes"]["formwork.request_token"], token.as_str());
    assert_eq!(root["attributes"]["formwork.status"], "FAILED");
    assert_eq!(root["resource"]["service.name"], "formwork");
    let [accept] = named("accept")[..] else {
        panic!("it was accepted once: {spans:?}")
    };
    assert_eq!(accept["links"], json!([[CALLER.0, CALLER.1]]));
    let invocations = named("invocation");
    assert_eq!(invocations.len(), 2, "{spans:?}");
    assert_eq!(named("accept")[0]["parent"], root["id"]);
    for (span, outcome) in invocations.iter().zip(["in_progress", "failed"]) {
        assert_eq!(span["parent"], root["id"]);
        assert_eq!(span["attributes"]["formwork.outcome"], outcome);
        let parts: BTreeMap<_, _> = spans
            .iter()
            .filter(|part| part["parent"] == span["id"])
            .map(|part| (part["name"].as_str().expect("a name"), part))
            .collect();
        let names: Vec<_> = parts.keys().copied().collect();
        assert_eq!(names, ["commit", "sandbox"]);
        for part in parts.values() {
            let time = |it: &Value, name: &str| it[name].as_u64().expect("a time");
            assert!(time(part, "start") >= time(span, "start"), "{part} {span}");
            assert!(time(part, "end") <= time(span, "end"), "{part} {span}");
        }
    }
    let instances: Vec<_> = invocations
        .iter()
        .map(|span| &span["resource"]["service.instance.id"])
        .collect();
    assert_ne!(instances[0], instances[1]);
}

#[test]
fn the_figures_of_prometheus_are_sent_to_a_receiver_of_otlp_too() {
    let mut receiver = Process::start(&mut python("tests/clients/otlp_receiver.py"));
    let endpoint = receiver.until("receiving on ");
    let telemetry = format!("[telemetry]\nendpoint = \"{endpoint}\"\n");
    let served = Served::start_with(&telemetry, &["scripted-guest"]);
    let token = create(&served, "a", &["in-progress:0", "success"]);
    let root = format!("CREATE {SCRIPTED}");
    trace_until(&mut receiver, &token.replace('-', ""), &root);
    served.stop();
    let mut wanted = BTreeMap::from([
        ("formwork.operations.accepted", ("sum", 1)),
        ("formwork.operations.ended", ("sum", 1)),
        ("formwork.invocation.duration", ("histogram", 2)),
        ("formwork.store.up", ("gauge", 1)),
    ]);
    while !wanted.is_empty() {
        let figure: Value = serde_json::from_str(&receiver.until("figure ")).expect("JSON");
        let name = figure["name"].as_str().expect("a name");
        let Some((kind, value)) = wanted.remove(name) else {
            continue;
        };
        assert_eq!(figure["kind"], kind, "{figure}");
        assert_eq!(figure["value"], value, "{figure}");
        assert_eq!(figure["resource"]["service.name"], "formwork");
        if name.starts_with("formwork.operations") {
            assert_eq!(figure["attributes"]["type"], SCRIPTED, "{figure}");
            assert_eq!(figure["attributes"]["action"], "CREATE", "{figure}");
        }
    }
}

#[test]
fn a_read_is_a_span_of_its_callers_trace() {
    let mut receiver = Process::start(&mut python("tests/clients/otlp_receiver.py"));
    let endpoint = receiver.until("receiving on ");
    let telemetry = format!("[telemetry]\nendpoint = \"{endpoint}\"\n");
    let served = Served::start_with(&telemetry, &["scripted-guest"]);
    call(
        &served,
        "GetResource",
        &json!({"TypeName": SCRIPTED, "Identifier": "a"}),
    );
    let read = format!("READ {SCRIPTED}");
    let spans = trace_until(&mut receiver, CALLER.0, &read);
    let read = spans.last().expect("a span");
    assert_eq!(read["parent"], CALLER.1);
    assert_eq!(read["attributes"]["formwork.outcome"], "success");
}

#[test]
fn every_line_of_json_about_an_operation_says_which_and_what_and_where_in_its_chain() {
    let log = "[log]\nformat = \"json\"\nfilter = \"info\"\n";
    let mut served = Served::start_with(log, &["scripted-guest"]);
    let script = ["stdout:hello & in-progress:0", "leak-secret", "success"];
    let token = create(&served, "a", &script);
    let failing = create(&served, "b", &["attempts-trap:2"]);
    let mut lines = Vec::new();
    let mut live = BTreeSet::from([token, failing]);
    while !live.is_empty() {
        // What the server says to whoever started it is no line of the log.
        let Ok(line) = serde_json::from_str::<Value>(&served.line()) else {
            continue;
        };
        if line["message"] == "operation ended" {
            live.remove(line["request_token"].as_str().expect("a token"));
        }
        lines.push(line);
    }
    let about: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("request_token").is_some())
        .collect();
    let said = |message: &str| about.iter().filter(|it| it["message"] == message).count();
    assert_eq!(said("hello"), 1, "{lines:?}");
    assert_eq!(said("operation ended"), 2, "{lines:?}");
    assert_eq!(said("the handler broke its contract"), 1, "{lines:?}");
    for line in about {
        assert_eq!(line["type_name"], SCRIPTED, "{line}");
        assert_eq!(line["action"], "CREATE", "{line}");
        assert!(line["invocation"].is_u64(), "{line}");
        assert!(line["timestamp"].is_string(), "{line}");
        assert!(line["level"].is_string(), "{line}");
    }
}

/// Runs `formwork operations` and gives its status and what it printed.
fn operations(arguments: &[&str], key: Option<(&str, &str)>) -> (Option<i32>, String) {
    let ended = ended(arguments, key);
    (ended.status.code(), ended.said)
}

fn ended(arguments: &[&str], key: Option<(&str, &str)>) -> Ended {
    let mut command = program();
    command.arg("operations").args(arguments);
    if let Some((id, secret)) = key {
        command
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret);
    }
    Process::start(&mut command).end()
}

#[test]
fn a_server_with_keys_tells_operators_what_their_keys_may_see() {
    let other = ("AKIDOTHEROTHER01", "s3cr3t-of-another");
    let keys = format!(
        "[telemetry]\nlisten = \"127.0.0.1:0\"\n[[key]]\nid = \"{}\"\nsecret = \"{}\"\n\
         [[key]]\nid = \"{}\"\nsecret = \"{}\"\naccount = \"222222222222\"\n",
        KEY.0, KEY.1, other.0, other.1
    );
    let served = Served::start_with(&keys, &["scripted-guest"]);
    let state = r#"{"Name": "a", "Script": ["in-progress:3600", "success"]}"#;
    let create = ["cloudcontrol", "create-resource", "--type-name", SCRIPTED];
    let made = aws(
        &served,
        &[&create[..], &["--desired-state", state]].concat(),
    );
    let token = made["ProgressEvent"]["RequestToken"]
        .as_str()
        .expect("a token");
    let at = ["--server", &served.url];
    let list = [&["list", "--json"][..], &at].concat();

    let listed = ended(&list, Some(KEY)).answer();
    let listed: Value = serde_json::from_str(listed.trim()).expect("one operation");
    assert_eq!(listed["requestToken"], token);
    assert_eq!(ended(&list, Some(other)).answer(), "");
    for (key, words) in [
        (None, "set AWS_ACCESS_KEY_ID"),
        (Some((KEY.0, "wrong")), "signature"),
        (Some(("AKIDNOBODYNOBODY", "wrong")), "no such key"),
    ] {
        let (status, said) = operations(&list, key);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }

    let show = [&["show", token][..], &at].concat();
    let (status, said) = operations(&show, Some(KEY));
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("invocation 1  IN_PROGRESS"), "{said}");
    let cancel = [&["cancel", token][..], &at].concat();
    for key in [&show, &cancel].map(|call| operations(call, Some(other))) {
        assert_eq!(key.0, Some(2), "{}", key.1);
        assert!(key.1.contains("there is no operation"), "{}", key.1);
    }
    let (status, said) = operations(&cancel, Some(KEY));
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("is cancelled"), "{said}");
    let watch = [&["watch", "--until-ended", token][..], &at].concat();
    let (status, said) = operations(&watch, Some(KEY));
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.ends_with("CANCEL_COMPLETE  invocation 2  cancelled\n"),
        "{said}"
    );

    let page = |url: &str| {
        let address = url
            .trim_start_matches("http://")
            .trim_end_matches("/metrics");
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )
        .expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        answer
    };
    let closed = page(&served.url);
    assert!(closed.starts_with("HTTP/1.1 403"), "{closed}");
    assert!(closed.contains("`[telemetry]`"), "{closed}");
    let open = page(&served.metrics);
    assert!(open.starts_with("HTTP/1.1 200"), "{open}");
    assert!(open.contains("status=\"CANCEL_COMPLETE\""), "{open}");
}
