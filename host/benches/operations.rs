//! What stands around a call: coercion, output rules and commit, each alone, and
//! whole durable operations of one and of three invocations.
//!
//! Operations are submitted 256 at a time; each time is that of one of them, so
//! its inverse is operations a second. For SQLite, the commits are told for each
//! operation; each is one fsync of the log, and checkpoints add a few.
//!
//! Needs `target/guests/scripted-guest.wasm`: `make guests` builds it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures real time and tells it"
)]

use std::path::Path;
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
use formwork_host::store::{Accept, Horizon, MemoryStore, SqliteStore, Store};
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
    let stores: [(&str, Arc<dyn Store>); 2] = [
        ("memory", Arc::new(MemoryStore::default())),
        ("sqlite", Arc::clone(&sqlite) as _),
    ];
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
            let (mut made, before) = (0, sqlite.commits());
            group.bench_function(format!("{name}, {label}"), |bencher| {
                bencher.iter_custom(|count| {
                    let took = runtime.block_on(run(&engine, script, count, next));
                    next += count;
                    made += count;
                    took
                });
            });
            let commits = sqlite.commits() - before;
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
