//! A limit by itself: how settings, tables and errors name it, and where its
//! value is.

use std::fmt;
use std::time::Duration;

/// A set of limits whose members are reached by name.
pub trait LimitSet: Copy + fmt::Debug + 'static {
    /// The table of `formwork.toml` that its settings are in.
    const TABLE: &'static str;

    /// The limits, in the order in which they are shown.
    const ALL: &'static [Limit<Self>];

    /// Finds a limit by the name of its setting, without that of the table.
    #[must_use]
    fn named(name: &str) -> Option<Limit<Self>> {
        Self::ALL.iter().find(|limit| limit.name == name).copied()
    }
}

/// One limit of the set `S`.
#[derive(Clone, Copy, Debug)]
pub struct Limit<S: 'static> {
    name: &'static str,
    what: &'static str,
    most: u64,
    field: Field<S>,
}

#[derive(Clone, Copy, Debug)]
enum Field<S: 'static> {
    Bytes(fn(&mut S) -> &mut usize),
    Count(fn(&mut S) -> &mut usize),
    Time(fn(&mut S) -> &mut Duration),
}

/// The value of a limit, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// A number of bytes.
    Bytes(usize),
    /// A number of things.
    Count(usize),
    /// A span of time.
    Time(Duration),
}

/// Says why a value cannot be that of a limit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LimitError {
    #[error("it must be from {least} to {most}")]
    Range { least: Amount, most: Amount },
    #[error("it must be {wanted}")]
    Unit { wanted: &'static str },
}

impl<S: LimitSet> Limit<S> {
    pub(super) const fn bytes(
        name: &'static str,
        what: &'static str,
        most: u64,
        field: fn(&mut S) -> &mut usize,
    ) -> Self {
        Self::new(name, what, most, Field::Bytes(field))
    }

    pub(super) const fn count(
        name: &'static str,
        what: &'static str,
        most: u64,
        field: fn(&mut S) -> &mut usize,
    ) -> Self {
        Self::new(name, what, most, Field::Count(field))
    }

    /// A span of time, at most a year.
    pub(super) const fn time(
        name: &'static str,
        what: &'static str,
        field: fn(&mut S) -> &mut Duration,
    ) -> Self {
        const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;
        Self::new(name, what, YEAR, Field::Time(field))
    }

    const fn new(name: &'static str, what: &'static str, most: u64, field: Field<S>) -> Self {
        Self {
            name,
            what,
            most,
            field,
        }
    }

    /// Gives the name of its setting, without that of the table: `memory`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Gives the whole name of its setting: `limits.memory`.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("{}.{}", S::TABLE, self.name)
    }

    /// Gives what it bounds, in words: `memory`.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// Gives its value in a set.
    #[must_use]
    pub fn get(&self, mut set: S) -> Amount {
        match self.field {
            Field::Bytes(field) => Amount::Bytes(*field(&mut set)),
            Field::Count(field) => Amount::Count(*field(&mut set)),
            Field::Time(field) => Amount::Time(*field(&mut set)),
        }
    }

    /// Changes its value in a set.
    ///
    /// # Errors
    ///
    /// When the value has another unit than the limit, is zero or too large.
    pub fn set(&self, set: &mut S, amount: Amount) -> Result<(), LimitError> {
        let (least, most) = self.range();
        let range = LimitError::Range { least, most };
        match (self.field, amount, most) {
            (Field::Bytes(field), Amount::Bytes(value), Amount::Bytes(most))
            | (Field::Count(field), Amount::Count(value), Amount::Count(most)) => {
                if !(1..=most).contains(&value) {
                    return Err(range);
                }
                *field(set) = value;
            }
            (Field::Time(field), Amount::Time(value), Amount::Time(most)) => {
                if !(Duration::from_millis(1)..=most).contains(&value) {
                    return Err(range);
                }
                *field(set) = value;
            }
            (Field::Bytes(_), _, _) => return Err(LimitError::Unit { wanted: "a size" }),
            (Field::Count(_), _, _) => return Err(LimitError::Unit { wanted: "a number" }),
            (Field::Time(_), _, _) => return Err(LimitError::Unit { wanted: "a time" }),
        }
        Ok(())
    }

    /// Gives the least and the largest value that it may have.
    #[must_use]
    pub fn range(&self) -> (Amount, Amount) {
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        match self.field {
            Field::Bytes(_) => (Amount::Bytes(1), Amount::Bytes(most)),
            Field::Count(_) => (Amount::Count(1), Amount::Count(most)),
            Field::Time(_) => (
                Amount::Time(Duration::from_millis(1)),
                Amount::Time(Duration::from_millis(self.most)),
            ),
        }
    }
}

impl<S: LimitSet> PartialEq for Limit<S> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<S: LimitSet> Eq for Limit<S> {}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Time(time) => write!(f, "{time:?}"),
        }
    }
}
