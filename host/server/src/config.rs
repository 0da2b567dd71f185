//! What `formwork serve` serves and how: from `formwork.toml`, or from arguments.
//!
//! *Invariant*: a setting that nobody knows is an error, not a default.

mod database;
mod file;
mod key;
mod table;
mod value;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formwork_host::engine::Retention;
use formwork_host::model::{AccountId, Region};
use formwork_host::registry::TypeSettings;

use crate::access::Key;
use crate::data::Data;
use crate::environment::{Environment, Secret};
use crate::grants::Grant;
use crate::limits::SandboxLimits;
use table::{Document, Fault};

pub(crate) use table::closest;
pub(crate) use value::{address, amount, size_text};

/// The name of the file that is used where none is named.
pub(crate) const FILE_NAME: &str = "formwork.toml";

/// The most invocations at once that can be asked for: each reserves 16 GiB of
/// address space, of which there are 128 TiB.
const MOST_INVOCATIONS: usize = 4_096;

/// What a configuration names that is outside of it.
struct Outside<'a> {
    /// Gives the value of an environment variable, if it is set.
    variable: &'a dyn Fn(&str) -> Option<Secret>,
    /// The files that were read.
    read: RefCell<Vec<PathBuf>>,
}

impl Outside<'_> {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.read.borrow_mut().push(path.to_owned());
        fs::read_to_string(path)
            .map_err(|error| format!("the file `{}` cannot be read: {error}", path.display()))
    }
}

/// What a server does.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where to listen, at least one address; port 0 is any free port. Default:
    /// 127.0.0.1:3001.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where operations are kept. Default: in memory.
    pub(crate) data: Option<Data>,
    /// How many invocations are made at once. Default: that of the engine.
    pub(crate) concurrency: Option<usize>,
    /// How long an operation is left to a server that is not heard of. Default: that
    /// of the engine.
    pub(crate) lease: Option<Duration>,
    /// How long what has ended is kept. Default: that of the engine.
    pub(crate) retention: Retention,
    /// The account that callers belong to. Default: 000000000000.
    pub(crate) account: AccountId,
    /// The region of requests that name none. Default: us-east-1.
    pub(crate) region: Region,
    /// Whom to report to.
    pub(crate) report: Report,
    /// Who may call. Default: everybody, from this machine.
    pub(crate) keys: Vec<Key>,
    /// What TLS is spoken with. Default: it is not spoken.
    pub(crate) tls: Option<TlsFiles>,
    /// Whether a proxy stands before the server that speaks TLS to the callers.
    pub(crate) behind_proxy: bool,
    /// What operators are told.
    pub(crate) telemetry: Telemetry,
    /// How the log is written.
    pub(crate) log: Log,
    /// What can be registered while the server runs.
    pub(crate) register: Register,
    /// What may be loaded, and what the HTTP requests of all handlers may use.
    pub(crate) limits: SandboxLimits,
    /// The handlers.
    pub(crate) types: Vec<ServedType>,
    /// The other files that settings were read from.
    pub(crate) files: Vec<PathBuf>,
}

/// What can be registered while the server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Register {
    /// The folders that components are taken from. Default: none, so that nothing
    /// can be registered.
    pub(crate) folders: Vec<PathBuf>,
}

/// Whom to report to, where a request does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The endpoint. Default: none, so that such operations are not reported.
    pub(crate) endpoint: Option<String>,
    /// The region to sign reports for. Default: that of the server.
    pub(crate) region: Option<Region>,
}

/// What operators are told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telemetry {
    /// Where to listen for who reads the metrics. Default: where callers are
    /// listened for, as long as they have no keys.
    pub(crate) listen: Option<SocketAddr>,
    /// Where traces go, the base of an OTLP receiver's URLs. Default: the
    /// environment says it, or nowhere.
    pub(crate) endpoint: Option<String>,
    /// Which part of the operations is traced, from 0 to 1. Default: 1.
    pub(crate) sample: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            listen: None,
            endpoint: None,
            sample: 1.0,
        }
    }
}

/// How the log is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// In which form. Default: for people.
    pub(crate) format: Option<LogFormat>,
    /// Which lines, such as `info`. Default: those that the arguments ask for.
    pub(crate) filter: Option<String>,
}

/// A form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object on each line.
    Json,
}

/// PEM files of a certificate, with those that signed it, and of its key.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// One handler, and what its operator decides.
#[derive(Clone, Debug)]
pub(crate) struct ServedType {
    /// The file.
    pub(crate) component: PathBuf,
    /// What it may reach. Default: nothing.
    pub(crate) grants: Vec<Grant>,
    /// All else; its grants are not yet looked up.
    pub(crate) settings: TypeSettings,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration `{}`: give the path of a `{FILE_NAME}`", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot use the configuration `{}`: {}", path.display(), lines(faults))]
    Wrong { path: PathBuf, faults: Vec<Fault> },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 3001))],
            data: None,
            concurrency: None,
            lease: None,
            retention: Retention::default(),
            account: "000000000000".parse().expect("it has 12 digits"),
            region: "us-east-1".parse().expect("it is a region"),
            report: Report::default(),
            keys: Vec::new(),
            tls: None,
            behind_proxy: false,
            telemetry: Telemetry::default(),
            log: Log::default(),
            register: Register::default(),
            limits: SandboxLimits::default(),
            types: Vec::new(),
            files: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file, with paths relative to the folder that it is in.
    ///
    /// # Errors
    ///
    /// When the file or one that it names cannot be read, or says something
    /// that is no setting. All that is wrong is said at once.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder, &Environment::secret).map_err(|faults| ConfigError::Wrong {
            path: path.to_owned(),
            faults,
        })
    }

    fn parse(
        text: &str,
        folder: &Path,
        variable: &dyn Fn(&str) -> Option<Secret>,
    ) -> Result<Self, Vec<Fault>> {
        let outside = Outside {
            variable,
            read: RefCell::default(),
        };
        let read = Document::read(text, |root| file::read(root, folder, &outside));
        read.map(|config| Self {
            files: outside.read.into_inner(),
            ..config
        })
    }
}

fn lines(faults: &[Fault]) -> String {
    match faults {
        [fault] => fault.to_string(),
        faults => faults.iter().map(|fault| format!("\n  {fault}")).collect(),
    }
}

#[cfg(test)]
mod tests;
