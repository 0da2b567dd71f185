//! Which requests a grant or a wish stands for.
//!
//! *Invariant*: pattern and request are read by the same parser, so that spellings
//! which mean the same are equal before they are compared.
//!
//! *Invariant*: a path under a prefix cannot leave it, however often a server
//! decodes it.

pub(super) mod path;
mod rented;

use std::fmt;
use std::str::FromStr;

use http::Method;
use url::{Host, Url};

use super::destination::{Destination, Scheme, is_here, usual};

pub(super) use self::path::leaves;

/// Says which requests may be made: `[METHOD ]SCHEME://HOST[:PORT][/PREFIX]`.
///
/// - Without a method it stands for all methods.
/// - The scheme is `http` or `https`.
/// - The host is a name, an IP address, `*.NAME` for all names below one (and not
///   for that one), or `*` for any. Internationalized names and odd spellings of
///   addresses are the same as their usual ones.
/// - The port is a number or `*` for any. Default: that of the scheme.
/// - A prefix stands for itself and what lies below it: `/v1` for `/v1/a` and not
///   for `/v10`. Nothing lies below it that servers decode each in their way: what
///   is no text, controls, `%u`. Default: every path.
///
/// ```
/// use formwork_host::sandbox::HttpPattern;
///
/// let pattern: HttpPattern = "GET https://*.EXAMPLE.com:443/v1".parse()?;
/// assert_eq!(pattern.to_string(), "GET https://*.example.com/v1");
/// # Ok::<(), formwork_host::sandbox::HttpPatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPattern {
    method: Option<Method>,
    scheme: Scheme,
    host: HostPattern,
    /// None is any.
    port: Option<u16>,
    /// The path as the parser writes it; `/` is every path.
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Is(Host),
    Below(String),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no pattern of HTTP requests: {rule}; write `[METHOD ]SCHEME://HOST[:PORT][/PREFIX]`, \
     such as `GET https://*.example.com/v1`",
    without_user(text)
)]
pub struct HttpPatternError {
    text: String,
    rule: &'static str,
}

/// Quotes a text, and leaves out what stands before an `@`: it may be a password.
fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("`…@{rest}`"),
        None => format!("`{text}`"),
    }
}

impl FromStr for HttpPattern {
    type Err = HttpPatternError;

    fn from_str(text: &str) -> Result<Self, HttpPatternError> {
        Self::parse(text).map_err(|rule| HttpPatternError {
            text: text.to_owned(),
            rule,
        })
    }
}

