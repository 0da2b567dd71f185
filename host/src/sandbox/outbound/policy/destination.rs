//! Where one request goes: the one parser of URLs.
//!
//! *Invariant*: what is sent is what is compared. Spellings that mean the same are
//! one, and the URI that goes out is the one whose parts patterns look at.

use std::fmt;

use http::uri::PathAndQuery;
use http::{Method, Uri};
use url::{Host, Url};

/// The longest method, in bytes; the longest that is registered has 17.
const LONGEST_METHOD: usize = 32;

/// The longest host, in bytes: so long may a name be (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 253;

/// The longest authority as it is written: a host and a port.
const LONGEST_AUTHORITY: usize = 300;

/// A scheme that can be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Where one request goes, in its usual spelling.
#[derive(Clone, Debug)]
pub(in crate::sandbox::outbound) struct Destination {
    pub(super) method: Method,
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// All of it, as it is sent.
    pub(super) uri: Uri,
}

/// Why a request goes nowhere: rules of the wire, which no setting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::sandbox::outbound) enum NoDestination {
    #[error("its method has {bytes} bytes, and no method has more than {LONGEST_METHOD}")]
    LongMethod { bytes: usize },
    #[error("its host has {bytes} bytes, and no name has more than {LONGEST_HOST} (RFC 1035)")]
    LongHost { bytes: usize },
    #[error("its port is 0, and nothing listens there")]
    Port,
    #[error("it would be a tunnel, which is never made: CONNECT is no method of a handler")]
    Tunnel,
    #[error("its URL is not one of `http` or `https`, with a host and no user, that can be sent")]
    Url,
}

impl Destination {
    /// Reads where a request goes.
    pub(super) fn new(method: &Method, uri: &Uri) -> Result<Self, NoDestination> {
        let bytes = method.as_str().len();
        if bytes > LONGEST_METHOD {
            return Err(NoDestination::LongMethod { bytes });
        }
        if *method == Method::CONNECT {
            return Err(NoDestination::Tunnel);
        }
        let authority = uri.authority().ok_or(NoDestination::Url)?.as_str();
        let bytes = authority.len();
        if bytes > LONGEST_AUTHORITY {
            return Err(NoDestination::LongHost { bytes });
        }
        let (scheme, host, url) = read(uri, authority).ok_or(NoDestination::Url)?;
        let bytes = host.to_string().len();
        if bytes > LONGEST_HOST {
            return Err(NoDestination::LongHost { bytes });
        }
        let port = url.port().unwrap_or(scheme.port());
        if port == 0 {
            return Err(NoDestination::Port);
        }
        Ok(Self {
            method: method.clone(),
            scheme,
            port,
            host,
            uri: url.as_str().parse().map_err(|_| NoDestination::Url)?,
        })
    }

    /// Tells whether it is to stay on this machine.
    pub(in crate::sandbox::outbound) fn stays(&self) -> bool {
        stays(&self.uri)
    }

    /// Gives the host and the port.
    pub(super) fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Tells whether what goes to a URL is to stay on this machine: nothing encrypts it,
/// and its host is a name of this machine.
pub(super) fn stays(uri: &Uri) -> bool {
    uri.scheme_str() != Some(Scheme::Https.as_str()) && uri.host().is_some_and(is_here)
}

/// Tells whether a name, and each below it, is one of this machine (RFC 6761 section 6.3).
pub(super) fn is_here(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Reads a URL whose authority names no user. The host is told beside it.
fn read(uri: &Uri, authority: &str) -> Option<(Scheme, Host, Url)> {
    let scheme = Scheme::parse(uri.scheme_str()?)?;
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    // Else the path could go on with the name of the host.
    let is_apart = path.starts_with(['/', '?']);
    if authority.is_empty() || authority.contains('@') || !is_apart {
        return None;
    }
    let mut url = Url::parse(&format!("{}://{authority}{path}", scheme.as_str())).ok()?;
    url.set_fragment(None);
    let host = usual(url.host()?.to_owned())?;
    url.set_host(Some(&host.to_string())).ok()?;
    Some((scheme, host, url))
}

/// Takes the dot of the root from a name. Gives nothing for a name with empty parts,
/// or with a `*`, which would be a pattern where it is told.
pub(super) fn usual(host: Host) -> Option<Host> {
    match host {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            let is_name = name.split('.').all(|part| !part.is_empty()) && !name.contains('*');
            is_name.then(|| Host::Domain(name.to_owned()))
        }
        address @ (Host::Ipv4(_) | Host::Ipv6(_)) => Some(address),
    }
}

impl Scheme {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
    }
}

impl fmt::Display for Destination {
    /// Writes method and origin: path and query may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, scheme, host) = (&self.method, self.scheme, &self.host);
        write!(f, "{method} {}://{host}", scheme.as_str())?;
        if self.port != scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}
