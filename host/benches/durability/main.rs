//! What durability costs: operations a second, and a million that wait.
//!
//! Throughput: whole operations of one and of three invocations, in memory, in
//! SQLite and in PostgreSQL with one and with two hosts, so many in flight; with the
//! latency of each, the commits and fsyncs for each, and whose CPU time it was: that
//! of the guests' threads, of the store's thread, or of the rest (the engine,
//! sealing, reads, this program). PostgreSQL is measured where there is one, started
//! by `tests/run-postgres` on the same machine; the CPU time of its server is not
//! counted.
//!
//! Pending: operations that wait for callbacks are written by the store's own
//! accept; then a process of its own opens the data directory, or two open the
//! database, and 1,000 of them a second fall due. They measure how much later than
//! due the invocations have ended, their resident memory, how long it was from
//! their start to the first invocation, and how long lists and looks at single
//! operations take meanwhile. The plots are `target/pending.svg` and
//! `target/pending-postgres.svg`.
//!
//! `cargo bench -p formwork-host --bench durability -- [throughput|pending]
//! [sqlite|postgres] [COUNT…]`; throughput is measured on all stores.
//!
//! Needs `target/guests/scripted-guest.wasm`: `make guests` builds it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures real time and tells it"
)]

mod guest;
mod pending;
mod plot;
mod postgres;
mod process;
mod throughput;

use pending::Place;
use tokio::runtime::Runtime;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = Runtime::new().expect("a runtime");
    if let Some((&"wait-in", rest)) = words.split_first() {
        return runtime.block_on(pending::wait_in(rest));
    }
    let all = !words
        .iter()
        .any(|word| matches!(*word, "throughput" | "pending"));
    if all || words.contains(&"throughput") {
        runtime.block_on(throughput::run());
    }
    if all || words.contains(&"pending") {
        let counts: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let counts = if counts.is_empty() {
            vec![1_000, 30_000, 1_000_000]
        } else {
            counts
        };
        for (word, name, place) in [
            ("sqlite", "pending", Place::Sqlite),
            ("postgres", "pending-postgres", Place::Postgres),
        ] {
            let other = |it: &&str| ["sqlite", "postgres"].contains(it) && *it != word;
            if words.iter().any(other) {
                continue;
            }
            let rows: Vec<pending::Row> = counts
                .iter()
                .filter_map(|count| runtime.block_on(pending::run(&place, *count)))
                .collect();
            if rows.is_empty() {
                println!("postgres: SKIPPED, there is none on this machine");
            } else {
                plot::draw(name, &rows);
            }
        }
    }
}

/// Gives the value below which so much of `sorted` lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of what was measured is small"
    )]
    let at = (last as f64 * share).round() as usize;
    sorted[at]
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
