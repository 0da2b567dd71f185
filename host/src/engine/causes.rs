//! An error with its causes, in one line.

use std::error::Error;
use std::fmt;

/// Writes what an error says and then what each of its causes says, joined by
/// colons: for a log, whose own way shows the error alone, and for a message.
pub struct Causes<'a>(pub &'a dyn Error);

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
