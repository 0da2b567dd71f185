//! Opens databases.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::StoreError;
use crate::store::seal::{KeyId, Sealer, SealingKey};
use crate::store::unreadable::Foreign;

use super::connections::Connections;
use super::fault::Fault;
use super::gather::Gatherer;
use super::hints::Hints;
use super::schema::{self, SUPPORTED};
use super::server::Server;
use super::time::ServerTime;
use super::{Context, Inner, PostgresStore, claim, migrate, presence, tls};

/// How many connections write at once: one for each kind of write that is
/// gathered, and two for all else.
const WRITERS: usize = 5;

/// How many connections prolong leases. Nothing else shall make that wait.
const KEEPERS: usize = 1;

/// How many connections read at once.
const READERS: usize = 3;

/// Where a database is, and what it takes to use it.
#[derive(Clone)]
pub struct Database {
    url: Zeroizing<String>,
    password: Option<Zeroizing<String>>,
    key: SealingKey,
    name: String,
}

/// Shows neither passwords nor keys.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Names a database by its URL, and the key that seals what is kept there.
    ///
    /// `postgres://USER[:PASSWORD]@HOST[:PORT]/NAME`, with several hosts if it
    /// has copies, of which the one is used that can be written to unless
    /// `target_session_attrs` says otherwise, and options: `sslmode=require` speaks TLS to a server whose
    /// certificate is for its name and trusted on this machine, or by the PEM
    /// file of `sslrootcert`; `sslmode=disable` does not. Default: TLS, unless
    /// the server is on this machine.
    #[must_use]
    pub fn new(url: impl Into<String>, key: SealingKey) -> Self {
        Self {
            url: Zeroizing::new(url.into()),
            password: None,
            key,
            name: String::new(),
        }
    }

    /// Gives a password, which takes the place of that in the URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Zeroizing::new(password.into()));
        self
    }

    /// Names this host, for operators. Default: no name.
    #[must_use]
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Gives what stands for the database in messages: without its password.
    ///
    /// # Errors
    ///
    /// When the URL is none.
    pub fn place(&self) -> Result<String, ConnectError> {
        Ok(place(&Address::parse(&self.url)?.config))
    }

    #[cfg(test)]
    pub(super) fn sealed_with(mut self, key: SealingKey) -> Self {
        self.key = key;
        self
    }

    fn server(&self) -> Result<Arc<Server>, ConnectError> {
        let address = Address::parse(&self.url)?;
        let mut config = address.config;
        let is_one = config.get_hosts().len().max(config.get_hostaddrs().len()) == 1;
        if !is_one && !address.says_which {
            // Of a server and its copies, the one that writes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if let Some(password) = &self.password {
            config.password(password.as_bytes());
        }
        let is_near = config.get_hosts().iter().all(is_near);
        let tls = match (address.tls, is_near) {
            (Some(false), _) | (None, true) => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            (Some(true), _) | (None, false) => {
                config.ssl_mode(SslMode::Require);
                let trusting = tls::trusting(address.roots.as_deref());
                Some(trusting.map_err(|source| ConnectError::Roots {
                    path: address.roots.unwrap_or_default(),
                    source,
                })?)
            }
        };
        let place = place(&config);
        Ok(Server::new(config, tls, place))
    }
}

/// What a URL says.
struct Address {
    config: Config,
    /// Whether TLS is to be spoken, if it says so.
    tls: Option<bool>,
    roots: Option<PathBuf>,
    /// Whether it says which of several servers to use.
    says_which: bool,
}

impl Address {
    fn parse(url: &str) -> Result<Self, ConnectError> {
        let wrong = |rule: String| ConnectError::Url { rule };
        if !is_url(url) {
            return Err(wrong(
                "it must begin with `postgres://` or `postgresql://`".to_owned(),
            ));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut tls, mut roots, mut rest) = (None, None, Vec::new());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", "disable")) => tls = Some(false),
                Some(("sslmode", "require" | "verify-ca" | "verify-full")) => tls = Some(true),
                Some(("sslmode", other)) => {
                    return Err(wrong(format!(
                        "`sslmode` is `{other}` and must be `require` or `disable`: what lies between leaves it to the network"
                    )));
                }
                Some(("sslrootcert", path)) => roots = Some(PathBuf::from(unescaped(path))),
                _ => rest.push(option),
            }
        }
        let plain = Zeroizing::new(format!("{base}?{}", rest.join("&")));
        let config = Config::from_str(&plain).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            wrong(cause.unwrap_or_else(|| error.to_string()))
        })?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        let mut options = rest.iter().map(|option| option.split('=').next());
        Ok(Self {
            says_which: options.any(|name| name == Some("target_session_attrs")),
            config,
            tls,
            roots,
        })
    }
}

/// Tells whether a place is named like a database.
#[must_use]
pub fn is_url(place: &str) -> bool {
    place.starts_with("postgres://") || place.starts_with("postgresql://")
}

fn unescaped(text: &str) -> String {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs.map(|(text, _)| text.into_owned()).collect()
}

/// Tells whether what is said to a host does not leave the machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

