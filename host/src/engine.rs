//! Accepts requests, runs their chains and reports their progress.
//!
//! *Invariant*: no invocation without a committed lease; no report without a
//! committed transition; nothing in memory that a restart would miss.
//!
//! *Invariant*: late is allowed, never is not; early is not.
//!
//! *Invariant*: reports of one operation arrive in order, at least once, the
//! terminal one last, each with a token derived from the operation, so that a
//! repeat is recognizable. A repeat alone can come late, after the terminal one too:
//! from a host that was stopped while it sent.

mod accept;
mod ahead;
mod backoff;
mod bearer;
mod builder;
mod call;
mod causes;
mod commit;
mod direct;
mod dispatch;
mod error;
mod handle;
mod hints;
mod invoke;
mod json_lines;
mod leases;
mod observer;
mod outage;
mod outbox;
mod pulse;
mod read;
mod reporter;
mod request;
mod retention;
mod share;
mod shared_clock;
mod slots;
mod sweep;
mod tasks;
mod telemetry;
mod turn;
mod upcoming;
mod upgrade;
mod workers;
mod write_only;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{RwLock, Semaphore, watch};

use crate::clock::Clock;
use crate::model::{Digest, ProgressEvent, RequestToken, RequestTokens, Timestamp, TypeName};
use crate::operation::{CancelReason, Input, Operation, Policy, Refusal};
use crate::registry::{HandlerVersion, Registry, TypeSettings};
use crate::sandbox::{Limits, Sandbox};
use crate::store::{CommitError, Filter, Store, StoreError};

use bearer::recorded;
use error::check_configuration;
use leases::Leases;
use pulse::{Loop, Pulse, Watchers};
use slots::Slots;
use telemetry::line;
use upcoming::Upcoming;
use workers::Leased;

pub use accept::SubmitError;
pub use ahead::Fingerprint;
pub use bearer::{CurrentStatus, Record, RecordError, RecordedStatus};
pub use builder::EngineBuilder;
pub use causes::Causes;
pub use direct::InvokeError;
pub use error::{ChangeError, ConfigurationError, LoadTypeError};
pub use handle::OperationHandle;
pub use json_lines::JsonLinesReporter;
pub use observer::{Exchange, Exchanged, Observer};
pub use read::{ListQuery, ReadError, ReadQuery};
pub use reporter::Reporter;
pub use request::{Change, Request};
pub use retention::Retention;
pub use shared_clock::clock_of;
pub use telemetry::{
    Happening, InvocationOutcome, Invoked, LeaseLoss, Phase, Span, Subject, Telemetry,
};

/// Runs handlers for as long as it is held.
///
/// Cheap to clone; the clones share one engine. When the last clone and the
/// last [`OperationHandle`] are dropped, the engine stops at once, as in a
/// crash: nothing that was committed is lost, and an engine on the same store
/// goes on with it. [`Engine::shutdown`] stops it gently.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    running: Arc<StopOnDrop>,
}

/// The parts that all tasks of an engine share.
struct Inner {
    sandbox: Sandbox,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    reporter: Option<Arc<dyn Reporter>>,
    observer: Option<Arc<dyn Observer>>,
    telemetry: Option<Arc<dyn Telemetry>>,
    registry: Registry,
    /// Where the tokens of operations come from, in their order.
    tokens: RequestTokens,
    retention: Retention,
    /// Held shared while a component is kept and its type is loaded, alone while
    /// those that nobody needs are removed.
    loading: RwLock<()>,
    /// How many operations may be invoked at once.
    concurrency: usize,
    /// Who is invoked.
    slots: Arc<Slots>,
    /// What falls due soon.
    upcoming: Upcoming,
    /// Where what is leased is handed over.
    leased: UnboundedSender<Leased>,
    /// How many READs and LISTs may run at once.
    reads: Semaphore,
    /// How many of them may be of one type.
    reads_of_type: usize,
    pulse: Arc<Pulse>,
    watchers: Watchers,
    leases: Arc<Leases>,
    /// How long a lease lasts without a heartbeat.
    lease: Duration,
}

