//! What an embedder decides: once for the sandbox, and for each invocation.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::HttpGrants;
use crate::clock::Clock;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Decides how the one sandbox of a process is built.
///
/// Name what differs and take the rest from the default; fields may be added:
///
/// ```
/// use formwork_host::sandbox::SandboxConfig;
///
/// let config = SandboxConfig {
///     concurrency: 64,
///     ..SandboxConfig::default()
/// };
/// ```
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// A directory for compiled components, made if it is missing. It must
    /// belong to this user, and nobody else may write to it: what lies there
    /// is run as machine code. Default: none, so that each load compiles.
    pub cache_dir: Option<PathBuf>,
    /// How many invocations may run at once; others queue. Each slot reserves
    /// about 16 GiB of address space and no memory. Default: 256, at least 1.
    pub concurrency: u32,
    /// How many threads run guests. Default: one for each CPU, at least 1.
    pub worker_threads: usize,
    /// How often a running guest yields to others and has its CPU budget
    /// checked. Default: 10 ms.
    pub tick: Duration,
    /// The most memory, in bytes, that one linear memory may ever have,
    /// whatever [`Limits::memory_bytes`] says. Default: 1 GiB.
    pub max_memory_bytes: usize,
    /// The most table elements that one table may ever have. Interpreters need
    /// tens of thousands. Default: 100,000.
    pub max_table_elements: usize,
    /// The largest component, in bytes, that is compiled. Default: 128 MiB.
    pub max_component_bytes: usize,
    /// How many components are compiled at once; one compilation uses several
    /// threads by itself. Default: 1, at least 1.
    pub compile_concurrency: usize,
    /// How many HTTP requests of all guests may be under way at once; others
    /// wait as long as for a connection. Default: 1,024, at least 1.
    pub http_concurrency: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            concurrency: 256,
            worker_threads: std::thread::available_parallelism().map_or(1, usize::from),
            tick: Duration::from_millis(10),
            max_memory_bytes: 1024 * MIB,
            max_table_elements: 100_000,
            max_component_bytes: 128 * MIB,
            compile_concurrency: 1,
            http_concurrency: 1_024,
        }
    }
}

/// Bounds what one invocation may use. Going over one of them is a trap, or an
/// error that the guest is given where it is about HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories. Default: 256 MiB.
    pub memory_bytes: usize,
    /// Elements of tables, summed over all tables. Default: 200,000.
    pub table_elements: usize,
    /// Core module instances. Default: 128.
    pub instances: usize,
    /// Time on a CPU; waiting in the host is free. Default: 10 s.
    pub cpu: Duration,
    /// Time from start to answer of a create, an update or a delete, in real
    /// time whatever the clock. Default: 60 s.
    pub mutation_wall: Duration,
    /// The same for a read or a list. Default: 30 s.
    pub read_wall: Duration,
    /// Bytes of text in the answer. Default: 1 MiB.
    pub answer_bytes: usize,
    /// Bytes that one call from the guest into the host may carry. Default: 4 MiB.
    pub transfer_bytes: usize,
    /// Bytes that are logged for the guest: its output and its log lines.
    /// What is over is dropped. Default: 256 KiB.
    pub log_bytes: usize,
    /// Lines that are logged for the guest. Default: 1,000.
    pub log_lines: usize,
    /// Bytes that one call for randomness may ask for. Default: 1 MiB.
    pub random_bytes: u64,
    /// Handles, such as open files and streams, at a time. Default: 10,000.
    pub handles: usize,
    /// Bytes of the names and values of one set of HTTP fields, at most 256 KiB
    /// of a response. Default: 128 KiB.
    pub http_field_bytes: usize,
    /// HTTP requests, also those that are refused, and each once though it be signed
    /// again. Default: 100.
    pub http_requests: usize,
    /// HTTP requests under way at a time, until their response is read; others
    /// wait as long as for a connection. Default: 8.
    pub http_concurrency: usize,
    /// Bytes of the bodies of all HTTP requests. Default: 16 MiB.
    pub http_sent_bytes: usize,
    /// Bytes of the body of one HTTP request that the host signs; it is held in
    /// memory until there is a response. Default: 1 MiB.
    pub http_signed_bytes: usize,
    /// Bytes of the bodies of all HTTP responses. Default: 64 MiB.
    pub http_received_bytes: usize,
    /// Time until an HTTP request has a connection, its name being looked up and
    /// TLS agreed on. A guest can ask for less, here and below. Default: 5 s.
    pub http_connect: Duration,
    /// Time from then until the head of the response. Default: 15 s.
    pub http_first_byte: Duration,
    /// Time until each next part of the response. Default: 15 s.
    pub http_between_bytes: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            table_elements: 200_000,
            instances: 128,
            cpu: Duration::from_secs(10),
            mutation_wall: Duration::from_secs(60),
            read_wall: Duration::from_secs(30),
            answer_bytes: MIB,
            transfer_bytes: 4 * MIB,
            log_bytes: 256 * KIB,
            log_lines: 1_000,
            random_bytes: MIB as u64,
            handles: 10_000,
            http_field_bytes: 128 * KIB,
            http_requests: 100,
            http_concurrency: 8,
            http_sent_bytes: 16 * MIB,
            http_signed_bytes: MIB,
            http_received_bytes: 64 * MIB,
            http_connect: Duration::from_secs(5),
            http_first_byte: Duration::from_secs(15),
            http_between_bytes: Duration::from_secs(15),
        }
    }
}

/// Says what a guest may reach beyond its own memory. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Directories of the host. Each is the guest's `/NAME`, by its last path
    /// component, and the first one is its `/` as well.
    pub directories: Vec<DirectoryGrant>,
    /// Whether the caller's credentials are passed to the guest.
    pub credentials: bool,
    /// The HTTP requests that the guest may make.
    pub http: HttpGrants,
}

/// Grants one directory of the host and all below it.
///
/// A symbolic link that leads out of the directory is refused when the guest
/// follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryGrant {
    /// The directory.
    pub host_path: PathBuf,
    /// Whether the guest may write there.
    pub writable: bool,
}

/// What is current at an invocation: limits, grants and the clock.
#[derive(Clone)]
pub struct Environment {
    /// What the guest may use.
    pub limits: Limits,
    /// What the guest may reach.
    pub grants: Arc<Grants>,
    /// The clock that its deadline and its wall limit are measured by.
    pub clock: Arc<dyn Clock>,
    /// The clock that the guest reads and waits on; it tells the same time.
    pub guest_clock: Arc<dyn Clock>,
}

impl Environment {
    /// Makes an environment with the default limits and nothing granted.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            limits: Limits::default(),
            grants: Arc::default(),
            guest_clock: Arc::clone(&clock),
            clock,
        }
    }
}
