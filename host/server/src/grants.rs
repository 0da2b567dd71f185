//! What the command line grants a guest.
//!
//! *Invariant*: what is not granted by name is not granted; a grant that cannot
//! be kept is an error before anything is run.
//!
//! *Invariant*: an error does not repeat what can be a secret in the wrong place.

mod authority;
mod resolve;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use formwork_host::sandbox::{
    Access, AddressGrant, AddressGrantError, HttpPattern, HttpPatternError, Quota,
    RootCertificateError,
};

use crate::config::size_text;
use authority::{AuthorityError, Secret, Sign};

pub(crate) use resolve::{Withheld, resolve, resolve_all};

/// One `--grant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A directory of this machine.
    Directory {
        /// As it was given.
        path: PathBuf,
        /// What the guest may do there.
        access: Access,
    },
    /// The caller's credentials.
    Credentials,
    /// HTTP requests.
    Http(HttpPattern),
    /// Addresses that are not public, for HTTP requests.
    Address(AddressGrant),
    /// Whom servers are trusted by, besides those that this machine trusts: a
    /// file of certificates.
    Authority {
        /// As it was given.
        path: PathBuf,
    },
    /// HTTP requests that are signed.
    Sign(Sign),
    /// HTTP requests that a secret is put on.
    Secret(Secret),
}

/// Says why a grant cannot be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error(
        "`{name}` is no grant: use `dir=PATH`, `dir=PATH:ro`, `http=PATTERN`, `sign=PATTERN as \
         SERVICE`, `secret=PATTERN as FIELD from file PATH`, `address=ADDRESS`, `ca=FILE` or \
         `credentials`{}",
        hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default()
    )]
    Unknown {
        name: String,
        hint: Option<&'static str>,
    },
    #[error("`{text}` names no directory: use `dir=PATH`, such as `dir=./data`, or `dir=PATH:ro`")]
    NoPath { text: String },
    #[error("`{option}` of `{text}` is no way to grant a directory: {rule}")]
    Option {
        text: String,
        option: String,
        rule: String,
    },
    // Who prints a wrong argument or setting prints no causes.
    #[error("{reason}")]
    Http { reason: HttpPatternError },
    #[error("{reason}")]
    Address { reason: AddressGrantError },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("`{text}` names no file: use `ca=FILE`, with certificates in PEM")]
    NoFile { text: String },
    #[error("cannot trust the certificates of `{}`: give a file in PEM", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot trust the certificates of `{}`", path.display())]
    Certificates {
        path: PathBuf,
        source: RootCertificateError,
    },
    #[error("cannot grant the directory `{}`: make it (`mkdir -p`), or grant one that is there", path.display())]
    Missing { path: PathBuf, source: io::Error },
    #[error("cannot grant `{}`: it is a file; grant the directory that it is in", path.display())]
    NotDirectory { path: PathBuf },
    #[error("cannot grant `{}`: it has no name for the handler to see it under; grant directories in it", path.display())]
    NoName { path: PathBuf },
    #[error(
        "cannot grant both `{}` and `{}`: the handler would see both as `/{name}`; grant \
         directories whose last names differ", first.display(), second.display()
    )]
    SameName {
        first: PathBuf,
        second: PathBuf,
        name: String,
    },
    #[error(
        "cannot grant `{}`: it overlaps the data directory `{}`, which keeps secrets of all \
         operations; grant a directory apart from it, or give another `--data`",
        path.display(), data.display()
    )]
    DataDirectory { path: PathBuf, data: PathBuf },
    #[error(
        "cannot grant `{}`: it overlaps `{}`, which keeps secrets; grant a directory apart from \
         it, or move the secrets away",
        path.display(), secret.display()
    )]
    Secrets { path: PathBuf, secret: PathBuf },
    #[error(
        "cannot grant `{}` to be written: it overlaps `{}`, by which it is decided what is run or \
         trusted; grant a directory apart from it, or with `:ro`",
        path.display(), trusted.display()
    )]
    Trusted { path: PathBuf, trusted: PathBuf },
    #[error(
        "cannot grant `{}`: the way to it leads through `{}`, in which a handler may write and so \
         decide what it is; grant directories apart from each other, or the outer one with `:ro`",
        path.display(), outer.display()
    )]
    Through { path: PathBuf, outer: PathBuf },
}