/// What the loops of an engine are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Run,
    /// Begin nothing more, and finish what was begun.
    Drain,
    /// Drop everything.
    Stop,
}

/// Waits until the engine is to drop everything.
async fn stopped(mut mode: watch::Receiver<Mode>) {
    // An engine that is gone wants nothing any more either.
    let _ = mode.wait_for(|mode| *mode == Mode::Stop).await;
}

struct StopOnDrop(watch::Sender<Mode>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(Mode::Stop);
    }
}

impl Engine {
    /// Loads a component and makes it the handler of the type that it describes.
    ///
    /// A type that is loaded already gets the new version for new operations;
    /// running ones go on with theirs.
    ///
    /// # Errors
    ///
    /// When the component is none, or not of this version of the contract, or
    /// describes itself wrongly, or cannot be kept in the store.
    pub async fn load(
        &self,
        component: impl Into<Arc<[u8]>>,
        settings: TypeSettings,
    ) -> Result<Arc<HandlerVersion>, LoadTypeError> {
        self.load_if(component.into(), settings, |_| Ok(())).await
    }

    /// Loads a component as [`Engine::load`], as the handler of this type and of
    /// no other.
    ///
    /// # Errors
    ///
    /// As [`Engine::load`], and when the component describes another type.
    pub async fn load_as(
        &self,
        type_name: &TypeName,
        component: impl Into<Arc<[u8]>>,
        settings: TypeSettings,
    ) -> Result<Arc<HandlerVersion>, LoadTypeError> {
        let is_meant = |found: &TypeName| {
            if found == type_name {
                return Ok(());
            }
            Err(LoadTypeError::OtherType {
                expected: type_name.clone(),
                found: found.clone(),
            })
        };
        self.load_if(component.into(), settings, is_meant).await
    }

    async fn load_if(
        &self,
        component: Arc<[u8]>,
        settings: TypeSettings,
        is_meant: impl FnOnce(&TypeName) -> Result<(), LoadTypeError>,
    ) -> Result<Arc<HandlerVersion>, LoadTypeError> {
        let version = self
            .inner
            .compile(Arc::clone(&component), &settings.limits)
            .await?;
        is_meant(version.schema().type_name())?;
        check_configuration(version.schema(), settings.type_configuration.as_ref())?;
        let _loading = self.inner.loading.read().await;
        self.inner
            .store
            .put_component(component)
            .await
            .map_err(LoadTypeError::Store)?;
        self.inner.insert(Arc::clone(&version), settings);
        Ok(version)
    }

    /// Loads the component that the store keeps by `digest`, as [`Engine::load`].
    ///
    /// # Errors
    ///
    /// As [`Engine::load`], and when the store does not have it.
    pub async fn load_kept(
        &self,
        digest: Digest,
        settings: TypeSettings,
    ) -> Result<Arc<HandlerVersion>, LoadTypeError> {
        let _loading = self.inner.loading.read().await;
        let component = self.inner.kept(digest).await?;
        // In the name of this engine too, lest another one on the store remove what
        // it does not need itself.
        let keeping = self.inner.store.put_component(Arc::clone(&component));
        keeping.await.map_err(LoadTypeError::Store)?;
        let version = match self.inner.registry.version(digest) {
            Some(version) => version,
            None => self.inner.compile(component, &settings.limits).await?,
        };
        check_configuration(version.schema(), settings.type_configuration.as_ref())?;
        self.inner.insert(Arc::clone(&version), settings);
        Ok(version)
    }

    /// Takes no more requests of a type, until it is loaded again. Its operations
    /// go on to their end, with the settings that it had last.
    ///
    /// Returns whether there was such a type.
    pub fn retire(&self, type_name: &TypeName) -> bool {
        self.inner.registry.retire(type_name)
    }

    /// Gives the current version of a type that takes requests, or none.
    #[must_use]
    pub fn version(&self, type_name: &TypeName) -> Option<Arc<HandlerVersion>> {
        self.inner
            .registry
            .open(type_name)
            .map(|known| known.current)
    }

