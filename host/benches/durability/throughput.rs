//! Whole operations a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use formwork_host::engine::{Engine, Request};
use formwork_host::model::TypeName;
use formwork_host::operation::Status;
use formwork_host::store::{MemoryStore, PostgresStore, SqliteStore, Store};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::guest::{self, PLACES};
use super::postgres::{self, Server};
use super::{process, quantile, sorted};

/// How long each is measured, after a third of it to warm up.
const SPAN: Duration = Duration::from_secs(4);

const SCRIPTS: [(&str, &str); 2] = [
    ("1 invocation", r#""success""#),
    (
        "3 invocations",
        r#""in-progress:0","in-progress:0","success""#,
    ),
];

/// Where operations are kept, by each host.
enum Kept {
    Memory(Arc<MemoryStore>),
    Sqlite {
        store: Arc<SqliteStore>,
        /// Removed with it.
        _directory: TempDir,
    },
    Postgres {
        stores: Vec<Arc<PostgresStore>>,
        url: String,
    },
}

impl Kept {
    fn stores(&self) -> Vec<Arc<dyn Store>> {
        match self {
            Self::Memory(store) => vec![Arc::clone(store) as _],
            Self::Sqlite { store, .. } => vec![Arc::clone(store) as _],
            Self::Postgres { stores, .. } => stores.iter().map(|it| Arc::clone(it) as _).collect(),
        }
    }

    fn commits(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Sqlite { store, .. } => store.commits(),
            Self::Postgres { stores, .. } => stores.iter().map(|store| store.commits()).sum(),
        }
    }

    /// How often the disk was made to write, where that is known here.
    async fn fsyncs(&self) -> Option<u64> {
        match self {
            Self::Memory(_) => Some(0),
            Self::Sqlite { store, .. } => Some(store.fsyncs()),
            Self::Postgres { url, .. } => postgres::fsyncs(url).await,
        }
    }
}

pub(crate) async fn run() {
    println!(
        "{:<17} {:<14} {:>7} {:>9} {:>8} {:>8} {:>11} {:>10}  CPU: sandbox, store's thread, rest",
        "store", "operation", "flying", "a second", "p50 ms", "p99 ms", "commits/op", "fsyncs/op",
    );
    let server = Server::start();
    if server.is_none() {
        println!("postgres: SKIPPED, there is none on this machine");
    }
    for (label, script) in SCRIPTS {
        for flying in [PLACES, 16] {
            let kept = Kept::Memory(Arc::default());
            measure("memory", label, script, flying, &kept).await;
            let directory = tempfile::tempdir().expect("a directory");
            let sqlite = SqliteStore::open(directory.path()).expect("a store");
            let kept = Kept::Sqlite {
                store: Arc::new(sqlite),
                _directory: directory,
            };
            measure("sqlite", label, script, flying, &kept).await;
            let Some(server) = &server else {
                continue;
            };
            for (name, hosts) in [("postgres, 1 host", 1), ("postgres, 2 hosts", 2)] {
                let mut stores = Vec::new();
                for _ in 0..hosts {
                    stores.push(Arc::new(postgres::open(server.url()).await));
                }
                let url = server.url().to_owned();
                let kept = Kept::Postgres { stores, url };
                measure(name, label, script, flying, &kept).await;
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what a benchmark counts is small"
)]
async fn measure(name: &str, label: &str, script: &str, flying: usize, kept: &Kept) {
    let slots = u32::try_from(PLACES / 3 * 4).expect("few");
    let mut engines = Vec::new();
    let mut types = Vec::new();
    for store in kept.stores() {
        let engine = Engine::builder(guest::sandbox(slots))
            .concurrency(PLACES)
            .store(store)
            .start();
        types.push(guest::load(&engine).await);
        engines.push(engine);
    }
    let type_name = &types[0];
    drive(&engines, type_name, script, flying, SPAN / 3, "warm").await;
    let (commits, fsyncs) = (kept.commits(), kept.fsyncs().await);
    let (before, began) = (process::cpu(), Instant::now());
    let times = drive(&engines, type_name, script, flying, SPAN, "n").await;
    let took = began.elapsed().as_secs_f64();
    let count = times.len() as f64;
    let commits = (kept.commits() - commits) as f64 / count;
    let fsyncs = kept.fsyncs().await.zip(fsyncs);
    let fsyncs = fsyncs.map_or_else(
        || "?".to_owned(),
        |(after, before)| format!("{:.3}", (after - before) as f64 / count),
    );
    let after = process::cpu();
    let spent = |whose: &str| {
        let time = |times: &BTreeMap<&str, f64>| times.get(whose).copied().unwrap_or(0.0);
        time(&after) - time(&before)
    };
    let [sandbox, store, rest] = ["sandbox", "store", "rest"].map(spent);
    let all = sandbox + store + rest;
    let times = sorted(times);
    println!(
        "{name:<17} {label:<14} {flying:>7} {:>9.0} {:>8.2} {:>8.2} {commits:>11.3} {fsyncs:>10}  {:.0}%, {:.0}%, {:.0}% of {:.0} us",
        count / took,
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        100.0 * sandbox / all,
        100.0 * store / all,
        100.0 * rest / all,
        all * 1e6 / count,
    );
    for engine in engines {
        engine.shutdown(Duration::from_secs(60)).await;
    }
}

/// Submits operations for so long, so many at a time, to the engines in turn, and
/// gives how many milliseconds each took.
async fn drive(
    engines: &[Engine],
    type_name: &TypeName,
    script: &str,
    flying: usize,
    span: Duration,
    prefix: &str,
) -> Vec<f64> {
    let end = Instant::now() + span;
    let mut flight = JoinSet::new();
    for (lane, engine) in (0..flying).zip(engines.iter().cycle()) {
        let (engine, type_name) = (engine.clone(), type_name.clone());
        let (script, prefix) = (script.to_owned(), format!("{prefix}-{lane}"));
        flight.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let name = format!("{prefix}-{}", times.len());
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
