//! Operations in one SQLite database, for one engine.
//!
//! A data directory holds `formwork.db` (and SQLite's files beside it), `key`
//! (the key that seals it), `lock` (the process of its engine) and `components/`.
//!
//! *Invariant*: one engine to a data directory; opening one voids the leases of
//! the engine before it, and doubts what that one was sending.
//!
//! *Invariant*: one thread writes, and answers after the fsync of its commit;
//! reads have their own connections and never wait for it. What is to be forgotten
//! is looked for by a read.
//!
//! *Invariant*: a database of a newer program is refused, and left as it is.

mod backlog;
mod backup;
mod claim;
mod columns;
mod components;
mod fault;
mod fill;
mod list;
mod lock;
mod log;
mod open;
mod outbox;
mod prune;
mod read;
mod resource;
mod schema;
mod write;
mod write_only;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::model::{
    BearerToken, Digest, JsonObject, PrimaryIdentifier, RequestToken, Scope, Timestamp, TypeName,
};
use crate::operation::{Event, Operation, PendingReport, Settlement, Transition};

use super::fingerprint;
use super::recent::Recent;
use super::resource::Resource;
use super::seal::Sealer;
use super::sealed::Sealed;
use super::unreadable::{Foreign, Swept};
use super::{
    Accept, AcceptError, Accepted, Backlog, Basis, CommitError, Filter, ForgetError, Held, Horizon,
    IdempotencyKey, Keyed, Moment, Pool, ReportAt, Share, Store, StoreError,
};
pub use backup::{BackedUp, BackupError};
use components::Components;
use fault::unavailable;
use lock::Lock;
pub use open::OpenError;
use read::Readers;
use writer::Writer;

/// How long a connection waits for the write lock of another program.
const BUSY: Duration = Duration::from_secs(5);

/// To what size the log is cut back once it has been carried over: 64 MiB.
const LOG: i64 = 64 << 20;

/// How many statements a connection keeps prepared: more than there are.
const STATEMENTS: usize = 64;

/// Keeps operations in a data directory.
///
/// Its calls need a tokio runtime. Dropping it waits until what was asked for
/// is written.
pub struct SqliteStore {
    // In the order in which they go: the lock last, after the writer's thread.
    writer: Writer,
    readers: Arc<Readers>,
    components: Arc<Components>,
    context: Arc<Context>,
    _lock: Option<Lock>,
}

/// What every read and write needs.
struct Context {
    /// The data directory, for messages.
    place: String,
    sealer: Sealer,
    /// What is likely to be leased soon.
    recent: Recent,
    foreign: Foreign,
}

impl SqliteStore {
    /// Opens a data directory for an engine, and makes it if it is not there.
    ///
    /// The leases of an earlier engine are void, so that [`Store::sweep`] gives
    /// its operations at once; its reports may have arrived.
    ///
    /// # Errors
    ///
    /// When another process has the directory open, when its key is missing,
    /// exposed or another one, when a newer version wrote it, or when it cannot
    /// be read or written.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        open::engine(directory.as_ref())
    }

    /// Opens the data directory of an engine that may be running, for a client
    /// beside it: voids nothing and takes no lock.
    ///
    /// # Errors
    ///
    /// When there is no data directory, and as [`SqliteStore::open`] does.
    pub fn attach(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        open::client(directory.as_ref())
    }

    /// Counts the commits that were carried to the disk since the store was
    /// opened. Each may hold many writes.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Counts how often the disk was made to write since the store was opened: by
    /// the commits, and to carry the log over into the database.
    #[must_use]
    pub fn fsyncs(&self) -> u64 {
        self.writer.fsyncs()
    }

    /// Copies the data directory, as it is at one moment, into a directory that is
    /// empty or not there, while an engine may be working in it. What an engine
    /// opens there goes on from that moment.
    ///
    /// Without `with_key` the copy holds no secret in the clear and cannot be
    /// opened until `key` is put beside it; so keep that elsewhere, once.
    ///
    /// Cached code is left out, and so is the lock.
    ///
    /// # Errors
    ///
    /// When there is something in the directory, or a file cannot be read or
    /// written. What was begun stays there, without a database.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not end the copying.
    pub async fn back_up(&self, to: &Path, with_key: bool) -> Result<BackedUp, BackupError> {
        let (components, context) = (Arc::clone(&self.components), Arc::clone(&self.context));
        let from = self.readers.directory();
        let to = to.to_owned();
        let copying = tokio::task::spawn_blocking(move || {
            backup::back_up(&from, &to, with_key, &context, &components)
        });
        copying.await.unwrap_or_else(|error| {
            let advice = "the copying was broken off: try again";
            Err(unavailable(&self.context.place, advice, error).into())
        })
    }

    /// Runs what touches the disk beside the database.
    async fn beside<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Components) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let components = Arc::clone(&self.components);
        let running = tokio::task::spawn_blocking(move || run(&components));
        running.await.unwrap_or_else(|error| {
            let advice = "the call was broken off: try again";
            Err(unavailable(&self.context.place, advice, error))
        })
    }
}

