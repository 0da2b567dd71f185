//! The handler in whole operations, on a directory of each test's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use formwork_guest::ErrorCode;
use formwork_guest::testing::Driver;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Archive;

thread_local! {
    static ROOT: RefCell<TempDir> = RefCell::new(TempDir::new().unwrap());
}

/// Stands in for the granted directory.
pub(super) fn root() -> PathBuf {
    ROOT.with_borrow(|root| root.path().to_owned())
}

fn create_input() -> Value {
    serde_json::from_str(include_str!("../inputs/inputs_1_create.json")).unwrap()
}

fn files() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn an_archive_is_packed_one_entry_in_each_invocation() {
    let mut driver = Driver::<Archive>::new();
    let run = driver.create(create_input());
    let created = run.success();
    assert_eq!(
        run.messages(),
        [
            "packed 1 of 3 entries",
            "packed 2 of 3 entries",
            "packed 3 of 3 entries"
        ]
    );
    assert_eq!(run.waited(), Duration::from_secs(3));
    assert_eq!(created["Status"], "READY");
    assert_eq!(created["Entries"], 3);
    assert_eq!(created["Size"], 3 * 1024 + 1024);
    let identifier = json!({"ArchiveId": created["ArchiveId"]});
    assert_eq!(driver.read(identifier).as_ref(), Ok(created));
}

#[test]
fn the_archive_is_one_that_tar_reads() {
    let run = Driver::<Archive>::new().create(create_input());
    let id = run.success()["ArchiveId"].as_str().unwrap();
    let tar = |option: &str| {
        let archive = root().join(format!("{id}.tar"));
        let output = Command::new("tar")
            .arg(option)
            .arg(archive)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(tar("-tf"), "a.txt\nb.txt\nc.txt\n");
    assert_eq!(tar("-xOf"), "first\nsecond\nthird\n");
}

#[test]
fn repeated_invocations_make_the_same_archive() {
    let once = Driver::<Archive>::new()
        .create(create_input())
        .success()
        .clone();
    driver_repeating()
        .token("other")
        .create(create_input())
        .success();
    let twice = driver_repeating().create(create_input()).success().clone();
    assert_eq!(once, twice);
    assert_eq!(driver_repeating().list(10).unwrap().models().len(), 2);
}

fn driver_repeating() -> Driver<Archive> {
    let mut driver = Driver::new();
    driver.repeat_each(3);
    driver
}

#[test]
fn an_archive_can_be_read_while_it_is_packed() {
    let mut driver = Driver::<Archive>::new();
    let run = driver.create(create_input());
    let id = run.success()["ArchiveId"].as_str().unwrap();
    fs::write(root().join(format!(".{id}.part")), [0; 2048]).unwrap();
    let read = driver.read(json!({"ArchiveId": id})).unwrap();
    assert_eq!(read["Status"], "PACKING");
    assert_eq!(read["Entries"], 2);
}

#[test]
fn an_update_packs_anew_whatever_the_read_only_values_say() {
    let mut driver = Driver::<Archive>::new();
    let created = driver.create(create_input()).success().clone();
    let mut desired = created.clone();
    desired["Files"] = json!([{"Name": "z", "Contents": ""}, {"Name": "y", "Contents": "y"}]);
    desired["Delay"] = json!(3);
    let run = driver.update(&created, &desired);
    let updated = run.success();
    assert_eq!(
        run.messages(),
        ["packed 1 of 2 entries", "packed 2 of 2 entries"]
    );
    assert_eq!(run.waited(), Duration::from_secs(6));
    assert_eq!(updated["Entries"], 2);
    assert_eq!(updated["ArchiveId"], created["ArchiveId"]);
    assert_ne!(updated["Sha256"], created["Sha256"]);
    assert_eq!(updated["Files"], desired["Files"]);
}

#[test]
fn a_deleted_archive_leaves_nothing() {
    let mut driver = Driver::<Archive>::new();
    driver.repeat_each(2);
    let created = driver.create(create_input()).success().clone();
    let identifier = json!({"ArchiveId": created["ArchiveId"]});
    driver.delete(&identifier).deleted();
    assert_eq!(files(), [""; 0]);
    let not_found = ErrorCode::NotFound;
    assert_eq!(driver.read(&identifier).unwrap_err().code(), not_found);
    assert_eq!(driver.delete(&identifier).failure().code(), not_found);
    assert_eq!(
        driver.update(&created, &created).failure().code(),
        not_found
    );
}

#[test]
fn ids_that_lead_elsewhere_are_refused() {
    let mut driver = Driver::<Archive>::new();
    for id in ["", "../x", "a/b", ".."] {
        let error = driver.read(json!({"ArchiveId": id})).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{id:?}");
    }
}

#[test]
fn a_list_shows_every_archive_once() {
    let mut driver = Driver::<Archive>::new();
    let mut ids: Vec<Value> = (0..5)
        .map(|_| driver.create(create_input()).success()["ArchiveId"].clone())
        .collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(driver.list(2).unwrap().property("ArchiveId"), ids);
}
