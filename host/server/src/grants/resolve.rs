//! What grants are on this machine: which directories, which certificates.
//!
//! *Invariant*: what keeps secrets is never granted: not itself, nothing in it, and
//! nothing that it is in. That is the data directory, the configuration with all
//! files that it reads, the secrets that any grant names, and the files of the AWS
//! tools.
//!
//! *Invariant*: what a server runs and whom it trusts is not granted to be written.
//!
//! *Invariant*: what a granted directory is, no handler decides: no way to one leads
//! through another one that may be written.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::iter;
use std::path::{Component, Path, PathBuf};

use formwork_host::sandbox::{Access, DirectoryGrant, Grants, RootCertificate};

use super::{Grant, GrantError};
use crate::environment::Environment;

/// The most links that a path is followed through, as on Linux.
const MOST_LINKS: usize = 40;

/// What is granted to no handler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Withheld {
    /// The data directory.
    pub(crate) data: Option<PathBuf>,
    /// Files with secrets, and folders of them.
    pub(crate) secrets: Vec<PathBuf>,
    /// Files, and folders of files, that say what is run and who is trusted: they may
    /// be read.
    pub(crate) trusted: Vec<PathBuf>,
}

impl Withheld {
    /// Withholds the data directory, if there is one, and what the environment names.
    pub(crate) fn new(environment: &Environment, data: Option<&Path>) -> Self {
        Self {
            data: data.map(Path::to_owned),
            secrets: environment.secret_files.clone(),
            trusted: Vec::new(),
        }
    }
}

/// Looks up what is granted to one handler.
///
/// # Errors
///
/// As [`resolve_all`].
pub(crate) fn resolve(grants: &[Grant], withheld: &Withheld) -> Result<Grants, GrantError> {
    let mut resolved = resolve_all(&[grants], withheld)?;
    Ok(resolved.pop().expect("there is one for each handler"))
}

/// Looks up what is granted to handlers that run beside each other.
///
/// # Errors
///
/// When a directory is not there or would show what is withheld, when a handler
/// could decide what a directory is or not tell two apart, or when a file holds no
/// certificates.
pub(crate) fn resolve_all(
    handlers: &[&[Grant]],
    withheld: &Withheld,
) -> Result<Vec<Grants>, GrantError> {
    let mut places = Vec::new();
    let mut resolved = Vec::new();
    for grants in handlers {
        let mut of_handler = Grants::default();
        for grant in *grants {
            match grant {
                Grant::Credentials => of_handler.credentials = true,
                Grant::Sign(sign) => of_handler.http.signatures.push(sign.resolve()?),
                Grant::Secret(secret) => of_handler.http.secrets.push(secret.resolve()?),
                Grant::Http(pattern) => of_handler.http.requests.push(pattern.clone()),
                Grant::Address(address) => of_handler.http.addresses.push(*address),
                Grant::Authority { path } => of_handler.http.roots.extend(certificates(path)?),
                Grant::Directory { path, access } => {
                    let place = Place {
                        path,
                        access: *access,
                        way: Way::to(path),
                    };
                    let granted = place.granted(&of_handler.directories)?;
                    of_handler.directories.push(granted);
                    places.push(place);
                }
            }
        }
        resolved.push(of_handler);
    }
    let all = || handlers.iter().copied().flatten();
    let secrets = ways(&withheld.secrets, all().filter_map(Grant::secret));
    let trusted = ways(&withheld.trusted, all().filter_map(Grant::authority));
    let data = ways(withheld.data.as_slice(), iter::empty());
    for place in &places {
        let path = || place.path.to_owned();
        if let Some(data) = place.shows(&data) {
            return Err(GrantError::DataDirectory { path: path(), data });
        }
        if let Some(secret) = place.shows(&secrets) {
            return Err(GrantError::Secrets {
                path: path(),
                secret,
            });
        }
        if place.access == Access::ReadOnly {
            continue;
        }
        if let Some(trusted) = place.shows(&trusted) {
            return Err(GrantError::Trusted {
                path: path(),
                trusted,
            });
        }
        let through = |other: &&Place<'_>| other.way.is_through(&place.way.end);
        if let Some(inner) = places.iter().find(through) {
            return Err(GrantError::Through {
                path: inner.path.to_owned(),
                outer: path(),
            });
        }
    }
    Ok(resolved)
}

