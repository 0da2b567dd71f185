//! What can go wrong that is not the guest's doing, and why a component is
//! not loaded.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use super::limit::{Amount, Limit};
use super::{CONTRACT_VERSION, Limits, LoadLimits};
use crate::model::{Action, Trap, steers};

/// A cause whose type is of no use to callers.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The host failed; the guest is not to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SandboxError {
    #[error("cannot set up the WebAssembly engine on this machine")]
    Engine { source: Cause },
    #[error("cannot start the threads that guests run on")]
    Threads { source: io::Error },
    #[error("cannot use the cache directory `{path}`: make it, or let this user write there", path = path.display())]
    CacheDirectory { path: PathBuf, source: io::Error },
    #[error(
        "the cache directory `{path}` is not safe, since another user could put code there: \
         it must belong to this user (`chown`) and be writable by no other (`chmod go-w {path}`)",
        path = path.display()
    )]
    CacheUnsafe { path: PathBuf },
    #[error("cannot open the granted directory `{path}`: make it, or take it out of the grants", path = path.display())]
    Directory { path: PathBuf, source: Cause },
    #[error(
        "the granted directory `{path}` has no name of its own in UTF-8 to be mounted under: \
         grant a directory below it",
        path = path.display()
    )]
    DirectoryName { path: PathBuf },
    #[error(
        "the granted directory `{path}` would be mounted at `/{name}`, where another one is: \
         grant directories whose names differ",
        path = path.display()
    )]
    DirectoryTwice { path: PathBuf, name: String },
    #[error(
        "the granted directory `{path}` is reached by a link, to `{real}`, which others could \
         lead elsewhere: grant that path, if it is what is meant",
        path = path.display(),
        real = real.display()
    )]
    DirectoryLink { path: PathBuf, real: PathBuf },
    #[error(
        "the granted directory `{path}` lies in `{outer}`, where the handler may write: grant \
         directories apart from each other, or the outer one to be read only",
        path = path.display(),
        outer = outer.display()
    )]
    DirectoryWithin { path: PathBuf, outer: PathBuf },
    #[error(
        "the granted directory `{path}` overlaps the cache directory `{cache}`, where a handler \
         could read or forge machine code: grant a directory apart from it, or set another \
         cache directory",
        path = path.display(),
        cache = cache.display()
    )]
    DirectoryCache { path: PathBuf, cache: PathBuf },
    #[error("cannot start the compiler `{program}`: see that it is there and may be run", program = program.display())]
    Compiler { program: PathBuf, source: io::Error },
    #[error("cannot start an instance of the component")]
    Start { source: Cause },
    #[error("a call for {actions:?} was made with a {action} invocation")]
    Action {
        action: Action,
        actions: &'static [Action],
    },
    #[error("the thread of the guest was lost")]
    Lost { source: tokio::task::JoinError },
}

/// The bytes are no handler that this host can run.
///
/// What the texts tell of a component's own words is in one line, short, and without
/// characters that would steer a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error(
        "not a WebAssembly component: the file begins with {found}; give the `.wasm` file that \
         the build for `wasm32-wasip2` wrote"
    )]
    NotWebAssembly { found: String },
    #[error(
        "a core WebAssembly module, not a component: build for `wasm32-wasip2` in place of \
         `wasm32-unknown-unknown` or `wasm32-wasip1`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("a precompiled artefact, which is never trusted: give the component it was made from")]
    Precompiled,
    #[error(
        "{}, more than the limit of {most}: raise `{}`",
        has(limit, *found),
        limit.setting()
    )]
    OverLimit {
        limit: Limit<LoadLimits>,
        found: Amount,
        most: Amount,
    },
    #[error(
        "its invocations would begin with {}, more than the limit of {most}: raise `{}` of the type",
        much(limit, *found),
        limit.setting()
    )]
    Birth {
        limit: Limit<Limits>,
        found: Amount,
        most: Amount,
    },
    #[error(
        "instantiates a component that it is given, so that what it takes cannot be counted: \
         compose components before (`wac plug`), or build it without such an import"
    )]
    Uncountable,
    #[error(
        "its components and types are nested more than {most} deep, and this host goes no \
         deeper: build it with fewer in each other"
    )]
    Nested { most: usize },
    #[error(
        "its strings are {encoding} at the border, and this host takes UTF-8 alone: build it with \
         the encoding `utf8`"
    )]
    StringEncoding { encoding: &'static str },
    #[error(
        "not a valid component: it is damaged, incomplete, or uses a WebAssembly feature that is off"
    )]
    Invalid { source: Cause },
    #[error(
        "what its instances are made of does not fit into a slot of this host: have it make \
         fewer instances, or ones with fewer globals, imports and functions that are exported or \
         in tables"
    )]
    Unfit { source: Cause },
    #[error(
        "not a handler: it exports {exports}, and no `formwork:handler/resource`; build it against \
         the world `formwork:handler/resource-type`"
    )]
    NoHandler { exports: String },
    #[error(
        "made for another version of the handler contract: it has `{found}`, this host speaks \
         {CONTRACT_VERSION}; build it with an SDK of that version"
    )]
    ContractVersion { found: String },
    #[error(
        "imports `{import}`, which this host does not have: a handler may import \
         `formwork:handler/logging` and WASI 0.2"
    )]
    UnknownImport { import: String },
    #[error(
        "imports `{import}`: this host has version 0.2 of that interface; build for `wasm32-wasip2`"
    )]
    ImportVersion { import: String },
    #[error("{}: raise `{}`", takes(limit, *most), limit.setting())]
    Compilation {
        limit: Limit<LoadLimits>,
        most: Amount,
    },
    #[error("the compiler broke on it: {how}")]
    CompilerBroke { how: String },
    #[error("imports or exports something of another type than the contract has")]
    Mismatch { source: Cause },
    #[error("cannot describe itself: {}", told(&trap.to_string(), REASON))]
    Describe { trap: Trap },
    #[error("wishes for HTTP requests that cannot be")]
    OutgoingHost { source: Cause },
    #[error("cannot load the component")]
    Sandbox { source: SandboxError },
}

