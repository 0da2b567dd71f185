//! A guest's abnormal end.

use std::fmt;

/// What ended a guest abnormally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// The guest panicked, aborted or ran into an illegal instruction.
    Panic,
    /// The guest asked for more memory or tables than its limit.
    Memory,
    /// The guest recursed deeper than its stack.
    Stack,
    /// The guest used up another of its limits: instances, handles, what one call
    /// into the host carries, or randomness.
    Limit,
    /// The guest used up its CPU budget.
    Cpu,
    /// The guest, its host calls included, ran longer than its wall limit or
    /// past the deadline of its operation.
    Wall,
    /// The answer was larger than its limit.
    AnswerSize,
    /// The answer was not what the contract demands, such as text that is not
    /// one JSON object.
    Answer,
}

impl TrapKind {
    /// Tells whether another attempt may end better.
    ///
    /// Memory, stack, answer size and the other limits depend on the input alone.
    #[must_use]
    pub const fn is_retriable(self) -> bool {
        match self {
            Self::Panic | Self::Cpu | Self::Wall | Self::Answer => true,
            Self::Memory | Self::Stack | Self::Limit | Self::AnswerSize => false,
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "panic",
            Self::Memory => "memory limit",
            Self::Stack => "stack overflow",
            Self::Limit => "limit",
            Self::Cpu => "CPU budget",
            Self::Wall => "wall limit",
            Self::AnswerSize => "answer size",
            Self::Answer => "invalid answer",
        })
    }
}

/// A guest's abnormal end, with a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What ended the guest.
    pub kind: TrapKind,
    /// What happened, with the limit or the panic message.
    pub message: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trap ({}): {}", self.kind, self.message)
    }
}
