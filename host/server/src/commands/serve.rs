//! `formwork serve`: handlers over HTTP.

mod args;
mod reports;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use formwork_host::clock::{Clock, SystemClock};
use formwork_host::engine::Engine;
use formwork_host::model::TypeName;
use formwork_host::registry::{HandlerVersion, TypeSettings};
use formwork_host::sandbox::SandboxConfig;
use formwork_host::store::Filter;
use tokio::sync::oneshot;

use crate::doors::{Configurations, House, Listener, Settings, router};
use crate::environment::Environment;
use crate::grants;

use super::interrupts::Interrupts;
use super::output::Console;
use super::run::UNFINISHED;
use super::{Exit, setup};

pub(super) use args::ServeArgs;
use reports::NamedEndpoints;

/// How long a gentle stop waits for running invocations: longer than any may
/// take by default.
const PATIENCE: Duration = Duration::from_secs(90);

/// How many unfinished operations are counted at the start.
const COUNTED: usize = 1_000;

pub(super) async fn run(
    args: &ServeArgs,
    environment: &Environment,
    console: &Console,
) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen()?;
    let settings = settings(args)?;
    let components = args
        .components
        .iter()
        .map(|path| setup::component(path))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let listener = Listener::bind(args.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: stop what listens there, or give another `--listen`, such as `127.0.0.1:0` for any free port",
            args.listen
        )
    })?;
    let data = args.data.as_deref();
    let store = data.map(setup::open).transpose()?;
    let concurrency = SandboxConfig::default().concurrency;
    let sandbox = setup::sandbox(environment, data, concurrency, console)?;
    sandbox.check_grants(&settings.grants)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let reporter = NamedEndpoints::new(args)
        .await
        .context("cannot report to CloudFormation; see `--report-endpoint`")?;
    let mut builder = Engine::builder(sandbox)
        .clock(Arc::clone(&clock))
        .reporter(Arc::new(reporter));
    if let Some(store) = store {
        builder = builder.store(store);
    }
    let engine = builder.start();
    let served = match load(args, &engine, components, &settings).await {
        Ok(served) => served,
        Err(error) => {
            // What is in the data directory may have gone on meanwhile.
            engine.shutdown(PATIENCE).await;
            return Err(error);
        }
    };
    tell(args, &engine, &served, console).await?;
    let address = listener.address();
    console.say(format_args!("Listening on http://{address}"));
    let house = House {
        engine: engine.clone(),
        types: served.iter().map(Served::type_name).cloned().collect(),
        clock: Arc::clone(&clock),
        configurations: Configurations::new(clock.now(), settings),
        settings: Settings::default(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move {
        // Whoever drops the sender wants the same.
        let _ = stopped.await;
    };
    let serving = async {
        let answered = listener
            .serve(router(Arc::new(house)), clock, stopped, PATIENCE)
            .await;
        // The doors close first, so that what came in through them is answered.
        engine.shutdown(PATIENCE).await && answered
    };
    tokio::pin!(serving);
    tokio::select! {
        _ = &mut serving => {}
        () = interrupts.next() => {}
    }
    console.say("Stopping. Running invocations are waited for; Ctrl-C again leaves at once.");
    drop(stop);
    let whole = tokio::select! {
        whole = serving => whole,
        () = interrupts.next() => false,
    };
    if whole {
        return Ok(Exit::Done);
    }
    console.say("Left what was still running.");
    Ok(Exit::Interrupted)
}

/// Loads the components, one for each type.
async fn load(
    args: &ServeArgs,
    engine: &Engine,
    components: Vec<Arc<[u8]>>,
    settings: &TypeSettings,
) -> anyhow::Result<Vec<Served>> {
    let mut served: Vec<Served> = Vec::with_capacity(components.len());
    for (path, component) in args.components.iter().zip(components) {
        let version = engine
            .load(component, settings.clone())
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
            version,
        });
    }
    Ok(served)
}

/// A handler that is served.
struct Served {
    path: PathBuf,
    version: Arc<HandlerVersion>,
}

impl Served {
    fn type_name(&self) -> &TypeName {
        self.version.schema().type_name()
    }
}

fn settings(args: &ServeArgs) -> anyhow::Result<TypeSettings> {
    let grants = grants::resolve(&args.grants, args.data.as_deref())?;
    let mut settings = TypeSettings {
        grants: Arc::new(grants),
        ..TypeSettings::default()
    };
    settings.policy.strict = args.strict;
    Ok(settings)
}

/// Says what is served, and what goes on by itself.
async fn tell(
    args: &ServeArgs,
    engine: &Engine,
    served: &[Served],
    console: &Console,
) -> anyhow::Result<()> {
    for Served { path, version } in served {
        console.say(format_args!(
            "Serving {} from `{}`, {}",
            version.schema().type_name(),
            path.display(),
            version.handler().digest()
        ));
    }
    let grants: Vec<String> = args.grants.iter().map(ToString::to_string).collect();
    if grants.is_empty() {
        console.say("Handlers are granted nothing; if they need files, give `--grant dir=PATH`.");
    } else {
        console.say(format_args!("Handlers are granted {}.", grants.join(", ")));
    }
    let Some(data) = &args.data else {
        console.say("Operations are lost with this process; `--data DIR` keeps them.");
        return Ok(());
    };
    console.say(format_args!("Operations are kept in `{}`.", data.display()));
    tell_unfinished(engine, served, data, console).await
}

async fn tell_unfinished(
    engine: &Engine,
    served: &[Served],
    data: &Path,
    console: &Console,
) -> anyhow::Result<()> {
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
