//! Resource types: which handler serves a type, and what its operator decides.
//!
//! *Invariant*: an operation keeps the handler version with which it began, also
//! across a restart and on another host: a [`HandlerVersion`] is found by its
//! digest. Another one goes on with it only where its operator says so
//! ([`OnUpgrade`]).
//!
//! *Invariant*: component and schema are pinned for an operation; grants, limits
//! and type configuration are those current at each invocation, so a revoked
//! grant bites at once.
//!
//! *Invariant*: replacing a handler never touches a running invocation, which
//! holds its version.

mod upgrade;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

use crate::model::{Digest, JsonObject, SchemaError, TypeName, TypeSchema};
use crate::operation::Policy;
use crate::sandbox::{Grants, Handler, Limits};

pub use upgrade::{Incompatible, OnUpgrade};

/// What the operator of a type decides. Takes effect at the next invocation.
#[derive(Clone, Debug)]
pub struct TypeSettings {
    /// What an invocation may use.
    pub limits: Limits,
    /// What a guest may reach. Default: nothing.
    pub grants: Arc<Grants>,
    /// How often and how fast operations go on.
    pub policy: Policy,
    /// How many operations of the type are invoked at once, at least 1; its
    /// READs and LISTs are counted apart. Default: 64.
    pub concurrency: usize,
    /// The account-level configuration of the type, given to its handler where
    /// the caller sends none.
    pub type_configuration: Option<JsonObject>,
    /// Whether the write-only values of a resource's last accepted desired state
    /// are kept, sealed, after its create or update has succeeded, so that a
    /// later update need not bring them again. Without it they are erased, and
    /// those of before are with the next success. Default: false.
    pub keep_write_only: bool,
    /// Which version goes on with operations that began with an earlier one.
    /// Default: that one.
    pub on_upgrade: OnUpgrade,
}

impl Default for TypeSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            grants: Arc::default(),
            policy: Policy::default(),
            concurrency: 64,
            type_configuration: None,
            keep_write_only: false,
            on_upgrade: OnUpgrade::Pinned,
        }
    }
}

/// One loaded component and its schema.
#[derive(Debug)]
pub struct HandlerVersion {
    handler: Handler,
    schema: TypeSchema,
}

impl HandlerVersion {
    /// Reads the schema that the handler describes itself with.
    pub(crate) fn new(handler: Handler) -> Result<Self, SchemaError> {
        let schema = TypeSchema::parse(&handler.description().schema)?;
        Ok(Self { handler, schema })
    }

    /// Gives the handler.
    #[must_use]
    pub const fn handler(&self) -> &Handler {
        &self.handler
    }

    /// Gives the resource type schema.
    #[must_use]
    pub const fn schema(&self) -> &TypeSchema {
        &self.schema
    }
}

/// The types of one engine.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    types: HashMap<TypeName, ResourceType>,
    /// Every version in memory: the current ones, and those that operations
    /// still go on with.
    versions: HashMap<Digest, Arc<HandlerVersion>>,
}

#[derive(Clone, Debug)]
pub(crate) struct ResourceType {
    pub(crate) current: Arc<HandlerVersion>,
    pub(crate) settings: Arc<TypeSettings>,
    /// The places for READs and LISTs.
    pub(crate) reads: Arc<Semaphore>,
    /// Whether only operations that are accepted already go on.
    retired: bool,
}

impl Registry {
    /// Makes `version` the current one of its type, with places for so many
    /// READs and LISTs at once, at most its concurrency.
    pub(crate) fn insert(
        &self,
        version: Arc<HandlerVersion>,
        settings: TypeSettings,
        reads: usize,
    ) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known
            .versions
            .insert(version.handler.digest(), Arc::clone(&version));
        let name = version.schema.type_name().clone();
        known.types.insert(
            name,
            ResourceType {
                current: version,
                reads: Arc::new(Semaphore::new(reads.min(settings.concurrency).max(1))),
                settings: Arc::new(settings),
                retired: false,
            },
        );
    }

    /// Takes no more requests of a type; returns whether any were taken.
    pub(crate) fn retire(&self, name: &TypeName) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.types.get_mut(name);
        known.is_some_and(|known| !std::mem::replace(&mut known.retired, true))
    }

    /// Keeps a version that is not the current one.
    pub(crate) fn keep(&self, version: Arc<HandlerVersion>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.versions.insert(version.handler.digest(), version);
    }

    /// Gives a type that takes requests.
    pub(crate) fn open(&self, name: &TypeName) -> Option<ResourceType> {
        self.get(name).filter(|known| !known.retired)
    }

    /// Gives a type, also a retired one.
    pub(crate) fn get(&self, name: &TypeName) -> Option<ResourceType> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .types
            .get(name)
            .cloned()
    }

    /// Gives the limits of a type, or the default ones where it is not known.
    pub(crate) fn limits(&self, name: &TypeName) -> Limits {
        self.get(name)
            .map(|known| known.settings.limits)
            .unwrap_or_default()
    }

    pub(crate) fn version(&self, digest: Digest) -> Option<Arc<HandlerVersion>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .versions
            .get(&digest)
            .cloned()
    }

    /// Gives the versions that are current or that somebody holds.
    pub(crate) fn held(&self) -> Vec<Digest> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let held = known
            .versions
            .iter()
            .filter(|(_, version)| Arc::strong_count(version) > 1);
        held.map(|(digest, _)| *digest).collect()
    }

    /// Drops those of `versions` that are not current and that nobody holds.
    pub(crate) fn drop_unheld(&self, versions: &[Digest]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known
            .versions
            .retain(|digest, version| Arc::strong_count(version) > 1 || !versions.contains(digest));
    }

    /// Gives the types by name, also retired ones, with their settings.
    pub(crate) fn types(&self) -> Vec<(TypeName, ResourceType)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut types: Vec<_> = known
            .types
            .iter()
            .map(|(name, kept)| (name.clone(), kept.clone()))
            .collect();
        types.sort_by(|a, b| a.0.cmp(&b.0));
        types
    }

    /// Tells how many types there are, also retired ones.
    pub(crate) fn count(&self) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.types.len()
    }

    /// Gives the names of the types that take requests, in their order.
    pub(crate) fn open_types(&self) -> Vec<TypeName> {
        let open = self.types().into_iter().filter(|(_, known)| !known.retired);
        open.map(|(name, _)| name).collect()
    }
}