/// A directory that is granted, by whichever path.
struct Place<'a> {
    path: &'a Path,
    access: Access,
    way: Way,
}

impl Place<'_> {
    /// Gives the grant of the directory where it is, beside others of the handler.
    fn granted(&self, others: &[DirectoryGrant]) -> Result<DirectoryGrant, GrantError> {
        let path = || self.path.to_owned();
        let there = &self.way.end;
        let metadata = fs::metadata(there).map_err(|source| GrantError::Missing {
            path: path(),
            source,
        })?;
        if !metadata.is_dir() {
            return Err(GrantError::NotDirectory { path: path() });
        }
        let Some(name) = there.file_name().and_then(OsStr::to_str) else {
            return Err(GrantError::NoName { path: path() });
        };
        let same = |other: &&DirectoryGrant| other.host_path.file_name() == there.file_name();
        match others.iter().find(same) {
            Some(other) => Err(GrantError::SameName {
                first: other.host_path.clone(),
                name: name.to_owned(),
                second: there.clone(),
            }),
            None => Ok(DirectoryGrant {
                host_path: there.clone(),
                access: self.access,
            }),
        }
    }

    /// Gives the first of `others` that it would show, or be shown by.
    fn shows(&self, others: &[(&Path, Way)]) -> Option<PathBuf> {
        let shown = others.iter().find(|(_, other)| self.way.overlaps(other));
        shown.map(|(path, _)| (*path).to_owned())
    }
}

/// Gives the ways to paths, and to others that grants name.
fn ways<'a>(paths: &'a [PathBuf], named: impl Iterator<Item = &'a Path>) -> Vec<(&'a Path, Way)> {
    let paths = paths.iter().map(PathBuf::as_path).chain(named);
    paths.map(|path| (path, Way::to(path))).collect()
}

/// Reads a file of certificates.
fn certificates(path: &Path) -> Result<Vec<RootCertificate>, GrantError> {
    let pem = fs::read(path).map_err(|source| GrantError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    RootCertificate::parse(&pem).map_err(|source| GrantError::Certificates {
        path: path.to_owned(),
        source,
    })
}

/// The way that a path leads, of what is there and of what will be made.
#[derive(Debug)]
struct Way {
    /// All that it leads through, each link and what it leads to; no part of these
    /// paths is a link but the last.
    passed: Vec<PathBuf>,
    /// Where it ends.
    end: PathBuf,
}

impl Way {
    fn to(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut ahead = parts(&absolute);
        let mut way = Self {
            passed: Vec::new(),
            end: PathBuf::new(),
        };
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == ".." {
                way.end.pop();
                continue;
            }
            // A part from the root begins anew there.
            let next = way.end.join(part);
            way.passed.push(next.clone());
            match fs::read_link(&next) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    ahead.extend(parts(&target));
                }
                // What is missing is no link, nor is what is below it.
                Ok(_) | Err(_) => way.end = next,
            }
        }
        way
    }

    /// Tells whether one would show the other.
    fn overlaps(&self, other: &Self) -> bool {
        let is_in = |passed: &PathBuf| passed.starts_with(&self.end);
        self.end.starts_with(&other.end) || other.passed.iter().any(is_in)
    }

    /// Tells whether it leads through something in a directory.
    fn is_through(&self, directory: &Path) -> bool {
        let is_below = |passed: &PathBuf| passed.starts_with(directory) && passed != directory;
        self.passed.iter().any(is_below)
    }
}

