//! Whole operations a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use formwork_host::engine::{Engine, Request};
use formwork_host::model::TypeName;
use formwork_host::operation::Status;
use formwork_host::store::{MemoryStore, SqliteStore, Store};
use tokio::task::JoinSet;

use super::guest::{self, PLACES};
use super::{process, quantile, sorted};

/// How long each is measured, after as long to warm up as a third of it.
const SPAN: Duration = Duration::from_secs(6);

const SCRIPTS: [(&str, &str); 2] = [
    ("1 invocation", r#""success""#),
    (
        "3 invocations",
        r#""in-progress:0","in-progress:0","success""#,
    ),
];

pub(crate) async fn run() {
    println!(
        "{:<8} {:<14} {:>7} {:>9} {:>8} {:>8} {:>11} {:>10} {:>24}",
        "store",
        "operation",
        "flying",
        "a second",
        "p50 ms",
        "p99 ms",
        "commits/op",
        "fsyncs/op",
        "CPU: sandbox store rest"
    );
    for (label, script) in SCRIPTS {
        for flying in [PLACES, 16, 1] {
            let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
            measure("memory", label, script, flying, memory, || (0, 0)).await;
            let directory = tempfile::tempdir().expect("a directory");
            let sqlite = Arc::new(SqliteStore::open(directory.path()).expect("a store"));
            let counted = Arc::clone(&sqlite);
            let counts = move || (counted.commits(), counted.fsyncs());
            measure("sqlite", label, script, flying, sqlite, counts).await;
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what a benchmark counts is small"
)]
async fn measure(
    name: &str,
    label: &str,
    script: &str,
    flying: usize,
    store: Arc<dyn Store>,
    counts: impl Fn() -> (u64, u64),
) {
    let slots = u32::try_from(PLACES / 3 * 4).expect("few");
    let engine = Engine::builder(guest::sandbox(slots))
        .concurrency(PLACES)
        .store(store)
        .start();
    let type_name = guest::load(&engine).await;
    drive(&engine, &type_name, script, flying, SPAN / 3, "warm").await;
    let (commits, fsyncs) = counts();
    let (cpu, began) = (process::cpu(), Instant::now());
    let times = drive(&engine, &type_name, script, flying, SPAN, "n").await;
    let took = began.elapsed().as_secs_f64();
    let (commits, fsyncs) = (counts().0 - commits, counts().1 - fsyncs);
    let spent = process::cpu();
    let spent = |whose: &str| {
        let time = |times: &std::collections::BTreeMap<&str, f64>| {
            times.get(whose).copied().unwrap_or(0.0)
        };
        time(&spent) - time(&cpu)
    };
    let [sandbox, store, rest] = ["sandbox", "store", "rest"].map(spent);
    let all = sandbox + store + rest;
    let count = times.len() as f64;
    let times = sorted(times);
    println!(
        "{name:<8} {label:<14} {flying:>7} {:>9.0} {:>8.2} {:>8.2} {:>11.3} {:>10.3} {:>7.0}% {:>4.0}% {:>4.0}% of {:.0} us",
        count / took,
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        commits as f64 / count,
        fsyncs as f64 / count,
        100.0 * sandbox / all,
        100.0 * store / all,
        100.0 * rest / all,
        all * 1e6 / count,
    );
    engine.shutdown(Duration::from_secs(60)).await;
}

/// Submits operations for so long, so many at a time, and gives how many
/// milliseconds each took.
async fn drive(
    engine: &Engine,
    type_name: &TypeName,
    script: &str,
    flying: usize,
    span: Duration,
    prefix: &str,
) -> Vec<f64> {
    let end = Instant::now() + span;
    let mut flight = JoinSet::new();
    for lane in 0..flying {
        let (engine, type_name) = (engine.clone(), type_name.clone());
        let (script, prefix) = (script.to_owned(), prefix.to_owned());
        flight.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let name = format!("{prefix}-{lane}-{}", times.len());
                let request = Request::create(type_name.clone(), guest::state(&name, 900, &script));
                let handle = engine.submit(request).await.expect("it is accepted");
                let ended = handle.outcome().await.expect("the store reads");
                assert_eq!(ended.status, Status::Success, "{:?}", ended.message);
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            times
        });
    }
    flight.join_all().await.concat()
}
