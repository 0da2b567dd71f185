//! What a neighbour feels of hostile guests, and what the engine's timers do.
//!
//! The neighbour makes creates of 1 KiB, one after the other, on a sandbox with
//! the settings of every day. Beside it are no hostile guests, one, or as many as
//! there are threads for guests; one that ends is called again at once. The three
//! are measured in turns, several times for each kind of attack, so that whatever
//! else the machine does is in all of them.
//!
//! The timers are waits of 5 ms on the clock that the engine waits on, in the
//! runtime that it runs in; what they are late by is measured.
//!
//! | aim | |
//! | --- | --- |
//! | beside one | p99 within twice that of no hostile guest |
//! | beside as many as threads | p99 within that of no hostile guest, and two ticks |
//! | timers | within 10 ms at p99 throughout |
//!
//! Needs `scripted-guest.wasm` and `hostile-guest.wasm` in `target/guests`: `make
//! guests` builds them.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{Call, Invocation, JsonObject, RequestDetails, RequestToken, Scope};
use formwork_host::sandbox::{Compiler, Environment, Handler, Outcome, Sandbox, SandboxConfig};
use formwork_tests::guests;
use formwork_tests::hostile::Text;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// What the timers wait for.
const WAIT: Duration = Duration::from_millis(5);

/// How late they may be.
const TIMERS: Duration = Duration::from_millis(10);

/// Between two creates of the neighbour.
const PAUSE: Duration = Duration::from_millis(1);

/// What hostile guests do: what the hostile guest is asked for, or a text of
/// `tests/hostile`.
const ATTACKS: &[(&str, With)] = &[
    ("computes for ever", With::Guest("loop")),
    ("calls the clock for ever", With::Guest("call-clock")),
    ("waits for nothing for ever", With::Guest("call-yield")),
    ("logs for ever", With::Guest("call-log")),
    ("fills 224 MiB over and over", With::Text("loop-of-fills")),
    ("copies 224 MiB over and over", With::Text("loop-of-copies")),
    ("takes all memory, and aborts", With::Guest("hog")),
    ("uses 200 MiB, and ends", With::Guest("touch 200")),
    ("grows its table, and traps", With::Text("table-bomb")),
    (
        "takes all handles, and traps",
        With::Guest("pollables 1000000"),
    ),
    ("recurses, and traps", With::Text("deep-recursion")),
    ("traps at once", With::Text("trap-in-actions")),
    ("answers 200 MiB", With::Text("giant-answer")),
];

#[derive(Clone, Copy)]
enum With {
    Guest(&'static str),
    Text(&'static str),
}

/// Measures what a neighbour feels of hostile guests.
#[derive(Parser)]
struct Args {
    /// How long each turn takes, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,

    /// How many turns there are of each row.
    #[arg(long, default_value_t = 5)]
    turns: usize,

    /// Only the attacks whose names begin so.
    attacks: Vec<String>,

    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long what is measured took, in a turn or in several.
#[derive(Default)]
struct Measured {
    neighbour: Vec<Duration>,
    late: Vec<Duration>,
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.neighbour.extend(other.neighbour);
        self.late.extend(other.late);
    }

    fn row(&mut self, name: &str) -> [Duration; 3] {
        let figures = [
            percentile(&mut self.neighbour, 50),
            percentile(&mut self.neighbour, 99),
            percentile(&mut self.late, 99),
        ];
        let [p50, p99, late] = figures.map(|figure| figure.as_secs_f64() * 1e3);
        print!(
            "{name:<32} {:>7} {p50:>8.2} {p99:>8.2} {late:>8.2}  ",
            self.neighbour.len()
        );
        figures
    }
}

fn percentile(durations: &mut [Duration], percent: usize) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(&args));
}