    /// Gives the names of the types that take requests, in their order.
    #[must_use]
    pub fn types(&self) -> Vec<TypeName> {
        self.inner.registry.open_types()
    }

    /// Gives the settings of a type that takes requests, or none.
    #[must_use]
    pub fn settings(&self, type_name: &TypeName) -> Option<Arc<TypeSettings>> {
        let known = self.inner.registry.open(type_name)?;
        Some(known.settings)
    }

    /// Gives the operation of that token to follow, or none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn operation(
        &self,
        token: RequestToken,
    ) -> Result<Option<OperationHandle>, StoreError> {
        // What is committed while it is read is not missed.
        let handle = OperationHandle::new(self.clone(), token);
        let Some(found) = self.inner.store.get(token).await? else {
            return Ok(None);
        };
        self.inner.watchers.tell(&found);
        Ok(Some(handle))
    }

    /// Gives an operation as it was last committed, or none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn status(&self, token: RequestToken) -> Result<Option<Operation>, StoreError> {
        self.inner.store.get(token).await
    }

    /// Gives operations that pass the filter, newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn operations(&self, filter: &Filter) -> Result<Vec<Operation>, StoreError> {
        self.inner.store.list(filter).await
    }

    /// Cancels an operation: at once between invocations, else when the running
    /// invocation has answered; a terminal answer still wins.
    ///
    /// # Errors
    ///
    /// When there is no such operation, or it has ended, or is being cancelled.
    pub async fn cancel(&self, token: RequestToken) -> Result<Operation, ChangeError> {
        self.inner
            .change(token, |_| Some(Input::CancelAsked(CancelReason::Caller)))
            .await
    }

    /// Records progress that was made outside of the handler.
    ///
    /// # Errors
    ///
    /// When there is no such operation, or it has ended, or its handler's
    /// schema cannot be loaded.
    pub async fn record(
        &self,
        token: RequestToken,
        event: ProgressEvent,
    ) -> Result<Operation, ChangeError> {
        let operation = self.inner.read_operation(token).await?;
        let limits = self.inner.registry.limits(&operation.type_name);
        let version = self
            .inner
            .version(operation.component, &limits)
            .await
            .map_err(|source| ChangeError::Load { token, source })?;
        let recorded = |operation: &Operation| recorded(operation, &version, event.clone(), None);
        self.inner.change(token, recorded).await
    }

    /// Makes the parked reports of an operation due again.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub async fn retry_reports(&self, token: RequestToken) -> Result<(), StoreError> {
        self.inner
            .store
            .unpark(token, self.inner.clock.now())
            .await?;
        self.inner.pulse.work(Loop::Outbox);
        Ok(())
    }

    /// Gives the store that the engine keeps its operations in.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Waits until no invocation runs and nothing is due, and gives the moment
    /// at which something will be, or none.
    ///
    /// With a manual clock, this is when to move it, and how far.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn idle(&self) -> Option<Timestamp> {
        self.inner.pulse.idle(self.inner.clock.as_ref()).await
    }

    /// Stops gently: leases nothing more and waits for the running invocations
    /// and deliveries to commit, at most `patience`.
    ///
    /// Returns whether all did. What did not is made again by the next engine
    /// on the store.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the engine draining.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        self.running.0.send_replace(Mode::Drain);
        tokio::select! {
            () = self.inner.pulse.drained() => true,
            () = self.inner.clock.sleep(patience) => false,
        }
    }
}

impl Inner {
    async fn compile(
        &self,
        component: Arc<[u8]>,
        limits: &Limits,
    ) -> Result<Arc<HandlerVersion>, LoadTypeError> {
        let handler = self
            .sandbox
            .load_within(component, limits)
            .await
            .map_err(LoadTypeError::Component)?;
        let version = HandlerVersion::new(handler).map_err(LoadTypeError::Schema)?;
        for warning in version.schema().warnings() {
            tracing::warn!(
                type_name = %version.schema().type_name(),
                component = %version.handler().digest(),
                %warning,
                "the resource type schema is loaded all the same"
            );
        }
        self.tell(|| Happening::Loaded {
            type_name: version.schema().type_name(),
            component: version.handler().digest(),
            compiled: version.handler().compiled(),
        });
        Ok(Arc::new(version))
    }

