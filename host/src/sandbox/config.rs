//! What an embedder decides: once for the sandbox, and for each invocation.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{HttpGrants, HttpLimits, Limits, LoadLimits, Resolver};
use crate::clock::Clock;

const MIB: usize = 1024 * 1024;

/// Decides how the one sandbox of a process is built.
///
/// Where components are compiled has no default, since only the program can have it
/// done by a process of its own. Name what else differs, and take the rest; fields may
/// be added:
///
/// ```
/// use formwork_host::sandbox::{Compiler, SandboxConfig};
///
/// let config = SandboxConfig {
///     concurrency: 64,
///     ..SandboxConfig::new(Compiler::Unbounded)
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
    /// How many threads run guests, how many more run those that compute, and how
    /// many are in reserve for when a guest holds one for longer than a tick. Default:
    /// one for each CPU, at least 1.
    pub worker_threads: usize,
    /// How often a running guest yields to others and has its CPU budget
    /// checked. Default: 10 ms.
    pub tick: Duration,
    /// The most memory, in bytes, that one linear memory may ever have,
    /// whatever [`Limits::memory_bytes`] says. Default: 1 GiB, the most that the
    /// setting may say.
    pub max_memory_bytes: usize,
    /// The most table elements that one table may ever have, whatever
    /// [`Limits::table_elements`] says. Each table of each slot reserves eight bytes
    /// of address space for each, and no memory. Default: 1,000,000, the most that
    /// the setting may say.
    pub max_table_elements: usize,
    /// What may be loaded.
    pub load: LoadLimits,
    /// Where components are compiled, and within which bounds.
    pub compiler: Compiler,
    /// How many components are compiled at once; one compilation uses several
    /// threads by itself. Default: 1, at least 1.
    pub compile_concurrency: usize,
    /// What the HTTP requests of all guests may use.
    pub http: HttpLimits,
    /// What looks the names in HTTP requests up. Default: as this machine does.
    pub resolver: Resolver,
}

impl SandboxConfig {
    /// How many invocations may run at once, if nothing else is said.
    pub const CONCURRENCY: u32 = 256;

    /// Gives the defaults, with components compiled there.
    #[must_use]
    pub fn new(compiler: Compiler) -> Self {
        Self {
            cache_dir: None,
            concurrency: Self::CONCURRENCY,
            worker_threads: std::thread::available_parallelism().map_or(1, usize::from),
            tick: Duration::from_millis(10),
            max_memory_bytes: 1024 * MIB,
            max_table_elements: 1_000_000,
            load: LoadLimits::default(),
            compiler,
            compile_concurrency: 1,
            http: HttpLimits::default(),
            resolver: Resolver::default(),
        }
    }
}

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// By a process of its own, which ends when it takes more time or memory than
    /// [`LoadLimits::compile_time`] and [`LoadLimits::compile_memory`] allow. (On
    /// systems other than Linux the memory is not bounded.)
    Process(CompilerProcess),
    /// On a thread of this process, which nothing can interrupt and nothing keeps from
    /// taking all memory: for components that somebody has made who is trusted not to
    /// stop the process, and for tests. What a component consists of is bounded all the
    /// same.
    Unbounded,
}

/// How the process that compiles is started: the embedder's own program, mostly,
/// with arguments by which it knows to call [`compile_for_parent`] and nothing
/// else.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use formwork_host::sandbox::{Compiler, CompilerProcess, SandboxConfig, compile_for_parent};
///
/// fn main() -> ExitCode {
///     if std::env::args().nth(1).as_deref() == Some("compile") {
///         return compile_for_parent();
///     }
///     let process = CompilerProcess::this_program("compile").expect("a program");
///     let config = SandboxConfig::new(Compiler::Process(process));
///     // … `Sandbox::new(&config)` …
///     # drop(config);
///     ExitCode::SUCCESS
/// }
/// ```
///
/// [`compile_for_parent`]: super::compile_for_parent
#[derive(Clone, Debug)]
pub struct CompilerProcess {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl CompilerProcess {
    /// Has the program that is running run again, with this argument.
    ///
    /// On Linux that is the program that was started, also where its file has been
    /// replaced since.
    ///
    /// # Errors
    ///
    /// Those of [`std::env::current_exe`], on other systems.
    pub fn this_program(argument: impl Into<OsString>) -> io::Result<Self> {
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() {
            running
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            program,
            arguments: vec![argument.into()],
        })
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
/// follows it. On the way to the directory there may be none, since whoever can
/// write there could lead it elsewhere: resolve the path when it is granted, by
/// [`std::fs::canonicalize`].
///
/// No directory that some guest may write in should contain one that another grant
/// of the process names: each is held to its own quota, as if it were alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryGrant {
    /// The directory.
    pub host_path: PathBuf,
    /// What the guest may do there.
    pub access: Access,
}

impl DirectoryGrant {
    /// Grants a directory to read.
    #[must_use]
    pub fn read_only(host_path: impl Into<PathBuf>) -> Self {
        Self {
            host_path: host_path.into(),
            access: Access::ReadOnly,
        }
    }

    /// Grants a directory to read and write, up to the default quota.
    #[must_use]
    pub fn read_write(host_path: impl Into<PathBuf>) -> Self {
        Self {
            host_path: host_path.into(),
            access: Access::ReadWrite(Quota::default()),
        }
    }
}

/// What a guest may do with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read what is there.
    ReadOnly,
    /// Read and write, as long as the directory holds no more than that.
    ReadWrite(Quota),
}

/// Bounds what a directory holds in which handlers may write, with all below
/// it and whoever put it there. Going over it is the error of a full disk to the
/// guest.
///
/// A file counts by its size, also where it has holes, and once if it has several
/// names; files, directories and links count as files. Room that was made is
/// there again after the next measurement, which is made when the directory seems
/// to be full, and at most a minute after the last one, but not again before ten times as
/// long as that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all files. Default: 1 GiB.
    pub bytes: u64,
    /// Files, directories and links. Default: 10,000.
    pub files: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            bytes: 1024 * MIB as u64,
            files: 10_000,
        }
    }
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
