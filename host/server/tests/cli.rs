//! The program as its users meet it: arguments in, output and exit status out,
//! with the components of the examples.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory to work in, with `data` to grant.
struct Bench {
    base: TempDir,
}

impl Bench {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        fs::create_dir(base.path().join("data")).expect("a directory");
        Self { base }
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.base.path().join(name), contents).expect("a file");
    }

    /// Prepares the program, with nothing of the caller's environment that it reads.
    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_formwork"));
        let args = args
            .replace("FILE.WASM", &guest("file"))
            .replace("ARCHIVE.WASM", &guest("stabilizing"));
        command
            .args(args.split_whitespace())
            .current_dir(self.base.path());
        for name in [
            "FORMWORK_LOG",
            "FORMWORK_BEARER_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            command.env_remove(name);
        }
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        command
            .env("FORMWORK_CACHE_DIR", cache)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &str) -> Ran {
        Ran::of(self.command(args).output().expect("the program starts"))
    }

    /// Starts the program and waits until it has said `words`.
    fn start(&self, args: &str, words: &str) -> (Child, BufReader<ChildStderr>) {
        let mut command = self.command(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(
                said.read_line(&mut line).expect("text"),
                0,
                "it never said {words:?}"
            );
        }
        (child, said)
    }
}

/// How the program ended.
#[derive(Debug)]
struct Ran {
    status: Option<i32>,
    out: String,
    words: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            words: redact(&String::from_utf8(output.stderr).expect("UTF-8")),
        }
    }

    fn ending(child: Child, mut said: BufReader<ChildStderr>) -> Self {
        let output = child.wait_with_output().expect("it ends");
        let mut ran = Self::of(output);
        std::io::Read::read_to_string(&mut said, &mut ran.words).expect("UTF-8");
        ran.words = redact(&ran.words);
        ran
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Puts `TOKEN` for each request token and `PLACE` for the components' place.
fn redact(text: &str) -> String {
    let is_token = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    text.split_inclusive([' ', '\n', ',', ';'])
        .map(|word| {
            let bare = word.trim_end_matches([' ', '\n', ',', ';']);
            if is_token(bare) {
                word.replace(bare, "TOKEN")
            } else {
                word.to_owned()
            }
        })
        .collect::<String>()
        .replace(&guests(), "PLACE")
}

fn guests() -> String {
    let place = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests"));
    place.display().to_string()
}

fn guest(name: &str) -> String {
    let path = format!("{}/{name}.wasm", guests());
    assert!(
        Path::new(&path).is_file(),
        "{path} is not there; build it with `make guests`"
    );
    path
}

fn kill(child: &Child, signal: &str) {
    let killed = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(killed.expect("there is a `kill`").success());
}

fn check(ran: &Ran, status: i32, words: &Expect) {
    assert_eq!(ran.status, Some(status), "{ran:?}");
    words.assert_eq(&ran.words);
}

#[test]
fn a_resource_goes_through_every_action() {
    let bench = Bench::new();
    bench.file(
        "model.json",
        r#"{"Name":"a.txt","Contents":"hello","Secret":"hunter2"}"#,
    );
    bench.file("new.json", r#"{"Contents":"hello again"}"#);

    let created = bench.run("run create FILE.WASM --model model.json --grant dir=data");
    check(
        &created,
        0,
        &expect![[r#"
        PENDING      CREATE Formwork::Examples::File, operation TOKEN
        SUCCESS      invocation 1
    "#]],
    );
    assert_eq!(created.json()["Size"], 5);
    assert!(!created.out.contains("hunter2"));

    let read = bench.run("run READ FILE.WASM --identifier a.txt --grant dir=data:ro");
    check(&read, 0, &expect![[""]]);
    assert_eq!(read.json(), created.json());

    let updated =
        bench.run("run update FILE.WASM --model new.json --identifier a.txt --grant dir=data");
    check(
        &updated,
        0,
        &expect![[r#"
        Reading the current state first; `--previous FILE` would give it.
        PENDING      UPDATE Formwork::Examples::File, operation TOKEN
        SUCCESS      invocation 1
    "#]],
    );
    assert_eq!(updated.json()["Size"], 11);

    let listed = bench.run("run list FILE.WASM --grant dir=data:ro");
    assert_eq!(listed.json(), json!({"resourceModels": [updated.json()]}));

    let deleted = bench.run("run delete FILE.WASM --identifier a.txt --grant dir=data");
    check(
        &deleted,
        0,
        &expect![[r#"
        PENDING      DELETE Formwork::Examples::File, operation TOKEN
        SUCCESS      invocation 1
    "#]],
    );
    assert_eq!(deleted.out, "");

    let gone = bench.run("run read FILE.WASM --identifier a.txt --grant dir=data --json");
    check(&gone, 1, &expect![[""]]);
    assert_eq!(
        (&gone.json()["status"], &gone.json()["errorCode"]),
        (&json!("FAILED"), &json!("NotFound"))
    );
}

#[test]
fn a_chain_is_a_line_for_each_event() {
    let bench = Bench::new();
    bench.file(
        "archive.json",
        r#"{"Files":[{"Name":"a","Contents":"1"},{"Name":"b","Contents":"2"}],"Delay":0}"#,
    );
    let ran = bench.run("run create ARCHIVE.WASM --model archive.json --grant dir=data");
    check(
        &ran,
        0,
        &expect![[r#"
        PENDING      CREATE Formwork::Examples::Archive, operation TOKEN
        IN_PROGRESS  invocation 1  packed 1 of 2 entries  (next in 0 s)
        IN_PROGRESS  invocation 2  packed 2 of 2 entries  (next in 0 s)
        SUCCESS      invocation 3
    "#]],
    );
    assert_eq!(ran.json()["Status"], "READY");

    let ran = bench.run("run create ARCHIVE.WASM --model archive.json --grant dir=data --json");
    check(&ran, 0, &expect![[""]]);
    let events: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["status"].as_str(), event["event"].as_str()))
        .collect();
    assert_eq!(told.first(), Some(&(Some("PENDING"), Some("ACCEPTED"))));
    assert_eq!(
        told.get(1),
        Some(&(Some("IN_PROGRESS"), Some("PROGRESSED")))
    );
    assert_eq!(told.last(), Some(&(Some("SUCCESS"), Some("ENDED"))));
    assert_eq!(events[1]["callbackDelaySeconds"], 0);
}

#[test]
fn wrong_use_exits_with_2_and_says_what_to_do() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a","Contents":"1"}"#);
    bench.file("bad.json", "{\n\"Name\": x}");
    bench.file("off.json", r#"{"Name":"a","Contents":1,"Foo":2}"#);
    bench.file("core.wasm", b"\0asm\x01\0\0\0");
    for (args, words) in [
        ("run creat FILE.WASM", "a similar value exists: 'create'"),
        (
            "run create none.wasm --model model.json",
            "cannot read the component `none.wasm`",
        ),
        ("run create core.wasm --model model.json", "wasm32-wasip2"),
        ("run create FILE.WASM", "CREATE needs the desired state"),
        (
            "run create FILE.WASM --model none.json",
            "cannot read the model from `none.json`",
        ),
        ("run create FILE.WASM --model bad.json", "at line 2 column"),
        (
            "run create FILE.WASM --model off.json",
            "Additional properties",
        ),
        (
            "run create FILE.WASM --model model.json --grant dir=none",
            "mkdir -p",
        ),
        (
            "run create FILE.WASM --model model.json --grant dir=data --data data/state",
            "cannot grant `data`: it overlaps the data directory `data/state`",
        ),
        (
            concat!(
                "run create FILE.WASM --model model.json --grant dir=",
                env!("CARGO_TARGET_TMPDIR")
            ),
            "overlaps the cache directory",
        ),
        (
            "run create FILE.WASM --model model.json --grant http=x",
            "is no pattern of HTTP requests",
        ),
        (
            "run create FILE.WASM --model model.json --report-region eu-west-1",
            "FORMWORK_BEARER_TOKEN",
        ),
        (
            "run create FILE.WASM --model model.json --client-token a",
            "--data",
        ),
        ("run read FILE.WASM", "give `--identifier Name`"),
        (
            "run list FILE.WASM --identifier a",
            "means nothing for LIST",
        ),
        ("run --resume", "--data"),
        (
            "run --resume --data none",
            "there is no data directory `none`",
        ),
        ("operations list --data data", "is no data directory"),
        ("operations show x --data data", "must be a UUID"),
        ("operations list", "--server <URL>"),
        (
            "operations list --data data --server http://127.0.0.1:1",
            "cannot be used with",
        ),
        (
            "operations list --server 127.0.0.1:3001",
            "must be the URL of a server",
        ),
        (
            "operations list --server http://127.0.0.1:1",
            "cannot ask http://127.0.0.1:1",
        ),
        (
            "operations list --data data --newer yesterday",
            "must be a span with its unit",
        ),
        (
            "operations list --data data --action read",
            "[possible values: CREATE, UPDATE, DELETE]",
        ),
        (
            "operations forget 0198c0de-0000-7000-8000-000000000000 --server http://127.0.0.1:1",
            "give `--data DIR`",
        ),
        (
            "operations refused --server http://127.0.0.1:1",
            "give `--data DIR`",
        ),
    ] {
        let ran = bench.run(args);
        let words = words.replace("not be granted", "cannot be granted");
        assert!(
            ran.status == Some(2) && ran.words.contains(&words),
            "{args}: {ran:?}"
        );
        assert_eq!(ran.out, "", "{args}");
    }
}

#[test]
fn a_bearer_token_that_is_refused_is_not_repeated() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a","Contents":"1"}"#);
    let create = "run create FILE.WASM --model model.json";
    let token = "hunter2".repeat(20);
    for args in [
        format!("{create} --bearer-token {token}"),
        format!("{create} --bearer-token={token}"),
        format!("{create} --bearer-token -{token}"),
        format!("run read FILE.WASM --identifier a --bearer-token {token}"),
    ] {
        let ran = bench.run(&args);
        assert_eq!(ran.status, Some(2), "{ran:?}");
        assert!(
            ran.words.contains("`--bearer-token`") || ran.words.contains("READ"),
            "{ran:?}"
        );
        assert!(!ran.words.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn a_handler_reaches_nothing_without_a_grant() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a","Contents":"1"}"#);
    let ran = bench.run("run create FILE.WASM --model model.json");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.words.contains("`--grant dir=PATH`"), "{ran:?}");
}

#[test]
fn a_limit_that_is_hit_names_the_setting_that_raises_it() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a.txt","Contents":"hello"}"#);
    let create = "run create FILE.WASM --model model.json --grant dir=data";
    for (limit, words) in [
        ("memory=64KiB", "raise `limits.memory` of the type"),
        ("handles=1", "raise `limits.handles` of the type"),
        (
            "load.functions=10",
            "more than the limit of 10: raise `load.functions`",
        ),
        (
            "load.size=1KiB",
            "more than the limit of 1024 bytes: raise `load.size`",
        ),
    ] {
        let ran = bench.run(&format!("{create} --limit {limit}"));
        assert_ne!(ran.status, Some(0), "{limit}: {ran:?}");
        assert!(ran.words.contains(words), "{limit}: {ran:?}");
    }
    let ran = bench.run(&format!(
        "{create} --limit memory=512MiB --limit handles=50"
    ));
    assert_eq!(ran.status, Some(0), "{ran:?}");
}

#[test]
fn the_compiler_is_held_to_its_time_and_memory() {
    let bench = Bench::new();
    let place = bench.base.path().join("cache");
    let inspect = |rest: &str| {
        let mut command = bench.command(&format!("inspect {rest}"));
        command.env("FORMWORK_CACHE_DIR", &place);
        Ran::of(command.output().expect("the program starts"))
    };
    for (limit, words) in [
        (
            "load.compile_time=1ms",
            "takes more than 1ms to compile: raise `load.compile_time`",
        ),
        (
            "load.compile_memory=8MiB",
            "takes more than 8388608 bytes of memory to compile: raise `load.compile_memory`",
        ),
    ] {
        let ran = inspect(&format!("FILE.WASM --limit {limit}"));
        assert_eq!(ran.status, Some(2), "{limit}: {ran:?}");
        assert!(ran.words.contains(words), "{limit}: {ran:?}");
    }
    // A module in it that is no module is the compiler's to find.
    bench.file(
        "broken.wasm",
        b"\0asm\x0d\0\x01\0\x01\x0c\0asm\x01\0\0\0\x03\x02\x01\x09",
    );
    let ran = inspect("broken.wasm");
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(ran.words.contains("not a valid component"), "{ran:?}");
    let ran = inspect("FILE.WASM");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let kept = fs::read_dir(&place).expect("a cache").count();
    assert_eq!(kept, 2, "an artefact and its digest");
}

#[test]
fn the_names_of_a_component_steer_no_terminal() {
    use formwork_tests::hostile::{number, section};

    const NAME: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nerror: all is well\u{9b}31m";
    let bench = Bench::new();
    let named = |kind: u8, rest: &[u8]| {
        let length = u32::try_from(NAME.len()).expect("a name");
        let contents = [&[1, 0], &number(length)[..], NAME.as_bytes(), rest].concat();
        let mut bytes = Vec::new();
        section(&mut bytes, kind, &contents);
        bytes
    };
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    let handler = fs::read(guest("file")).expect("it is built");
    let (import, export) = (named(10, &[3, 0, 0]), named(11, &[3, 0, 0]));
    let mut inner = empty.clone();
    section(&mut inner, 7, &[1, 0x7f]);
    inner.extend(&export);
    let mut outer = handler.clone();
    section(&mut outer, 4, &inner);
    for (component, words) in [
        (
            [empty, export].concat(),
            "not a handler: it exports `\u{fffd}[2J",
        ),
        ([handler, import].concat(), "imports `\u{fffd}[2J"),
        // This one the compiler finds.
        (
            outer,
            "caused by: failed to parse WebAssembly module: export name `\u{fffd}[2J",
        ),
    ] {
        bench.file("named.wasm", component);
        let ran = bench.run("inspect named.wasm");
        assert_eq!(ran.status, Some(2), "{words}: {ran:?}");
        assert!(ran.words.contains(words), "{words}: {ran:?}");
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!ran.words.contains(steers), "{words}: {ran:?}");
        let errors = ran.words.lines().filter(|line| line.starts_with("error:"));
        assert_eq!(errors.count(), 1, "{words}: {ran:?}");
    }
}

#[test]
fn a_directory_that_is_full_is_an_error_of_the_handler_and_a_line_of_the_log() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a.txt","Contents":"hello"}"#);
    let ran =
        bench.run("run create FILE.WASM --model model.json --grant dir=data:bytes=3B,files=100");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.words
            .contains("data` is full, by its quota of 3 bytes in 100 files: grant it with more"),
        "{ran:?}"
    );
}

#[test]
fn a_model_can_come_from_standard_input() {
    let bench = Bench::new();
    let mut command = bench.command("run create FILE.WASM --model - --grant dir=data");
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    input
        .write_all(br#"{"Name":"a","Contents":"1"}"#)
        .expect("it reads");
    drop(input);
    let ran = Ran::of(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.status, &ran.json()["Name"]), (Some(0), &json!("a")));
}

const SLOW: &str = r#"{"Files":[{"Name":"a","Contents":"1"}],"Delay":60}"#;

#[test]
fn ctrl_c_cancels_what_is_not_kept() {
    let bench = Bench::new();
    bench.file("archive.json", SLOW);
    let (child, said) = bench.start(
        "run create ARCHIVE.WASM --model archive.json --grant dir=data",
        "IN_PROGRESS",
    );
    kill(&child, "-INT");
    let ran = Ran::ending(child, said);
    assert_eq!(ran.status, Some(130), "{ran:?}");
    assert!(
        ran.words.contains("CANCEL_COMPLETE") && ran.words.contains("formwork run delete"),
        "{ran:?}"
    );
}

#[test]
fn what_is_kept_can_be_resumed_after_ctrl_c_and_after_a_crash() {
    let bench = Bench::new();
    bench.file("archive.json", SLOW.replace("60", "1"));
    let create = "run create ARCHIVE.WASM --model archive.json --grant dir=data --data state";
    for (signal, status) in [("-INT", Some(130)), ("-KILL", None)] {
        let (child, said) = bench.start(create, "IN_PROGRESS");
        kill(&child, signal);
        let ran = Ran::ending(child, said);
        assert_eq!(ran.status, status, "{ran:?}");

        let resumed = bench.run("run --resume --data state --grant dir=data");
        assert_eq!(
            (resumed.status, &resumed.json()["Status"]),
            (Some(0), &json!("READY")),
            "{resumed:?}"
        );
    }
    let again = bench.run("run --resume --data state --grant dir=data");
    check(
        &again,
        0,
        &expect![[r#"
        Nothing to resume in `state`: every operation has ended.
    "#]],
    );
}

#[test]
fn a_chain_whose_process_is_killed_again_and_again_makes_what_an_unbroken_one_makes() {
    let files: Vec<Value> = (0..8)
        .map(|n| json!({"Name": format!("f{n}"), "Contents": "x".repeat(n * 300)}))
        .collect();
    let bench = Bench::new();
    bench.file(
        "archive.json",
        json!({"Files": files, "Delay": 0}).to_string(),
    );
    let create = "run create ARCHIVE.WASM --model archive.json --grant dir=data";
    let unbroken = bench.run(create).json();

    let mut arguments = format!("{create} --data state");
    for _ in 0..12 {
        let mut command = bench.command(&arguments);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // Killed as soon as it tells of a commit, while the next invocation
        // begins: each life ends at another point of the chain.
        let told = BufReader::new(child.stderr.take().expect("it is piped"))
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("IN_PROGRESS"));
        if told {
            kill(&child, "-KILL");
        }
        child.wait().expect("it ends");
        arguments = "run --resume --data state --grant dir=data".to_owned();
    }
    let resumed = bench.run(&arguments);
    assert_eq!(resumed.status, Some(0), "{resumed:?}");
    let listed = bench
        .run("run list ARCHIVE.WASM --grant dir=data:ro")
        .json();
    let archives = listed["resourceModels"].as_array().expect("a list");
    assert_eq!(archives.len(), 2, "one token made one archive: {listed}");
    for archive in archives {
        assert_eq!(archive["Status"], "READY");
        assert_eq!(archive["Sha256"], unbroken["Sha256"], "{archive}");
    }
}

#[test]
fn operations_are_shown_cancelled_and_forgotten_beside_the_engine_that_runs_them() {
    let bench = Bench::new();
    bench.file("archive.json", SLOW);
    let create = "run create ARCHIVE.WASM --model archive.json --grant dir=data --data state";
    let (child, said) = bench.start(create, "IN_PROGRESS");

    let busy = bench.run(create);
    assert_eq!(busy.status, Some(2));
    assert!(
        busy.words
            .contains(&format!("in use by process {}", child.id())),
        "{busy:?}"
    );

    let listed = bench.run("operations list --data state --json --status in_progress");
    let token = listed.json()["requestToken"]
        .as_str()
        .expect("a token")
        .to_owned();
    let table = bench.run("operations list --data state");
    let headings: Vec<_> = table
        .out
        .lines()
        .next()
        .expect("a line")
        .split_whitespace()
        .collect();
    assert_eq!(
        headings,
        [
            "TOKEN",
            "STATUS",
            "ACTION",
            "TYPE",
            "IDENTIFIER",
            "ACCEPTED"
        ]
    );
    assert!(!table.out.contains('\u{1b}'));
    let shown = bench.run(&format!("operations show {token} --data state"));
    assert!(
        shown
            .out
            .contains("  invocation 1  IN_PROGRESS  packed 1 of 1 entries\n"),
        "{shown:?}"
    );
    assert!(shown.out.contains("  waits, "), "{shown:?}");
    assert!(!shown.out.contains('\u{1b}'));
    for (filter, found) in [
        ("--action create --newer 1h --identifier none", false),
        ("--action create --newer 1h", true),
        ("--action delete", false),
        ("--older 1h", false),
        ("--type Formwork::Examples::File", false),
        (
            "--status in_progress --type Formwork::Examples::Archive",
            true,
        ),
    ] {
        let listed = bench.run(&format!("operations list --data state --json {filter}"));
        assert_eq!(listed.out.contains(&token), found, "{filter}: {listed:?}");
    }

    let live = bench.run(&format!("operations forget {token} --data state"));
    check(
        &live,
        1,
        &expect![[r#"
        Operation TOKEN stays: it has not ended. See `formwork operations cancel`.
    "#]],
    );
    let cancelled = bench.run(&format!("operations cancel {token} --data state"));
    check(
        &cancelled,
        0,
        &expect![[r#"
        Operation TOKEN is cancelled.
    "#]],
    );
    let ran = Ran::ending(child, said);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.words.contains("CANCEL_COMPLETE"), "{ran:?}");
    let watched = bench.run(&format!(
        "operations watch --until-ended {token} --data state"
    ));
    assert_eq!(watched.status, Some(1), "{watched:?}");
    let lines: Vec<_> = watched.out.lines().collect();
    assert!(lines[0].starts_with("PENDING"), "{watched:?}");
    assert!(
        lines[lines.len() - 1].starts_with("CANCEL_COMPLETE"),
        "{watched:?}"
    );
    let again = bench.run(&format!("operations cancel {token} --data state"));
    check(
        &again,
        1,
        &expect![[r#"
        Operation TOKEN stays as it is, CANCEL_COMPLETE: the operation has ended.
    "#]],
    );
    let forgotten = bench.run(&format!("operations forget {token} --data state"));
    check(
        &forgotten,
        0,
        &expect![[r#"
        Operation TOKEN is forgotten.
    "#]],
    );
    let again = bench.run(&format!("operations forget {token} --data state"));
    assert_eq!(again.status, Some(2), "{again:?}");
}

/// Refuses every report for good, at the URL that it gives.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let document = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not allowed</Message>\
                    </Error></ErrorResponse>";
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let mut lines = stream.by_ref().lines().map_while(Result::ok);
            let length = lines.find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().expect("a length"))
            });
            lines.find(String::is_empty);
            let mut body = vec![0; length.expect("a body")];
            stream.read_exact(&mut body).expect("it is sent");
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{document}",
                document.len()
            );
            stream
                .get_mut()
                .write_all(answer.as_bytes())
                .expect("it is read");
        }
    });
    url
}

#[test]
fn reports_that_were_refused_are_listed_sent_again_and_dropped() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a","Contents":"1"}"#);
    let report = format!("--report-endpoint {} --report-region us-east-1", refusing());
    let with_keys = |args: String| {
        let mut command = bench.command(&args);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIDANY")
            .env("AWS_SECRET_ACCESS_KEY", "any");
        Ran::of(command.output().expect("the program starts"))
    };
    let made = with_keys(format!(
        "run create FILE.WASM --grant dir=data --data state --model model.json --bearer-token bearer-1 {report}"
    ));
    assert_eq!(made.status, Some(0), "{made:?}");
    let refused = bench.run("operations refused --data state --json");
    let refused = refused.json();
    assert_eq!(refused["refused"], "AccessDenied: not allowed");
    assert_eq!(refused["status"], "PENDING");
    let token = refused["requestToken"].as_str().expect("a token");

    check(
        &bench.run(&format!("operations resend {token} --data state")),
        0,
        &expect![[r#"
            1 report of operation TOKEN will be sent again as soon as an engine runs, and then those held back.
        "#]],
    );
    check(
        &bench.run("operations refused --data state"),
        0,
        &expect![[r#"
            No report was refused or given up in `state`.
        "#]],
    );
    let again = with_keys(format!("run --resume --data state {report}"));
    assert_eq!(again.status, Some(0), "{again:?}");
    let listed = bench.run("operations refused --data state");
    let line =
        format!("{token}  PENDING      Formwork::Examples::File  no longer sent: AccessDenied");
    assert!(listed.out.starts_with(&line), "{listed:?}");
    check(
        &bench.run(&format!("operations drop-reports {token} --data state")),
        0,
        &expect![[r#"
            2 reports of operation TOKEN will not be sent.
        "#]],
    );
    check(
        &bench.run(&format!("operations drop-reports {token} --data state")),
        1,
        &expect![[r#"
            The reports of operation TOKEN stay as they are: none of them was refused or given up.
        "#]],
    );
}

#[test]
fn a_client_token_is_one_operation() {
    let bench = Bench::new();
    bench.file("model.json", r#"{"Name":"a","Contents":"1"}"#);
    bench.file("other.json", r#"{"Name":"b","Contents":"1"}"#);
    let args = "run create FILE.WASM --grant dir=data --data state --client-token t --json --model";
    let first = bench.run(&format!("{args} model.json"));
    assert_eq!(first.status, Some(0), "{first:?}");
    assert_eq!(bench.run(&format!("{args} model.json")).out, first.out);
    check(
        &bench.run(&format!("{args} other.json")),
        2,
        &expect![[r#"
        error: the client token stands for another request, operation TOKEN; use a new token for a new request
    "#]],
    );
}

#[test]
fn a_reader_that_leaves_is_no_failure_and_a_full_disk_is_one() {
    let bench = Bench::new();
    let mut command = bench.command("inspect FILE.WASM");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().expect("it ends"));
    check(&ran, 0, &expect![[""]]);
    if cfg!(target_os = "linux") {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let mut command = bench.command("inspect FILE.WASM");
        let ran = Ran::of(command.stdout(full).output().expect("it starts"));
        check(
            &ran,
            2,
            &expect![[r#"
            error: cannot write to standard output
              caused by: No space left on device (os error 28)
        "#]],
        );
    }
}

#[test]
fn a_component_is_described() {
    let bench = Bench::new();
    let ran = bench.run("inspect FILE.WASM --json --grant dir=data");
    let component = ran.json();
    assert_eq!(component["typeName"], "Formwork::Examples::File");
    assert_eq!(
        component["actions"][0],
        json!({"action": "CREATE", "timeoutSeconds": 7200})
    );
    let imports = component["imports"].as_array().expect("imports");
    let files = imports.iter().find(|import| {
        import["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("wasi:filesystem/types@"))
    });
    assert_eq!(files.expect("it imports files")["access"], "granted");
    let schema = bench.run("inspect FILE.WASM --schema");
    assert_eq!(schema.json()["typeName"], "Formwork::Examples::File");
}

/// Where the inputs of the guest with bugs are.
const FAULTY_INPUTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/guests/faulty/inputs"
);

/// Gives what a report for build servers says of a test.
fn case<'a>(junit: &'a quick_junit::Report, test: &str) -> &'a quick_junit::TestCase {
    junit
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases)
        .find(|case| case.name.as_str() == test)
        .unwrap_or_else(|| panic!("{test} is not in {junit:?}"))
}

#[test]
fn a_handler_that_keeps_the_contract_passes() {
    let bench = Bench::new();
    // What is longer than the report leaves nothing behind it.
    bench.file("report.xml", "the last report".repeat(4000));
    let ran = bench.run(&format!(
        "test {} --inputs {FAULTY_INPUTS} --grant dir=data --filter create --json --junit report.xml",
        guest("faulty-guest")
    ));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let document = ran.json();
    assert_eq!(document["typeName"], "Formwork::Tests::Thing");
    assert_eq!(document["failed"], 0);
    assert_eq!(document["leftBehind"], json!([]));
    let tests = document["tests"].as_array().expect("tests");
    let test = tests
        .iter()
        .find(|test| test["test"] == "contract_create_read")
        .expect("the test was made");
    assert_eq!(test["outcome"], "PASSED");

    let text = fs::read_to_string(bench.base.path().join("report.xml")).expect("a report");
    let junit = quick_junit::Report::deserialize_from_str(&text).expect("a JUnit report");
    assert_eq!(junit.test_suites.len(), 1);
    assert_eq!(junit.test_suites[0].test_cases.len(), tests.len());
    let case = case(&junit, "contract_create_read");
    assert!(
        matches!(case.status, quick_junit::TestCaseStatus::Success { .. }),
        "{case:?}"
    );
}

#[test]
fn a_bug_of_a_handler_is_told_with_its_test_its_rule_and_its_exchange() {
    const TEST: &str = "contract_create_read";
    const FOUND: &str = "READ after a CREATE differs from what was answered: `/Size` is 19, not 20";
    let bench = Bench::new();
    bench.file("data/bug", "read-differs");
    let args = format!(
        "test {} --inputs {FAULTY_INPUTS} --grant dir=data --filter {TEST} --junit report.xml",
        guest("faulty-guest")
    );

    let told = bench.run(&args);
    assert_eq!(told.status, Some(1), "{told:?}");
    for words in [
        &format!("FAILED {TEST}"),
        "Rule    reads-as-answered:",
        FOUND,
        "Exchange 1: CREATE after 0 s",
    ] {
        assert!(told.out.contains(words), "no {words:?} in {}", told.out);
    }

    let text = fs::read_to_string(bench.base.path().join("report.xml")).expect("a report");
    let junit = quick_junit::Report::deserialize_from_str(&text).expect("a JUnit report");
    let case = case(&junit, TEST);
    let quick_junit::TestCaseStatus::NonSuccess {
        message,
        ty,
        description,
        ..
    } = &case.status
    else {
        panic!("{case:?}");
    };
    assert_eq!(
        ty.as_ref().map(quick_junit::XmlString::as_str),
        Some("reads-as-answered")
    );
    assert_eq!(
        message.as_ref().map(quick_junit::XmlString::as_str),
        Some(FOUND)
    );
    let description = description.as_ref().expect("a description").as_str();
    assert!(description.contains("Exchange 1: CREATE"), "{description}");

    let ran = bench.run(&format!("{args} --json"));
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let test = &ran.json()["tests"][0];
    assert_eq!(test["test"], TEST);
    assert_eq!(test["outcome"], "FAILED");
    let finding = &test["findings"][0];
    assert_eq!(finding["rule"], "reads-as-answered");
    assert_eq!(finding["found"], FOUND);
    let exchange = &finding["exchanges"][0];
    assert_eq!(exchange["action"], "CREATE");
    assert_eq!(exchange["answer"]["status"], "IN_PROGRESS");
    assert_eq!(exchange["answer"]["resourceModel"]["Size"], 20);
}

#[test]
fn a_filter_without_a_match_is_an_error() {
    let bench = Bench::new();
    let args = format!("test {} --grant dir=data --filter nothing", guest("file"));
    let ran = bench.run(&args);
    check(
        &ran,
        2,
        &expect![[r#"
        error: no test has a name with `nothing` in it; `formwork test --list` shows the names
    "#]],
    );
    assert_eq!(ran.out, "");
    assert_eq!(bench.run("test --list --filter nothing").status, Some(2));
}

#[test]
fn the_tests_are_listed() {
    let bench = Bench::new();
    let all = bench.run("test --list");
    check(&all, 0, &expect![[""]]);
    let names: Vec<&str> = all
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names.first(), Some(&"contract_create_delete"));
    assert_eq!(names.last(), Some(&"formwork_deadline"));

    let some = bench.run("test --list --filter list_pages --filter update_read");
    check(&some, 0, &expect![[""]]);
    expect![[r#"
        contract_update_read                       READ gives what was updated
        formwork_list_pages                        pages of every size are together the whole list
    "#]]
    .assert_eq(&some.out);
}
