//! Serving what a changed file says.
//!
//! *Invariant*: a file that cannot be served changes nothing.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use formwork_host::clock::Clock;
use formwork_host::engine::Engine;
use formwork_host::model::TypeName;
use formwork_host::sandbox::Sandbox;

use crate::config::Config;
use crate::doors::{House, Tls};
use crate::environment::Environment;
use crate::grants::Grant;

use super::super::output::{Causes, Console};
use super::{ServeArgs, check, types};

/// How often files are looked at. What has changed is read when it was the same
/// twice, lest it be read while it is written.
const LOOK: Duration = Duration::from_secs(1);

/// A server that can be given other handlers, keys and certificates.
pub(super) struct Reloading<'a> {
    pub(super) args: &'a ServeArgs,
    pub(super) environment: &'a Environment,
    /// What it was started with.
    pub(super) config: &'a Config,
    pub(super) house: &'a House,
    pub(super) sandbox: &'a Sandbox,
    pub(super) tls: Option<&'a Tls>,
    pub(super) console: &'a Console,
}

impl Reloading<'_> {
    /// Reads the file again, and gives the files to look at from now on.
    pub(super) async fn reload(&self, watch: &mut Watch) {
        // What changes from here on is read the next time.
        let before = watch.look();
        match self.try_reload().await {
            Ok(config) => watch.follow(self.args, &config, &before),
            Err(error) => {
                watch.took(before);
                self.console.warn(format_args!(
                    "what was served is served on, since its configuration was changed to one that cannot be: {}",
                    Causes(&error)
                ));
            }
        }
    }

    async fn try_reload(&self) -> anyhow::Result<Config> {
        let config = self.args.config()?;
        // The addresses stay, so it is they that have to be safe.
        check::exposure(&Config {
            listen: self.config.listen.clone(),
            tls: config.tls.clone().filter(|_| self.tls.is_some()),
            ..config.clone()
        })?;
        if config.keys.is_empty() && !self.house.access.is_open() {
            bail!(
                "without keys, whoever reaches this server could do everything; to take the last \
                 key away, start it again"
            );
        }
        check::folders(&config)?;
        let config_here = Config {
            data: self.config.data.clone(),
            ..config.clone()
        };
        let mut ready = types::prepare(&config_here, self.args.file(), self.environment)?;
        let certificate = check::certificate(&config)?;
        let trial = Engine::builder(self.sandbox.clone()).start();
        let tried = types::load(&trial, self.sandbox, &ready).await?;
        let House {
            engine,
            access,
            configurations,
            registrations,
            ..
        } = self.house;
        let alone = configurations.loading().await;
        for (ready, tried) in ready.iter_mut().zip(&tried) {
            self.keep_configuration(ready, tried);
        }
        let (registered, of_file): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .zip(tried)
            .partition(|(_, tried)| registrations.has(tried.type_name()));
        let ready: Vec<_> = of_file.into_iter().map(|(ready, _)| ready).collect();
        let served = types::load(engine, self.sandbox, &ready).await?;
        let of_file = |name: &TypeName| served.iter().any(|it| it.type_name() == name);
        let mut types = engine.types();
        types.retain(|name| !of_file(name) && !registrations.has(name));
        for type_name in &types {
            engine.retire(type_name);
        }
        registrations.allow(config.register.folders.clone());
        access.replace(config.keys.clone());
        drop(alone);
        if let Some((tls, certificate)) = self.tls.zip(certificate) {
            tls.replace(certificate);
        }
        self.console
            .say("The configuration was read again. Operations that run go on with the handlers that they began with.");
        types::tell(&served, self.console);
        for (_, tried) in &registered {
            self.console.say(format_args!(
                "{} keeps the handler that RegisterType has loaded",
                tried.type_name()
            ));
        }
        for type_name in &types {
            self.console.say(format_args!(
                "{type_name} is served no more: its operations go on, and it takes no new ones"
            ));
        }
        self.tell_what_waits(&config);
        Ok(config)
    }

    /// Keeps the configuration that a call has given to a type, if the handler
    /// takes it.
    fn keep_configuration(&self, ready: &mut types::Ready, tried: &types::Served) {
        let House {
            engine,
            configurations,
            ..
        } = self.house;
        let type_name = tried.type_name();
        let Some(object) = configurations.set(engine, type_name) else {
            return;
        };
        let violations = tried.schema().configuration_violations(&object.to_map());
        if violations.is_empty() {
            ready.configure(object);
            self.console.say(format_args!(
                "{type_name} keeps the configuration that SetTypeConfiguration has given it"
            ));
        } else {
            self.console.warn(format_args!(
                "{type_name} gets the configuration of the file again: the one that SetTypeConfiguration has given it does not fit the schema any more"
            ));
        }
    }

    /// Says what takes effect only when the server is started again.
    fn tell_what_waits(&self, config: &Config) {
        let old = self.config;
        let changed: Vec<&str> = [
            ("listen", old.listen != config.listen),
            ("data", old.data != config.data),
            ("concurrency", old.concurrency != config.concurrency),
            ("lease", old.lease != config.lease),
            ("retention", old.retention != config.retention),
            ("account", old.account != config.account),
            ("load", old.limits.load != config.limits.load),
            ("http", old.limits.http != config.limits.http),
            ("region", old.region != config.region),
            ("report", old.report != config.report),
            ("tls", old.tls.is_some() != config.tls.is_some()),
            ("telemetry", old.telemetry != config.telemetry),
            ("log", old.log != config.log),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect();
        if !changed.is_empty() {
            self.console.warn(format_args!(
                "changes of `{}` wait until the server is started again",
                changed.join("`, `")
            ));
        }
    }
}

