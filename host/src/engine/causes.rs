//! An error with its causes, for the log.

use std::error::Error;
use std::fmt;

/// Writes what an error says and then what each of its causes says, joined by
/// colons. The log's own way shows the error alone.
pub(super) struct Causes<'a>(pub(super) &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
