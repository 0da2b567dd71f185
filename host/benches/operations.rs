//! What stands around a call: coercion, output rules and acceptance, each alone.
//! Whole operations are measured by the benchmark `durability`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{
    Answer, Digest, JsonObject, Mutation, ProgressEvent, RequestDetails, RequestToken, Scope,
    TypeSchema,
};
use formwork_host::operation::{NewOperation, Operation, Work};
use formwork_host::store::{Accept, Horizon, MemoryStore, SqliteStore, Store};
use tokio::runtime::Runtime;

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

criterion_group!(benches, rules, commit);
criterion_main!(benches);
