//! What a guest imports: the state behind it, and the linker.
//!
//! *Invariant*: a guest gets what its grants name and nothing else. The
//! environment and the arguments are empty, the input is closed, sockets and
//! name lookup are refused, there is no directory, and no HTTP request is sent.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::filesystem::{Dir, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::{FsPerms, OpenMode, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::IoError;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::formwork::handler::logging;
use super::clocks::{ClockView, GuestMonotonicClock, GuestWallClock};
use super::directories::{self, DirectoriesView, Given, Room, Rooms, Storage};
use super::limit::Limit;
use super::limiter::Limiter;
use super::logging::{Captured, GuestLog};
use super::meter::Meter;
use super::mounts::mounts;
use super::notices::Notices;
use super::outbound::{self, Outgoing};
use super::random::{self, RandomView};
use super::{Access, Environment, SandboxError};
use crate::clock::Clock;

/// The interfaces of WASI 0.2 that are linked.
pub(super) const WASI_INTERFACES: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What the host keeps for one guest.
pub(super) struct State {
    wasi: WasiCtx,
    rooms: Rooms,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    table: ResourceTable,
    clock: Arc<dyn Clock>,
    /// Bytes of randomness that may still be given.
    random_left: usize,
    pub(super) limiter: Limiter,
    pub(super) log: GuestLog,
    pub(super) meter: Arc<Meter>,
}

impl State {
    /// Opens what `environment` grants.
    pub(super) fn new(
        environment: &Environment,
        storage: &Storage<'_>,
        outgoing: Outgoing,
        notices: &Notices,
        log: GuestLog,
        meter: Arc<Meter>,
    ) -> Result<Self, SandboxError> {
        let limits = &environment.limits;
        let mut builder = WasiCtx::builder();
        builder
            .stdout(Captured::stdout(&log))
            .stderr(Captured::stderr(&log))
            .wall_clock(GuestWallClock(Arc::clone(&environment.guest_clock)))
            // What may be given in all is counted, so one call may ask for it.
            .max_random_size(limits.random_bytes as u64)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let mut given = Vec::new();
        for mount in mounts(&environment.grants.directories, storage.cache)? {
            let (room, permissions, mode) = match mount.grant.access {
                Access::ReadOnly => (None, FsPerms::ReadOnly, OpenMode::READ),
                Access::ReadWrite(quota) => {
                    let room = Arc::new(Room {
                        path: mount.grant.host_path.clone(),
                        quota,
                        ledger: storage.ledgers.of(&mount.real),
                        notices: notices.clone(),
                    });
                    let mode = OpenMode::READ | OpenMode::WRITE;
                    (Some(room), FsPerms::ReadWrite, mode)
                }
            };
            given.push(Given {
                directory: Dir::new(mount.directory, permissions, mode, false),
                path: mount.guest_path,
                room,
            });
        }
        // The first one is the root as well, which comes last, so that a guest's library
        // finds the longer path first.
        if let Some(first) = given.first() {
            given.push(Given {
                path: "/".to_owned(),
                ..Given::clone(first)
            });
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.http_field_bytes);
        Ok(Self {
            wasi: builder.build(),
            rooms: Rooms::new(given, limits, storage.files, notices),
            http,
            outgoing,
            table,
            clock: Arc::clone(&environment.guest_clock),
            random_left: limits.random_bytes,
            limiter: Limiter::new(limits),
            log,
            meter,
        })
    }
}

impl State {
    /// Says why HTTP requests could not be signed, if that was so.
    pub(super) fn lack_of_credentials(&self) -> Option<String> {
        self.outgoing.lack_of_credentials()
    }

    /// Gives the error that a guest holds.
    pub(super) fn error(&self, held: &Resource<IoError>) -> Result<&IoError, ResourceTableError> {
        self.table.get(held)
    }

    /// Refuses what a guest has the host keep of its requests beyond what may be.
    pub(super) fn hold_requests(&mut self) -> wasmtime::Result<()> {
        if self.outgoing.may_keep(&mut self.table) {
            return Ok(());
        }
        self.limiter.exceed(Limit::HTTP_KEPT);
        Err(wasmtime::Error::msg("too much is kept of HTTP requests"))
    }

    pub(super) fn directories(&mut self) -> DirectoriesView<'_> {
        DirectoriesView {
            library: WasiFilesystemCtxView {
                ctx: self.wasi.filesystem(),
                table: &mut self.table,
            },
            rooms: &mut self.rooms,
        }
    }

    pub(super) fn random(&mut self) -> RandomView<'_> {
        RandomView {
            source: self.wasi.random(),
            left: &mut self.random_left,
            limiter: &mut self.limiter,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Links everything that a guest may import, once for all components.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    logging::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    linker.allow_shadowing(true);
    outbound::add_to_linker(&mut linker)?;
    random::add_to_linker(&mut linker)?;
    directories::add_to_linker(&mut linker)?;
    monotonic_clock::add_to_linker::<State, GuestMonotonicClock>(&mut linker, |state| ClockView {
        clock: &state.clock,
        table: &mut state.table,
    })?;
    linker.allow_shadowing(false);
    Ok(linker)
}
