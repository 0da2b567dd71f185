//! Secrets of every kind, planted wherever one can be, and searched for wherever
//! one must not be: in all that is printed at the loudest, in all that is kept, and
//! in the metrics and traces.

mod receiver;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use formwork_host::model::RequestToken;
use formwork_tests::guests;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::official::process::Process;
use crate::official::served::program;
use receiver::Receiver;

/// What is planted, each in a place of its own. None of it is a word, a number of
/// anything else, or part of another.
const CANARIES: [&str; 12] = [
    "c4nary-callers-secret-key",
    "c4nary-callers-session-token",
    "c4nary-platforms-secret-key",
    "c4nary-platforms-session-token",
    "c4nary-bearer-token",
    "918273645546372",
    "c4nary-of-a-write-only-property",
    "c4nary-of-the-file-of-a-grant",
    "c4nary-of-the-environment-of-a-grant",
    "c4nary-secret-key-of-a-profile",
    "c4nary-session-token-of-a-profile",
    "c4nary-of-the-receiver-of-traces",
];

/// How long a socket waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Gives which canaries are in bytes, as they are or as JSON escapes and Base64
/// write them.
fn found_in(bytes: &[u8]) -> Vec<&'static str> {
    let is_in = |needle: &[u8]| contains(bytes, needle);
    CANARIES
        .into_iter()
        .filter(|canary| {
            let shifted = (0..3).map(|shift| base64_inside(canary, shift));
            is_in(canary.as_bytes()) || shifted.into_iter().any(|text| is_in(text.as_bytes()))
        })
        .collect()
}

/// Gives how Base64 writes a text that begins so many bytes into a group of three,
/// without what its neighbours have a part in.
fn base64_inside(text: &str, shift: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = text.as_bytes()[(3 - shift) % 3..].chunks_exact(3);
    whole
        .flat_map(|group| {
            let bits = group
                .iter()
                .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|at| char::from(LETTERS[bits >> at & 63]))
        })
        .collect()
}

/// Searches every file below a directory, and gives what was found where.
fn found_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(found_below(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            let path = path.display();
            found.extend(
                found_in(&bytes)
                    .into_iter()
                    .map(|it| format!("{it} in {path}")),
            );
        }
    }
    found
}

