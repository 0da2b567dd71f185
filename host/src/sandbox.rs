//! The sandbox: loads handlers and calls them, each call in a fresh instance.
//!
//! *Invariant*: one instance serves one invocation and is dropped. Nothing
//! that a guest keeps in memory is seen by another guest, or by itself later.
//!
//! *Invariant*: every invocation is bounded in memory, tables, CPU time, wall
//! time, host calls, log and answer ([`Limits`]). Waiting in the host costs no
//! CPU budget.
//!
//! *Invariant*: a guest reaches what its [`Grants`] name and nothing else, and
//! never the machine code in the cache directory, whatever they name.
//!
//! *Invariant*: guests run on threads of their own and yield at every tick, so
//! a guest that computes delays its neighbours by a tick and the rest of the
//! process not at all. Those that compute go on among themselves, behind all
//! others. Where an instruction takes longer than a tick, others begin on threads
//! in reserve. When all slots are taken, invocations queue.
//!
//! *Invariant*: a guest that breaks is a [`Trap`] and never an event; what the
//! host does wrong is a [`SandboxError`] and never a trap.
//!
//! *Invariant*: no type of the WebAssembly engine leaves this module.
//!
//! Keep one [`Sandbox`] for a process and clone it: each one reserves an
//! address space of its own for its pool of slots, and has threads of its own.

mod bindings;
mod broken;
mod cache;
mod clocks;
mod compiler;
mod config;
mod convert;
mod directories;
mod engine;
mod error;
mod handler;
mod last_words;
mod limit;
mod limiter;
mod limits;
mod load;
mod logging;
mod meter;
mod mounts;
mod notices;
mod outbound;
mod places;
mod quota;
mod random;
mod survey;
mod threads;
mod wasi;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use self::cache::Cache;
use self::directories::{Storage, files_of_this_process};
use self::handler::{Answer, Linked, Task};
use self::meter::{Meter, Metered};
use self::outbound::Outbound;
use self::places::Places;
use self::quota::Ledgers;
use self::threads::{Pace, Threads};
use self::wasi::State;
use crate::model::{
    Action, Digest, Invocation, JsonObject, ListPage, ProgressEvent, ReadFailure, Trap,
};

pub use compiler::compile_for_parent;
pub use config::{
    Access, Compiler, CompilerProcess, DirectoryGrant, Environment, Grants, Quota, SandboxConfig,
};
pub use error::{LoadError, SandboxError};
pub use limit::{Amount, Limit, LimitError, LimitSet};
pub use limits::{HttpLimits, Limits, LoadLimits};
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use outbound::fuzzing;
pub use outbound::{
    AddressGrant, AddressGrantError, CredentialsError, CredentialsSource, HttpGrants, HttpPattern,
    HttpPatternError, Resolver, RootCertificate, RootCertificateError, SecretGrant, SigningError,
    SigningGrant, SigningSource,
};
pub use survey::Survey;

/// The version of the handler contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";