/// Opens a connection as every one here is.
fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else SQLite plans a statement anew for each value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", LOG)?;
    // The writer does it by itself, where nothing is written meanwhile.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Where the database is in a data directory.
fn database(directory: &Path) -> PathBuf {
    directory.join("formwork.db")
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        let fingerprints = self.context.sealer.fingerprints();
        let claim = accept
            .key
            .map(|(key, request)| fingerprints.claim(key, &request));
        let operation = accept.transition.operation.clone();
        let sealed = Sealed::new(&self.context.sealer, accept.transition);
        let (basis, expired) = (accept.basis, accept.tokens_expired);
        let accepted = self
            .writer
            .write(move |connection, context| {
                write::accept(connection, context, &sealed, claim.as_ref(), basis, expired)
            })
            .await??;
        if matches!(accepted, Accepted::New) {
            self.context.recent.note(&operation);
        }
        Ok(accepted)
    }

    async fn replayed(&self, key: Keyed) -> Result<Option<Operation>, AcceptError> {
        let fingerprints = self.context.sealer.fingerprints();
        let claim = fingerprints.claim(IdempotencyKey::Client(key.token), &key.request);
        self.readers
            .read(move |connection, context| {
                write::replayed(connection, context, &key.scope, &claim, key.tokens_expired)
            })
            .await?
    }

    async fn basis(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Basis, AcceptError> {
        let resource = Resource::new(scope, type_name, identifier);
        self.readers
            .read(move |connection, _| write::basis(connection, &resource))
            .await?
    }

    async fn claim(
        &self,
        shares: &[Share],
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Operation>, StoreError> {
        let shares = shares.to_vec();
        let claimed = self
            .writer
            .write(move |connection, context| {
                claim::claim(connection, context, &shares, limit, now, now.after(lease))
            })
            .await?;
        self.context.recent.forget(&claimed);
        Ok(claimed)
    }

    async fn renew(
        &self,
        held: &[Held],
        until: Timestamp,
    ) -> Result<Vec<RequestToken>, StoreError> {
        let held = held.to_vec();
        self.writer
            .write(move |connection, _| claim::renew(connection, &held, until))
            .await
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Operation>, StoreError> {
        let mut foreign = self.context.foreign.known();
        loop {
            let but = foreign.clone();
            let found = self
                .readers
                .read(move |connection, context| read::sweep(connection, context, now, limit, &but))
                .await?;
            let swept = Swept::of(found);
            for damaged in &swept.damaged {
                let damaged = *damaged;
                self.writer
                    .write(move |connection, _| claim::quarantine(connection, &damaged))
                    .await?;
            }
            if !swept.is_crowded(limit) {
                return Ok(swept.operations);
            }
            foreign.extend(swept.foreign);
        }
    }

    async fn commit(&self, transition: Transition) -> Result<(), CommitError> {
        let operation = transition.operation.clone();
        let sealed = Sealed::new(&self.context.sealer, transition);
        self.writer
            .write(move |connection, _| write::commit(connection, &sealed))
            .await??;
        self.context.recent.note(&operation);
        Ok(())
    }

    async fn upcoming(
        &self,
        types: &[TypeName],
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<Moment>, StoreError> {
        let types = types.to_vec();
        self.readers
            .read(move |connection, _| read::upcoming(connection, &types, after, limit))
            .await
    }

    async fn get(&self, token: RequestToken) -> Result<Option<Operation>, StoreError> {
        self.readers
            .read(move |connection, context| read::get(connection, context, token))
            .await
    }

    async fn taken_over(&self, bearer: &BearerToken) -> Result<Option<RequestToken>, StoreError> {
        let key = fingerprint::Held::Bearer(self.context.sealer.fingerprints().of_bearer(bearer));
        self.readers
            .read(move |connection, _| {
                let found = write::holder(connection, &Scope::default(), &key)?;
                Ok(found.map(|holder| holder.token))
            })
            .await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Operation>, StoreError> {
        let filter = filter.clone();
        self.readers
            .read(move |connection, context| list::list(connection, context, &filter))
            .await
    }

    async fn write_only(
        &self,
        scope: &Scope,
        type_name: &TypeName,
        identifier: &PrimaryIdentifier,
    ) -> Result<Option<JsonObject>, StoreError> {
        let resource = Resource::new(scope, type_name, identifier);
        self.readers
            .read(move |connection, context| write_only::read(connection, context, &resource))
            .await
    }

    async fn events(&self, token: RequestToken, after: u64) -> Result<Vec<Event>, StoreError> {
        self.readers
            .read(move |connection, context| read::events(connection, context, token, after))
            .await
    }

    async fn due_reports(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingReport>, StoreError> {
        let read = move |connection: &Connection, context: &Context| {
            read::due_reports(connection, context, now, limit)
        };
        let mut due = Vec::new();
        for found in self.readers.read(read).await? {
            match found {
                Ok(report) => due.push(report),
                Err((token, version)) => {
                    let reason = "what is stored of it cannot be read".to_owned();
                    self.settle(token, version, Settlement::Parked { reason })
                        .await?;
                }
            }
        }
        Ok(due)
    }

    async fn next_report(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .read(move |connection, _| read::next_report(connection, after))
            .await
    }

    async fn settle(
        &self,
        token: RequestToken,
        version: u64,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |connection, context| {
                outbox::settle(connection, context, token, version, &settlement)
            })
            .await
    }

    async fn reports(&self, token: RequestToken) -> Result<Vec<PendingReport>, StoreError> {
        self.readers
            .read(move |connection, context| read::reports(connection, context, token))
            .await
    }

    async fn parked_reports(
        &self,
        limit: usize,
    ) -> Result<Vec<Result<PendingReport, ReportAt>>, StoreError> {
        self.readers
            .read(move |connection, context| read::parked_reports(connection, context, limit))
            .await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.readers
            .read(move |connection, context| backlog::count(connection, context, now))
            .await
    }

    async fn unpark(&self, token: RequestToken, now: Timestamp) -> Result<usize, StoreError> {
        self.writer
            .write(move |connection, _| outbox::unpark(connection, token, now))
            .await
    }

    async fn drop_parked(&self, token: RequestToken) -> Result<usize, StoreError> {
        self.writer
            .write(move |connection, _| outbox::drop_parked(connection, token))
            .await
    }

    async fn prune(&self, horizon: &Horizon, limit: usize) -> Result<usize, StoreError> {
        let horizon = *horizon;
        let found = self
            .readers
            .read(move |connection, _| prune::look(connection, &horizon, limit))
            .await?;
        if found.is_empty() {
            return Ok(0);
        }
        self.writer
            .write(move |connection, _| prune::prune(connection, &found, &horizon, limit))
            .await
    }

    async fn forget(&self, token: RequestToken) -> Result<(), ForgetError> {
        self.writer
            .write(move |connection, context| prune::forget_ended(connection, context, token))
            .await?
    }

    async fn prune_components(&self, used: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let mut kept = self.beside(Components::all).await?;
        kept.retain(|component| !used.contains(component));
        if kept.is_empty() {
            return Ok(kept);
        }
        let unused = self
            .readers
            .read(move |connection, _| prune::unused(connection, kept))
            .await?;
        self.beside(move |components| {
            for component in &unused {
                components.remove(*component)?;
            }
            Ok(unused)
        })
        .await
    }

    async fn put_component(&self, bytes: Arc<[u8]>) -> Result<Digest, StoreError> {
        self.beside(move |components| components.put(&bytes)).await
    }

    async fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.beside(move |components| components.get(digest)).await
    }

    fn pools(&self) -> Vec<Pool> {
        vec![self.readers.used()]
    }
}

#[cfg(test)]
mod tests;
