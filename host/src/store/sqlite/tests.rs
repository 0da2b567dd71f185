use super::*;
use crate::store::conformance::{self, Harness};

/// A data directory that is opened again and again.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(self.path()).expect("opened")
    }
}

impl Harness for Directory {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store())
    }
}

conformance::suite!(Directory::new());
conformance::durable_suite!(Directory::new());