/// Says how much of what a limit bounds a component has.
fn has(limit: &Limit<LoadLimits>, found: Amount) -> String {
    match found {
        Amount::Count(found) => format!("the component has {found} {}", limit.what()),
        Amount::Bytes(_) | Amount::Time(_) => format!("the {} has {found}", limit.what()),
    }
}

/// Says how much there is of what a limit bounds.
fn much(limit: &Limit<Limits>, found: Amount) -> String {
    match found {
        Amount::Count(found) => format!("{found} {}", limit.what()),
        Amount::Bytes(_) | Amount::Time(_) => format!("{found} of {}", limit.what()),
    }
}

/// Says what a compilation takes too much of.
fn takes(limit: &Limit<LoadLimits>, most: Amount) -> String {
    if *limit == Limit::COMPILE_MEMORY {
        format!("takes more than {most} of memory to compile")
    } else if *limit == Limit::CODE {
        format!("becomes more than {most} of machine code")
    } else {
        format!("takes more than {most} to compile")
    }
}

/// The longest of a component's names that is told, in bytes.
const NAME: usize = 128;

/// The longest reason that is told, in bytes.
const REASON: usize = 4 * 1024;

/// How many names are told.
const NAMES: usize = 4;

/// Gives a reason that others have for a refusal, which may hold names of the component.
pub(super) fn reason(words: impl Display) -> String {
    told(&format!("{words:#}"), REASON)
}

/// Gives a name that a component has for something.
pub(super) fn name(name: &str) -> String {
    told(name, NAME)
}

/// Lists names that a component has for things: the first of them, and how many more
/// there are.
pub(super) fn names(all: &[&str]) -> String {
    if all.is_empty() {
        return "nothing".to_owned();
    }
    let first: Vec<_> = all.iter().take(NAMES).map(|it| name(it)).collect();
    let first = format!("`{}`", first.join("`, `"));
    match all.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Gives foreign words in one line of at most so many bytes, without what would steer a
/// terminal or put its letters into another order.
fn told(words: &str, most: usize) -> String {
    let cut = &words[..words.floor_char_boundary(most)];
    let line: Vec<_> = cut.split_whitespace().collect();
    let mut line = line.join(" ").replace(steers, "\u{fffd}");
    if cut.len() < words.len() {
        line.push('…');
    }
    line
}

/// Says why bytes are no valid component.
pub(super) fn invalid(source: impl Display) -> LoadError {
    LoadError::Invalid {
        source: reason(source).into(),
    }
}

impl From<SandboxError> for LoadError {
    fn from(source: SandboxError) -> Self {
        Self::Sandbox { source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_says_is_told_in_one_short_line() {
        for (words, expected) in [
            ("a:b/c@1.0.0", "a:b/c@1.0.0"),
            (
                "\u{1b}[2J\u{1b}]0;x\u{7}",
                "\u{fffd}[2J\u{fffd}]0;x\u{fffd}",
            ),
            ("a\nerror: b\r\n\tc", "a error: b c"),
            (
                "\u{9b}31m\u{202e}cba\u{2069}",
                "\u{fffd}31m\u{fffd}cba\u{fffd}",
            ),
        ] {
            assert_eq!(name(words), expected);
        }
        let long = "ä".repeat(100_000);
        assert_eq!(name(&long), format!("{}…", "ä".repeat(64)));
        assert!(reason(&long).len() < 5_000);
    }

    #[test]
    fn of_many_names_a_few_are_told() {
        for (all, expected) in [
            (&[][..], "nothing"),
            (&["a"], "`a`"),
            (&["a", "b", "c", "d"], "`a`, `b`, `c`, `d`"),
            (&["a"; 100_000], "`a`, `a`, `a`, `a` and 99996 more"),
        ] {
            assert_eq!(names(all), expected);
        }
    }
}