/// Loads handlers and gives them a place to run. Clones share everything.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    threads: Threads,
    slots: Arc<Semaphore>,
    concurrency: usize,
    compiler: Compiler,
    compilations: Semaphore,
    surveys: Arc<Semaphore>,
    cache: Option<Cache>,
    load: LoadLimits,
    ledgers: Arc<Ledgers>,
    /// What all handlers may have open.
    files: Arc<Places>,
    outbound: outbound::Shared,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("free_slots", &self.0.slots.available_permits())
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Makes the sandbox of this process: its engine, its slots, its threads.
    ///
    /// Where there is no address space for the slots, it says so in the log
    /// and allocates for each invocation.
    ///
    /// # Errors
    ///
    /// When the engine does not support this machine, threads cannot be
    /// started, or the cache directory is not safe to use.
    pub fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let engine = engine::engine(config)?;
        let linker = wasi::linker(&engine).map_err(|source| SandboxError::Engine {
            source: source.into(),
        })?;
        let cache = config
            .cache_dir
            .as_deref()
            .map(|directory| Cache::open(directory, &engine, config.load.cache))
            .transpose()?;
        let threads = Threads::start(config)?;
        engine::start_ticks(&engine, config.tick, threads.watch())?;
        let outbound = outbound::Shared::new(
            config.http,
            config.resolver.clone(),
            threads.guests().handle().clone(),
        );
        Ok(Self(Arc::new(Inner {
            threads,
            engine,
            linker,
            slots: Arc::new(Semaphore::new(config.concurrency.max(1) as usize)),
            concurrency: config.concurrency.max(1) as usize,
            compiler: config.compiler.clone(),
            compilations: Semaphore::new(config.compile_concurrency.max(1)),
            surveys: Arc::new(Semaphore::new(config.compile_concurrency.max(1))),
            cache,
            load: config.load,
            ledgers: Arc::default(),
            files: files_of_this_process(),
            outbound,
        })))
    }

    /// Gives how many invocations may run at once.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.0.concurrency
    }

    /// Gives how many of them are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0
            .concurrency
            .saturating_sub(self.0.slots.available_permits())
    }

    /// Loads a component: checks that it is a handler of this contract,
    /// compiles it or takes it from the cache, links it, and asks it to
    /// describe itself.
    ///
    /// # Errors
    ///
    /// When the bytes are no such component. The error names what is wrong and
    /// what to do.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the load, and ends the process that compiles;
    /// a compilation in this process runs to its end and fills the cache.
    pub async fn load(&self, component: impl Into<Arc<[u8]>>) -> Result<Handler, LoadError> {
        self.load_within(component, &Limits::default()).await
    }

    /// Loads a component as [`Sandbox::load`] does, and lets it use what `limits`
    /// say to describe itself.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::load`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sandbox::load`].
    pub async fn load_within(
        &self,
        component: impl Into<Arc<[u8]>>,
        limits: &Limits,
    ) -> Result<Handler, LoadError> {
        load::load(&self.0, component.into(), limits).await
    }

    /// Checks grants as each invocation does, so that an embedder can refuse
    /// wrong ones before anything runs.
    ///
    /// # Errors
    ///
    /// When a directory is not there, is reached by a link, overlaps the cache
    /// directory or another one that may be written, or cannot be told from another
    /// one by its name.
    pub fn check_grants(&self, grants: &Grants) -> Result<(), SandboxError> {
        mounts::mounts(&grants.directories, self.0.cache_directory()).map(drop)
    }
}

impl Inner {
    fn cache_directory(&self) -> Option<&Path> {
        self.cache.as_ref().map(Cache::directory)
    }

    /// Runs `task` on the threads for guests, when there is a free slot.
    async fn run(
        &self,
        linked: Arc<Linked>,
        task: Task,
        environment: Environment,
        outbound: Option<Arc<Outbound>>,
        pace: Option<Arc<Pace>>,
    ) -> Result<Outcome<Answer>, SandboxError> {
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the slots are never closed");
        let cache = self.cache_directory().map(Path::to_owned);
        let ledgers = Arc::clone(&self.ledgers);
        let meter = Arc::new(Meter::new(environment.limits.cpu));
        let measured = Arc::clone(&meter);
        let guest = async move {
            let outbound = outbound.as_deref();
            let storage = Storage {
                cache: cache.as_deref(),
                ledgers: &ledgers,
                files: &linked.files,
            };
            let outcome =
                handler::run(&linked, task, environment, outbound, &storage, &measured).await;
            drop(slot);
            outcome
        };
        let ended = self.threads.run(Metered::new(guest, meter), pace).await;
        ended.unwrap_or_else(|source| Err(SandboxError::Lost { source }))
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The handler answered; the answer may be that it failed.
    Answered(T),
    /// The handler broke and has not answered.
    Trapped(Trap),
}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The resource type schema: its JSON text, not checked.
    pub schema: String,
    /// The outgoing HTTP destinations that it wishes to reach; a wish grants
    /// nothing.
    pub outgoing_hosts: Vec<String>,
}

/// A loaded component, ready to be called. Clones share everything.
#[derive(Clone)]
pub struct Handler(Arc<Loaded>);

