//! Lines for the host's log, which keeps them under the operation's token.
//!
//! ```
//! use formwork_guest::log;
//!
//! log::info!("packed {} of {} entries", 3, 5);
//! ```
//!
//! Natively a line goes to the transcript of the
//! [test driver](crate::testing::Driver) that runs, else to standard error.

use std::fmt;

#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

/// Says how much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator may want to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What went wrong.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// Writes one line.
#[cfg(target_family = "wasm")]
pub fn write(level: Level, message: impl fmt::Display) {
    use crate::bindings::formwork::handler::logging as wit;
    let level = match level {
        Level::Trace => wit::Level::Trace,
        Level::Debug => wit::Level::Debug,
        Level::Info => wit::Level::Info,
        Level::Warn => wit::Level::Warn,
        Level::Error => wit::Level::Error,
    };
    wit::log(level, &message.to_string());
}

/// Writes one line.
#[cfg(not(target_family = "wasm"))]
pub fn write(level: Level, message: impl fmt::Display) {
    use std::io::Write as _;
    native::LINES.with_borrow_mut(|lines| match lines {
        Some(lines) => lines.push((level, message.to_string())),
        // Nothing can be done about a closed standard error.
        None => drop(writeln!(std::io::stderr(), "{level}: {message}")),
    });
}

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native {
    use std::cell::RefCell;

    use super::Level;

    thread_local! {
        /// The lines of the invocation that the test driver makes on this thread.
        pub(crate) static LINES: RefCell<Option<Vec<(Level, String)>>> =
            const { RefCell::new(None) };
    }
}

/// Writes one line of this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Trace, ::std::format_args!($($argument)+))
    };
}

/// Writes one line of this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($argument)+))
    };
}

/// Writes one line of this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Info, ::std::format_args!($($argument)+))
    };
}

/// Writes one line of this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($argument)+))
    };
}

/// Writes one line of this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Error, ::std::format_args!($($argument)+))
    };
}
