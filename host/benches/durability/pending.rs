//! Operations that wait for callbacks, very many of them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::engine::{Engine, Exchange, Observer};
use formwork_host::model::{
    Answer, Callback, Digest, JsonObject, Mutation, ProgressEvent, RequestDetails, RequestToken,
    Scope, Timestamp, TypeName,
};
use formwork_host::operation::{Input, NewOperation, Operation, Policy, Status, Transition, Work};
use formwork_host::store::{Accept, Filter, Horizon, SqliteStore, Store};
use tokio::task::JoinSet;

use super::postgres::{self, Server};
use super::{guest, process, quantile, sorted};

/// How many of those that wait fall due in a second, one each millisecond.
const RATE: u64 = 1_000;

/// For how long they do.
const SPAN: Duration = Duration::from_secs(20);

/// How long the first of them waits, from before they are written: time to write
/// them and to start the processes that are to invoke them.
const LEAD: Duration = Duration::from_secs(20);

/// When the others fall due that wait: all within an hour from here.
const LATER: Duration = Duration::from_secs(3600);

/// What was measured with so many operations.
pub(crate) struct Row {
    pub(crate) count: u64,
    pub(crate) resident: f64,
    pub(crate) late: [f64; 2],
}

/// Where operations wait, and how many hosts invoke them.
pub(crate) enum Place {
    /// A data directory, for one host.
    Sqlite,
    /// A database, for two.
    Postgres,
}

/// Measures `count` operations that wait. Gives nothing where there is no
/// PostgreSQL.
pub(crate) async fn run(place: &Place, count: u64) -> Option<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    // The server goes on for as long as it is held.
    let (server, hosts) = match place {
        Place::Sqlite => (None, 1),
        Place::Postgres => (Some(Server::start()?), 2),
    };
    let url = match &server {
        Some(server) => server.url(),
        None => directory.path().to_str().expect("a path"),
    };
    let began = Instant::now();
    let near = count.min(RATE * SPAN.as_secs());
    let now = SystemClock::new().now();
    seed(url, near..count, |number| {
        now.after(LATER + Duration::from_millis(number % 3_600_000))
    })
    .await;
    let seeded = began.elapsed().as_secs_f64();
    // They have waited for long: nothing about them is left to be written.
    if let Some(server) = &server {
        server.settle().await;
    }
    rustix::fs::sync();
    // One is due when the processes start, and the others one each millisecond.
    let now = SystemClock::new().now();
    seed(url, 0..near, |number| match number {
        0 => now,
        number => now.after(LEAD + Duration::from_millis(number)),
    })
    .await;
    let in_time = SystemClock::new().now() < now.after(LEAD - Duration::from_secs(5));
    assert!(in_time, "they are written before the first is due");
    let name = if hosts == 1 { "sqlite" } else { "postgres" };
    println!("{count} pending in {name}, {hosts} host(s): written in {seeded:.1} s");

    let started = SystemClock::new().now().as_millis().to_string();
    let start = |_| {
        Command::new(std::env::current_exe().expect("a program"))
            .args(["wait-in", url, &started])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts")
    };
    let started: Vec<_> = (0..hosts).map(start).collect();
    let mut found: HashMap<String, Vec<f64>> = HashMap::new();
    for process in started {
        let output = process.wait_with_output().expect("it ends");
        assert!(output.status.success(), "a host fails");
        let text = String::from_utf8(output.stdout).expect("text");
        for line in text.lines() {
            let (name, values) = line.split_once(' ').expect("a name and values");
            let values = values.split(' ').filter(|value| !value.is_empty());
            let values = values.map(|value| value.parse::<f64>().expect("a number"));
            found.entry(name.to_owned()).or_default().extend(values);
        }
    }
    let found: HashMap<_, _> = found
        .into_iter()
        .map(|(name, values)| (name, sorted(values)))
        .collect();
    let of = |name: &str, share: f64| quantile(&found[name], share);
    assert_eq!(
        u64::try_from(found["late"].len()).ok(),
        Some(near - 1),
        "each is invoked once"
    );
    println!(
        "  {} invoked; late by p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms; resident {:.0} MiB at most; \
         from start to first invocation {:.2} s",
        near,
        of("late", 0.5),
        of("late", 0.99),
        of("late", 1.0),
        of("resident", 1.0),
        of("first", 0.0),
    );
    println!(
        "  meanwhile, p50 and p99: a list {:.2} and {:.2} ms, a list of those in progress {:.2} and {:.2} ms, \
         a status {:.2} and {:.2} ms",
        of("list", 0.5),
        of("list", 0.99),
        of("some", 0.5),
        of("some", 0.99),
        of("get", 0.5),
        of("get", 0.99),
    );
    Some(Row {
        count,
        resident: of("resident", 1.0),
        late: [of("late", 0.5), of("late", 0.99)],
    })
}

/// Opens a data directory or a database.
async fn open(url: &str) -> Arc<dyn Store> {
    if url.starts_with("postgres:") {
        Arc::new(postgres::open(url).await)
    } else {
        Arc::new(SqliteStore::open(Path::new(url)).expect("a store"))
    }
}

