//! What one instance of a module or of a component takes.

/// What an instance takes of the host besides its memories and the elements of its
/// tables, in bytes. The engine allocates it for each instance and asks no limiter, so
/// these are as large as what it allocates, or larger.
mod bytes {
    /// An instance, with what the engine notes of it.
    pub(super) const INSTANCE: usize = 512;
    pub(super) const MEMORY: usize = 256;
    pub(super) const TABLE: usize = 128;
    /// A function may be referred to, and has a place for that.
    pub(super) const FUNCTION: usize = 32;
    pub(super) const IMPORT: usize = 32;
    pub(super) const GLOBAL: usize = 16;
    pub(super) const SEGMENT: usize = 48;
    /// An element of a passive segment, until the guest drops it.
    pub(super) const ELEMENT: usize = 16;
    /// A function that crosses the border of a component.
    pub(super) const CANONICAL: usize = 64;
}

/// Bytes of a page of memory: sizes of pages of a guest's own are a feature that is off.
pub(super) const PAGE: usize = 64 * 1024;

/// What one instance of a module or of a component takes, with all that it makes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) instances: usize,
    pub(super) memories: usize,
    pub(super) tables: usize,
    pub(super) components: usize,
    pub(super) memory_bytes: usize,
    pub(super) table_elements: usize,
    pub(super) instance_bytes: usize,
}

impl Weight {
    pub(super) fn component() -> Self {
        Self {
            components: 1,
            ..Self::bytes(bytes::INSTANCE, 1)
        }
    }

    pub(super) fn module() -> Self {
        Self {
            instances: 1,
            ..Self::bytes(bytes::INSTANCE, 1)
        }
    }

    pub(super) fn memory(pages: u64) -> Self {
        Self {
            memories: 1,
            memory_bytes: saturated(pages).saturating_mul(PAGE),
            ..Self::bytes(bytes::MEMORY, 1)
        }
    }

    pub(super) fn table(elements: u64) -> Self {
        Self {
            tables: 1,
            table_elements: saturated(elements),
            ..Self::bytes(bytes::TABLE, 1)
        }
    }

    pub(super) fn functions(count: u32) -> Self {
        Self::bytes(bytes::FUNCTION, count)
    }

    /// Imports of a module. An imported function may be referred to as well.
    pub(super) fn imports(count: u32) -> Self {
        Self::bytes(bytes::IMPORT + bytes::FUNCTION, count)
    }

    pub(super) fn globals(count: u32) -> Self {
        Self::bytes(bytes::GLOBAL, count)
    }

    pub(super) fn segments(count: u32) -> Self {
        Self::bytes(bytes::SEGMENT, count)
    }

    pub(super) fn passive_elements(count: u32) -> Self {
        Self::bytes(bytes::ELEMENT, count)
    }

    pub(super) fn canonical_functions(count: u32) -> Self {
        Self::bytes(bytes::CANONICAL, count)
    }

    fn bytes(each: usize, count: u32) -> Self {
        Self {
            instance_bytes: saturated(count.into()).saturating_mul(each),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        let sum = |a: &mut usize, b: usize| *a = a.saturating_add(b);
        sum(&mut self.instances, other.instances);
        sum(&mut self.memories, other.memories);
        sum(&mut self.tables, other.tables);
        sum(&mut self.components, other.components);
        sum(&mut self.memory_bytes, other.memory_bytes);
        sum(&mut self.table_elements, other.table_elements);
        sum(&mut self.instance_bytes, other.instance_bytes);
    }
}

fn saturated(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
