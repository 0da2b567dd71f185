//! Operations that wait for callbacks, very many of them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::engine::{Engine, Exchange, Observer};
use formwork_host::model::{
    Answer, Callback, Digest, JsonObject, Mutation, ProgressEvent, RequestDetails, RequestToken,
    Scope, Timestamp, TypeName,
};
use formwork_host::operation::{Input, NewOperation, Operation, Policy, Status, Transition, Work};
use formwork_host::store::{Accept, Filter, Horizon, SqliteStore, Store as _};
use tokio::task::JoinSet;

use super::{guest, process, quantile, sorted};

/// How many of those that wait fall due in a second, one each millisecond.
const RATE: u64 = 1_000;

/// For how long they do.
const SPAN: Duration = Duration::from_secs(20);

/// How long the first of them waits, from before they are written: time to write
/// them and to start the process that is to invoke them.
const LEAD: Duration = Duration::from_secs(10);

/// When the others fall due that wait: all within an hour from here.
const LATER: Duration = Duration::from_secs(3600);

/// What was measured with so many operations.
pub(crate) struct Row {
    pub(crate) count: u64,
    pub(crate) resident: f64,
    pub(crate) late: [f64; 2],
}

/// Measures `count` operations that wait.
pub(crate) async fn run(count: u64) -> Row {
    let directory = tempfile::tempdir().expect("a directory");
    let began = Instant::now();
    let near = count.min(RATE * SPAN.as_secs());
    let now = SystemClock::new().now();
    seed(directory.path(), near..count, |number| {
        now.after(LATER + Duration::from_millis(number % 3_600_000))
    })
    .await;
    let seeded = began.elapsed().as_secs_f64();
    // One is due when the process starts, and the others one each millisecond.
    let now = SystemClock::new().now();
    seed(directory.path(), 0..near, |number| match number {
        0 => now,
        number => now.after(LEAD + Duration::from_millis(number)),
    })
    .await;
    let size = std::fs::metadata(directory.path().join("formwork.db")).map_or(0, |it| it.len());
    println!(
        "{count} pending: written in {seeded:.1} s, {} MiB on the disk",
        size >> 20
    );
    let output = Command::new(std::env::current_exe().expect("a program"))
        .arg("wait-in")
        .arg(directory.path())
        .arg(SystemClock::new().now().as_millis().to_string())
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: HashMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let of = |name: &str| found.get(name).copied().unwrap_or(f64::NAN);
    println!(
        "  {:.0} invoked; late by p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms; resident {:.0} MiB; \
         from start to first invocation {:.2} s",
        of("invoked"),
        of("late50"),
        of("late99"),
        of("late100"),
        of("resident"),
        of("first"),
    );
    println!(
        "  meanwhile, p50 and p99: a list {:.2} and {:.2} ms, a list of those in progress {:.2} and {:.2} ms, \
         a status {:.2} and {:.2} ms",
        of("list50"),
        of("list99"),
        of("some50"),
        of("some99"),
        of("get50"),
        of("get99"),
    );
    Row {
        count,
        resident: of("resident"),
        late: [of("late50"), of("late99")],
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
async fn seed(directory: &Path, numbers: Range<u64>, due: impl Fn(u64) -> Timestamp) {
    const TOGETHER: usize = 512;
    let store = Arc::new(SqliteStore::open(directory).expect("a store"));
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

/// Runs an engine in a data directory while what waits there falls due, and tells
/// what it has measured. The words are the directory and when the process was
/// started.
pub(crate) async fn wait_in(words: &[&str]) {
    let [directory, started] = words else {
        panic!("a directory and a moment are wanted");
    };
    let started: u64 = started.parse().expect("a moment");
    let clock = SystemClock::new();
    // As a server begins; what is due is asked for beside it, for the measurement.
    let sandbox = guest::sandbox(32);
    let store = Arc::new(SqliteStore::open(directory).expect("a store"));
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
    let expected = due.len();
    let lateness = Arc::new(Lateness {
        clock: SystemClock::new(),
        due,
        seen: Mutex::default(),
    });
    let engine = Engine::builder(sandbox)
        .store(Arc::clone(&store) as _)
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
    assert_eq!(seen.late.len(), expected, "each is invoked once");
    let first = seen.first.expect("there was one").as_millis() - started;
    println!("invoked {}", seen.late.len());
    println!("resident {resident}");
    println!("first {}", Duration::from_millis(first).as_secs_f64());
    for (name, values) in [
        ("late", seen.late),
        ("list", lists),
        ("some", somes),
        ("get", gets),
    ] {
        let values = sorted(values);
        for share in [50_u32, 99, 100] {
            println!(
                "{name}{share} {}",
                quantile(&values, f64::from(share) / 100.0)
            );
        }
    }
}
