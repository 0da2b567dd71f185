//! The program on a database: several processes, one place for operations.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A server that ends when its standard input is closed.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts a server, or gives none where there is no PostgreSQL, which is said.
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/run-postgres");
        let mut process = Command::new(script)
            .arg("fsync=off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script runs");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("readable");
        let mut words = line.split_whitespace().skip(1);
        let Some((folder, port)) = words.next().zip(words.next()) else {
            let code = process.wait().expect("it ends").code();
            assert_eq!(code, Some(77), "the server does not start");
            return None;
        };
        let host = folder.replace('/', "%2F");
        Some(Self {
            process,
            url: format!("postgres://formwork:s3cr3t@/formwork?host={host}&port={port}"),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("it ends");
    }
}

/// A folder to work in, with a model and `data` to grant.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        fs::create_dir(base.path().join("data")).expect("a directory");
        let model = r#"{"Name":"a.txt","Contents":"a"}"#;
        fs::write(base.path().join("model.json"), model).expect("a file");
        fs::write(base.path().join("key"), KEY).expect("a file");
        Self(base)
    }

    /// Runs the program, and gives its exit status, its output and its words.
    fn run(&self, key: Option<&str>, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_formwork"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        command
            .args(args)
            .current_dir(self.0.path())
            .env("FORMWORK_CACHE_DIR", cache)
            .env_remove("FORMWORK_DATABASE_KEY")
            .env_remove("FORMWORK_DATABASE_KEY_FILE")
            .env_remove("FORMWORK_LOG")
            .stdin(Stdio::null());
        if let Some(key) = key {
            command.env("FORMWORK_DATABASE_KEY_FILE", key);
        }
        let output = command.output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

#[test]
fn operations_are_kept_in_a_database_that_others_read() {
    let Some(server) = Server::start() else {
        return;
    };
    let url = server.url.as_str();
    let guest = format!(
        "{}/../../target/guests/file.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let bench = Bench::new();
    let create = [
        "run",
        "create",
        &guest,
        "--model",
        "model.json",
        "--grant",
        "dir=data",
        "--data",
        url,
    ];

    // Nothing is kept without a key, nor shown with another one.
    let (status, _, words) = bench.run(None, &create);
    assert_eq!(status, Some(2), "{words}");
    assert!(words.contains("FORMWORK_DATABASE_KEY_FILE"), "{words}");
    let list = ["operations", "list", "--json", "--data", url];
    let (status, _, words) = bench.run(Some("key"), &list);
    assert_eq!(status, Some(2));
    assert!(words.contains("holds no operations"), "{words}");

    let (status, out, words) = bench.run(Some("key"), &create);
    assert_eq!(status, Some(0), "{words}");
    assert!(out.contains("a.txt"), "{out}");
    let (status, out, words) = bench.run(Some("key"), &list);
    assert_eq!(status, Some(0), "{words}");
    let line: Value = serde_json::from_str(&out).expect("one line of JSON");
    assert_eq!(line["status"], "SUCCESS");
    let token = line["requestToken"].as_str().expect("its token");
    let show = ["operations", "show", token, "--data", url];
    let (status, out, _) = bench.run(Some("key"), &show);
    assert_eq!(status, Some(0));
    assert!(out.contains("SUCCESS"), "{out}");

    fs::write(bench.0.path().join("other"), KEY.replace('0', "f")).expect("a file");
    let (status, _, words) = bench.run(Some("other"), &show);
    assert_eq!(status, Some(2));
    assert!(words.contains("give all hosts the same key"), "{words}");
    assert!(!words.contains("s3cr3t"), "{words}");
}

#[test]
fn a_configuration_names_a_database_with_its_key() {
    let bench = Bench::new();
    let guest = format!(
        "{}/../../target/guests/file.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let check = |text: &str| {
        let text = format!("{text}\n[[type]]\ncomponent = \"{guest}\"\n");
        fs::write(bench.0.path().join("formwork.toml"), text).expect("a file");
        bench.run(None, &["serve", "--check"])
    };
    let (status, _, words) = check(
        "data = \"postgres://u@db.example/d\"\n[database]\nkey_file = \"key\"\npassword_file = \"key\"",
    );
    assert_eq!(status, Some(0), "{words}");
    for (text, said) in [
        (
            "data = \"postgres://u@db.example/d\"\n[database]\nkey = \"hunter2\"",
            "64 hexadecimal digits",
        ),
        (
            "data = \"state\"\n[database]\nkey_file = \"key\"",
            "`data` names none",
        ),
        (
            "data = \"postgres://u@db.example/d\"\n[database]\nkey_fil = \"key\"",
            "did you mean `key_file`",
        ),
        (
            "data = \"postgres://u@db.example/d\"\n[database]\nkey_file = \"none\"",
            "cannot be read",
        ),
    ] {
        let (status, _, words) = check(text);
        assert_eq!(status, Some(2), "{words}");
        assert!(words.contains(said), "{said}: {words}");
        assert!(!words.contains("hunter2"), "{words}");
    }
}