/// Files that are looked at: the configuration, and all that it names.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    files: Vec<PathBuf>,
    /// As they were when they were last read.
    read: Looks,
    /// As they were when they were last looked at.
    seen: Looks,
}

type Looks = HashMap<PathBuf, Option<(SystemTime, u64)>>;

impl Watch {
    /// Looks at the files of a server, if a file says what it serves.
    pub(super) fn new(clock: Arc<dyn Clock>, args: &ServeArgs, config: &Config) -> Self {
        let mut watch = Self {
            clock,
            files: Vec::new(),
            read: Looks::new(),
            seen: Looks::new(),
        };
        watch.follow(args, config, &Looks::new());
        watch
    }

    /// Looks at the files of a configuration, which was read when those of
    /// `before` were like that.
    fn follow(&mut self, args: &ServeArgs, config: &Config, before: &Looks) {
        let Some(file) = args.file() else {
            return;
        };
        let tls = config
            .tls
            .iter()
            .flat_map(|tls| [&tls.certificate, &tls.key]);
        let components = config.types.iter().map(|it| &it.component);
        let granted = config
            .types
            .iter()
            .flat_map(|it| it.grants.iter().filter_map(Grant::file));
        self.files = components
            .chain(tls)
            .chain(&config.files)
            .map(PathBuf::as_path)
            .chain(granted)
            .map(Path::to_owned)
            .collect();
        self.files.push(file.to_owned());
        let mut read = self.look();
        for (file, look) in &mut read {
            if let Some(before) = before.get(file) {
                *look = *before;
            }
        }
        self.took(read);
    }

    /// Takes the files for read as they were then.
    fn took(&mut self, read: Looks) {
        self.seen.clone_from(&read);
        self.read = read;
    }

    /// Waits until a file has changed; for ever if there is none.
    ///
    /// # Cancel safety
    ///
    /// A change is not lost by dropping the future.
    pub(super) async fn changed(&mut self) {
        loop {
            self.clock.sleep(LOOK).await;
            let now = self.look();
            let settled = now == self.seen;
            self.seen = now;
            if settled && self.seen != self.read {
                self.read.clone_from(&self.seen);
                return;
            }
        }
    }

    fn look(&self) -> Looks {
        let look = |file: &PathBuf| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let looks = self.files.iter().map(|file| (file.clone(), look(file)));
        looks.collect()
    }
}
