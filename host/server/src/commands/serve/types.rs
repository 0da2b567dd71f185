//! The handlers of a server: loaded into an engine, and told of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use formwork_host::engine::Engine;
use formwork_host::model::{JsonObject, TypeName, TypeSchema};
use formwork_host::registry::{HandlerVersion, TypeSettings};
use formwork_host::sandbox::Sandbox;
use formwork_host::store::Filter;

use crate::config::{Config, ServedType};
use crate::data::Data;
use crate::environment::Environment;
use crate::grants::{self, Withheld};

use super::super::output::Console;
use super::super::run::UNFINISHED;
use super::super::setup;

/// How many unfinished operations are counted at the start.
const COUNTED: usize = 1_000;

/// A handler that can be served: its bytes are read and its grants looked up.
pub(super) struct Ready {
    path: PathBuf,
    bytes: Arc<[u8]>,
    granted: String,
    settings: TypeSettings,
}

/// A handler that is served.
pub(super) struct Served {
    path: PathBuf,
    granted: String,
    version: Arc<HandlerVersion>,
}

impl Ready {
    /// Has the type configured by `object` in place of what the file says.
    pub(super) fn configure(&mut self, object: JsonObject) {
        self.settings.type_configuration = Some(object);
    }
}

impl Served {
    pub(super) fn type_name(&self) -> &TypeName {
        self.schema().type_name()
    }

    pub(super) fn schema(&self) -> &TypeSchema {
        self.version.schema()
    }
}

/// Looks up what the handlers of a configuration need on this machine; none is granted
/// what keeps secrets of the configuration, of `file` that it is from, or of the
/// environment, nor to write what is served.
pub(super) fn prepare(
    config: &Config,
    file: Option<&Path>,
    environment: &Environment,
) -> anyhow::Result<Vec<Ready>> {
    let data = config.data.as_ref().and_then(Data::directory);
    let mut withheld = Withheld::new(environment, data);
    withheld.secrets.extend(file.map(Path::to_owned));
    withheld.secrets.extend(config.files.iter().cloned());
    if let Some(tls) = &config.tls {
        withheld.secrets.push(tls.key.clone());
        withheld.trusted.push(tls.certificate.clone());
    }
    let components = config.types.iter().map(|it| &it.component);
    let trusted = components.chain(&config.register.folders);
    withheld.trusted.extend(trusted.cloned());
    let grants: Vec<_> = config.types.iter().map(|it| it.grants.as_slice()).collect();
    let grants = grants::resolve_all(&grants, &withheld)?;
    let types = config.types.iter().zip(grants);
    types
        .map(|(served, grants)| {
            let bytes = setup::component(&served.component)?;
            let mut settings = served.settings.clone();
            settings.grants = Arc::new(grants);
            Ok(Ready {
                path: served.component.clone(),
                bytes,
                granted: granted(served),
                settings,
            })
        })
        .collect()
}

fn granted(served: &ServedType) -> String {
    let grants: Vec<String> = served.grants.iter().map(ToString::to_string).collect();
    if grants.is_empty() {
        "granted nothing".to_owned()
    } else {
        format!("granted {}", grants.join(", "))
    }
}

/// Loads handlers, each of another type, in place of those that are loaded.
pub(super) async fn load(
    engine: &Engine,
    sandbox: &Sandbox,
    types: &[Ready],
) -> anyhow::Result<Vec<Served>> {
    let mut served: Vec<Served> = Vec::with_capacity(types.len());
    for ready in types {
        let path = &ready.path;
        sandbox.check_grants(&ready.settings.grants)?;
        let version = engine
            .load(Arc::clone(&ready.bytes), ready.settings.clone())
            .await
            .with_context(|| format!("cannot serve `{}`", path.display()))?;
        let same = |other: &&Served| other.type_name() == version.schema().type_name();
        if let Some(other) = served.iter().find(same) {
            bail!(
                "`{}` and `{}` are both handlers of `{}`: serve one of them",
                other.path.display(),
                path.display(),
                other.type_name()
            );
        }
        served.push(Served {
            path: path.clone(),
            granted: ready.granted.clone(),
            version,
        });
    }
    Ok(served)
}

/// Says what is served.
pub(super) fn tell(served: &[Served], console: &Console) {
    for Served {
        path,
        granted,
        version,
    } in served
    {
        console.say(format_args!(
            "Serving {} from `{}`, {}, {granted}",
            version.schema().type_name(),
            path.display(),
            version.handler().digest(),
        ));
    }
    if !served.is_empty() && served.iter().all(|it| it.granted == "granted nothing") {
        console.say(
            "Handlers are granted nothing; if they need files, give `--grant dir=PATH`, and for HTTP \
             `--grant http=PATTERN`.",
        );
    }
}

/// Says what goes on by itself.
pub(super) async fn tell_unfinished(
    engine: &Engine,
    served: &[Served],
    data: Option<&Data>,
    console: &Console,
) -> anyhow::Result<()> {
    let Some(data) = data else {
        console.say("Operations are lost with this process; `--data DIR` keeps them.");
        return Ok(());
    };
    console.say(format_args!("Operations are kept in `{}`.", data.display()));
    let filter = Filter {
        statuses: UNFINISHED.to_vec(),
        limit: COUNTED,
        ..Filter::default()
    };
    let unfinished = engine
        .operations(&filter)
        .await
        .with_context(|| format!("cannot look for operations in `{}`", data.display()))?;
    let is_served = |type_name: &TypeName| served.iter().any(|it| it.type_name() == type_name);
    let (go_on, wait): (Vec<_>, Vec<_>) = unfinished
        .iter()
        .partition(|operation| is_served(&operation.type_name));
    let more = if unfinished.len() == COUNTED {
        " or more"
    } else {
        ""
    };
    if !go_on.is_empty() {
        console.say(format_args!(
            "Unfinished operations that go on: {}{more}.",
            go_on.len()
        ));
    }
    if !wait.is_empty() {
        console.warn(format_args!(
            "unfinished operations that wait until their type is served: {}{more}",
            wait.len()
        ));
    }
    Ok(())
}