impl Grant {
    /// Reads the path of a directory as one from `folder`.
    pub(crate) fn below(self, folder: &Path) -> Self {
        match self {
            Self::Directory { path, access } => Self::Directory {
                path: folder.join(path),
                access,
            },
            Self::Authority { path } => Self::Authority {
                path: folder.join(path),
            },
            Self::Secret(secret) => Self::Secret(secret.below(folder)),
            Self::Credentials | Self::Http(_) | Self::Address(_) | Self::Sign(_) => self,
        }
    }

    /// Gives the file that is read when the grant is looked up, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.authority().or_else(|| self.secret())
    }

    /// Gives the file of certificates, if the grant names one.
    fn authority(&self) -> Option<&Path> {
        match self {
            Self::Authority { path } => Some(path),
            Self::Directory { .. }
            | Self::Credentials
            | Self::Http(_)
            | Self::Address(_)
            | Self::Sign(_)
            | Self::Secret(_) => None,
        }
    }

    /// Gives the file that a secret is in, if the grant names one.
    fn secret(&self) -> Option<&Path> {
        match self {
            Self::Secret(secret) => secret.file(),
            Self::Directory { .. }
            | Self::Credentials
            | Self::Http(_)
            | Self::Address(_)
            | Self::Authority { .. }
            | Self::Sign(_) => None,
        }
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        match text.split_once('=') {
            None if text == "credentials" => Ok(Self::Credentials),
            Some(("dir", rest)) => {
                let (path, access) = directory(text, rest)?;
                if path.is_empty() {
                    return Err(GrantError::NoPath {
                        text: text.to_owned(),
                    });
                }
                Ok(Self::Directory {
                    path: PathBuf::from(path),
                    access,
                })
            }
            Some(("http", pattern)) => match pattern.parse() {
                Ok(pattern) => Ok(Self::Http(pattern)),
                Err(reason) => Err(GrantError::Http { reason }),
            },
            Some(("address", address)) => match address.parse() {
                Ok(address) => Ok(Self::Address(address)),
                Err(reason) => Err(GrantError::Address { reason }),
            },
            Some(("sign", rest)) => Ok(Self::Sign(rest.parse()?)),
            Some(("secret", rest)) => Ok(Self::Secret(rest.parse()?)),
            Some(("ca", "")) => Err(GrantError::NoFile {
                text: text.to_owned(),
            }),
            Some(("ca", path)) => Ok(Self::Authority {
                path: PathBuf::from(path),
            }),
            Some(_) | None => Err(GrantError::Unknown {
                name: name(text),
                hint: hint(text),
            }),
        }
    }
}

impl fmt::Display for Grant {
    /// Writes the grant as the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, access } => {
                write!(f, "dir={}", path.display())?;
                let options = options(*access);
                if !options.is_empty() {
                    write!(f, ":{}", options.join(","))?;
                }
                Ok(())
            }
            Self::Credentials => f.write_str("credentials"),
            Self::Http(pattern) => write!(f, "http={pattern}"),
            Self::Address(address) => write!(f, "address={address}"),
            Self::Authority { path } => write!(f, "ca={}", path.display()),
            Self::Sign(sign) => write!(f, "sign={sign}"),
            Self::Secret(secret) => write!(f, "secret={secret}"),
        }
    }
}

