//! What the operating system knows of this process.

use std::collections::BTreeMap;
use std::fs;

/// Gives the resident memory, in MiB.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) / 1024.0
}

/// Gives the CPU time of the threads of this process so far, in seconds, by whose
/// they are.
pub(crate) fn cpu() -> BTreeMap<&'static str, f64> {
    let mut times = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some((name, rest)) = stat
            .split_once('(')
            .and_then(|(_, rest)| rest.rsplit_once(')'))
        else {
            continue;
        };
        let whose = match name {
            name if is_of_guests(name) => "sandbox",
            name if name.starts_with("formwork-sqlite") => "store",
            _ => "rest",
        };
        // User and system time, in hundredths of a second.
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        *times.entry(whose).or_default() += ticks / 100.0;
    }
    times
}

fn is_of_guests(thread: &str) -> bool {
    // The system keeps fifteen characters of a name.
    ["formwork-guest", "formwork-comput", "formwork-reserv"].contains(&thread)
}
