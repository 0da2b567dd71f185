//! The steps that do something besides answering.

use std::collections::hash_map::RandomState;
use std::env;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use formwork_guest::bindings::formwork::handler::types as wit;
use formwork_guest::log::{self, Level};
use serde_json::{Value, json};

use crate::Invocation;

const MEBIBYTE: usize = 1 << 20;

/// How often this instance was called. A host that gives each invocation a
/// fresh instance never lets it pass 1.
static CALLS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn count_call() {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// Does what `verb` says; what it finds out is the new `Note`.
pub(crate) fn run(invocation: &Invocation, verb: &str, argument: &str) -> Option<String> {
    let number = || argument.parse::<usize>().unwrap_or(0);
    let duration = || Duration::from_millis(number() as u64);
    match verb {
        "note" => Some(argument.to_owned()),
        "log" => write_log(number()),
        "log-bytes" => {
            log::info!("{}", "x".repeat(number()));
            None
        }
        // Nothing can be done about a closed stream.
        "stdout" => writeln!(io::stdout(), "{argument}")
            .err()
            .map(|error| error.to_string()),
        "stderr" => writeln!(io::stderr(), "{argument}")
            .err()
            .map(|error| error.to_string()),
        "env" => Some(surroundings().to_string()),
        "clock" => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Some(now.map_or(0, |now| now.as_millis()).to_string())
        }
        "random" => Some(format!(
            "{:016x}",
            RandomState::new().build_hasher().finish()
        )),
        "state" => Some(CALLS.load(Ordering::Relaxed).to_string()),
        "echo-request" => Some(request(invocation).to_string()),
        "read-file" => Some(found(fs::read_to_string(argument))),
        "write-file" => Some(found(
            fs::write(argument, "scripted").map(|()| "written".into()),
        )),
        "record" => {
            record(invocation);
            None
        }
        "sleep" => {
            thread::sleep(duration());
            None
        }
        "spin" => {
            let start = Instant::now();
            while start.elapsed() < duration() {
                black_box(());
            }
            None
        }
        "hog" => {
            let bytes = if argument.is_empty() {
                usize::MAX
            } else {
                number()
            };
            hog(bytes);
            None
        }
        "panic" => panic!("{argument}"),
        "trap" => std::process::abort(),
        "exit" => std::process::exit(argument.parse().unwrap_or(0)),
        "loop" => loop {
            black_box(());
        },
        "recurse" => Some(recurse(u64::from(invocation.request.attempt)).to_string()),
        "recurse-in-memory" => Some(recurse_in_memory(1).to_string()),
        _ => panic!("the script holds the step {verb:?}, which there is not"),
    }
}

fn write_log(lines: usize) -> Option<String> {
    let levels = [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
    ];
    for (line, level) in (1..=lines).zip(levels.into_iter().cycle()) {
        log::write(level, format_args!("line {line} of {lines}"));
    }
    None
}

fn found(outcome: io::Result<String>) -> String {
    outcome.unwrap_or_else(|error| format!("{:?}: {error}", error.kind()))
}

/// Adds a line to the file that is named by the token. An invocation that cannot
/// be recorded traps: it must not go on unseen.
fn record(invocation: &Invocation) {
    let request = &invocation.request;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let line = json!({
        "token": request.client_request_token,
        "action": invocation.action,
        "name": invocation.state.get("Name"),
        "invocation": request.invocation,
        "attempt": request.attempt,
        "at": now.map_or(0, |now| now.as_millis() as u64),
        "seen": invocation.context.get("seen").cloned().unwrap_or_else(|| json!([])),
    });
    let path = format!("/{}", request.client_request_token);
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        // In one piece, since whoever calls may be killed at any moment.
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .expect("a record can be written to the granted directory");
}

/// Everything that a guest can see without having been given anything.
fn surroundings() -> Value {
    let files: Value = match fs::read_dir("/") {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect(),
        Err(error) => json!(format!("{:?}", error.kind())),
    };
    let mut input = String::new();
    let input = match io::stdin().read_to_string(&mut input) {
        Ok(_) => json!(input),
        Err(error) => json!({"error": format!("{:?}", error.kind())}),
    };
    json!({
        "arguments": env::args().collect::<Vec<_>>(),
        "environment": env::vars().map(|(name, value)| (name, json!(value))).collect::<serde_json::Map<_, _>>(),
        "files": files,
        "input": input,
    })
}

fn hog(bytes: usize) {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    let mut left = bytes;
    while left > 0 {
        let chunk = left.min(MEBIBYTE);
        taken.push(black_box(vec![1; chunk]));
        left -= chunk;
    }
    black_box(taken);
}

/// Uses the engine's own stack up: nothing of a frame lies in memory.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    // What is done with the result keeps the call from becoming a loop.
    (recurse(depth + 1) >> 1) ^ depth
}

/// Uses up the part of the memory that the toolchain sets aside as a stack.
fn recurse_in_memory(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(depth) == 0 {
        return 0;
    }
    recurse_in_memory(depth + 1) + frame[0]
}

fn request(invocation: &Invocation) -> Value {
    let object = |text: &Option<String>| -> Option<Value> {
        text.as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    };
    let tags = |tags: &[wit::Tag]| -> Value {
        tags.iter()
            .map(|tag| (tag.key.clone(), json!(tag.value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let request = &invocation.request;
    let credentials = request.credentials.as_ref().map(|credentials| {
        json!({
            "access-key-id": credentials.access_key_id,
            "secret-access-key": credentials.secret_access_key,
            "session-token": credentials.session_token,
        })
    });
    json!({
        "action": invocation.action,
        "client-request-token": request.client_request_token,
        "type-name": request.type_name,
        "start-time": request.start_time,
        "deadline": request.deadline,
        "invocation": request.invocation,
        "attempt": request.attempt,
        "region": request.region,
        "account-id": request.account_id,
        "partition": request.partition,
        "stack-id": request.stack_id,
        "logical-resource-id": request.logical_resource_id,
        "desired-tags": tags(&request.desired_tags),
        "previous-tags": tags(&request.previous_tags),
        "system-tags": tags(&request.system_tags),
        "previous-system-tags": tags(&request.previous_system_tags),
        "type-configuration": object(&request.type_configuration),
        "credentials": credentials,
        "snapshot-requested": request.snapshot_requested,
        "rollback": request.rollback,
        "driftable": request.driftable,
        "features": object(&request.features),
        "update-policy": object(&request.update_policy),
        "creation-policy": object(&request.creation_policy),
        "state": invocation.state,
        "previous": object(&invocation.previous),
        "context": invocation.context,
    })
}