struct Loaded {
    sandbox: Arc<Inner>,
    linked: Arc<Linked>,
    digest: Digest,
    description: Description,
    imports: Vec<String>,
    survey: Survey,
    outbound: Arc<Outbound>,
    pace: Arc<Pace>,
    compiled: Option<Duration>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handler").field(&self.0.digest).finish()
    }
}

impl Handler {
    /// Gives the digest of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Gives how long the component was compiled; none if it came from the cache.
    #[must_use]
    pub fn compiled(&self) -> Option<Duration> {
        self.0.compiled
    }

    /// Gives what the component said of itself when it was loaded.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// Gives the interfaces that the component imports, with their versions,
    /// sorted.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Gives what the component consists of.
    #[must_use]
    pub fn survey(&self) -> &Survey {
        &self.0.survey
    }

    /// Calls the handler for a create, an update or a delete.
    ///
    /// Waits for a free slot first; that wait counts against no limit.
    ///
    /// # Errors
    ///
    /// When the host fails: a granted directory cannot be opened, as
    /// [`Sandbox::check_grants`] says, or the guest cannot be started. Also when the
    /// invocation is a read or a list.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the guest at its next tick; what it did
    /// outside of the sandbox until then stays done.
    pub async fn mutate(
        &self,
        invocation: impl Into<Arc<Invocation>>,
        environment: &Environment,
    ) -> Result<Outcome<ProgressEvent>, SandboxError> {
        const ACTIONS: &[Action] = &[Action::Create, Action::Update, Action::Delete];
        self.call(
            invocation.into(),
            environment,
            ACTIONS,
            |answer| match answer {
                Answer::Event(event) => Some(event),
                Answer::Description(_) | Answer::Read(_) | Answer::List(_) => None,
            },
        )
        .await
    }

    /// Calls the handler for a read.
    ///
    /// # Errors
    ///
    /// As [`Handler::mutate`], for invocations other than a read.
    ///
    /// # Cancel safety
    ///
    /// As [`Handler::mutate`].
    pub async fn read(
        &self,
        invocation: impl Into<Arc<Invocation>>,
        environment: &Environment,
    ) -> Result<Outcome<Result<JsonObject, ReadFailure>>, SandboxError> {
        const ACTIONS: &[Action] = &[Action::Read];
        self.call(
            invocation.into(),
            environment,
            ACTIONS,
            |answer| match answer {
                Answer::Read(answer) => Some(answer),
                Answer::Description(_) | Answer::Event(_) | Answer::List(_) => None,
            },
        )
        .await
    }

    /// Calls the handler for a list.
    ///
    /// # Errors
    ///
    /// As [`Handler::mutate`], for invocations other than a list.
    ///
    /// # Cancel safety
    ///
    /// As [`Handler::mutate`].
    pub async fn list(
        &self,
        invocation: impl Into<Arc<Invocation>>,
        environment: &Environment,
    ) -> Result<Outcome<Result<ListPage, ReadFailure>>, SandboxError> {
        const ACTIONS: &[Action] = &[Action::List];
        self.call(
            invocation.into(),
            environment,
            ACTIONS,
            |answer| match answer {
                Answer::List(answer) => Some(answer),
                Answer::Description(_) | Answer::Event(_) | Answer::Read(_) => None,
            },
        )
        .await
    }

    async fn call<T>(
        &self,
        invocation: Arc<Invocation>,
        environment: &Environment,
        actions: &'static [Action],
        pick: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<Outcome<T>, SandboxError> {
        let action = invocation.call.action();
        let misused = SandboxError::Action { action, actions };
        if !actions.contains(&action) {
            return Err(misused);
        }
        let outcome = self
            .0
            .sandbox
            .run(
                Arc::clone(&self.0.linked),
                Task::Invoke(invocation),
                environment.clone(),
                Some(Arc::clone(&self.0.outbound)),
                Some(Arc::clone(&self.0.pace)),
            )
            .await?;
        match outcome {
            Outcome::Answered(answer) => pick(answer).map(Outcome::Answered).ok_or(misused),
            Outcome::Trapped(trap) => Ok(Outcome::Trapped(trap)),
        }
    }
}

#[cfg(test)]
mod tests;