/// Makes an operation that waits for its second invocation, and the event that
/// says so.
fn waiting(type_name: &TypeName, component: Digest, number: u64, due: Timestamp) -> Transition {
    let now = SystemClock::new().now();
    let new = NewOperation {
        scope: Scope::default(),
        type_name: type_name.clone(),
        mutation: Mutation::Create,
        component,
        deadline: now.after(Duration::from_secs(36 * 3600)),
        work: Work {
            desired_state: guest::state(&format!("n{number}"), 100, r#""success""#),
            previous_state: None,
            callback_context: None,
            details: RequestDetails::default(),
            fault: None,
        },
        identifier: None,
        reporting: None,
    };
    let policy = Policy::default();
    let accepted = Operation::accept(RequestToken::random(), new, now).operation;
    let until = now.after(Duration::from_secs(60));
    let leased = accepted.apply(Input::Leased { until }, now, &policy);
    let answer = Answer {
        event: ProgressEvent::InProgress {
            callback: Callback::After(due.since(now)),
            callback_context: JsonObject::parse(r#"{"step":1}"#).ok(),
            message: None,
            model: None,
        },
        next_state: None,
        identifier: None,
        filled_in: false,
        warnings: Vec::new(),
    };
    let leased = leased.expect("it is due").operation;
    let waiting = leased.apply(Input::Answered(answer), now, &policy);
    waiting.expect("it is leased")
}

/// Writes operations as the store accepts any, many at once.
async fn seed(url: &str, numbers: Range<u64>, due: impl Fn(u64) -> Timestamp) {
    const TOGETHER: usize = 512;
    let store = open(url).await;
    let component = store.put_component(guest::component()).await;
    let component = component.expect("it is kept");
    let type_name: TypeName = "Formwork::Tests::Scripted".parse().expect("a name");
    let mut accepting = JoinSet::new();
    for number in numbers {
        if accepting.len() == TOGETHER {
            accepting.join_next().await;
        }
        let accept = Accept {
            transition: waiting(&type_name, component, number, due(number)),
            key: None,
            basis: None,
            tokens_expired: Horizon::NEVER.client_tokens,
        };
        let store = Arc::clone(&store);
        accepting.spawn(async move {
            store.accept(accept).await.expect("it is accepted");
        });
    }
    accepting.join_all().await;
}

/// Is told of each invocation that has ended, and looks how late it is.
struct Lateness {
    clock: SystemClock,
    /// Those that fall due one by one. The first of all is not among them.
    due: HashMap<RequestToken, Timestamp>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    first: Option<Timestamp>,
    /// By how many milliseconds.
    late: Vec<f64>,
}

impl Observer for Lateness {
    fn invoked(&self, exchange: &Exchange) {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first.get_or_insert(now);
        if let Some(due) = self.due.get(&exchange.invocation.token) {
            seen.late.push(now.since(*due).as_secs_f64() * 1e3);
        }
    }
}

/// Runs an engine on a data directory or a database while what waits there falls
/// due, and tells what it has measured, a name and its values in each line. The
/// words are where it is and when the process was started.
pub(crate) async fn wait_in(words: &[&str]) {
    let [url, started] = words else {
        panic!("a place and a moment are wanted");
    };
    let started: u64 = started.parse().expect("a moment");
    let clock = SystemClock::new();
    // As a server begins; what is due is asked for beside it, for the measurement.
    let sandbox = guest::sandbox(32);
    let store = open(url).await;
    let now = clock.now();
    let type_name: TypeName = "Formwork::Tests::Scripted".parse().expect("a name");
    let many = usize::try_from(RATE * SPAN.as_secs()).expect("few");
    let types = [type_name];
    let near = store
        .upcoming(&types, Timestamp::from_millis(0), many)
        .await;
    let near = near.expect("the store reads");
    let (token, soon) = (near[0].1, now.after(LATER / 2));
    let due: HashMap<_, _> = near
        .iter()
        .skip(1)
        .filter(|(at, _)| *at < soon)
        .map(|(at, token)| (*token, *at))
        .collect();
    let lateness = Arc::new(Lateness {
        clock: SystemClock::new(),
        due,
        seen: Mutex::default(),
    });
    let engine = Engine::builder(sandbox)
        .store(store)
        .observer(Arc::clone(&lateness) as _)
        .start();
    guest::load(&engine).await;

    let (mut resident, mut lists, mut somes, mut gets) = (0.0_f64, vec![], vec![], vec![]);
    let end = Instant::now() + LEAD + SPAN + Duration::from_secs(5);
    let time = |began: Instant| began.elapsed().as_secs_f64() * 1e3;
    let in_progress = Filter {
        statuses: vec![Status::InProgress],
        scope: Some(Scope::default()),
        ..Filter::default()
    };
    while Instant::now() < end {
        resident = resident.max(process::resident());
        let began = Instant::now();
        engine
            .operations(&Filter::default())
            .await
            .expect("the store reads");
        lists.push(time(began));
        let began = Instant::now();
        engine
            .operations(&in_progress)
            .await
            .expect("the store reads");
        somes.push(time(began));
        let began = Instant::now();
        engine.status(token).await.expect("the store reads");
        gets.push(time(began));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seen = lateness.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = Seen::clone(&seen);
    let first = seen.first.expect("there was one").as_millis() - started;
    println!("resident {resident}");
    println!("first {}", Duration::from_millis(first).as_secs_f64());
    for (name, values) in [
        ("late", seen.late),
        ("list", lists),
        ("some", somes),
        ("get", gets),
    ] {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        println!("{name} {}", values.join(" "));
    }
}
