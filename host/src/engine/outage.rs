//! What a store that fails means, and what a loop remembers of it.

use crate::store::StoreError;

use super::causes::Causes;

/// Tells whether a failure is that of the store, and not of the one record that it
/// was asked for.
pub(super) const fn concerns_all(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable { .. } | StoreError::Unknown { .. } => true,
        StoreError::Corrupt { .. } => false,
    }
}

/// Says once that the store fails, however often the loop tries.
#[derive(Default)]
pub(super) struct Outage(bool);

impl Outage {
    /// Takes note of what the store gave, and gives it on if it worked.
    pub(super) fn note<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.0 = false;
                Some(value)
            }
            Err(error) => {
                if !self.0 {
                    tracing::error!(
                        error = %Causes(&error),
                        "the store failed; trying again each second until it works"
                    );
                }
                self.0 = true;
                None
            }
        }
    }

    /// Tells whether the store failed the last time.
    pub(super) fn lasts(&self) -> bool {
        self.0
    }
}
