//! The handler in whole operations, on a directory of each test's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use formwork_guest::ErrorCode;
use formwork_guest::testing::Driver;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::File;

thread_local! {
    static ROOT: RefCell<TempDir> = RefCell::new(TempDir::new().unwrap());
}

/// Stands in for the granted directory.
pub(super) fn root() -> PathBuf {
    ROOT.with_borrow(|root| root.path().to_owned())
}

fn input(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn create_input() -> Value {
    input(include_str!("../inputs/inputs_1_create.json"))
}

#[test]
fn a_created_file_is_really_there_and_can_be_read() {
    let mut driver = Driver::<File>::new();
    let run = driver.create(create_input());
    let created = run.success();
    assert_eq!(
        created,
        &json!({
            "Name": "greeting.txt",
            "Contents": "Hello, Formwork!\n",
            "Mode": "0640",
            "Size": 17,
            "Sha256": super::sha256("Hello, Formwork!\n"),
        })
    );
    let text = fs::read_to_string(root().join("greeting.txt")).unwrap();
    assert_eq!(text, "Hello, Formwork!\n");
    assert_eq!(
        driver.read(json!({"Name": "greeting.txt"})).as_ref(),
        Ok(created)
    );
}

#[test]
fn the_secret_is_nowhere_on_disk_but_its_hash_is() {
    Driver::<File>::new().create(create_input()).success();
    let note = fs::read_to_string(root().join(".greeting.txt.formwork")).unwrap();
    assert!(!note.contains("correct horse"));
    assert!(note.contains(&super::sha256("correct horse")));
}

#[test]
fn a_second_create_finds_that_the_file_exists() {
    let mut driver = Driver::<File>::new();
    driver.create(create_input()).success();
    let failure = driver.create(create_input()).failure().clone();
    assert_eq!(failure.code(), ErrorCode::AlreadyExists);
    assert_eq!(failure.model(), None);
}

#[test]
fn a_file_that_nobody_created_is_never_taken_over() {
    fs::write(root().join("greeting.txt"), "mine").unwrap();
    let mut driver = Driver::<File>::new();
    let failure = driver.create(create_input()).failure().clone();
    assert_eq!(failure.code(), ErrorCode::AlreadyExists);
    assert_eq!(
        fs::read_to_string(root().join("greeting.txt")).unwrap(),
        "mine"
    );
}

#[test]
fn a_create_that_is_repeated_with_its_token_succeeds() {
    let mut driver = Driver::<File>::new();
    driver.repeat_each(2);
    driver.create(create_input()).success();
    let again = driver
        .repeat_each(1)
        .token("token-1")
        .create(create_input());
    assert_eq!(again.success()["Size"], 17);
}

#[test]
fn a_create_that_was_cut_off_while_it_wrote_its_note_goes_on() {
    let mut driver = Driver::<File>::new();
    // What a crash leaves of the note: first nothing of it, then a part.
    for written in ["", "{\"mode\":"] {
        let name = "greeting.txt";
        let place = super::Place::of(name).unwrap();
        let note = super::Note::new(&super::Model::default(), "token-1");
        let draft = place.draft(&note).unwrap();
        fs::write(&draft, written).unwrap();
        let run = driver.token("token-1").create(create_input());
        assert_eq!(run.success()["Size"], 17);
        assert!(!draft.exists());
        driver.delete(json!({"Name": name})).deleted();
    }
}

#[test]
fn a_note_appears_whole_or_not_at_all() {
    let place = super::Place::of("a").unwrap();
    let note = |by: &str| super::Note::new(&super::Model::default(), by);
    place.claim(&note("first"), "a").unwrap();
    let refusal = place.claim(&note("second"), "a").unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::AlreadyExists);
    assert_eq!(place.note().unwrap().unwrap().created_by, "first");
    assert_eq!(fs::read_dir(root()).unwrap().count(), 1);

    // What is written aside is no note yet.
    let other = super::Place::of("b").unwrap();
    other.draft(&note("first")).unwrap();
    assert!(other.note().unwrap().is_none());
}

#[test]
fn a_create_that_was_cut_off_after_its_claim_leaves_nothing_aside() {
    let mut driver = Driver::<File>::new();
    driver.create(create_input()).success();
    let place = super::Place::of("greeting.txt").unwrap();
    let draft = place.aside("token-1");
    fs::hard_link(&place.note, &draft).unwrap();

    let note = super::Note::new(&super::Model::default(), "token-1");
    place.draft(&note).unwrap();
    assert_eq!(place.note().unwrap().unwrap().mode, "0640");

    driver.token("token-1").create(create_input()).success();
    assert!(!draft.exists());
}

#[test]
fn a_create_that_fails_half_way_names_what_it_made() {
    // A directory in the place of the file: the note can be written, the file cannot.
    let mut driver = Driver::<File>::new();
    driver.create(create_input()).success();
    fs::remove_file(root().join("greeting.txt")).unwrap();
    fs::create_dir(root().join("greeting.txt")).unwrap();
    let run = driver.token("token-1").create(create_input());
    let model = run.failure().model().unwrap();
    assert_eq!(model["Name"], "greeting.txt");
    assert!(!model.contains_key("Secret"));
}

#[test]
fn an_update_changes_contents_and_mode_and_keeps_the_maker() {
    let mut driver = Driver::<File>::new();
    let created = driver.create(create_input()).success().clone();
    let desired = input(include_str!("../inputs/inputs_1_update.json"));
    let updated = driver.update(created, desired).success().clone();
    assert_eq!(updated["Contents"], "Hello again!\n");
    assert_eq!(updated["Mode"], "0600");
    assert_eq!(driver.read(json!({"Name": "greeting.txt"})), Ok(updated));
    driver.token("token-1").create(create_input()).success();
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut driver = Driver::<File>::new();
    let missing = json!({"Name": "missing", "Contents": ""});
    let code = ErrorCode::NotFound;
    assert_eq!(driver.read(&missing).unwrap_err().code(), code);
    assert_eq!(driver.update(&missing, &missing).failure().code(), code);
    assert_eq!(driver.delete(&missing).failure().code(), code);
    assert_eq!(fs::read_dir(root()).unwrap().count(), 0);
}

#[test]
fn a_deleted_file_leaves_nothing_and_can_be_created_again() {
    let mut driver = Driver::<File>::new();
    driver.create(create_input()).success();
    driver.delete(json!({"Name": "greeting.txt"})).deleted();
    assert_eq!(fs::read_dir(root()).unwrap().count(), 0);
    assert_eq!(driver.list(10).unwrap().models().len(), 0);
    driver.create(create_input()).success();
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let mut driver = Driver::<File>::new();
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../escape.txt",
        "a\\b",
        "a\0b",
    ] {
        let desired = json!({"Name": name, "Contents": ""});
        let code = driver.create(desired).failure().code();
        assert_eq!(code, ErrorCode::InvalidRequest, "{name:?}");
    }
    assert_eq!(fs::read_dir(root()).unwrap().count(), 0);
}

#[test]
fn a_list_shows_every_file_once_whatever_the_page_size() {
    let mut driver = Driver::<File>::new();
    for name in ["b", "d", "a", "e", "c"] {
        driver
            .create(json!({"Name": name, "Contents": name}))
            .success();
    }
    for page_size in [1, 2, 5, 10] {
        let listed = driver.list(page_size).unwrap();
        assert_eq!(listed.property("Name"), ["a", "b", "c", "d", "e"]);
    }
    assert_eq!(driver.list(2).unwrap().pages.len(), 3);
}
