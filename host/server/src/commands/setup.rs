//! The parts that commands build upon: a component's bytes, a sandbox, a store.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use formwork_host::sandbox::{Sandbox, SandboxConfig, SandboxError};
use formwork_host::store::SqliteStore;

use crate::environment::Environment;

use super::output::{Causes, Console};

/// How many invocations a command that has few operations runs at once: each
/// reserves address space.
pub(super) const FEW: u32 = 16;

/// Reads the bytes of a component.
pub(super) fn component(path: &Path) -> anyhow::Result<Arc<[u8]>> {
    if path.is_dir() {
        bail!(
            "cannot read the component `{}`: it is a directory; give the `.wasm` file",
            path.display()
        );
    }
    let bytes = fs::read(path).with_context(|| {
        format!(
            "cannot read the component `{}`: give the path of a `.wasm` file",
            path.display()
        )
    })?;
    Ok(bytes.into())
}

/// Makes a sandbox for so many invocations at once. Compiled components are kept in the environment's
/// directory, in `DIR/cache` with a data directory, or in the user's own; where
/// that cannot be used, they are compiled each time.
#[expect(
    clippy::field_reassign_with_default,
    reason = "the configuration can be made in no other way"
)]
pub(super) fn sandbox(
    environment: &Environment,
    data: Option<&Path>,
    concurrency: u32,
    console: &Console,
) -> anyhow::Result<Sandbox> {
    let mut config = SandboxConfig::default();
    config.concurrency = concurrency;
    config.cache_dir = environment
        .forced_cache_dir()
        .or_else(|| data.map(|data| data.join("cache")))
        .or_else(|| environment.cache_dir());
    if config.cache_dir.is_none() {
        console.warn(
            "components are compiled each time, since HOME is not set; set it or FORMWORK_CACHE_DIR",
        );
    }
    match Sandbox::new(&config) {
        Ok(sandbox) => Ok(sandbox),
        Err(error @ (SandboxError::CacheDirectory { .. } | SandboxError::CacheUnsafe { .. })) => {
            let error = anyhow::Error::new(error);
            console.warn(format_args!(
                "components are compiled each time: {}",
                Causes(&error)
            ));
            config.cache_dir = None;
            Ok(Sandbox::new(&config)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a data directory to run what is in it, making it where it is missing.
pub(super) fn open(data: &Path) -> anyhow::Result<Arc<SqliteStore>> {
    if data.is_file() {
        bail!(
            "`{}` is a file: `--data` takes a directory, made if it is missing",
            data.display()
        );
    }
    Ok(Arc::new(SqliteStore::open(data)?))
}

/// Opens a data directory beside the engine that may be running in it.
pub(super) fn attach(data: &Path) -> anyhow::Result<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::attach(data)?))
}