/// Sends a request to the Lambda door, and gives the answer.
fn invoke(address: &str, kind: &str, payload: &Value) -> String {
    let function = payload["resourceType"].as_str().expect("a type");
    let function = function.replace("::", "-");
    let payload = payload.to_string();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(
        stream,
        "POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nhost: {address}\r\n\
         connection: close\r\nx-amz-invocation-type: {kind}\r\ncontent-length: {}\r\n\r\n{payload}",
        payload.len()
    )
    .expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Reads the page of metrics at a URL.
fn page(url: &str) -> String {
    let (address, path) = url
        .trim_start_matches("http://")
        .split_once('/')
        .expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Makes a request for a resource with a script.
fn request(name: &str, script: &[&str]) -> Value {
    json!({
        "action": "CREATE",
        "awsAccountId": "123456789012",
        "bearerToken": format!("{}-{name}", CANARIES[4]),
        "region": "eu-central-1",
        "resourceType": "Formwork::Tests::Scripted",
        // Nobody listens there, so that what is to be reported is kept.
        "responseEndpoint": "http://127.0.0.1:9",
        "requestData": {
            "callerCredentials": {
                "accessKeyId": "AKIDOFTHECALLER",
                "secretAccessKey": CANARIES[0],
                "sessionToken": CANARIES[1],
            },
            "platformCredentials": {
                "accessKeyId": "AKIDOFTHEPLATFORM",
                "secretAccessKey": CANARIES[2],
                "sessionToken": CANARIES[3],
            },
            "typeConfiguration": {"t": 918_273_645_546_372_u64},
            "resourceProperties": {"Name": name, "Secret": CANARIES[6], "Script": script},
        },
    })
}

/// Prepares the program at its loudest.
fn loud() -> Command {
    let mut command = program();
    command
        .arg("-vvv")
        .env("FORMWORK_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .env("LOG_SIGNABLE_BODY", "true")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

#[test]
fn the_search_finds_what_is_there() {
    let canary = CANARIES[0];
    assert_eq!(found_in(format!("…{canary}…").as_bytes()), [canary]);
    // `echo -n ab c4nary-callers-secret-key | base64`, less a letter each time.
    for encoded in [
        "YWIgYzRuYXJ5LWNhbGxlcnMtc2VjcmV0LWtleQ==",
        "YiBjNG5hcnktY2FsbGVycy1zZWNyZXQta2V5",
        "IGM0bmFyeS1jYWxsZXJzLXNlY3JldC1rZXk=",
    ] {
        assert_eq!(found_in(encoded.as_bytes()), [canary], "{encoded}");
    }
    assert!(found_in(b"c4nary").is_empty());
}

#[test]
fn no_secret_is_printed_measured_or_kept_in_the_clear() {
    let place = TempDir::new().expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(place.path().join(name), text).expect("a file");
    };
    write("secret", CANARIES[7]);
    write(
        "credentials",
        &format!(
            "[deploy]\naws_access_key_id = AKIDOFTHEPROFILE\naws_secret_access_key = {}\n\
             aws_session_token = {}\n",
            CANARIES[9], CANARIES[10]
        ),
    );
    let receiver = Receiver::start();
    let component = guests::path("scripted-guest").display().to_string();
    let outbound = guests::path("outbound-guest").display().to_string();
    write(
        "formwork.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\ndata = \"data\"\n\
             [telemetry]\nlisten = \"127.0.0.1:0\"\nendpoint = \"{}\"\n\
             [[type]]\ncomponent = \"{component}\"\ngrants = [\"credentials\"]\n\
             configuration = {{ t = 918273645546372 }}\npolicy = {{ backoff = \"1h\" }}\n\
             [[type]]\ncomponent = \"{outbound}\"\ngrants = [\n\
               \"address=127.0.0.1\",\n\
               \"sign=http://127.0.0.1:9 as s3 in eu-central-1 with caller or profile deploy\",\n\
               \"secret=http://127.0.0.1:9 as X-Api-Key from file secret\",\n\
               \"secret=http://127.0.0.1:9 as X-Other-Key from environment OTHER_KEY\",\n\
             ]\n",
            receiver.url()
        ),
    );
    let mut command = loud();
    command
        .args(["serve", "--config"])
        .arg(place.path().join("formwork.toml"))
        .env("OTHER_KEY", CANARIES[8])
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("x-receiver-key={}", CANARIES[11]),
        )
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
        .env(
            "AWS_SHARED_CREDENTIALS_FILE",
            place.path().join("credentials"),
        )
        .env("AWS_CONFIG_FILE", "/dev/null");
    let mut server = Process::start(&mut command);
    let address = server.until("Listening on http://");
    let metrics = server.said("Metrics on ").expect("its address");
    let (metrics, _) = metrics.split_once(',').expect("a URL");

    let mut answers = String::new();
    for (name, script) in [
        ("done", &["success"][..]),
        ("failed", &["fail:AccessDenied:no"]),
        ("waits", &["in-progress:3600"]),
        ("breaks", &["panic"]),
        ("stays", &["in-progress-no-callback"]),
        ("leaks", &["leak-secret"]),
        ("wrong", &["invalid-json"]),
    ] {
        answers += &invoke(&address, "Event", &request(name, script));
        // Who is answered IN_PROGRESS calls again, with the whole model.
        if !script[0].starts_with("in-progress") {
            answers += &invoke(&address, "RequestResponse", &request(name, script));
        }
    }
    // What is wrong with a request is told without what is in it.
    let mut wrong = request("wrong", &[]);
    wrong["requestData"]["callerCredentials"]["secretAccessKey"] = json!([CANARIES[0]]);
    wrong["bearerToken"] = json!([CANARIES[4]]);
    answers += &invoke(&address, "Event", &wrong);
    let errand = |caller: Value| {
        json!({
            "action": "CREATE",
            "awsAccountId": "123456789012",
            "bearerToken": CANARIES[4],
            "region": "eu-central-1",
            "resourceType": "Formwork::Tests::Outbound",
            "requestData": {
                "callerCredentials": caller,
                "resourceProperties": {"Name": "a", "Requests": ["PUT http://127.0.0.1:9/ body=9"]},
            },
        })
    };
    let caller = request("a", &[])["requestData"]["callerCredentials"].clone();
    for caller in [caller, Value::Null] {
        answers += &invoke(&address, "RequestResponse", &errand(caller));
    }
    for words in ["\"status\":\"SUCCESS\"", "InvalidRequest", "202 Accepted"] {
        assert!(answers.contains(words), "{words}: {answers}");
    }
    let data = place.path().join("data");
    for words in [
        &["operations", "list", "--json", "--data"][..],
        &["operations", "list", "--data"],
    ] {
        let mut command = loud();
        answers += &Process::start(command.args(words).arg(&data)).end().well();
    }
    let tokens: Vec<String> = answers
        .split("\"requestToken\":\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    assert!(!tokens.is_empty(), "{answers}");
    for token in &tokens {
        let mut command = loud();
        command
            .args(["operations", "show", token, "--data"])
            .arg(&data);
        answers += &Process::start(&mut command).end().said;
    }
    let page = page(metrics);
    assert!(page.contains("formwork_traps_total{"), "{page}");
    assert_eq!(found_in(page.as_bytes()), [""; 0], "{page}");
    // A trace's number is the operation's.
    let traces = receiver.until("/v1/traces", 0, |sent| {
        tokens.iter().all(|token| {
            let token: RequestToken = token.parse().expect("a token");
            contains(sent, token.as_bytes())
        })
    });
    assert_eq!(found_in(&traces), [""; 0]);
    let figures = receiver.until("/v1/metrics", receiver.count(), |sent| {
        contains(sent, b"formwork.traps")
    });
    assert_eq!(found_in(&figures), [""; 0]);
    assert!(
        receiver.all_had(CANARIES[11]),
        "it was said to the receiver"
    );
    server.signal("-KILL");
    let said = server.end().said;
    // The log was as loud as it gets, and a handler did break.
    for words in ["DEBUG", "panic"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(found_in(said.as_bytes()), [""; 0], "{said}");
    // A handler that is granted credentials may tell the caller of them, and this
    // one tells nothing; what it leaks of its model is removed.
    assert_eq!(found_in(answers.as_bytes()), [""; 0], "{answers}");
    assert_eq!(found_below(&data), [""; 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_crash_leaves_no_core_dump_unless_it_is_kept() {
    let limits = |keep: Option<&str>| {
        let mut command = program();
        command
            .arg("serve")
            .arg(guests::path("scripted-guest"))
            .args(["--listen", "127.0.0.1:0"]);
        if let Some(keep) = keep {
            command.env("FORMWORK_CORE_DUMPS", keep);
        }
        let mut server = Process::start(&mut command);
        server.until("Listening on http://");
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.id()));
        let limits = limits.expect("the limits of a process");
        let line = limits.lines().find(|line| line.contains("core file size"));
        line.expect("a limit")
            .split_whitespace()
            .skip(4)
            .take(2)
            .map(str::to_owned)
            .collect()
    };
    let none: Vec<String> = limits(None);
    assert_eq!(none, ["0", "0"]);
    let own = fs::read_to_string("/proc/self/limits").expect("limits");
    let kept = limits(Some("keep"));
    let line = own
        .lines()
        .find(|line| line.contains("core file size"))
        .expect("a limit");
    assert!(line.contains(kept[1].as_str()), "{kept:?} {line}");
}