/// Splits `PATH`, `PATH:ro` or `PATH:bytes=SIZE,files=NUMBER`.
///
/// What follows the last colon belongs to the path, unless it begins as an option
/// does.
fn directory<'t>(text: &str, rest: &'t str) -> Result<(&'t str, Access), GrantError> {
    const OPTIONS: [&str; 4] = ["ro", "rw", "bytes", "files"];
    let name = |option: &'t str| option.split_once('=').map_or(option, |(name, _)| name);
    let Some((path, options)) = rest
        .rsplit_once(':')
        .filter(|(_, options)| OPTIONS.contains(&name(options.split(',').next().unwrap_or(""))))
    else {
        return Ok((rest, Access::ReadWrite(Quota::default())));
    };
    let wrong = |option: &str, rule: String| GrantError::Option {
        text: text.to_owned(),
        option: option.to_owned(),
        rule,
    };
    let mut quota = Quota::default();
    let mut modes = (false, false);
    let mut has_quota = false;
    for option in options.split(',') {
        match option.split_once('=') {
            None if option == "ro" => modes.0 = true,
            None if option == "rw" => modes.1 = true,
            Some(("bytes", bytes)) => {
                let bytes = size_text(bytes, 1..=u64::MAX);
                quota.bytes = bytes.map_err(|rule| wrong(option, rule))? as u64;
                has_quota = true;
            }
            Some(("files", files)) => {
                let files = files.parse().ok().filter(|files| *files > 0);
                quota.files = files
                    .ok_or_else(|| wrong(option, "it must be a whole number from 1".to_owned()))?;
                has_quota = true;
            }
            None | Some(_) => {
                let rule = "there are `ro`, `rw`, `bytes=SIZE` and `files=NUMBER`".to_owned();
                return Err(wrong(option, rule));
            }
        }
    }
    match (modes, has_quota) {
        ((true, true), _) => Err(wrong(options, "it is `ro` or `rw`".to_owned())),
        ((true, false), true) => Err(wrong(
            options,
            "what is read only cannot grow: leave `bytes` and `files` out".to_owned(),
        )),
        ((true, false), false) => Ok((path, Access::ReadOnly)),
        ((false, _), _) => Ok((path, Access::ReadWrite(quota))),
    }
}

/// Gives what [`directory`] reads, without what is the default.
fn options(access: Access) -> Vec<String> {
    let quota = match access {
        Access::ReadOnly => return vec!["ro".to_owned()],
        Access::ReadWrite(quota) => quota,
    };
    let default = Quota::default();
    let mut options = Vec::new();
    if quota.bytes != default.bytes {
        const UNITS: [(u64, &str); 4] = [
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
            (1, "B"),
        ];
        let fits = |(unit, _): &(u64, &str)| quota.bytes.is_multiple_of(*unit);
        let (unit, name) = UNITS.into_iter().find(fits).unwrap_or((1, "B"));
        options.push(format!("bytes={}{name}", quota.bytes / unit));
    }
    if quota.files != default.files {
        options.push(format!("files={}", quota.files));
    }
    options
}

/// Gives what an unknown grant begins with: what follows may be a secret.
fn name(text: &str) -> String {
    match text.split_once(|c: char| c == '=' || c.is_whitespace()) {
        Some((name, _)) => format!("{}…", &text[..=name.len()]),
        None => text.to_owned(),
    }
}

