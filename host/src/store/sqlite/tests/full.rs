//! A disk that is full, and one that has lost a page: real ones.

use std::io::Write as _;
use std::process::Command;

use super::*;
use crate::store::conformance::{T0, accept, advance, claim_one, create, full, success};

/// A file system of a few MiB, in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Gives none, and says so, where this user may not mount.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "formwork-test"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(directory)),
            Ok(_) | Err(_) => {
                let mut words = std::io::stderr();
                let said = writeln!(words, "SKIPPED: a small disk cannot be mounted here");
                said.expect("it is said");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_and_goes_on_once_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = SqliteStore::open(disk.path().join("data")).expect("opened");
    let mut kept = vec![accept(&store, full()).await];
    let leased = claim_one(&store, T0).await;
    // Somebody else fills it.
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).expect("made");
    while file.write_all(&[7; 65_536]).is_ok() {}
    let error = loop {
        let transition = Operation::accept(RequestToken::random(), create(), T0);
        let operation = transition.operation.clone();
        let accepting = Accept {
            transition,
            key: None,
            basis: None,
            tokens_expired: Horizon::NEVER.client_tokens,
        };
        match store.accept(accepting).await {
            Ok(_) => kept.push(operation),
            Err(error) => break error,
        }
    };
    let text = told(&error);
    assert!(text.contains("free some space"), "{text}");
    // It is still read, and still refused, and nothing is there by half.
    let listed = store.list(&Filter::default()).await.expect("readable");
    assert_eq!(listed.len(), kept.len());
    let refused = store.prune(&Horizon::NEVER, 9).await;
    assert!(refused.is_ok(), "there is nothing to write: {refused:?}");

    std::fs::remove_file(&filler).expect("removed");
    drop(file);
    advance(&store, &leased, success(None), T0).await;
    for _ in 0..20 {
        kept.push(accept(&store, create()).await);
    }
    drop(store);
    let store = SqliteStore::open(disk.path().join("data")).expect("opened");
    for operation in &kept[1..] {
        let found = store.get(operation.token).await.expect("readable");
        assert_eq!(found.as_ref(), Some(operation));
    }
}

#[tokio::test]
async fn a_page_that_is_lost_is_said_and_what_is_elsewhere_goes_on() {
    let directory = Directory::new();
    let store = directory.store();
    let mut all = Vec::new();
    for _ in 0..200 {
        all.push(accept(&store, create()).await);
    }
    drop(store);
    let path = database(directory.path());
    let connection = Connection::open(&path).expect("opened");
    let page = |sql: &str| -> u64 {
        let found: i64 = connection
            .query_row(sql, [], |row| row.get(0))
            .expect("read");
        u64::try_from(found).expect("a page")
    };
    let size = page("PRAGMA page_size");
    let last = page("PRAGMA page_count");
    drop(connection);
    let bytes = std::fs::read(&path).expect("read");
    let is_leaf = |number: &u64| {
        let at = usize::try_from((number - 1) * size).expect("small");
        bytes[at] == 0x0d
    };
    // The first leaves of tables are those of the schema, the others of the records.
    let leaves: Vec<u64> = (2..=last).filter(is_leaf).collect();
    let lost = leaves[leaves.len() / 2];
    let mut damaged = bytes.clone();
    let at = usize::try_from((lost - 1) * size).expect("small");
    damaged[at..at + usize::try_from(size).expect("small")].fill(0xff);
    std::fs::write(&path, damaged).expect("written");

    let store = directory.store();
    let (mut read, mut refused) = (0, Vec::new());
    for operation in &all {
        match store.get(operation.token).await {
            Ok(found) => {
                assert_eq!(found.as_ref(), Some(operation));
                read += 1;
            }
            Err(error) => refused.push(error),
        }
    }
    assert!(read > 100 && !refused.is_empty(), "{read}");
    for error in refused {
        // The answer of an invocation waits, and is not dropped with one record.
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        let text = told(&error);
        assert!(
            text.contains("`formwork.db` is damaged")
                && text.contains("restore the directory from a backup"),
            "{text}"
        );
    }
    accept(&store, create()).await;
}
