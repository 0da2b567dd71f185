//! How much the connections to a database are used.

/// Connections to a database that calls take turns to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What they are for, in a word.
    pub name: &'static str,
    /// How many there may be.
    pub size: usize,
    /// How many calls have one, or are being connected.
    pub in_use: usize,
    /// How many are open and in nobody's use.
    pub idle: usize,
}
