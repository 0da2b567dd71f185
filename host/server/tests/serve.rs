//! `formwork serve` as its callers meet it: a process, a socket, real clients.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::config::retry::RetryConfig;
use aws_sdk_cloudformation::config::{BehaviorVersion, Region};
use aws_sdk_cloudformation::types::OperationStatus;
use formwork_tests::cloudformation::CloudFormation;
use formwork_tests::guests;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a socket waits for what must come: a test must not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory to serve in, with `data` to grant.
fn place() -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    fs::create_dir(place.path().join("data")).expect("a directory");
    place
}

fn command(place: &Path, components: &[&str], args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_formwork"));
    command
        .arg("serve")
        .args(components.iter().map(|name| guests::path(name)))
        .args(args.split_whitespace())
        .current_dir(place)
        .env(
            "FORMWORK_CACHE_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
        )
        // All that is logged but by the libraries at their loudest.
        .env("FORMWORK_LOG", "debug,formwork=trace,formwork_host=trace")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "FORMWORK_BEARER_TOKEN",
    ] {
        command.env_remove(name);
    }
    command
}

/// A running server. Dropping it kills it.
struct Server {
    process: Child,
    words: BufReader<ChildStderr>,
    said: String,
    address: SocketAddr,
}

impl Server {
    fn start(place: &Path, components: &[&str], args: &str) -> Self {
        let args = format!("--listen 127.0.0.1:0 {args}");
        let mut process = command(place, components, &args)
            .spawn()
            .expect("it starts");
        let words = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut server = Self {
            process,
            words,
            said: String::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let line = server.wait_for("Listening on http://");
        let (_, address) = line.split_once("http://").expect("a URL");
        server.address = address.trim().parse().expect("an address");
        server
    }

    /// Waits until the server says `words`, and gives the line.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.words.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "it never said {words:?}: {}", self.said);
            self.said.push_str(&line);
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for the end, and gives what was said.
    fn end(mut self) -> (ExitStatus, String) {
        self.words.read_to_string(&mut self.said).expect("text");
        let status = self.process.wait().expect("it ends");
        (status, std::mem::take(&mut self.said))
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends bytes on a connection of their own, and gives all that comes back
    /// until the server closes it.
    fn exchange(&self, bytes: &[u8]) -> String {
        exchange(self.address, bytes)
    }

    fn invoke(&self, invocation_type: &str, payload: &Value) -> (u16, String) {
        invoke(self.address, invocation_type, payload)
    }

    fn is_well(&self) -> bool {
        self.exchange(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 200")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(bytes).expect("the server reads");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("the server answers and closes");
    String::from_utf8(answer).expect("answers are UTF-8")
}

const PATH: &str = "/2015-03-31/functions/TypeFunction/invocations";

fn invoke(address: SocketAddr, invocation_type: &str, payload: &Value) -> (u16, String) {
    let payload = payload.to_string();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
         x-amz-invocation-type: {invocation_type}\r\n\r\n{payload}",
        payload.len()
    );
    let answer = exchange(address, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Gives the only operation of the data directory `state`, as it is listed.
fn only_operation(place: &Path) -> Value {
    let listed = Command::new(env!("CARGO_BIN_EXE_formwork"))
        .args(["operations", "list", "--data", "state", "--json"])
        .current_dir(place)
        .output()
        .expect("it starts");
    serde_json::from_slice(&listed.stdout).expect("one operation")
}

fn create(name: &str, script: &str) -> Value {
    json!({
        "action": "CREATE",
        "bearerToken": "s3cr3t-bearer",
        "region": "eu-central-1",
        "requestData": {
            "resourceProperties": {"Name": name, "Secret": "s3cr3t-property", "Script": [script]},
            "callerCredentials": {
                "accessKeyId": "AKIDs3cr3t", "secretAccessKey": "s3cr3t-key", "sessionToken": "s3cr3t-session"
            },
            "platformCredentials": {
                "accessKeyId": "AKIDPLATFORM", "secretAccessKey": "s3cr3t-key", "sessionToken": "s3cr3t-session"
            },
            "providerCredentials": {
                "accessKeyId": "AKIDs3cr3t", "secretAccessKey": "s3cr3t-key", "sessionToken": "s3cr3t-session"
            }
        }
    })
}

/// Gives the files below a directory that hold the text.
fn holding(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else {
            let bytes = fs::read(&path).expect("a file");
            if bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_run_and_reported_and_its_secrets_stay_with_it() {
    let cloudformation = CloudFormation::start().await;
    cloudformation.issue("s3cr3t-bearer");
    let place = place();
    let mut server = Server::start(place.path(), &["scripted-guest"], "--data state");
    let mut event = create("a", "in-progress:0");
    event["requestData"]["resourceProperties"]["Script"] = json!(["in-progress:0", "success:done"]);
    event["responseEndpoint"] = json!(cloudformation.endpoint());
    assert_eq!(server.invoke("Event", &event), (202, String::new()));
    let line = server.wait_for("status=\"SUCCESS\" outcome=\"accepted\"");
    assert!(line.contains("reported to CloudFormation"), "{line}");

    let told: Vec<_> = cloudformation
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.access_key_id.as_deref(), Some("AKIDPLATFORM"));
            assert_eq!(request.region.as_deref(), Some("eu-central-1"));
            let status = |name| request.parameter(name).unwrap_or_default().to_owned();
            (status("OperationStatus"), status("CurrentOperationStatus"))
        })
        .collect();
    let row = |status: &str, current: &str| (status.to_owned(), current.to_owned());
    assert_eq!(
        told,
        [
            row("IN_PROGRESS", "PENDING"),
            row("IN_PROGRESS", "IN_PROGRESS"),
            row("SUCCESS", "IN_PROGRESS"),
        ]
    );
    let recorded = cloudformation
        .recorded("s3cr3t-bearer")
        .expect("an issued token");
    let model: Value = serde_json::from_str(&recorded.model.expect("a model")).expect("JSON");
    assert_eq!(
        (&model["Id"], &model["Secret"]),
        (&json!("id-a"), &Value::Null)
    );

    // One that lives on, one that is over, and one that never was an operation.
    let mut waiting = create("b", "in-progress-no-callback");
    waiting["bearerToken"] = json!("s3cr3t-other");
    assert_eq!(server.invoke("Event", &waiting).0, 202);
    let (status, body) = server.invoke("RequestResponse", &create("c", "echo-request & success"));
    assert_eq!(status, 200);
    for secret in [
        "s3cr3t-key",
        "s3cr3t-session",
        "AKIDs3cr3t",
        "s3cr3t-bearer",
    ] {
        assert!(!body.contains(secret), "{secret}: {body}");
    }
    let mut wrong = create("d", "success");
    wrong["requestData"]["callerCredentials"]["sessionToken"] = json!(["s3cr3t-session"]);
    let (_, body) = server.invoke("RequestResponse", &wrong);
    assert!(
        body.contains("callerCredentials") && !body.contains("s3cr3t"),
        "{body}"
    );
    assert!(server.is_well());
    server.signal("-KILL");
    let (_, said) = server.end();
    assert!(!said.contains("s3cr3t"), "{said}");
    assert_eq!(holding(place.path(), "s3cr3t"), Vec::<String>::new());
    // What is no secret is found in both.
    assert!(said.contains("operation ended"));
    assert!(!holding(place.path(), "Formwork::Tests::Scripted").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_finishes_elsewhere_is_recorded_by_the_sdk() {
    let place = place();
    let mut server = Server::start(place.path(), &["scripted-guest"], "--data state");
    let waiting = create("a", "in-progress-no-callback");
    assert_eq!(server.invoke("Event", &waiting).0, 202);
    let config = aws_sdk_cloudformation::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.url())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(aws_credential_types::Credentials::from_keys("A", "k", None))
        .build();
    let client = Client::from_conf(config);
    let call = |status: OperationStatus, current: OperationStatus| {
        client
            .record_handler_progress()
            .bearer_token("s3cr3t-bearer")
            .operation_status(status)
            .current_operation_status(current)
    };
    use OperationStatus::{Failed, InProgress, Pending, Success};

    // Whether it is still pending, or was invoked by now, this may be said.
    let begun = client
        .record_handler_progress()
        .bearer_token("s3cr3t-bearer")
        .operation_status(InProgress);
    begun.send().await.expect("it may be in progress");
    let early = call(Success, Pending)
        .send()
        .await
        .expect_err("it is in progress");
    let early = early.into_service_error();
    assert!(
        early.is_operation_status_check_failed_exception(),
        "{early:?}"
    );
    let back = call(Pending, InProgress)
        .send()
        .await
        .expect_err("there is no way back");
    let back = back.into_service_error();
    assert!(back.is_invalid_state_transition_exception(), "{back:?}");

    let done = call(Success, InProgress)
        .resource_model(r#"{"Name":"a","Id":"by hand"}"#)
        .client_request_token("once");
    done.clone().send().await.expect("it succeeds");
    done.send().await.expect("it succeeds once");
    let late = call(Failed, Success)
        .send()
        .await
        .expect_err("it has ended");
    assert!(
        late.into_service_error()
            .is_invalid_state_transition_exception()
    );
    let unknown = client
        .record_handler_progress()
        .bearer_token("nobody's")
        .operation_status(Success);
    let unknown = unknown
        .send()
        .await
        .expect_err("nobody knows it")
        .into_service_error();
    assert_eq!(unknown.meta().code(), Some("ValidationError"));

    server.wait_for("operation ended");
    let listed = only_operation(place.path());
    assert_eq!(listed["status"], "SUCCESS");
    assert_eq!(listed["resourceModel"]["Id"], "by hand");
}

#[test]
fn no_connection_is_dropped_without_an_answer_and_none_harms_the_server() {
    let place = place();
    let server = Server::start(place.path(), &["scripted-guest"], "");
    let payload = create("a", "success").to_string();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let sized = |length: usize, body: &str| format!("{head}content-length: {length}\r\n\r\n{body}");
    let large = " ".repeat(7 * 1024 * 1024);
    let half = payload.len() / 2;
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{half:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &payload[..half],
        payload.len() - half,
        &payload[half..]
    );
    for (name, bytes, answer) in [
        ("whole", sized(payload.len(), &payload), "HTTP/1.1 200 OK"),
        ("chunked", chunked, "HTTP/1.1 200 OK"),
        ("no body", format!("{head}\r\n"), "HTTP/1.1 400 Bad Request"),
        (
            "HTTP/1.0",
            format!(
                "POST {PATH} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{payload}",
                payload.len()
            ),
            "HTTP/1.0 200 OK",
        ),
        (
            "a body that is longer than it says",
            sized(half, &payload),
            "HTTP/1.1 400 Bad Request",
        ),
        (
            "a body that is too large",
            sized(large.len(), &large),
            "HTTP/1.1 413 Payload Too Large",
        ),
        (
            "a body that is far too large",
            sized(8 * large.len(), &large.repeat(8)),
            "HTTP/1.1 413 Payload Too Large",
        ),
        (
            "a body that would be too large",
            format!(
                "{head}expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
                large.len()
            ),
            "HTTP/1.1 413 Payload Too Large",
        ),
        (
            "no length",
            format!("{head}content-length: many\r\n\r\n"),
            "HTTP/1.1 400 Bad Request",
        ),
        (
            "two lengths",
            format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\n{{}}"),
            "HTTP/1.1 400 Bad Request",
        ),
        (
            "a long head",
            format!("{head}x-long: {}\r\n\r\n", "x".repeat(200_000)),
            "HTTP/1.1 431",
        ),
        (
            "many headers",
            format!("{head}{}\r\n", "a: b\r\n".repeat(500)),
            "HTTP/1.1 431",
        ),
        (
            "no HTTP",
            "hello\r\n\r\n".to_owned(),
            "HTTP/1.1 400 Bad Request",
        ),
    ] {
        let answered = server.exchange(bytes.as_bytes());
        assert!(answered.starts_with(answer), "{name}: {answered}");
        assert!(server.is_well(), "{name}");
    }
    // Two requests at once get two answers, in their order.
    let two = format!("GET /health HTTP/1.1\r\nhost: x\r\n\r\n{}", sized(2, "{}"));
    let answered = server.exchange(two.as_bytes());
    assert_eq!(answered.matches("HTTP/1.1 200 OK").count(), 2, "{answered}");
    // Clients that leave in the middle.
    for bytes in ["POST", &sized(payload.len(), &payload[..half])] {
        let mut stream = TcpStream::connect(server.address).expect("it listens");
        stream
            .write_all(bytes.as_bytes())
            .expect("the server reads");
        stream.shutdown(Shutdown::Both).expect("a socket");
    }
    assert!(server.is_well());
}

#[test]
fn a_running_invocation_is_answered_before_the_end() {
    let place = place();
    let mut server = Server::start(place.path(), &["scripted-guest"], "");
    let address = server.address;
    let slow = create("a", "stderr:begun & sleep:700 & success").to_string();
    // The client would keep the connection.
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{slow}",
        slow.len()
    );
    let caller = thread::spawn(move || exchange(address, request.as_bytes()));
    server.wait_for("begun");
    server.signal("-TERM");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{status}: {said}");
    let answer = caller.join().expect("it is answered");
    for part in ["HTTP/1.1 200", "\r\nconnection: close\r\n", "SUCCESS"] {
        assert!(answer.contains(part), "{answer}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_invocation() {
    let place = place();
    let mut server = Server::start(place.path(), &["scripted-guest"], "");
    let payload = create("a", "stderr:begun & sleep:30000 & stderr:overslept").to_string();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{payload}",
        payload.len()
    );
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    server.wait_for("begun");
    drop(stream);
    server.signal("-TERM");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{status}: {said}");
    assert!(!said.contains("overslept"), "{said}");
}

#[test]
fn a_second_interrupt_leaves_at_once() {
    let place = place();
    let mut server = Server::start(place.path(), &["scripted-guest"], "");
    let address = server.address;
    let slow = create("a", "stderr:begun & sleep:30000 & success");
    let caller = thread::spawn(move || {
        // The connection breaks off.
        let _ = std::panic::catch_unwind(|| invoke(address, "RequestResponse", &slow));
    });
    server.wait_for("begun");
    server.signal("-INT");
    server.wait_for("Stopping");
    server.signal("-INT");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(130), "{said}");
    caller.join().expect("it ends");
}

#[test]
fn what_is_unfinished_goes_on_when_it_is_served_again() {
    let place = place();
    let args = "--data state --grant dir=data";
    let mut server = Server::start(place.path(), &["stabilizing", "file"], args);
    let files = json!([{"Name": "a", "Contents": "1"}]);
    let event = json!({
        "action": "CREATE",
        "bearerToken": "b",
        "requestData": {"resourceProperties": {"Files": files, "Delay": 1}}
    });
    // `TypeFunction` is nobody's name where two are served.
    let (status, body) = server.invoke("Event", &event);
    assert!(
        status == 404 && body.contains("`Formwork::Examples::File`"),
        "{status} {body}"
    );
    let path = PATH.replace("TypeFunction", "Formwork-Examples-Archive");
    let payload = event.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-invocation-type: Event\r\n\
         content-length: {}\r\n\r\n{payload}",
        payload.len()
    );
    assert!(
        server
            .exchange(request.as_bytes())
            .starts_with("HTTP/1.1 202")
    );
    server.wait_for("there is nobody to report to");
    server.signal("-KILL");
    server.end();

    let mut server = Server::start(place.path(), &["file", "stabilizing"], args);
    assert!(
        server.said.contains("Unfinished operations that go on: 1."),
        "{}",
        server.said
    );
    let ended = server.wait_for("operation ended");
    assert!(ended.contains("status=SUCCESS"), "{ended}");
}

#[test]
fn a_file_says_what_is_served_and_a_check_what_is_wrong_with_it() {
    let place = place();
    let file = guests::path("file");
    let config = format!(
        "data = \"state\"\n[[type]]\ncomponent = \"{}\"\ngrants = [\"dir=data\"]\n",
        file.display()
    );
    fs::create_dir(place.path().join("etc")).expect("a directory");
    fs::create_dir(place.path().join("etc/data")).expect("a directory");
    fs::write(place.path().join("etc/formwork.toml"), &config).expect("a file");
    let check = |args: &str| {
        let output = command(place.path(), &[], &format!("--check {args}")).output();
        let output = output.expect("it starts");
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said)
    };
    let (status, said) = check("--config etc/formwork.toml");
    assert_eq!(status, Some(0), "{said}");
    for words in [
        "Serving Formwork::Examples::File from",
        "granted dir=etc/data",
        "would listen on 127.0.0.1:3001",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!place.path().join("etc/state").exists(), "nothing is made");

    // The file of the folder is found, and flags win over it.
    let here = place.path().join("formwork.toml");
    fs::write(&here, &config).expect("a file");
    let server = Server::start(place.path(), &[], "");
    assert!(place.path().join("state").exists());
    let ready = server.exchange(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(
        ready.starts_with("HTTP/1.1 200 OK") && ready.ends_with(r#"{"status":"ready"}"#),
        "{ready}"
    );

    for (config, words) in [
        (
            "lisen = 1".to_owned(),
            "line 1: there is no setting `lisen`",
        ),
        (config.replace("dir=data", "dir=none"), "mkdir -p"),
        (
            config.replace("dir=data", "dir=."),
            "overlaps the data directory",
        ),
        (
            config
                .replace("data = \"state\"\n", "")
                .replace("dir=data", "dir=."),
            "it overlaps `formwork.toml`, which keeps secrets",
        ),
        (
            format!("{config}[register]\nfolders = [\"data\"]\n"),
            "what is run or trusted",
        ),
        (
            config.replace("dir=data", "dir=etc/data:ro")
                + "[[type]]\ncomponent = \"none.wasm\"\ngrants = [\"dir=etc\"]\n",
            "in which a handler may write",
        ),
        (
            config.replace("file.wasm", "none.wasm"),
            "give the path of a `.wasm` file",
        ),
        (
            config.replace(&file.display().to_string(), "formwork.toml"),
            "cannot serve",
        ),
        (
            format!("{config}configuration = \"none.json\""),
            "`none.json` cannot be read",
        ),
        (
            format!("listen = \"0.0.0.0:1\"\n{config}"),
            "it is no loopback address",
        ),
        (
            format!("behind_proxy = true\n{config}"),
            "cannot stand behind a proxy without keys",
        ),
        (
            format!("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]\n{config}"),
            "names 127.0.0.1:1 twice",
        ),
        (
            format!("{config}[report]\nendpoint = \"ftp://x\""),
            "cannot report to CloudFormation",
        ),
    ] {
        fs::write(&here, &config).expect("a file");
        let (status, said) = check("");
        assert_eq!(status, Some(2), "{config}: {said}");
        assert!(said.contains(words), "{config}: {said}");
    }
}

#[test]
fn a_changed_file_changes_what_is_served_if_it_can_be_served() {
    let place = place();
    let file = place.path().join("formwork.toml");
    let serve = |guests: &[&str]| {
        let types: Vec<String> = guests
            .iter()
            .map(|name| {
                format!(
                    "[[type]]\ncomponent = \"{}\"\n",
                    guests::path(name).display()
                )
            })
            .collect();
        types.concat()
    };
    fs::write(&file, serve(&["scripted-guest"])).expect("a file");
    let mut server = Server::start(place.path(), &[], "--data state");
    let waiting = create("a", "in-progress-no-callback");
    assert_eq!(server.invoke("Event", &waiting).0, 202);

    // A file that cannot be served is told of, and changes nothing.
    for (config, words) in [
        ("lisen = 1".to_owned(), "did you mean `listen`?"),
        (
            format!(
                "{}[[type]]\ncomponent = \"formwork.toml\"",
                serve(&["file"])
            ),
            "cannot serve",
        ),
    ] {
        fs::write(&file, config).expect("a file");
        server.signal("-HUP");
        server.wait_for("is served on");
        assert!(server.said.contains(words) || server.wait_for(words).contains(words));
        assert_eq!(
            server.invoke("RequestResponse", &create("b", "success")).0,
            200
        );
    }

    // One that can be served is seen by itself.
    let both = format!("concurrency = 5\n{}", serve(&["scripted-guest", "file"]));
    fs::write(&file, both).expect("a file");
    server.wait_for("Serving Formwork::Examples::File");
    server.wait_for("changes of `concurrency` wait");
    let path = PATH.replace("TypeFunction", "Formwork-Examples-File");
    let post = |path: &str| {
        let list = r#"{"action":"LIST","requestData":{"resourceProperties":{}}}"#;
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{list}",
            list.len()
        )
        .into_bytes()
    };
    let answered = server.exchange(&post(&path));
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");

    // What is left out takes no more requests, and what it has goes on.
    fs::write(&file, serve(&["file"])).expect("a file");
    server.signal("-HUP");
    server.wait_for("Formwork::Tests::Scripted is served no more");
    let scripted = PATH.replace("TypeFunction", "Formwork-Tests-Scripted");
    let answered = server.exchange(&post(&scripted));
    assert!(answered.starts_with("HTTP/1.1 404"), "{answered}");
    let listed = only_operation(place.path());
    assert_eq!(listed["status"], "IN_PROGRESS");
    server.signal("-TERM");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn what_cannot_be_served_is_refused_with_the_remedy() {
    let place = place();
    let taken = Server::start(place.path(), &["file"], "--data state");
    let address = taken.address.to_string();
    for (components, args, words) in [
        (
            &["file"][..],
            format!("--listen {address}"),
            "give another `--listen`",
        ),
        (
            &["file"],
            "--listen 0.0.0.0:3001".to_owned(),
            "it is no loopback address",
        ),
        (
            &["file"],
            "--data state --listen 127.0.0.1:0".to_owned(),
            "in use by process",
        ),
        (
            &["file"],
            "--grant dir=none --listen 127.0.0.1:0".to_owned(),
            "mkdir -p",
        ),
        (
            &["file"],
            "--report-endpoint http://example.com --listen 127.0.0.1:0".to_owned(),
            "plain http",
        ),
        (
            &["file", "file"],
            "--listen 127.0.0.1:0".to_owned(),
            "are both handlers of",
        ),
        (
            &["none"],
            "--listen 127.0.0.1:0".to_owned(),
            "give the path of a `.wasm` file",
        ),
        (&[], String::new(), "is required"),
        (
            &[],
            "--config none.toml".to_owned(),
            "cannot read the configuration",
        ),
        (
            &["file"],
            "--config none.toml".to_owned(),
            "cannot be used with",
        ),
    ] {
        let output = command(place.path(), components, &args).output();
        let output = output.expect("it starts");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{args}: {said}");
        assert!(said.contains(words), "{args}: {said}");
    }
}

#[test]
fn a_changed_file_does_not_open_a_server_that_knows_its_callers() {
    let place = place();
    let file = place.path().join("formwork.toml");
    let types = format!(
        "[[type]]\ncomponent = \"{}\"\n",
        guests::path("scripted-guest").display()
    );
    let key = "[[key]]\nid = \"AKIDAKIDAKIDAKID\"\nsecret_file = \"secret\"\n";
    fs::write(place.path().join("secret"), "one").expect("a file");
    fs::write(&file, format!("{types}{key}")).expect("a file");
    let mut server = Server::start(place.path(), &[], "");
    assert_eq!(
        server.invoke("RequestResponse", &create("a", "success")).0,
        403
    );
    fs::write(&file, &types).expect("a file");
    server.signal("-HUP");
    server.wait_for("to take the last key away");
    assert_eq!(
        server.invoke("RequestResponse", &create("a", "success")).0,
        403
    );

    // A secret that changes is one of the files that are looked at.
    fs::write(&file, format!("{types}{key}")).expect("a file");
    server.wait_for("The configuration was read again");
    fs::write(place.path().join("secret"), "another").expect("a file");
    server.wait_for("The configuration was read again");
    server.signal("-TERM");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{said}");
}
