//! The count of what a guest's instances, memories and tables take.

use wasmtime::ResourceLimiter;

use super::Limits;
use super::limit::Limit;

/// Sums the memories and the tables of one store, and keeps which limit was
/// hit: the guest sees a failed growth, and mostly aborts on it.
///
/// *Invariant*: the sums count every memory and table of the store at the size
/// that was last allowed, and with the memories what the host keeps for the instances; nothing is ever given back, since stores live for
/// one invocation. What goes beyond the guest's own declaration is not counted, since
/// it never gets that, and it is none of these limits.
pub(super) struct Limiter {
    memory_limit: usize,
    memory: usize,
    table_limit: usize,
    table: usize,
    instances: usize,
    exceeded: Option<Limit<Limits>>,
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

    /// Counts what the host keeps for the instances, before they are made.
    pub(super) fn keep(&mut self, instance_bytes: usize) {
        self.memory = self.memory.saturating_add(instance_bytes);
        if self.memory > self.memory_limit {
            self.exceed(Limit::MEMORY);
        }
    }

    /// Tells which limit the guest ran into last, if any.
    pub(super) fn exceeded(&self) -> Option<Limit<Limits>> {
        self.exceeded
    }

    /// Keeps that the guest ran into a limit.
    pub(super) fn exceed(&mut self, limit: Limit<Limits>) {
        self.exceeded = Some(limit);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.memory.saturating_add(desired.saturating_sub(current));
        if sum > self.memory_limit {
            self.exceed(Limit::MEMORY);
            return Ok(false);
        }
        if is_beyond(desired, maximum) {
            return Ok(false);
        }
        self.memory = sum;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.table.saturating_add(desired.saturating_sub(current));
        if sum > self.table_limit {
            self.exceed(Limit::TABLE_ELEMENTS);
            return Ok(false);
        }
        if is_beyond(desired, maximum) {
            return Ok(false);
        }
        self.table = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    // What a component has of these is counted when it is loaded.
    fn memories(&self) -> usize {
        usize::MAX
    }

    fn tables(&self) -> usize {
        usize::MAX
    }
}

/// Tells whether a size is more than a guest has declared, or the engine has.
fn is_beyond(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
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
        assert_eq!(limiter.exceeded(), Some(Limit::MEMORY));
        assert_eq!(limiter.table_growing(0, 11, None).ok(), Some(false));
        assert_eq!(limiter.exceeded(), Some(Limit::TABLE_ELEMENTS));
    }

    #[test]
    fn what_the_host_keeps_for_instances_is_memory_of_theirs() {
        let limits = Limits {
            memory_bytes: 100,
            ..Limits::default()
        };
        let mut limiter = Limiter::new(&limits);
        limiter.keep(60);
        assert_eq!(limiter.exceeded(), None);
        assert_eq!(limiter.memory_growing(0, 40, None).ok(), Some(true));
        assert_eq!(limiter.memory_growing(40, 41, None).ok(), Some(false));
        assert_eq!(limiter.exceeded(), Some(Limit::MEMORY));
        let mut limiter = Limiter::new(&limits);
        limiter.keep(101);
        assert_eq!(limiter.exceeded(), Some(Limit::MEMORY));
    }

    #[test]
    fn what_a_guest_itself_has_declared_to_be_too_much_is_no_limit_of_ours() {
        let limits = Limits {
            memory_bytes: 100,
            table_elements: 10,
            ..Limits::default()
        };
        let mut limiter = Limiter::new(&limits);
        for _ in 0..10 {
            assert_eq!(limiter.memory_growing(0, 50, Some(40)).ok(), Some(false));
            assert_eq!(limiter.table_growing(0, 5, Some(4)).ok(), Some(false));
        }
        assert_eq!(limiter.exceeded(), None);
        assert_eq!(limiter.memory_growing(0, 100, Some(100)).ok(), Some(true));
        assert_eq!(limiter.table_growing(0, 10, Some(10)).ok(), Some(true));
    }
}