impl HttpPattern {
    /// Reads a pattern, or gives the rule that it breaks.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (method, rest) = match text.split_once(' ') {
            Some((method, rest)) if !method.contains("://") => (Some(self::method(method)?), rest),
            Some(_) | None => (None, text),
        };
        let (scheme, rest) = rest
            .split_once("://")
            .ok_or("it names no scheme, `http://` or `https://`")?;
        let scheme = Scheme::parse(scheme).ok_or("the scheme is `http` or `https`")?;
        if rest.contains(['?', '#', '\\']) || rest.contains(char::is_whitespace) {
            return Err("it ends with the path: there is no query, fragment, `\\` or space");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("it holds no user and no password");
        }
        if path.contains('*') {
            return Err("a prefix stands for all that lies below it, so leave `*` out of the path");
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => Some(scheme.port()),
            Some("*") => None,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
                Ok(_) | Err(_) => return Err("the port is a number from 1 to 65535, or `*`"),
            },
        };
        let host = match host.strip_prefix('*') {
            Some("") => HostPattern::Any,
            Some(rest) => match rest.strip_prefix('.').map(self::host).transpose()? {
                Some(Host::Domain(name)) => HostPattern::Below(name),
                Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => {
                    return Err("a `*` is the whole host, or stands before `.` and a name");
                }
            },
            None => HostPattern::Is(self::host(host)?),
        };
        let prefix = Url::parse(&format!("http://host{path}"))
            .map_err(|_| "the prefix is no path")?
            .path()
            .to_owned();
        if leaves(&prefix) {
            return Err(
                "the prefix has no `.` and `..` nor what may be read so, and is text without controls and `%u`",
            );
        }
        Ok(Self {
            method,
            scheme,
            host,
            port,
            prefix,
        })
    }

    /// Tells whether the pattern stands for requests to any host, or to any below a name
    /// that has no dot, which is nobody's, as `com`.
    pub(super) fn has_any_host(&self) -> bool {
        match &self.host {
            HostPattern::Any => true,
            HostPattern::Is(_) => false,
            HostPattern::Below(name) => !name.contains('.') && !is_here(name),
        }
    }

    /// Tells whether it names the method.
    pub(super) const fn names_a_method(&self) -> bool {
        self.method.is_some()
    }

    /// Gives the bucket of S3 that its host is for, if it is for one.
    pub(super) fn bucket(&self) -> Option<&str> {
        let HostPattern::Is(Host::Domain(name)) = &self.host else {
            return None;
        };
        let end = name.rfind(".s3.").or_else(|| name.rfind(".s3-"))?;
        Some(&name[..end])
    }

    /// Tells whether it stands for some paths only.
    pub(super) fn has_prefix(&self) -> bool {
        self.prefix != "/"
    }

    /// Tells whether it stands for requests to one host at one port.
    pub(super) const fn has_one_origin(&self) -> bool {
        matches!(self.host, HostPattern::Is(_)) && self.port.is_some()
    }

    /// Tells whether nobody reads the requests on their way: they are encrypted, or
    /// stay on this machine.
    pub(super) fn is_confidential(&self) -> bool {
        let stays = match &self.host {
            HostPattern::Is(Host::Domain(name)) | HostPattern::Below(name) => is_here(name),
            HostPattern::Is(Host::Ipv4(address)) => address.is_loopback(),
            HostPattern::Is(Host::Ipv6(address)) => address.is_loopback(),
            HostPattern::Any => false,
        };
        stays || self.scheme == Scheme::Https
    }

    /// Gives the narrowest pattern that stands for `request` and tells no path, which
    /// may hold a secret. It names the method if it may be named.
    pub(super) fn of_origin(request: &Destination) -> Self {
        Self {
            method: method(request.method.as_str()).ok(),
            scheme: request.scheme,
            host: HostPattern::Is(request.host.clone()),
            port: Some(request.port),
            prefix: "/".to_owned(),
        }
    }

    /// Tells whether `request` is one of those that the pattern stands for.
    pub(super) fn matches(&self, request: &Destination) -> bool {
        self.matches_but_for_the_path(request) && self.matches_path(request.uri.path())
    }

    /// Tells whether it stands for requests of that method to that server.
    pub(super) fn matches_but_for_the_path(&self, request: &Destination) -> bool {
        let mut method = self.method.iter();
        method.all(|it| *it == request.method)
            && self.scheme == request.scheme
            && self.port.is_none_or(|port| port == request.port)
            && self.matches_host(&request.host)
    }

    fn matches_host(&self, host: &Host) -> bool {
        match (&self.host, host) {
            (HostPattern::Any, _) => true,
            (HostPattern::Is(wanted), host) => wanted == host,
            (HostPattern::Below(suffix), Host::Domain(name)) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            (HostPattern::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }

    fn matches_path(&self, path: &str) -> bool {
        if !self.has_prefix() {
            return true;
        }
        let below = path.strip_prefix(self.prefix.as_str()).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.prefix.ends_with('/')
        });
        below && !leaves(path)
    }
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Is(host) => write!(f, "{host}")?,
            HostPattern::Below(suffix) => write!(f, "*.{suffix}")?,
        }
        match self.port {
            None => f.write_str(":*")?,
            Some(port) if port == self.scheme.port() => {}
            Some(port) => write!(f, ":{port}")?,
        }
        match self.prefix.as_str() {
            "/" => Ok(()),
            prefix => f.write_str(prefix),
        }
    }
}

fn method(text: &str) -> Result<Method, &'static str> {
    if text.is_empty() || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err("the method is in capital letters, with one space behind it");
    }
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) => Err("the method CONNECT is never sent"),
        // Whatever is put on a request would be sent back.
        Ok(method) if method == Method::TRACE || method.as_str() == "TRACK" => {
            Err("the methods TRACE and TRACK are not granted by name")
        }
        Ok(method) => Ok(method),
        Err(_) => Err("the method is none"),
    }
}

/// Splits a host, maybe an address in brackets, from the port behind it.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let end = authority.rfind(']').map_or(0, |end| end + 1);
    let (head, tail) = authority.split_at(end);
    match tail.split_once(':') {
        None => Ok((authority, None)),
        Some((name, port)) => Ok((&authority[..head.len() + name.len()], Some(port))),
    }
}

/// Reads a host in its usual spelling.
fn host(text: &str) -> Result<Host, &'static str> {
    const NO_HOST: &str = "the host is a name, an IP address, `*.NAME` or `*`";
    let host = Host::parse(text).ok().and_then(usual);
    host.ok_or(NO_HOST)
}

#[cfg(test)]
mod tests;
