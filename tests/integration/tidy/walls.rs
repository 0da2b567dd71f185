//! What may be named where.

use super::Finding;
use super::source::Source;

/// Keeps names on one side.
pub(super) struct Wall {
    /// What is kept: paths, in the spelling of [`super::source::Mention`].
    pub(super) names: &'static [&'static str],
    /// Where the wall stands: the beginnings of paths of files.
    pub(super) within: &'static [&'static str],
    /// Where the names may stand all the same.
    pub(super) save: &'static [&'static str],
    /// Why, and what to do instead.
    pub(super) says: &'static str,
    /// A file and a piece of code that the wall must stop.
    pub(super) breach: (&'static str, &'static str),
}

impl Wall {
    /// Gives the places where a file reaches through the wall.
    pub(super) fn breaches(&self, source: &Source) -> Vec<Finding> {
        let stands_in = |paths: &[&str]| paths.iter().any(|start| source.path.starts_with(start));
        if !stands_in(self.within) || stands_in(self.save) {
            return Vec::new();
        }
        let named = source
            .mentions
            .iter()
            .filter(|mention| self.names.iter().any(|name| mention.is(name)));
        named
            .map(|mention| {
                let what = format!("names `{}`: {}", mention.segments.join("::"), self.says);
                Finding::new(&source.path, mention.line, what)
            })
            .collect()
    }
}

const EVERYWHERE: &[&str] = &[""];
const PURE: &[&str] = &["host/src/model", "host/src/operation"];
/// Everything that ships and is not the command line.
const LIBRARIES: &[&str] = &["host/", "guest-sdk/"];
const COMMAND_LINE: &[&str] = &[
    "host/server/src/main.rs",
    "host/server/src/commands",
    "host/server/src/progress",
];

