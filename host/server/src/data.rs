//! Where operations are kept: in a directory of this machine, or in a database that
//! hosts share.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use formwork_host::store::{Database, is_url};

use crate::environment::Secret;

/// Where operations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// A data directory.
    Directory(PathBuf),
    /// A PostgreSQL database.
    Database(Place),
}

/// A database, with what the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its URL, which may have a password in it.
    pub(crate) url: Secret,
    /// The password, if it is not in the URL.
    pub(crate) password: Option<Secret>,
    /// The key that seals what is kept there: 64 hexadecimal digits.
    pub(crate) key: Option<Secret>,
}

impl Data {
    /// Gives the directory, if it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Database(_) => None,
        }
    }

    /// Makes a directory one below `folder`, unless it has a path from the root.
    pub(crate) fn below(self, folder: &Path) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(folder.join(path)),
            Self::Database(place) => Self::Database(place),
        }
    }

    /// Shows it as a caller wrote it, but for the password.
    pub(crate) fn display(&self) -> impl fmt::Display {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Database(place) => without_password(&place.url.0),
        }
    }
}

/// Takes any text: what is no URL of a database is a path.
impl FromStr for Data {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if is_url(text) {
            return Ok(Self::Database(Place {
                url: Secret(text.to_owned()),
                password: None,
                key: None,
            }));
        }
        Ok(Self::Directory(PathBuf::from(text)))
    }
}

impl From<PathBuf> for Data {
    fn from(path: PathBuf) -> Self {
        Self::Directory(path)
    }
}

/// Gives a URL of a database without its password, as it is typed again.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((who, host)) => {
            let user = who.split_once(':').map_or(who, |(user, _)| user);
            format!("{user}@{host}")
        }
        None => authority.to_owned(),
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: Vec<&str> = query
        .split('&')
        .filter(|option| !option.is_empty() && !option.starts_with("password="))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{authority}{path}{mark}{}", query.join("&"))
}

/// Names what a store needs to open a database.
pub(crate) fn database(
    place: &Place,
    key: formwork_host::store::SealingKey,
    host: &str,
    password: Option<&Secret>,
) -> Database {
    let database = Database::new(&*place.url.0, key).host_name(host);
    match place.password.as_ref().or(password) {
        Some(password) => database.password(&*password.0),
        None => database,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_database_and_all_else_a_directory() {
        for (text, is_database) in [
            ("postgres://u@h/d", true),
            ("postgresql://h", true),
            ("state", false),
            ("./postgres", false),
            ("/srv/postgres://x", false),
        ] {
            let data: Data = text.parse().expect("any text is one");
            assert_eq!(data.directory().is_none(), is_database, "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://u:hunter2@h:1/d?a=b", "postgres://u@h:1/d?a=b"),
            ("postgres://u:hun@ter2@h", "postgres://u@h"),
            ("postgres://u@h,i/d", "postgres://u@h,i/d"),
            (
                "postgres://h/d?password=hunter2&sslmode=require",
                "postgres://h/d?sslmode=require",
            ),
            ("postgres:///d?password=hunter2", "postgres:///d"),
        ] {
            let data: Data = url.parse().expect("any text is one");
            assert_eq!(data.display().to_string(), shown);
            assert!(!format!("{data:?}").contains("hunter2"));
        }
    }
}
