//! Attacks on what the host keeps for a guest: memory, handles, its log, its trust.

use std::env;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::process;

use formwork_guest::log;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::Fields;
use wasip2::io::poll::{Pollable, poll};
use wasip2::random::random::get_random_bytes;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

const MEBIBYTE: usize = 1 << 20;

/// The size of a page of memory, of which one byte is written.
const PAGE: usize = 4096;

pub(crate) fn attack(verb: &str, argument: &str) -> Option<String> {
    let number = || argument.parse::<usize>().unwrap_or(0);
    Some(match verb {
        "hog" => hog(),
        "touch" => touch(number() * MEBIBYTE),
        "pollables" => kept(number(), || monotonic_clock::subscribe_duration(1 << 60)),
        "fields" => kept(number(), Fields::new),
        "full-fields" => {
            let value = vec![b'x'; 130_000];
            kept(number(), || {
                let fields = Fields::new();
                fields.append("x", &value).ok();
                fields
            })
        }
        "streams" => kept(number(), wasip2::cli::stderr::get_stderr),
        "poll" => {
            let all: Vec<Pollable> = (0..number())
                .map(|_| monotonic_clock::subscribe_duration(0))
                .collect();
            format!("{} are ready", poll(&all.iter().collect::<Vec<_>>()).len())
        }
        "poll-none" => format!("{} are ready", poll(&[]).len()),
        "forge" => {
            // SAFETY: the handle is none, and it is the host's to find that out.
            let forged = unsafe { Pollable::from_handle(u32::try_from(number()).unwrap_or(0)) };
            forged.block();
            "waited by a forged handle".to_owned()
        }
        "drop-twice" => {
            let held = monotonic_clock::subscribe_duration(0);
            // SAFETY: it is the host's to find out that a handle is given back twice.
            drop(unsafe { Pollable::from_handle(held.handle()) });
            drop(held);
            "gave a handle back twice".to_owned()
        }
        "random" => format!("{} bytes", get_random_bytes(number() as u64).len()),
        "fields-bytes" => {
            let value = vec![b'x'; number()];
            match Fields::new().append("x-large", &value) {
                Ok(()) => "kept".to_owned(),
                Err(error) => format!("error: {error:?}"),
            }
        }
        "log-line" => {
            log::info!("{}", "x".repeat(number()));
            "said".to_owned()
        }
        "log-lines" => {
            for line in 0..number() {
                log::info!("line {line}");
            }
            "said".to_owned()
        }
        "stderr" => {
            let piece = vec![b'x'; number().min(MEBIBYTE)];
            let mut left = number();
            while left > 0
                && io::stderr()
                    .write_all(&piece[..left.min(piece.len())])
                    .is_ok()
            {
                left -= left.min(piece.len());
            }
            "said".to_owned()
        }
        "answer" => "x".repeat(number()),
        "exit" => process::exit(argument.parse().unwrap_or(0)),
        "surroundings" => surroundings(),
        "socket" => {
            let tcp = create_tcp_socket(IpAddressFamily::Ipv4).map(drop);
            let udp = create_udp_socket(IpAddressFamily::Ipv6).map(drop);
            [tcp, udp]
                .map(|made| made.map_or_else(|error| error.name(), |()| "made"))
                .join(" ")
        }
        "look-up" => look_up(argument),
        _ => return None,
    })
}

fn hog() -> String {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(black_box(vec![1; MEBIBYTE]));
    }
}

fn touch(bytes: usize) -> String {
    let mut taken = vec![0_u8; bytes];
    for byte in taken.iter_mut().step_by(PAGE) {
        *byte = 1;
    }
    format!("{} bytes", black_box(taken).len())
}

/// Takes so many handles, and keeps them to the end.
fn kept<T>(count: usize, take: impl Fn() -> T) -> String {
    let taken: Vec<T> = (0..count).map(|_| take()).collect();
    format!("{} handles", black_box(&taken).len())
}

fn surroundings() -> String {
    let mut input = String::new();
    let read = io::stdin()
        .read_to_string(&mut input)
        .map_err(|error| error.kind());
    format!(
        "arguments {:?} variables {:?} input {read:?}",
        env::args().collect::<Vec<_>>(),
        env::vars().collect::<Vec<_>>(),
    )
}

fn look_up(name: &str) -> String {
    match resolve_addresses(&instance_network(), name) {
        Ok(found) => {
            found.subscribe().block();
            format!("{:?}", found.resolve_next_address())
        }
        Err(error) => format!("error: {}", error.name()),
    }
}
