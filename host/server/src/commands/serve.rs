//! `formwork serve`: handlers over HTTP.

mod args;
mod check;
mod reload;
mod reports;
mod types;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use formwork_host::clock::{Clock, SystemClock};
use formwork_host::engine::{Engine, Telemetry, clock_of};
use formwork_host::sandbox::{Sandbox, SandboxConfig};
use formwork_host::store::MemoryStore;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::config::Config;
use crate::doors::{
    Configurations, Crowd, House, Listener, Registrations, Settings, Tls, operators, router,
};
use crate::environment::Environment;
use crate::telemetry::{self, Metrics, Page, Told, Traces};

use super::interrupts::{Interrupt, Interrupts};
use super::output::Console;
use super::{Exit, setup};

pub(super) use args::ServeArgs;
use reload::{Reloading, Watch};
use reports::NamedEndpoints;

/// How long a gentle stop waits for running invocations: longer than any may
/// take by default.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) async fn run(
    args: &ServeArgs,
    environment: &Environment,
    console: &Console,
) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = args.config()?;
    // What changes while the handlers are loaded is read again.
    let mut watch = Watch::new(Arc::clone(&clock), args, &config);
    check::exposure(&config)?;
    check::folders(&config)?;
    let certificate = check::certificate(&config)?;
    let ready = types::prepare(&config, args.file(), environment)?;
    if args.check {
        let sandbox = sandbox(&config, environment, console)?;
        return check::run(&config, &sandbox, &ready, console).await;
    }
    let tls = certificate.map(|certificate| Arc::new(Tls::new(certificate)));
    let listeners = listen(&config).await?;
    let for_operators = match config.telemetry.listen {
        Some(address) => Some(Listener::bind(address).await.with_context(|| {
            format!("cannot tell metrics on {address}: stop what listens there, or give another `listen` of `[telemetry]`")
        })?),
        None => None,
    };
    let data = config.data.as_ref();
    let store = match data {
        Some(data) => setup::open(data, environment).await?,
        None => Arc::new(MemoryStore::default()),
    };
    // Hosts that share a database share its clock too.
    let clock = clock_of(&store);
    let sandbox = sandbox(&config, environment, console)?;
    let reporter = NamedEndpoints::new(&config)
        .await
        .context("cannot report to CloudFormation; see `--report-endpoint`")?;
    let receiver = config.telemetry.endpoint.as_deref();
    let sends_metrics = environment.metrics.unwrap_or(receiver.is_some());
    let sender = sends_metrics
        .then(|| telemetry::metrics(receiver))
        .transpose()?;
    let metrics = Arc::new(Metrics::new(sender));
    let sends_traces = environment.traces.unwrap_or(receiver.is_some());
    let traces = sends_traces
        .then(|| Traces::start(receiver, config.telemetry.sample))
        .transpose()?
        .map(Arc::new);
    let mut told: Vec<Arc<dyn Telemetry>> = vec![Arc::clone(&metrics) as _];
    told.extend(traces.clone().map(|traces| traces as _));
    let mut builder = Engine::builder(sandbox.clone())
        .clock(Arc::clone(&clock))
        .store(store)
        .retention(config.retention)
        .reporter(Arc::new(reporter))
        .telemetry(Arc::new(Told(told)));
    if let Some(invocations) = config.concurrency {
        builder = builder.concurrency(invocations);
    }
    if let Some(lease) = config.lease {
        builder = builder.lease(lease);
    }
    let engine = builder.start();
    let served = match types::load(&engine, &sandbox, &ready).await {
        Ok(served) => served,
        Err(error) => {
            // What is in the data directory may have gone on meanwhile.
            engine.shutdown(PATIENCE).await;
            return Err(error);
        }
    };
    types::tell(&served, console);
    if config.keys.is_empty() {
        console
            .say("Whoever reaches this server may do everything: the configuration has no keys.");
    }
    types::tell_unfinished(&engine, &served, data, console).await?;
    if let Some(listener) = &for_operators {
        console.say(format_args!(
            "Metrics on http://{}/metrics, for whoever reaches that",
            listener.address()
        ));
    }
    for listener in &listeners {
        let scheme = if tls.is_some() { "https" } else { "http" };
        console.say(format_args!(
            "Listening on {scheme}://{}",
            listener.address()
        ));
    }
    let (stop, stopping) = watch::channel(false);
    let page = Page::new(
        Arc::clone(&metrics),
        engine.clone(),
        sandbox.clone(),
        Arc::clone(&clock),
    );
    let house = Arc::new(House {
        engine: engine.clone(),
        clock: Arc::clone(&clock),
        configurations: Configurations::new(clock.now()),
        registrations: Registrations::new(clock.now(), config.register.folders.clone()),
        crowd: Crowd::default(),
        settings: Settings {
            account: config.account.clone(),
            region: config.region.clone(),
            ..Settings::default()
        },
        access: Arc::new(Access::new(config.keys.clone())),
        page,
        stopping: stopping.clone(),
    });
    let counting = sends_metrics.then(|| {
        let house = Arc::clone(&house);
        tokio::spawn(async move { house.page.keep_counted().await })
    });
    let mut open = JoinSet::new();
    let doors = listeners.into_iter().map(|listener| {
        let router = router(Arc::clone(&house));
        (listener.tls(tls.clone()), router)
    });
    let of_operators = for_operators.map(|listener| (listener, operators(Arc::clone(&house))));
    for (listener, router) in doors.chain(of_operators) {
        let mut stopping = stopping.clone();
        let stopped = async move {
            // Whoever drops the sender wants the same.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        open.spawn(listener.serve(router, Arc::clone(&clock), stopped, PATIENCE));
    }
    let serving = async {
        let mut answered = true;
        while let Some(closed) = open.join_next().await {
            answered &= closed.unwrap_or(false);
        }
        // The doors close first, so that what came in through them is answered.
        engine.shutdown(PATIENCE).await && answered
    };
    tokio::pin!(serving);
    let reloading = Reloading {
        args,
        environment,
        config: &config,
        house: &house,
        sandbox: &sandbox,
        tls: tls.as_deref(),
        console,
    };
    let has_file = args.file().is_some();
    loop {
        tokio::select! {
            _ = &mut serving => break,
            asked = interrupts.next_or_hang_up() => match asked {
                Interrupt::HangUp if has_file => {}
                Interrupt::HangUp | Interrupt::End => break,
            },
            () = watch.changed() => {}
        }
        reloading.reload(&mut watch).await;
    }
    console.say("Stopping. Running invocations are waited for; Ctrl-C again leaves at once.");
    stop.send_replace(true);
    if let Some(counting) = counting {
        counting.abort();
    }
    let whole = tokio::select! {
        whole = serving => whole,
        () = interrupts.next() => false,
    };
    // It blocks; a thread that breaks has sent what it could.
    let _ = tokio::task::spawn_blocking(move || {
        metrics.stop();
        if let Some(traces) = traces {
            traces.stop();
        }
    })
    .await;
    if whole {
        return Ok(Exit::Done);
    }
    console.say("Left what was still running.");
    Ok(Exit::Interrupted)
}

async fn listen(config: &Config) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(config.listen.len());
    for address in &config.listen {
        let listener = Listener::bind(*address).await.with_context(|| {
            format!(
                "cannot listen on {address}: stop what listens there, or give another `--listen`, such as `127.0.0.1:0` for any free port"
            )
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Makes the sandbox, with room for as many invocations as the engine may make.
fn sandbox(
    config: &Config,
    environment: &Environment,
    console: &Console,
) -> anyhow::Result<Sandbox> {
    // A quarter is for READs and LISTs.
    let asked = config.concurrency.unwrap_or(0).div_ceil(3) * 4;
    let slots = u32::try_from(asked)
        .unwrap_or(u32::MAX)
        .max(SandboxConfig::CONCURRENCY);
    setup::sandbox(
        environment,
        config.data.as_ref(),
        slots,
        config.limits,
        console,
    )
}