/// Names a database without its password.
fn place(config: &Config) -> String {
    let hosts = config.get_hosts().iter().zip(
        config
            .get_ports()
            .iter()
            .copied()
            .chain(std::iter::repeat(5432)),
    );
    let hosts: Vec<String> = hosts
        .map(|(host, port)| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let user = config.get_user().map(|user| format!("{user}@"));
    let name = config.get_dbname().or(config.get_user());
    format!(
        "postgres://{}{}/{}",
        user.unwrap_or_default(),
        hosts.join(","),
        name.unwrap_or_default()
    )
}

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none.
    #[error("the URL of the database cannot be used: {rule}")]
    Url {
        /// What is wrong with it.
        rule: String,
    },
    /// The certificates to trust cannot be read.
    #[error("cannot read the certificates to trust from `{}`", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No store was ever made in it.
    #[error("the database {place} holds no operations: start a server on it once")]
    Empty {
        /// Which database.
        place: String,
    },
    /// A newer program has changed it beyond what this one knows.
    #[error(
        "the database {place} needs programs that support version {needs}, and this one supports up to {supported}: use a newer one"
    )]
    TooNew {
        /// Which database.
        place: String,
        /// The version that a program must support.
        needs: i32,
        /// The version that this program supports.
        supported: i32,
    },
    /// An older program made it, and a client does not change it.
    #[error(
        "the database {place} has version {found}, and this program needs {supported}: start a server of this version once"
    )]
    TooOld {
        /// Which database.
        place: String,
        /// The version of the database.
        found: i32,
        /// The version that this program writes.
        supported: i32,
    },
    /// It is sealed with another key.
    #[error(
        "the database {place} is sealed with key {expected}, and the key here is {found}: give all hosts the same key"
    )]
    Key {
        /// Which database.
        place: String,
        /// The id of the key that was given.
        found: String,
        /// The id of the key of the database.
        expected: String,
    },
    /// It cannot be reached, or refuses.
    #[error("cannot open the database")]
    Store {
        /// Why.
        source: StoreError,
    },
}

/// Who opens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Engine,
    Client,
}

pub(super) async fn open(database: &Database, who: As) -> Result<PostgresStore, ConnectError> {
    let server = database.server()?;
    let place = server.place().to_owned();
    let sealer = Sealer::new(&database.key);
    let refused = |fault: Fault| ConnectError::Store {
        source: fault.into_error(&place),
    };
    let client = server.connect().await.map_err(refused)?;
    let mut state = schema::state(&client).await.map_err(refused)?;
    if who == As::Engine && (state.version < SUPPORTED || state.key.is_none()) {
        let prepared = migrate::prepare(&client, &sealer, &place).await;
        state = prepared.map_err(refused)?;
    }
    check(&state, &place)?;
    let expected = state.key.as_deref().and_then(KeyId::from_slice);
    if expected != Some(sealer.id()) {
        return Err(ConnectError::Key {
            place,
            found: sealer.id().to_string(),
            expected: expected.map_or_else(String::new, |id| id.to_string()),
        });
    }
    drop(client);
    let context = Arc::new(Context {
        place: place.clone(),
        sealer,
        host: Uuid::now_v7(),
        name: database.name.clone(),
        foreign: Foreign::default(),
    });
    let writers = Connections::new("writers", Arc::clone(&server), WRITERS, &[]);
    let inner = Arc::new(Inner {
        readers: Connections::new("readers", Arc::clone(&server), READERS, &[]),
        writers: Arc::clone(&writers),
        // A renewal is given up soon, and may leave no time to prepare.
        keepers: Connections::new("keepers", Arc::clone(&server), KEEPERS, &claim::RENEWAL),
        context: Arc::clone(&context),
        time: ServerTime::default(),
        hints: Hints::new(),
        server,
    });
    let on = inner.readers.take().await.map_err(refused)?;
    let shown = presence::show(&inner, &on, who).await;
    on.done(shown).map_err(refused)?;
    let present = Arc::clone(&inner);
    let mut tasks = vec![tokio::spawn(async move {
        presence::keep(&present, who).await;
    })];
    if who == As::Engine {
        let hinting = Arc::clone(&inner);
        tasks.push(tokio::spawn(async move {
            let (server, host) = (&hinting.server, hinting.context.host);
            hinting.hints.carry(server, host).await;
        }));
    }
    Ok(PostgresStore {
        accepts: Gatherer::start(Arc::clone(&context), Arc::clone(&writers)),
        commits: Gatherer::start(Arc::clone(&context), Arc::clone(&writers)),
        settlements: Gatherer::start(context, writers),
        inner,
        tasks,
    })
}

fn check(state: &schema::State, place: &str) -> Result<(), ConnectError> {
    let place = place.to_owned();
    if state.is_too_new() {
        return Err(ConnectError::TooNew {
            place,
            needs: state.needs_at_least,
            supported: SUPPORTED,
        });
    }
    match state.version {
        0 => Err(ConnectError::Empty { place }),
        found if found < SUPPORTED => Err(ConnectError::TooOld {
            place,
            found,
            supported: SUPPORTED,
        }),
        _ => Ok(()),
    }
}
