//! What a guest imports: the state behind it, and the linker.
//!
//! *Invariant*: a guest gets what its grants name and nothing else. The
//! environment and the arguments are empty, the input is closed, sockets and
//! name lookup are refused, there is no directory, and no HTTP request is sent.
//!
//! *Invariant*: no directory is opened that contains, is or lies below the cache
//! directory, whose files are run as machine code.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::IoError;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::formwork::handler::logging;
use super::clocks::{ClockView, GuestMonotonicClock, GuestWallClock};
use super::directories::{self, DirectoriesView, Room, Rooms};
use super::limit::Limit;
use super::limiter::Limiter;
use super::logging::{Captured, GuestLog};
use super::meter::Meter;
use super::notices::Notices;
use super::outbound::{self, Outgoing};
use super::quota::Ledgers;
use super::random::{self, RandomView};
use super::{Access, DirectoryGrant, Environment, SandboxError};
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
    /// Opens what `environment` grants, which may not overlap `cache`.
    pub(super) fn new(
        environment: &Environment,
        cache: Option<&Path>,
        ledgers: &Ledgers,
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
        let mut rooms = Vec::new();
        for mount in mounts(&environment.grants.directories, cache)? {
            let permissions = match mount.grant.access {
                Access::ReadOnly => {
                    rooms.push(None);
                    FsPerms::ReadOnly
                }
                Access::ReadWrite(quota) => {
                    rooms.push(Some(Arc::new(Room {
                        path: mount.grant.host_path.clone(),
                        quota,
                        ledger: ledgers.of(&mount.real),
                        notices: notices.clone(),
                    })));
                    FsPerms::ReadWrite
                }
            };
            builder
                .preopened_dir(&mount.real, mount.guest_path, permissions)
                .map_err(|source| SandboxError::Directory {
                    path: mount.grant.host_path.clone(),
                    source: source.into(),
                })?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.http_field_bytes);
        Ok(Self {
            wasi: builder.build(),
            rooms: Rooms::new(rooms),
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
        self.limiter.exceed(Limit::HTTP_FIELDS);
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

/// A granted directory, and where the guest sees it.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    grant: &'a DirectoryGrant,
    /// The directory without links: what is opened is what was checked.
    real: PathBuf,
    guest_path: String,
}

/// Gives the guest's path of each grant: `/NAME`, and `/` for the first one too.
///
/// The root comes last, so that a guest's library finds the longer path first.
///
/// # Errors
///
/// When a directory is not there, overlaps `cache`, or would share a path.
pub(super) fn mounts<'a>(
    grants: &'a [DirectoryGrant],
    cache: Option<&Path>,
) -> Result<Vec<Mount<'a>>, SandboxError> {
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
        mounts.push(Mount {
            grant,
            real: real_path(grant, cache)?,
            guest_path: format!("/{name}"),
        });
    }
    if let Some(first) = mounts.first() {
        mounts.push(Mount {
            grant: first.grant,
            real: first.real.clone(),
            guest_path: "/".to_owned(),
        });
    }
    Ok(mounts)
}

/// Gives the path of a granted directory without links.
fn real_path(grant: &DirectoryGrant, cache: Option<&Path>) -> Result<PathBuf, SandboxError> {
    let path = &grant.host_path;
    let real = path
        .canonicalize()
        .map_err(|source| SandboxError::Directory {
            path: path.clone(),
            source: source.into(),
        })?;
    match cache {
        Some(cache) if real.starts_with(cache) || cache.starts_with(&real) => {
            Err(SandboxError::DirectoryCache {
                path: path.clone(),
                cache: cache.to_owned(),
            })
        }
        Some(_) | None => Ok(real),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Makes the directories, and grants them.
    fn grants(base: &Path, names: &[&str]) -> Vec<DirectoryGrant> {
        let grant = |name: &&str| {
            fs::create_dir_all(base.join(name)).expect("a directory");
            DirectoryGrant::read_only(base.join(name))
        };
        names.iter().map(grant).collect()
    }

    #[test]
    fn each_directory_is_under_its_name_and_the_first_is_the_root_as_well() {
        let base = tempfile::tempdir().expect("a directory");
        let grants = grants(base.path(), &["data", "more/cache"]);
        let paths: Vec<_> = mounts(&grants, None)
            .expect("mounts")
            .into_iter()
            .map(|mount| (&mount.grant.host_path, mount.guest_path))
            .collect();
        let [data, cache] = [&grants[0].host_path, &grants[1].host_path];
        assert_eq!(
            paths,
            [
                (data, "/data".to_owned()),
                (cache, "/cache".to_owned()),
                (data, "/".to_owned()),
            ]
        );
    }

    #[test]
    fn directories_that_would_share_a_path_are_refused() {
        let base = tempfile::tempdir().expect("a directory");
        let root = DirectoryGrant::read_only("/");
        for grants in [grants(base.path(), &["a/x", "b/x"]), vec![root]] {
            assert!(mounts(&grants, None).is_err(), "{grants:?}");
        }
    }

    #[test]
    fn a_directory_that_overlaps_the_cache_is_refused() {
        let base = tempfile::tempdir().expect("a directory");
        let cache = base.path().join("home/cache");
        let all = grants(
            base.path(),
            &[
                "home",
                "home/cache",
                "home/cache/deeper",
                "home/cache-not",
                "data",
            ],
        );
        let link = base.path().join("link");
        std::os::unix::fs::symlink(&cache, &link).expect("a link");
        let linked = DirectoryGrant::read_write(link);
        let cache = cache.canonicalize().expect("the cache");
        for grant in all[..3].iter().chain([&linked]) {
            let refusal = mounts(std::slice::from_ref(grant), Some(&cache)).expect_err("overlap");
            let words = refusal.to_string();
            for path in [&grant.host_path, &cache] {
                assert!(words.contains(&format!("`{}`", path.display())), "{words}");
            }
        }
        for grant in &all[3..] {
            mounts(std::slice::from_ref(grant), Some(&cache)).expect("apart from the cache");
        }
    }
}