pub(super) const WALLS: &[Wall] = &[
    Wall {
        names: &["wasmtime*"],
        within: EVERYWHERE,
        save: &["host/src/sandbox"],
        says: "the sandbox alone knows the WebAssembly engine; give the sandbox a type of our own for it",
        breach: ("host/src/engine/worker.rs", "use wasmtime_wasi::WasiCtx;"),
    },
    Wall {
        names: &["rusqlite*"],
        within: EVERYWHERE,
        save: &["host/src/store/sqlite"],
        says: "a database's driver stays in its own store; ask for it through `Store`",
        breach: (
            "host/src/store/memory.rs",
            "fn f(c: &rusqlite::Connection) {}",
        ),
    },
    Wall {
        names: &["tokio_postgres*"],
        within: EVERYWHERE,
        save: &["host/src/store/postgres"],
        says: "a database's driver stays in its own store; ask for it through `Store`",
        breach: (
            "host/src/store/sqlite.rs",
            "fn f(c: &tokio_postgres::Client) {}",
        ),
    },
    Wall {
        names: &["aws_*"],
        within: EVERYWHERE,
        // The last four for the cryptography alone, signatures and `aws_lc_rs`, which
        // have no shapes.
        save: &[
            "host/cloudformation/",
            "host/server/src/access",
            "host/server/src/doors",
            "host/server/src/http_client",
            "host/src/sandbox/outbound/policy/credentials/sign",
            "host/src/sandbox/outbound/client",
            "host/src/store/postgres/tls",
        ],
        says: "AWS shapes end at the doors and at the reporter; convert there",
        breach: ("host/src/engine.rs", "use aws_sdk_cloudformation::Client;"),
    },
    Wall {
        names: &["wit_bindgen*"],
        within: EVERYWHERE,
        save: &["guest-sdk/"],
        says: "guests get their bindings from the guest SDK; use its export macro",
        breach: ("examples/file/src/lib.rs", "wit_bindgen::generate!({});"),
    },
    Wall {
        names: &["formwork_host*"],
        within: &["guest-sdk/", "examples/"],
        save: &["examples/embed/"],
        says: "host and guest share the contract in wit/ and no code",
        breach: ("guest-sdk/src/lib.rs", "use formwork_host::model;"),
    },
    Wall {
        names: &["formwork_guest*"],
        within: &["host/"],
        save: &[],
        says: "host and guest share the contract in wit/ and no code",
        breach: ("host/src/lib.rs", "use formwork_guest as guest;"),
    },
    Wall {
        names: &[
            "async",
            "async_trait*",
            "futures*",
            "tokio*",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
            "tracing*",
        ],
        within: PURE,
        // It bounds the time that deciding takes, and where much of it is taken.
        save: &["host/src/model/schema/bounded"],
        says: "this part only decides: no waiting, no clock, no input or output; pass in what it needs",
        breach: ("host/src/operation/apply.rs", "async fn f() {}"),
    },
    Wall {
        names: &[
            "async",
            "async_trait*",
            "futures*",
            "hyper*",
            "tokio*",
            "std::fs",
            "std::io",
            "std::process",
            "std::thread",
            "std::net::Tcp*",
            "std::net::Udp*",
            "ToSocketAddrs",
            "SystemTime::now",
            "Instant::now",
        ],
        within: &["host/src/sandbox/outbound/policy"],
        save: &[],
        says: "the policy of outgoing requests only decides; what carries it out stands beside it",
        breach: (
            "host/src/sandbox/outbound/policy/address.rs",
            "async fn f() {}",
        ),
    },
    Wall {
        names: &[
            "TcpStream*",
            "TcpSocket*",
            "UdpSocket*",
            "UnixStream*",
            "ToSocketAddrs*",
            "to_socket_addrs*",
            ".to_socket_addrs",
            "lookup_host*",
        ],
        within: &["host/src/sandbox"],
        // What is open is held apart from where it was opened.
        save: &[
            "host/src/sandbox/outbound/connection",
            "host/src/sandbox/outbound/dial",
        ],
        says: "the sandbox opens connections in one place, to addresses that the policy has judged",
        breach: (
            "host/src/sandbox/outbound/client.rs",
            "fn f() { tokio::net::TcpStream::connect(A); }",
        ),
    },
    Wall {
        names: &["derive::Serialize", "derive::Deserialize"],
        within: PURE,
        save: &[],
        says: "who owns a wire or disk format writes a mirror type and converts in one place",
        breach: (
            "host/src/model/name.rs",
            "#[derive(Clone, serde::Serialize)] struct Name;",
        ),
    },
    Wall {
        names: &[
            "SystemTime::now",
            "Instant::now",
            "tokio::time::sleep*",
            "tokio::time::interval*",
            "time::sleep*",
            "time::interval*",
            "Zoned::now",
            "jiff::Timestamp::now",
        ],
        within: &["host/"],
        // The meter measures how long a guest computes, the limits on a call and on a
        // compilation bound how long each holds a machine, as those of its threads do,
        // a connection is there though nobody uses it, what lies on a disk changes by itself, and a database comes back in its own
        // time and tells what it is: all are real time under any clock.
        save: &[
            "host/src/clock",
            "host/src/sandbox/compiler",
            "host/src/sandbox/handler",
            "host/src/sandbox/meter",
            "host/src/sandbox/outbound/connection",
            "host/src/sandbox/quota",
            "host/src/sandbox/threads",
            "host/src/store/postgres/server",
            "host/src/store/postgres/time",
        ],
        says: "time comes from the clock, so that a test can move it; take a `Clock` or a `Timestamp`",
        breach: (
            "host/src/engine/timer.rs",
            "fn f() { std::time::Instant::now(); }",
        ),
    },
    Wall {
        names: &["thread::sleep*"],
        within: &["host/"],
        // The ticker has a thread of its own, so that a busy runtime cannot hold it up.
        save: &["host/src/clock", "host/src/sandbox/engine"],
        says: "a sleeping thread cannot be woken; wait on the clock",
        breach: ("host/src/engine.rs", "fn f() { std::thread::sleep(D); }"),
    },
    Wall {
        names: &["env::var*", "env::set_var", "env::remove_var"],
        within: LIBRARIES,
        // An attribute macro learns only there which package it expands in.
        save: &[
            "guest-sdk/macros/",
            "host/server/src/config",
            "host/server/src/environment",
        ],
        says: "only the configuration of the command line reads the environment; take a setting",
        breach: (
            "host/src/sandbox/config.rs",
            "use std::env; fn f() { env::var_os(\"A\"); }",
        ),
    },
    Wall {
        names: &["print!", "println!", "eprint!", "eprintln!", "dbg!"],
        within: LIBRARIES,
        save: COMMAND_LINE,
        says: "only commands print; log an event, or give the text back",
        breach: ("host/src/engine.rs", "fn f() { eprintln!(\"lost\"); }"),
    },
    Wall {
        names: &["anyhow*"],
        within: LIBRARIES,
        save: &["host/server/"],
        says: "a library's errors are types that callers can match; write an enum",
        breach: (
            "host/src/registry.rs",
            "fn f() -> anyhow::Result<()> { Ok(()) }",
        ),
    },
    Wall {
        names: &[".unwrap", ".unwrap_err"],
        within: EVERYWHERE,
        save: &[],
        says: "say why it cannot fail with `expect`, or give the error back",
        breach: ("examples/file/src/lib.rs", "fn f() { a().unwrap(); }"),
    },
    Wall {
        names: &["todo!", "unimplemented!"],
        within: EVERYWHERE,
        save: &[],
        says: "finish it, or leave it out",
        breach: ("host/src/engine.rs", "fn f() { todo!() }"),
    },
    Wall {
        names: &["without-reason"],
        within: EVERYWHERE,
        save: &[],
        says: "an exception from a lint says why: `#[expect(..., reason = \"...\")]`",
        breach: ("host/src/engine.rs", "#[expect(dead_code)] fn f() {}"),
    },
];
