//! What can go wrong that is not the guest's doing, and why a component is
//! not loaded.

use std::io;
use std::path::PathBuf;

use super::limit::{Amount, Limit};
use super::{CONTRACT_VERSION, HttpPatternError, Limits, LoadLimits};
use crate::model::{Action, Trap};

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
        "its strings are {encoding} at the border, and this host takes UTF-8 alone: build it with \
         the encoding `utf8`"
    )]
    StringEncoding { encoding: &'static str },
    #[error(
        "not a valid component: it is damaged, incomplete, or uses a WebAssembly feature that is off"
    )]
    Invalid { source: Cause },
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
    #[error("cannot describe itself: {trap}")]
    Describe { trap: Trap },
    #[error("wishes for HTTP requests that cannot be")]
    OutgoingHost { source: HttpPatternError },
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

impl From<SandboxError> for LoadError {
    fn from(source: SandboxError) -> Self {
        Self::Sandbox { source }
    }
}
