//! What a guest imports: the state behind it, and the linker.
//!
//! *Invariant*: a guest gets what its grants name and nothing else. The
//! environment and the arguments are empty, the input is closed, sockets and
//! name lookup are refused, there is no directory.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::formwork::handler::logging;
use super::clocks::{ClockView, GuestMonotonicClock, GuestWallClock};
use super::http::Refuse;
use super::limiter::Limiter;
use super::logging::{Captured, GuestLog};
use super::meter::Meter;
use super::{DirectoryGrant, Environment, SandboxError};
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
    http: WasiHttpCtx,
    refuse: Refuse,
    table: ResourceTable,
    clock: Arc<dyn Clock>,
    pub(super) limiter: Limiter,
    pub(super) log: GuestLog,
    pub(super) meter: Arc<Meter>,
}

impl State {
    /// Opens what `environment` grants.
    pub(super) fn new(
        environment: &Environment,
        log: GuestLog,
        meter: Arc<Meter>,
    ) -> Result<Self, SandboxError> {
        let limits = &environment.limits;
        let mut builder = WasiCtx::builder();
        builder
            .stdout(Captured::stdout(&log))
            .stderr(Captured::stderr(&log))
            .wall_clock(GuestWallClock(Arc::clone(&environment.clock)))
            .max_random_size(limits.random_bytes)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        for (grant, guest_path) in mounts(&environment.grants.directories)? {
            let permissions = if grant.writable {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            builder
                .preopened_dir(&grant.host_path, guest_path, permissions)
                .map_err(|source| SandboxError::Directory {
                    path: grant.host_path.clone(),
                    source: source.into(),
                })?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.http_field_bytes);
        Ok(Self {
            wasi: builder.build(),
            http,
            refuse: Refuse,
            table,
            clock: Arc::clone(&environment.clock),
            limiter: Limiter::new(limits),
            log,
            meter,
        })
    }
}

/// Gives the guest's path of each grant: `/NAME`, and `/` for the first one too.
///
/// The root comes last, so that a guest's library finds the longer path first.
fn mounts(grants: &[DirectoryGrant]) -> Result<Vec<(&DirectoryGrant, String)>, SandboxError> {
    let mut taken = BTreeSet::new();
    let mut mounts = Vec::new();
    for grant in grants {
        let name = grant
            .host_path
            .file_name()
            .and_then(OsStr::to_str)
            .ok_or_else(|| SandboxError::DirectoryName {
                path: grant.host_path.clone(),
            })?;
        if !taken.insert(name) {
            return Err(SandboxError::DirectoryTwice {
                path: grant.host_path.clone(),
                name: name.to_owned(),
            });
        }
        mounts.push((grant, format!("/{name}")));
    }
    if let Some(first) = grants.first() {
        mounts.push((first, "/".to_owned()));
    }
    Ok(mounts)
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
            hooks: &mut self.refuse,
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
    monotonic_clock::add_to_linker::<State, GuestMonotonicClock>(&mut linker, |state| ClockView {
        clock: &state.clock,
        table: &mut state.table,
    })?;
    linker.allow_shadowing(false);
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn grant(path: &str) -> DirectoryGrant {
        DirectoryGrant {
            host_path: PathBuf::from(path),
            writable: false,
        }
    }

    #[test]
    fn each_directory_is_under_its_name_and_the_first_is_the_root_as_well() {
        let grants = [grant("/srv/data"), grant("/srv/more/cache")];
        let paths: Vec<_> = mounts(&grants)
            .expect("mounts")
            .into_iter()
            .map(|(grant, path)| (grant.host_path.display().to_string(), path))
            .collect();
        assert_eq!(
            paths,
            [
                ("/srv/data".to_owned(), "/data".to_owned()),
                ("/srv/more/cache".to_owned(), "/cache".to_owned()),
                ("/srv/data".to_owned(), "/".to_owned()),
            ]
        );
    }

    #[test]
    fn directories_that_would_share_a_path_are_refused() {
        for grants in [vec![grant("/a/x"), grant("/b/x")], vec![grant("/")]] {
            assert!(mounts(&grants).is_err(), "{grants:?}");
        }
    }
}
