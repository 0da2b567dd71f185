//! Attacks on time: the CPU's, and everybody's patience.

use std::hint::black_box;

use formwork_guest::log;
use wasip2::clocks::monotonic_clock;

/// How much is filled by one instruction: nearly all that a guest may have.
const FILLED: usize = 200 << 20;

pub(crate) fn attack(verb: &str, argument: &str) -> Option<String> {
    match verb {
        "loop" => loop {
            black_box(());
        },
        "call-clock" => loop {
            black_box(monotonic_clock::now());
        },
        "call-yield" => loop {
            monotonic_clock::subscribe_duration(0).block();
        },
        "call-log" => loop {
            log::info!("still here");
        },
        "sleep" => {
            monotonic_clock::subscribe_duration(u64::MAX).block();
            None
        }
        "fill" => {
            let mut memory = vec![0_u8; FILLED];
            loop {
                black_box(&mut memory).fill(1);
            }
        }
        "recurse-calling" => Some(recurse_calling(argument.len() as u64).to_string()),
        _ => None,
    }
}

/// Uses the stack up with calls into the host from every depth of it.
#[inline(never)]
fn recurse_calling(depth: u64) -> u64 {
    if monotonic_clock::now() == depth {
        return 0;
    }
    (recurse_calling(depth + 1) >> 1) ^ depth
}
