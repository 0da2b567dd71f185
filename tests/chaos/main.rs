//! Crash campaigns: real hosts with a real handler under load, to which the worst
//! is done, and a ledger outside of them by which nothing may be lost.
//!
//! | campaign | what is broken |
//! | --- | --- |
//! | `sqlite` | one host on a data directory, killed at any moment |
//! | `endpoint` | the endpoint of reports: it fails, is slow, answers garbage and errors to what it took, takes things twice, refuses, hangs up, is gone |
//! | `disk` | the disk: full, with space again, without a restart |
//! | `postgres` | three hosts on one database, killed and paused past their leases; the database, restarted, killed and paused; connections, cut and slow |
//!
//! A seed decides what is asked for and when something is broken; what of it a
//! host is doing at that moment, the machine decides.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that tells what it found"
)]

mod campaign;
mod client;
mod database;
mod disk;
mod endpoint;
mod host;
mod kills;
mod load;
mod place;
mod records;
mod relay;
mod shared;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use tokio::time::Instant;

use campaign::{Extent, Outcome};

/// Kills, pauses and starves hosts under load, and sees that nothing is lost
#[derive(Debug, Parser)]
struct Args {
    /// Which campaigns; all of them if none is named
    #[arg(value_enum)]
    campaigns: Vec<Campaign>,

    /// What everything is drawn from; another one each time if it is not given
    #[arg(long)]
    seed: Option<u64>,

    /// How often something is broken in each campaign [default: 100, or as often as there is time]
    #[arg(long)]
    rounds: Option<u64>,

    /// For how long something is broken in each campaign
    #[arg(long)]
    seconds: Option<u64>,

    /// How many callers there are at once
    #[arg(long, default_value_t = 8)]
    callers: u64,

    /// Keeps the directories of campaigns in which nothing is wrong, too
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Campaign {
    /// One host on a data directory, killed at any moment
    Sqlite,
    /// One host whose reports are taken badly
    Endpoint,
    /// One host on a disk that is full again and again
    Disk,
    /// Three hosts on one PostgreSQL
    Postgres,
}

impl Args {
    fn rounds(&self) -> u64 {
        match (self.rounds, self.seconds) {
            (Some(rounds), _) => rounds,
            (None, Some(_)) => u64::MAX,
            (None, None) => 100,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = args
        .seed
        .unwrap_or_else(|| now.map_or(0, |now| now.as_secs()));
    let campaigns = if args.campaigns.is_empty() {
        Campaign::value_variants()
    } else {
        &args.campaigns
    };
    let mut good = true;
    for campaign in campaigns {
        let began = Instant::now();
        let extent = Extent {
            seed,
            rounds: args.rounds(),
            until: args
                .seconds
                .map(|seconds| began + Duration::from_secs(seconds)),
            callers: args.callers,
        };
        let name = format!("{campaign:?}").to_lowercase();
        println!("chaos: {name}: seed {seed}");
        let tell = |round: u64, operations: usize| {
            if round.is_multiple_of(25) {
                let seconds = began.elapsed().as_secs();
                println!("chaos: {name}: {round} rounds, {operations} operations, {seconds} s");
            }
        };
        let outcome = match campaign {
            Campaign::Sqlite => kills::run(extent, args.keep, tell).await,
            Campaign::Endpoint => endpoint::run(extent, args.keep, tell).await,
            Campaign::Disk => disk::run(extent, args.keep, tell).await,
            Campaign::Postgres => shared::run(extent, args.keep, tell).await,
        };
        match outcome {
            Ok(outcome) => good &= told(&name, seed, &outcome, began.elapsed()),
            Err(error) => {
                eprintln!("chaos: {name}: seed {seed}: {error:#}");
                good = false;
            }
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Tells what was found, and whether it is good.
fn told(name: &str, seed: u64, outcome: &Outcome, took: Duration) -> bool {
    for note in &outcome.notes {
        println!("chaos: {note}");
    }
    for (violation, history) in &outcome.violations {
        eprintln!("VIOLATION {violation}\n{history}\n");
    }
    let broken: Vec<String> = outcome
        .broken
        .iter()
        .map(|(what, times)| format!("{times} {what}"))
        .collect();
    println!(
        "chaos: {name}: seed {seed}: {} rounds ({}), {} operations, {} invocations, {} reports, {} violations, {} s",
        outcome.rounds,
        broken.join(", "),
        outcome.operations,
        outcome.invocations,
        outcome.reports,
        outcome.violations.len(),
        took.as_secs()
    );
    if let Some(left) = &outcome.left {
        println!("chaos: {name}: see {}", left.display());
    }
    outcome.violations.is_empty()
}
