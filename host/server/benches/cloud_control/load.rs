//! Many connections at once, and what they took.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::Connection;
use super::server::Server;
use super::{Args, FILE};

/// Numbers the resources of all runs.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// What every connection does, over and over.
#[derive(Clone)]
pub(crate) enum Work {
    /// Makes resources of a type.
    Create(&'static str),
    /// Asks for requests, one after the other.
    Poll(Vec<String>),
}

/// A model of 1 KiB. Each type has a text besides the name.
pub(crate) fn model(type_name: &str, name: &str) -> Value {
    let text = if type_name == FILE {
        "Contents"
    } else {
        "Note"
    };
    json!({"Name": name, text: "x".repeat(1_000)})
}

/// How long each of many took, shortest first.
pub(crate) struct Measured(Vec<Duration>);

impl Measured {
    pub(crate) fn new(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    /// Gives the median, in milliseconds.
    pub(crate) fn p50(&self) -> f64 {
        self.percentile(50)
    }

    /// Gives what one in a hundred takes at least, in milliseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[at].as_secs_f64() * 1e3
    }
}

/// One run.
pub(crate) struct Row {
    name: String,
    a_second: f64,
    pub(crate) took: Measured,
    /// Microseconds of each request, on all cores together.
    server_cpu: f64,
}

impl Row {
    pub(crate) fn named(self, name: &str) -> Self {
        let name = name.to_owned();
        Self { name, ..self }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.took.p50(), self.took.p99());
        write!(
            f,
            "{:>20} {:>10.0} {p50:>8.2} {p99:>8.2} {:>17.0}",
            self.name, self.a_second, self.server_cpu
        )
    }
}

/// Gives the run that did the most.
pub(crate) async fn best(args: &Args, server: &Server, connections: usize, work: &Work) -> Row {
    let mut best: Option<Row> = None;
    for _ in 0..args.runs.max(1) {
        let row = run(server, connections, args.span(), work).await;
        if best
            .as_ref()
            .is_none_or(|best| best.a_second < row.a_second)
        {
            best = Some(row);
        }
    }
    best.expect("there is a run")
}

async fn run(server: &Server, connections: usize, span: Duration, work: &Work) -> Row {
    let start = Arc::new(Barrier::new(connections + 1));
    let mut working = JoinSet::new();
    for first in 0..connections {
        let connection = Connection::open(server.address()).await;
        let (start, work) = (Arc::clone(&start), work.clone());
        working.spawn(async move {
            start.wait().await;
            over_and_over(connection, first, span, &work).await
        });
    }
    let cpu = server.cpu();
    start.wait().await;
    let begun = Instant::now();
    let took = working.join_all().await.concat();
    let elapsed = begun.elapsed().as_secs_f64();
    let cpu = server.cpu().saturating_sub(cpu).as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a benchmark are small"
    )]
    let count = took.len() as f64;
    Row {
        name: connections.to_string(),
        a_second: count / elapsed,
        took: Measured::new(took),
        server_cpu: cpu / count * 1e6,
    }
}

async fn over_and_over(
    mut connection: Connection,
    first: usize,
    span: Duration,
    work: &Work,
) -> Vec<Duration> {
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < span {
        let name = format!("n{}", MADE.fetch_add(1, Ordering::Relaxed));
        let begun = Instant::now();
        match work {
            Work::Create(type_name) => {
                let model = model(type_name, &name);
                connection.create(type_name, &model).await;
            }
            Work::Poll(tokens) => {
                let token = &tokens[(first + took.len()) % tokens.len()];
                assert!(connection.poll(token).await.event.has_ended());
            }
        }
        took.push(begun.elapsed());
    }
    took
}