    /// Tells whoever wants to hear of it what has happened.
    fn tell<'a>(&self, what: impl FnOnce() -> Happening<'a>) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.happened(&what());
        }
    }

    fn insert(&self, version: Arc<HandlerVersion>, settings: TypeSettings) {
        self.registry.insert(version, settings, self.reads_of_type);
        // Of its type there may be operations that nobody here has looked for.
        self.upcoming.doubt();
        self.pulse.work(Loop::Dispatch);
    }

    /// Gives the version of a digest, from memory or from the store, where it may
    /// use what `limits` say to describe itself.
    async fn version(
        &self,
        digest: Digest,
        limits: &Limits,
    ) -> Result<Arc<HandlerVersion>, LoadTypeError> {
        if let Some(version) = self.registry.version(digest) {
            return Ok(version);
        }
        let version = self.compile(self.kept(digest).await?, limits).await?;
        self.registry.keep(Arc::clone(&version));
        Ok(version)
    }

    async fn kept(&self, digest: Digest) -> Result<Arc<[u8]>, LoadTypeError> {
        let found = self.store.component(digest).await;
        let found = found.map_err(LoadTypeError::Store)?;
        found.ok_or(LoadTypeError::Missing { digest })
    }

    async fn read_operation(&self, token: RequestToken) -> Result<Operation, ChangeError> {
        self.store
            .get(token)
            .await
            .map_err(|source| ChangeError::Store { token, source })?
            .ok_or(ChangeError::Unknown { token })
    }

    /// Applies an input to the operation as it is, however often somebody else
    /// commits first. An operation that gives no input has ended.
    async fn change(
        &self,
        token: RequestToken,
        input: impl Fn(&Operation) -> Option<Input>,
    ) -> Result<Operation, ChangeError> {
        loop {
            let operation = self.read_operation(token).await?;
            let input = input(&operation).ok_or(ChangeError::Refused {
                token,
                source: Refusal::Ended,
            })?;
            if let Some(changed) = self.change_once(&operation, input).await? {
                return Ok(changed);
            }
        }
    }

    /// Applies an input to the operation as it was read. Gives none if somebody
    /// else has committed since.
    async fn change_once(
        &self,
        operation: &Operation,
        input: Input,
    ) -> Result<Option<Operation>, ChangeError> {
        let token = operation.token;
        let policy = self.policy(&operation.type_name);
        let transition = operation
            .apply(input, self.clock.now(), &policy)
            .map_err(|source| ChangeError::Refused { token, source })?;
        let transition = self.keeping(operation, transition);
        let changed = transition.operation.clone();
        match self.store.commit(transition).await {
            Ok(()) => {
                self.committed(&changed);
                Ok(Some(changed))
            }
            Err(CommitError::IdentifierTaken { holder }) => {
                Err(ChangeError::Busy { token, holder })
            }
            Err(CommitError::Conflict { expected: _ }) => Ok(None),
            Err(CommitError::Store(source)) => Err(ChangeError::Store { token, source }),
        }
    }

    fn policy(&self, type_name: &TypeName) -> Policy {
        self.registry
            .get(type_name)
            .map(|known| known.settings.policy.clone())
            .unwrap_or_default()
    }

    /// Tells everybody who waits that an operation has a new version.
    fn committed(&self, operation: &Operation) {
        self.watchers.tell(operation);
        self.upcoming.note(operation);
        self.pulse.work(Loop::Dispatch);
        if operation.reporting.is_some() {
            self.pulse.work(Loop::Outbox);
        }
        if operation.status.is_terminal() {
            line!(
                info,
                operation,
                status = %operation.status,
                code = operation.code.map(tracing::field::display),
                "operation ended"
            );
            self.tell(|| Happening::Ended { operation });
        }
    }
}