/// Guesses what was meant.
fn hint(text: &str) -> Option<&'static str> {
    let name = text
        .split(['=', ':'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if name.starts_with("cred") {
        Some("credentials")
    } else if name.starts_with("sign") || name.starts_with("aws") || name.starts_with("sigv4") {
        Some("sign=PATTERN as SERVICE")
    } else if name.starts_with("secr") || name.starts_with("head") || name.starts_with("token") {
        Some("secret=PATTERN as FIELD from file PATH")
    } else if name.starts_with("http") || name.starts_with("net") || text.contains("://") {
        Some("http=PATTERN")
    } else if name.starts_with("addr") || name.parse::<std::net::IpAddr>().is_ok() {
        Some("address=ADDRESS")
    } else if name.starts_with('d') || name.starts_with("fol") || text.contains('/') || text == "."
    {
        Some("dir=PATH")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_written_as_it_is_read() {
        let directory = |path: &str, access| Grant::Directory {
            path: PathBuf::from(path),
            access,
        };
        let writable = Access::ReadWrite(Quota::default());
        let quota = |bytes, files| Access::ReadWrite(Quota { bytes, files });
        for (text, grant) in [
            ("dir=.", directory(".", writable)),
            ("dir=/srv/data:ro", directory("/srv/data", Access::ReadOnly)),
            ("dir=/srv/a=b:c", directory("/srv/a=b:c", writable)),
            (
                "dir=a:bytes=64MiB,files=1000",
                directory("a", quota(64 << 20, 1000)),
            ),
            ("dir=a:bytes=1000B", directory("a", quota(1000, 10_000))),
            ("dir=a:b:files=5", directory("a:b", quota(1 << 30, 5))),
            ("credentials", Grant::Credentials),
            (
                "http=GET https://*.example.com/v1",
                Grant::Http("GET https://*.example.com/v1".parse().expect("a pattern")),
            ),
            (
                "address=10.0.0.0/8",
                Grant::Address("10.0.0.0/8".parse().expect("a network")),
            ),
            (
                "sign=https://*.amazonaws.com as s3 in eu-central-1 with caller or profile a",
                Grant::Sign(
                    "https://*.amazonaws.com as s3 in eu-central-1 with caller or profile a"
                        .parse()
                        .expect("words"),
                ),
            ),
            (
                "secret=https://a.example as X-Api-Key from file a=b",
                Grant::Secret(
                    "https://a.example as X-Api-Key from file a=b"
                        .parse()
                        .expect("words"),
                ),
            ),
            (
                "ca=tls/ca.pem",
                Grant::Authority {
                    path: PathBuf::from("tls/ca.pem"),
                },
            ),
        ] {
            assert_eq!(grant.to_string(), text);
            assert_eq!(text.parse::<Grant>().expect(text), grant);
        }
    }

    #[test]
    fn a_secret_in_a_wrong_grant_is_not_repeated() {
        for text in [
            "secert=s3cr3t",
            "secert=https://a.example as X-Api-Key from s3cr3t",
            "secret https://a.example as X-Api-Key from s3cr3t",
            "secret=s3cr3t",
            "secret=https://a.example as X-Api-Key from s3cr3t",
            "secret=https://a.example as Authorization: Bearer s3cr3t",
            "token=s3cr3t",
        ] {
            let refusal = text.parse::<Grant>().expect_err(text);
            let shown = format!("{refusal} {refusal:?}");
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }

    #[test]
    fn a_wrong_grant_is_refused_with_the_rule() {
        for (text, words) in [
            ("", "is no grant"),
            ("dir", "did you mean `dir=PATH`?"),
            ("./data", "did you mean `dir=PATH`?"),
            ("dri=data", "did you mean `dir=PATH`?"),
            ("creds", "did you mean `credentials`?"),
            ("aws=s3", "did you mean `sign=PATTERN as SERVICE`?"),
            ("sign=https://a.example", "which service"),
            ("dir=", "names no directory"),
            ("dir=:ro", "names no directory"),
            ("dir=a:bytes=64", "it must be a size with its unit"),
            ("dir=a:files=many", "it must be a whole number from 1"),
            ("dir=a:files=0", "it must be a whole number from 1"),
            ("dir=a:files=5,byte=1MiB", "there are `ro`, `rw`"),
            ("dir=a:ro,bytes=1MiB", "what is read only cannot grow"),
            ("dir=a:ro,rw", "it is `ro` or `rw`"),
            ("http=example.com", "names no scheme"),
            ("https=https://example.com", "did you mean `http=PATTERN`?"),
            ("https://example.com", "did you mean `http=PATTERN`?"),
            ("address=10.0.0.1/8", "`10.0.0.0/8` for the network"),
            ("127.0.0.1", "did you mean `address=ADDRESS`?"),
            ("ca=", "names no file"),
        ] {
            let refusal = text.parse::<Grant>().expect_err(text).to_string();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
