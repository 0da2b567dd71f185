//! The Cloud Control door of a whole server, by many connections: `formwork serve`
//! as a process, with SQLite, driven over HTTP from this one.
//!
//! | table | what it tells |
//! | --- | --- |
//! | unloaded | one create at a time: the time that the server takes, by its own log, from the head of the request until the answer, which is made after the commit of the end; and what the client sees |
//! | creates | creates a second until SUCCESS, each of a new resource of 1 KiB with a client token; the handler does nothing |
//! | polls | `GetResourceRequestStatus` of requests that have ended |
//! | fairness | creates of one type while many of another one wait behind a slow handler, and without those |
//!
//! The client runs on the same cores, so its work is in all figures; what the
//! server takes is told besides, as CPU time of each request. Of several short
//! runs the best one is shown, since whatever else the machine does only makes
//! them worse.
//!
//! Needs `scripted-guest.wasm` and `file.wasm` in `target/guests`: `make guests`
//! builds them.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures real time and tells it"
)]

mod client;
mod load;
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tokio::task::JoinSet;

use client::Connection;
use load::{Measured, Work, best};
use server::{Logged, Server};

/// The type whose handler does what its desired state says.
const SCRIPTED: &str = "Formwork::Tests::Scripted";

/// The type beside it.
const FILE: &str = "Formwork::Examples::File";

/// What the slow handler does: nothing, for 20 seconds.
const SLOW: &str = "sleep:20000 & success";

/// How many connections fill the queue: each waits a second for an answer.
const FILLING: usize = 800;

/// How many connections make files beside the queue.
const BESIDE: usize = 8;

/// Measures the Cloud Control door.
#[derive(Parser)]
struct Args {
    /// How long each run takes, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,

    /// How many runs there are of each row; the best one is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,

    /// How many connections there are, a row for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    connections: Vec<usize>,

    /// How many requests of the other type wait.
    #[arg(long, default_value_t = 10_000)]
    queue: usize,

    /// Another build of the server, to compare with.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_formwork"))]
    program: PathBuf,

    /// Only these tables, by the beginnings of their names.
    tables: Vec<String>,

    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|name| table.starts_with(name))
    }

    fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{cores} cores, client and server; best of {} runs of {} s\n",
        args.runs, args.seconds
    );
    if args.wants("unloaded") {
        unloaded(&args).await;
    }
    if args.wants("creates") || args.wants("polls") {
        loaded(&args).await;
    }
    if args.wants("fairness") {
        fairness(&args).await;
    }
}

async fn unloaded(args: &Args) {
    let server = Server::start(&args.program, Logged::Answers);
    let mut connection = Connection::open(server.address()).await;
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < args.span() * 2 {
        let name = format!("n{}", ids.len());
        let begun = Instant::now();
        let created = connection
            .create(SCRIPTED, &load::model(SCRIPTED, &name))
            .await;
        seen.push(begun.elapsed());
        assert!(created.event.has_ended(), "it takes less than the hold");
        ids.push(created.request_id);
    }
    let answers = server.stop();
    let by_server = ids.iter().map(|id| answers[id]).collect();
    println!("unloaded creates      p50 ms   p99 ms");
    for (who, took) in [("by the server's log", by_server), ("by the client", seen)] {
        let took = Measured::new(took);
        println!("{who:<19} {:>8.2} {:>8.2}", took.p50(), took.p99());
    }
    println!();
}

async fn loaded(args: &Args) {
    let server = Server::start(&args.program, Logged::Nothing);
    if args.wants("creates") {
        println!("creates, connections   a second   p50 ms   p99 ms   server's CPU µs");
        for connections in &args.connections {
            let row = best(args, &server, *connections, &Work::Create(SCRIPTED)).await;
            println!("{row}");
        }
        println!();
    }
    if args.wants("polls") {
        let mut connection = Connection::open(server.address()).await;
        let mut tokens = Vec::new();
        for n in 0..256 {
            let model = load::model(SCRIPTED, &format!("polled{n}"));
            tokens.push(connection.create(SCRIPTED, &model).await.event.token);
        }
        let work = Work::Poll(tokens);
        println!("polls, connections     a second   p50 ms   p99 ms   server's CPU µs");
        for connections in &args.connections {
            let row = best(args, &server, *connections, &work).await;
            println!("{row}");
        }
        println!();
    }
}

async fn fairness(args: &Args) {
    let server = Server::start(&args.program, Logged::Nothing);
    let work = Work::Create(FILE);
    println!("fairness, waiting      a second   p50 ms   p99 ms   server's CPU µs");
    let alone = best(args, &server, BESIDE, &work).await.named("0");
    println!("{alone}");
    let last = fill(&server, args.queue).await;
    let beside = best(args, &server, BESIDE, &work).await;
    let beside = beside.named(&args.queue.to_string());
    println!("{beside}");
    let mut connection = Connection::open(server.address()).await;
    let status = connection.poll(&last).await.event.status;
    assert_eq!(status, "PENDING", "the queue outlasts the measurement");
    println!(
        "ratio                             {:>8.2} {:>8.2}",
        beside.took.p50() / alone.took.p50(),
        beside.took.p99() / alone.took.p99()
    );
}

/// Has so many creates accepted behind a handler that takes its time, and gives
/// the token of the last.
async fn fill(server: &Server, queue: usize) -> String {
    let mut filling = JoinSet::new();
    for first in 0..FILLING {
        let mut connection = Connection::open(server.address()).await;
        filling.spawn(async move {
            let mut last = None;
            for n in (first..queue).step_by(FILLING) {
                let model = json!({"Name": format!("slow{n}"), "Script": [SLOW]});
                last = Some(connection.accept(SCRIPTED, &model).await.event.token);
            }
            last
        });
    }
    let tokens = filling.join_all().await;
    // They have their time in front.
    let last = tokens.into_iter().flatten().max();
    last.expect("there is a queue")
}
