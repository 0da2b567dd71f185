//! What stands around a call: coercion, output rules and commit, each alone, and
//! whole durable operations of one and of three invocations.
//!
//! Operations are submitted 256 at a time; each time is that of one of them, so
//! its inverse is operations a second. For SQLite, the commits are told for each
//! operation; each is one fsync of the log, and checkpoints add a few.
//!
//! PostgreSQL is measured where there is one, started by `tests/run-postgres` on the
//! same machine with its usual settings.
//!
//! Needs `target/guests/scripted-guest.wasm`: `make guests` builds it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures real time and tells it"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::engine::{Engine, Request};
use formwork_host::model::{
    Answer, Digest, JsonObject, Mutation, ProgressEvent, RequestDetails, RequestToken, Scope,
    TypeSchema,
};
use formwork_host::operation::{NewOperation, Operation, Status, Work};
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{Sandbox, SandboxConfig};
use formwork_host::store::{
    Accept, Database, Horizon, MemoryStore, PostgresStore, SealingKey, SqliteStore, Store,
};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const IN_FLIGHT: u64 = 256;

fn schema() -> TypeSchema {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/scripted/schema.json");
    TypeSchema::parse(&std::fs::read_to_string(path).expect("the schema is there"))
        .expect("a schema")
}

/// A model of 1 KiB.
fn model(name: &str, script: &str) -> JsonObject {
    let filler = "x".repeat(900);
    let text = format!(
        r#"{{"Name":"{name}","Note":"{filler}","Count":7,"Secret":"s","Script":[{script}]}}"#
    );
    JsonObject::parse(text).expect("an object")
}

fn rules(criterion: &mut Criterion) {
    let schema = schema();
    let desired = model("a", "");
    let mut group = criterion.benchmark_group("around a call, 1 KiB");
    group.bench_function("coercion and check of the desired state", |bencher| {
        bencher.iter(|| {
            let mut map = desired.to_map();
            schema.coerce(&mut map).expect("it coerces");
            assert!(schema.violations(&map).is_empty());
        });
    });
    group.bench_function("output rules of a success", |bencher| {
        bencher.iter(|| {
            let event = ProgressEvent::Success {
                message: None,
                model: Some(desired.clone()),
            };
            Answer::translate(&schema, Mutation::Create, &desired, event, false)
        });
    });
    group.finish();
}

fn commit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let sqlite: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("a store"));
    let now = SystemClock::new().now();
    let type_name = schema().type_name().clone();
    let mut group = criterion.benchmark_group("accept, one at a time");
    for (name, store) in [
        ("memory", Arc::new(MemoryStore::default()) as Arc<dyn Store>),
        ("sqlite", sqlite),
    ] {
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let new = NewOperation {
                    scope: Scope::default(),
                    type_name: type_name.clone(),
                    mutation: Mutation::Create,
                    component: Digest::of(b"bench"),
                    deadline: now.after(Duration::from_secs(7200)),
                    work: Work {
                        desired_state: model("a", ""),
                        previous_state: None,
                        callback_context: None,
                        details: RequestDetails::default(),
                        fault: None,
                    },
                    identifier: None,
                    reporting: None,
                };
                let transition = Operation::accept(RequestToken::random(), new, now);
                store
                    .accept(Accept {
                        transition,
                        key: None,
                        basis: None,
                        tokens_expired: Horizon::NEVER.client_tokens,
                    })
                    .await
                    .expect("it is accepted");
            });
        });
    }
    group.finish();
}

/// A server that ends when its standard input is closed.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts a server, or gives none where there is no PostgreSQL.
    fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/run-postgres");
        let mut process = Command::new(script)
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
            process.wait().expect("it ends");
            return None;
        };
        let host = folder.replace('/', "%2F");
        Some(Self {
            process,
            url: format!("postgres://formwork@/formwork?host={host}&port={port}"),
        })
    }

    async fn store(&self) -> PostgresStore {
        let key = SealingKey::parse(&[7; 32]).expect("a key");
        let database = Database::new(self.url.as_str(), key);
        PostgresStore::open(&database).await.expect("a store")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("it ends");
    }
}

/// Submits `count` operations, so many at a time, and waits for all of them.
async fn run(engine: &Engine, script: &str, count: u64, from: u64) -> Duration {
    let type_name = schema().type_name().clone();
    let began = Instant::now();
    let mut flying = JoinSet::new();
    for n in from..from + count {
        if flying.len() as u64 == IN_FLIGHT {
            flying
                .join_next()
                .await
                .expect("one is flying")
                .expect("it ends");
        }
        let request = Request::create(type_name.clone(), model(&format!("n{n}"), script));
        let engine = engine.clone();
        flying.spawn(async move {
            let handle = engine.submit(request).await.expect("it is accepted");
            let ended = handle.outcome().await.expect("the store reads");
            assert_eq!(ended.status, Status::Success, "{:?}", ended.message);
        });
    }
    while let Some(ended) = flying.join_next().await {
        ended.expect("it ends");
    }
    began.elapsed()
}

fn operations(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/scripted-guest.wasm");
    let component: Arc<[u8]> = std::fs::read(&path)
        .expect("target/guests/scripted-guest.wasm is built")
        .into();
    let sandbox = Sandbox::new(&SandboxConfig::default()).expect("a sandbox");
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let sqlite = Arc::new(SqliteStore::open(directory.path()).expect("a store"));
    let server = Server::start();
    let postgres = server
        .as_ref()
        .map(|server| Arc::new(runtime.block_on(server.store())));
    let mut stores: Vec<(&str, Arc<dyn Store>)> = vec![
        ("memory", Arc::new(MemoryStore::default())),
        ("sqlite", Arc::clone(&sqlite) as _),
    ];
    if let Some(postgres) = &postgres {
        stores.push(("postgres", Arc::clone(postgres) as _));
    }
    let commits = || sqlite.commits() + postgres.as_ref().map_or(0, |store| store.commits());
    let mut group = criterion.benchmark_group("operations");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let mut next = 0;
    for (name, store) in stores {
        let engine = runtime.block_on(async {
            let engine = Engine::builder(sandbox.clone()).store(store).start();
            let settings = TypeSettings {
                concurrency: 128,
                ..TypeSettings::default()
            };
            engine
                .load(Arc::clone(&component), settings)
                .await
                .expect("the guest loads");
            engine
        });
        for (label, script) in [
            ("1 invocation", r#""success""#),
            (
                "3 invocations",
                r#""in-progress:0","in-progress:0","success""#,
            ),
        ] {
            let (mut made, before) = (0, commits());
            group.bench_function(format!("{name}, {label}"), |bencher| {
                bencher.iter_custom(|count| {
                    let took = runtime.block_on(run(&engine, script, count, next));
                    next += count;
                    made += count;
                    took
                });
            });
            let commits = commits() - before;
            if commits > 0 {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "counts of a benchmark are small"
                )]
                let each = commits as f64 / made as f64;
                println!(
                    "{name}, {label}: {each:.3} commits for each operation, each with one fsync of the log"
                );
            }
        }
    }
    group.finish();
}

criterion_group!(benches, rules, commit, operations);
criterion_main!(benches);
