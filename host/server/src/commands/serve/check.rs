//! What can be told of a configuration before anything is served.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use formwork_host::engine::Engine;
use formwork_host::sandbox::Sandbox;

use crate::config::Config;
use crate::doors::{Certificate, TlsError};

use super::super::Exit;
use super::super::output::Console;
use super::reports::NamedEndpoints;
use super::types::{self, Ready};

/// Refuses to be reached from elsewhere by callers that nobody knows, or in the
/// clear.
pub(super) fn exposure(config: &Config) -> anyhow::Result<()> {
    if config.behind_proxy && config.keys.is_empty() {
        bail!(
            "cannot stand behind a proxy without keys: whoever reached the proxy could do all that \
             the handlers are granted; give the callers keys, tables `[[key]]` of \
             `formwork.toml`, or leave `behind_proxy` out"
        );
    }
    match config
        .listen
        .iter()
        .find(|address| !address.ip().is_loopback())
    {
        Some(address) if config.keys.is_empty() => bail!(
            "cannot listen on {address}: it is no loopback address, and without keys whoever \
             reached it could do all that the handlers are granted; give the callers keys, tables \
             `[[key]]` of `formwork.toml`, or listen on `127.0.0.1`"
        ),
        Some(address) if config.tls.is_none() && !config.behind_proxy => bail!(
            "cannot listen on {address}: it is no loopback address, and secrets would cross the \
             network as they are; name a certificate and its key in `[tls]`, or set \
             `behind_proxy = true` where a proxy that speaks TLS stands before the server, or \
             listen on `127.0.0.1`"
        ),
        Some(_) | None => Ok(()),
    }
}

/// Looks for the folders that components can be registered from.
pub(super) fn folders(config: &Config) -> anyhow::Result<()> {
    let mut folders = config.register.folders.iter();
    match folders.find(|folder| !folder.is_dir()) {
        Some(folder) => bail!(
            "cannot take components from `{}`: it is no directory; make it, or leave it out of \
             `folders` of `[register]`",
            folder.display()
        ),
        None => Ok(()),
    }
}

/// Reads the certificate of a configuration, if it names one.
pub(super) fn certificate(config: &Config) -> Result<Option<Certificate>, TlsError> {
    config
        .tls
        .as_ref()
        .map(|tls| Certificate::read(&tls.certificate, &tls.key))
        .transpose()
}

/// Loads the handlers where nothing is kept, and says what would be served.
pub(super) async fn run(
    config: &Config,
    sandbox: &Sandbox,
    ready: &[Ready],
    console: &Console,
) -> anyhow::Result<Exit> {
    NamedEndpoints::new(config)
        .await
        .context("cannot report to CloudFormation; see `[report]`")?;
    let engine = Engine::builder(sandbox.clone()).start();
    let served = types::load(&engine, sandbox, ready).await?;
    types::tell(&served, console);
    let addresses: Vec<String> = config.listen.iter().map(SocketAddr::to_string).collect();
    console.say(format_args!(
        "It would listen on {}; nothing is wrong.",
        addresses.join(", ")
    ));
    Ok(Exit::Done)
}
