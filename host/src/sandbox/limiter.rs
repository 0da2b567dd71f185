//! The count of what a guest's memories and tables take.

use wasmtime::ResourceLimiter;

use super::Limits;

/// Memories that one component may have: interpreters have one, compositions
/// one for each part.
pub(super) const MAX_MEMORIES: u32 = 4;
/// Tables that one component may have.
pub(super) const MAX_TABLES: u32 = 16;

/// Which limit a guest ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Memory { limit: usize },
    Table { limit: usize },
}

/// Sums the memories and the tables of one store, and keeps which limit was
/// hit: the guest sees a failed growth, and mostly aborts on it.
///
/// *Invariant*: the sums count every memory and table of the store at the size
/// that was last allowed; nothing is ever given back, since stores live for
/// one invocation.
pub(super) struct Limiter {
    memory_limit: usize,
    memory: usize,
    table_limit: usize,
    table: usize,
    instances: usize,
    exceeded: Option<Exceeded>,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            memory: 0,
            table_limit: limits.table_elements,
            table: 0,
            instances: limits.instances,
            exceeded: None,
        }
    }

    /// Tells which limit the guest ran into, if any.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    fn memory_exceeded(&mut self) {
        self.exceeded = Some(Exceeded::Memory {
            limit: self.memory_limit,
        });
    }

    fn table_exceeded(&mut self) {
        self.exceeded = Some(Exceeded::Table {
            limit: self.table_limit,
        });
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.memory.saturating_add(desired.saturating_sub(current));
        if sum > self.memory_limit {
            self.memory_exceeded();
            return Ok(false);
        }
        self.memory = sum;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_exceeded();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.table.saturating_add(desired.saturating_sub(current));
        if sum > self.table_limit {
            self.table_exceeded();
            return Ok(false);
        }
        self.table = sum;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_exceeded();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_the_limit_that_was_hit_is_kept() {
        let limits = Limits {
            memory_bytes: 100,
            table_elements: 10,
            ..Limits::default()
        };
        let mut limiter = Limiter::new(&limits);
        for (current, desired, allowed) in [
            (0, 40, true),
            (0, 40, true),
            (40, 61, false),
            (40, 60, true),
        ] {
            assert_eq!(
                limiter.memory_growing(current, desired, None).ok(),
                Some(allowed),
                "{current} to {desired}"
            );
        }
        assert_eq!(limiter.exceeded(), Some(Exceeded::Memory { limit: 100 }));
        assert_eq!(limiter.table_growing(0, 11, None).ok(), Some(false));
        assert_eq!(limiter.exceeded(), Some(Exceeded::Table { limit: 10 }));
    }
}