/// Gives the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    let parts = parts.filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use formwork_host::sandbox::Quota;

    use super::*;

    const WRITABLE: Access = Access::ReadWrite(Quota {
        bytes: 1 << 30,
        files: 10_000,
    });

    /// A folder with these directories, files (`NAME.txt`) and links (`NAME -> TARGET`).
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let base = tempfile::tempdir().expect("a directory");
        for name in names {
            let (name, target) = name.split_once(" -> ").unwrap_or((name, ""));
            let place = base.path().join(name);
            let made = if !target.is_empty() {
                symlink(base.path().join(target), place)
            } else if name.ends_with(".txt") {
                fs::write(place, "s3cr3t")
            } else {
                fs::create_dir_all(place)
            };
            made.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        base
    }

    fn directory(path: PathBuf, access: Access) -> Grant {
        Grant::Directory { path, access }
    }

    fn refusal(grants: &[Grant], withheld: &Withheld) -> String {
        resolve(grants, withheld).expect_err("refused").to_string()
    }

    #[test]
    fn what_cannot_be_mounted_is_refused_before_anything_runs() {
        let base = folder(&["a/x", "b/x", "file.txt"]);
        let place = |name: &str| base.path().join(name);
        let granted = |path: PathBuf| directory(path, WRITABLE);
        let authority = |path: PathBuf| Grant::Authority { path };
        let none = Withheld::default();
        for (grants, words) in [
            (vec![granted(place("none"))], "mkdir -p"),
            (vec![granted(place("file.txt"))], "it is a file"),
            (vec![granted(PathBuf::from("/"))], "has no name"),
            (
                vec![granted(place("a/x")), granted(place("b/x"))],
                "both as `/x`",
            ),
            (vec![authority(place("none"))], "give a file in PEM"),
            (
                vec![authority(place("file.txt"))],
                "cannot trust the certificates",
            ),
        ] {
            let refusal = refusal(&grants, &none);
            assert!(refusal.contains(words), "{refusal}");
        }
        let all = [granted(place("a/x")), Grant::Credentials];
        let granted = resolve(&all, &none).expect("grants");
        assert_eq!((granted.directories.len(), granted.credentials), (1, true));
    }

    #[test]
    fn a_directory_that_overlaps_the_data_directory_is_refused() {
        let base = folder(&["home/state/in", "home/apart", "link -> home"]);
        let place = |name: &str| base.path().join(name);
        let withheld = |name: &str| Withheld {
            data: Some(place(name)),
            ..Withheld::default()
        };
        let grant = |name: &str| [directory(place(name), Access::ReadOnly)];
        for (granted, data) in [
            ("home", "home/state"),
            ("home/state", "home/state"),
            ("home/state/in", "home/state"),
            ("link", "home/state"),
            ("home", "link/state"),
            ("home", "link/not/yet/made"),
            ("home/apart", "home/not/../apart/made"),
        ] {
            let refusal = refusal(&grant(granted), &withheld(data));
            for path in [place(granted), place(data)] {
                let named = format!("`{}`", path.display());
                assert!(refusal.contains(&named), "{granted} {data}: {refusal}");
            }
        }
        resolve(&grant("home/apart"), &withheld("home/state")).expect("apart");
    }

    #[test]
    fn a_directory_with_secrets_in_it_is_refused_whoever_uses_them() {
        let base = folder(&[
            "etc",
            "etc/keys",
            "etc/keys/token.txt",
            "etc/token -> etc/keys/token.txt",
            "home/.aws/sso",
            "apart",
            "apart-token -> etc/keys/token.txt",
        ]);
        let place = |name: &str| base.path().join(name);
        let withheld = |name: &str| Withheld {
            secrets: vec![place(name)],
            ..Withheld::default()
        };
        for (granted, secret) in [
            ("etc", "etc/formwork.toml"),
            ("etc/keys", "etc/keys/token.txt"),
            ("etc", "etc/keys/token.txt"),
            ("etc/keys", "apart-token"),
            ("etc", "etc/token"),
            ("home", "home/.aws"),
            ("home/.aws", "home/.aws"),
            ("home/.aws/sso", "home/.aws"),
        ] {
            for access in [WRITABLE, Access::ReadOnly] {
                let refusal = refusal(&[directory(place(granted), access)], &withheld(secret));
                for path in [place(granted), place(secret)] {
                    let named = format!("`{}`", path.display());
                    assert!(refusal.contains(&named), "{granted} {secret}: {refusal}");
                }
            }
        }
        let apart = [directory(place("apart"), WRITABLE)];
        resolve(&apart, &withheld("apart-token")).expect("apart");
        let text = format!(
            "secret=https://a.example as X-Api-Key from file {}",
            place("etc/keys/token.txt").display()
        );
        let secret = [text.parse::<Grant>().expect("words")];
        let etc = [directory(place("etc"), Access::ReadOnly)];
        let none = Withheld::default();
        for handlers in [[&secret[..], &etc], [&etc, &secret]] {
            let refusal = resolve_all(&handlers, &none).expect_err("refused");
            assert!(refusal.to_string().contains("token.txt"), "{refusal}");
        }
        resolve_all(&[&secret[..], &apart], &none).expect("apart");
    }

    #[test]
    fn a_directory_with_what_is_run_or_trusted_is_granted_to_be_read_alone() {
        let base = folder(&["handlers/data", "handlers/file.txt", "apart"]);
        let place = |name: &str| base.path().join(name);
        for (granted, trusted, refused) in [
            ("handlers", "handlers/file.txt", true),
            ("handlers/data", "handlers/file.txt", false),
            ("handlers/data", "handlers", true),
            ("apart", "handlers", false),
        ] {
            let withheld = Withheld {
                trusted: vec![place(trusted)],
                ..Withheld::default()
            };
            for (access, refused) in [(WRITABLE, refused), (Access::ReadOnly, false)] {
                match resolve(&[directory(place(granted), access)], &withheld) {
                    Ok(_) => assert!(!refused, "{granted} {trusted}"),
                    Err(refusal) => {
                        let words = refusal.to_string();
                        let named = format!("`{}`", place(trusted).display());
                        assert!(refused && words.contains(&named), "{granted}: {words}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_way_to_a_directory_leads_through_none_that_may_be_written() {
        let base = folder(&[
            "work/x",
            "work-not",
            "elsewhere",
            "work/out -> elsewhere",
            "work/itself -> work",
            "in -> work/x",
            "around -> work/out",
        ]);
        let place = |name: &str| base.path().join(name);
        for (outer, inner, refused) in [
            ("work", "work/x", true),
            ("work", "in", true),
            // A handler has put a link there, or could lead it elsewhere.
            ("work", "work/out", true),
            ("work", "around", true),
            ("work", "work/itself", true),
            ("work", "work-not", false),
            ("work", "elsewhere", false),
            ("work", "work", false),
        ] {
            for (access, refused) in [(WRITABLE, refused), (Access::ReadOnly, false)] {
                let outer = [directory(place(outer), access)];
                let inner_grant = [directory(place(inner), Access::ReadOnly)];
                for handlers in [[&outer[..], &inner_grant], [&inner_grant, &outer]] {
                    match resolve_all(&handlers, &Withheld::default()) {
                        Ok(_) => assert!(!refused, "{inner} is granted"),
                        Err(refusal) => {
                            let words = refusal.to_string();
                            let named = format!("`{}`", place(inner).display());
                            assert!(refused && words.contains(&named), "{inner}: {words}");
                        }
                    }
                }
            }
        }
        let itself = [directory(place("work/itself"), WRITABLE)];
        let words = refusal(&itself, &Withheld::default());
        assert!(words.contains("may write"), "{words}");
    }

    #[test]
    fn links_that_lead_nowhere_are_followed_to_an_end() {
        let base = folder(&["one -> two", "two -> one"]);
        let way = Way::to(&base.path().join("one"));
        assert!(way.passed.len() > MOST_LINKS);
    }
}