async fn measure(args: &Args) {
    let config = SandboxConfig::new(Compiler::Unbounded);
    let (workers, tick) = (config.worker_threads, config.tick);
    let sandbox = Sandbox::new(&config).expect("a sandbox");
    let load = async |component: Arc<[u8]>| sandbox.load(component).await.expect("it loads");
    let neighbour = load(guests::component("scripted-guest")).await;
    let hostile = load(guests::component("hostile-guest")).await;
    println!(
        "{workers} threads for guests, a tick of {tick:?}; {} turns of {} s each; in ms\n",
        args.turns, args.seconds
    );
    println!(
        "{:<32} {:>7} {:>8} {:>8} {:>8}",
        "beside a guest that", "creates", "p50", "p99", "timers"
    );
    let mut missed = 0;
    for &(name, with) in ATTACKS {
        let wanted = |it: &String| name.starts_with(it.as_str());
        if !args.attacks.is_empty() && !args.attacks.iter().any(wanted) {
            continue;
        }
        let (attacker, state) = match with {
            With::Guest(attack) => (hostile.clone(), json!({"Name": "a", "Do": [attack]})),
            With::Text(text) => {
                let component = Text::file(text).component();
                (load(component.into()).await, json!({"Name": "a"}))
            }
        };
        let mut rows = [
            (0, Measured::default()),
            (1, Measured::default()),
            (workers, Measured::default()),
        ];
        for _ in 0..args.turns {
            for (count, measured) in &mut rows {
                let span = Duration::from_secs_f64(args.seconds);
                measured.add(turn(&neighbour, (&attacker, &state), *count, span).await);
            }
        }
        let [quiet, one, many] = &mut rows;
        let [_, still, late_still] = quiet.1.row(name);
        println!("without any");
        let [_, beside, late_one] = one.1.row("");
        let kept = beside <= still * 2;
        missed += usize::from(!kept);
        println!("beside one{}", verdict(kept));
        let [_, beside, late_many] = many.1.row("");
        let kept = beside <= still + tick * 2;
        missed += usize::from(!kept);
        println!("beside {workers}{}", verdict(kept));
        let late = late_still.max(late_one).max(late_many);
        missed += usize::from(late > TIMERS);
    }
    println!("\n{missed} aims are missed");
}

const fn verdict(kept: bool) -> &'static str {
    if kept { "" } else { ", MISSED" }
}

/// Measures the neighbour and the timers beside so many hostile guests.
async fn turn(
    neighbour: &Handler,
    (attacker, state): (&Handler, &Value),
    count: usize,
    span: Duration,
) -> Measured {
    let stopped = Arc::new(AtomicBool::new(false));
    let mut hostile = JoinSet::new();
    for _ in 0..count {
        let (attacker, state) = (attacker.clone(), state.clone());
        hostile.spawn(async move {
            loop {
                let ended = attacker.mutate(create(&state), &environment()).await;
                ended.expect("the host goes on");
            }
        });
    }
    let timers = tokio::spawn(lateness(Arc::clone(&stopped)));
    let filler = "x".repeat(1000);
    let state = json!({"Name": "a", "Note": filler, "Script": ["success"]});
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < span {
        let begun = Instant::now();
        let answer = neighbour.mutate(create(&state), &environment()).await;
        took.push(begun.elapsed());
        assert!(matches!(answer, Ok(Outcome::Answered(_))), "{answer:?}");
        tokio::time::sleep(PAUSE).await;
    }
    stopped.store(true, Ordering::Relaxed);
    hostile.shutdown().await;
    Measured {
        neighbour: took,
        late: timers.await.expect("the timers go on"),
    }
}

/// Measures by how much waits on the engine's clock are late.
async fn lateness(stopped: Arc<AtomicBool>) -> Vec<Duration> {
    let clock = SystemClock::new();
    let mut late = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let begun = Instant::now();
        clock.sleep(WAIT).await;
        late.push(begun.elapsed().saturating_sub(WAIT));
    }
    late
}

fn environment() -> Environment {
    Environment::new(Arc::new(SystemClock::new()))
}

fn create(state: &Value) -> Invocation {
    let now = SystemClock::new().now();
    Invocation {
        token: RequestToken::random(),
        type_name: "Formwork::Tests::Measured".parse().expect("a type name"),
        scope: Scope::default(),
        start_time: now,
        deadline: now.after(Duration::from_secs(7200)),
        invocation: 1,
        attempt: 1,
        details: RequestDetails::default(),
        call: Call::Create {
            desired_state: JsonObject::parse(state.to_string()).expect("an object"),
            callback_context: None,
        },
    }
}
