//! The parts that commands build upon: a component's bytes, a sandbox, a store.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use formwork_host::sandbox::{Compiler, CompilerProcess, Sandbox, SandboxConfig, SandboxError};
use formwork_host::store::{Database, PostgresStore, SealingKey, SqliteStore, Store};

use crate::data::{self, Data, Place};
use crate::environment::Environment;
use crate::limits::SandboxLimits;

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
pub(super) fn sandbox(
    environment: &Environment,
    data: Option<&Data>,
    concurrency: u32,
    limits: SandboxLimits,
    console: &Console,
) -> anyhow::Result<Sandbox> {
    let compiler = CompilerProcess::this_program(super::COMPILE)
        .context("cannot tell which program this is, to have components compiled by it")?;
    let mut config = SandboxConfig::new(Compiler::Process(compiler));
    config.concurrency = concurrency;
    config.load = limits.load;
    config.http = limits.http;
    config.cache_dir = environment
        .forced_cache_dir()
        .or_else(|| Some(data?.directory()?.join("cache")))
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

/// Opens a data directory or a database to run what is in it, making what is
/// missing.
pub(super) async fn open(data: &Data, environment: &Environment) -> anyhow::Result<Arc<dyn Store>> {
    match data {
        Data::Directory(path) if path.is_file() => bail!(
            "`{}` is a file: `--data` takes a directory, made if it is missing",
            path.display()
        ),
        Data::Directory(path) => Ok(Arc::new(SqliteStore::open(path)?)),
        Data::Database(place) => {
            let database = database(place, environment)?;
            Ok(Arc::new(PostgresStore::open(&database).await?))
        }
    }
}

/// Opens a data directory or a database beside the engines that may be running
/// in it.
pub(super) async fn attach(
    data: &Data,
    environment: &Environment,
) -> anyhow::Result<Arc<dyn Store>> {
    match data {
        Data::Directory(path) => Ok(Arc::new(SqliteStore::attach(path)?)),
        Data::Database(place) => {
            let database = database(place, environment)?;
            Ok(Arc::new(PostgresStore::attach(&database).await?))
        }
    }
}

/// Finds the key and the password of a database: the configuration's, or else the
/// environment's.
fn database(place: &Place, environment: &Environment) -> anyhow::Result<Database> {
    let text = match (
        &place.key,
        &environment.database_key,
        &environment.database_key_file,
    ) {
        (Some(key), _, _) | (None, Some(key), _) => key.0.clone().into_bytes(),
        (None, None, Some(file)) => fs::read(file).with_context(|| {
            format!(
                "cannot read the key of the database from `{}`",
                file.display()
            )
        })?,
        (None, None, None) => bail!(
            "a database needs a key that seals what is kept there, the same for all hosts: give `key_file` in \
             `[database]` of the configuration, or FORMWORK_DATABASE_KEY_FILE; `openssl rand -hex 32` makes one"
        ),
    };
    let key = SealingKey::parse(&text).context("cannot use the key of the database")?;
    let host = environment.host_name.as_deref().unwrap_or_default();
    let password = environment.database_password.as_ref();
    Ok(data::database(place, key, host, password))
}
