//! The correct handler in whole operations, and each kind of bug once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod walk;

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use formwork_guest::ErrorCode;
use formwork_guest::testing::Driver;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::thing::KEY;
use crate::{Bug, Things};

thread_local! {
    static ROOT: RefCell<TempDir> = RefCell::new(TempDir::new().unwrap());
}

/// Stands in for the granted directory.
pub(crate) fn root() -> PathBuf {
    ROOT.with_borrow(|root| root.path().to_owned())
}

fn have(bug: Bug) {
    fs::write(root().join("bug"), bug.name()).unwrap();
}

fn thing() -> Value {
    json!({
        "Name": "lamp",
        "Kind": "plain",
        "Comment": "on the desk",
        "Secret": "hunter2",
        "Labels": ["b", "a"],
        "Steps": ["plug in", "switch on"],
        "Settings": {"Level": 3, "Password": "hunter3"},
        "Tags": [{"Key": "team", "Value": "blue"}],
    })
}

/// Gives the primary identifier of a model, alone.
fn identifier(model: &Value) -> Value {
    json!({KEY: model[KEY]})
}

#[test]
fn a_thing_lives_from_create_to_delete() {
    let mut driver = Driver::<Things>::new();
    driver.repeat_each(2);
    let created = driver.create(thing()).success().clone();
    let mut expected = thing();
    let object = expected.as_object_mut().unwrap();
    object.remove("Secret");
    object["Settings"] = json!({"Level": 3});
    for assigned in ["Id", "Alias"] {
        object.insert(assigned.to_owned(), created[assigned].clone());
    }
    object.insert("Size".to_owned(), json!(10));
    object.insert("Revision".to_owned(), json!(1));
    assert_eq!(created, expected);
    for name in [KEY, "Id", "Alias"] {
        assert_eq!(
            driver.read(json!({name: created[name]})),
            Ok(created.clone())
        );
    }

    let mut desired = created.clone();
    desired["Comment"] = json!("under the desk");
    desired["Labels"] = json!(["c"]);
    let updated = driver.update(&created, &desired).success().clone();
    desired["Revision"] = json!(2);
    assert_eq!(updated, desired);
    assert_eq!(driver.read(identifier(&created)), Ok(updated));

    driver.delete(identifier(&created)).deleted();
    let gone = driver.read(identifier(&created)).unwrap_err();
    assert_eq!(gone.code(), ErrorCode::NotFound);
    assert!(driver.list(10).unwrap().models().is_empty());
    driver.create(thing()).success();
}

#[test]
fn a_delay_makes_two_callbacks_of_each_operation() {
    let mut driver = Driver::<Things>::new();
    driver.repeat_each(2);
    let mut desired = thing();
    desired["Delay"] = json!(5);
    let run = driver.create(&desired);
    assert_eq!(run.waited().as_secs(), 10);
    let created = run.success().clone();
    let run = driver.update(&created, &created);
    assert_eq!(run.waited().as_secs(), 10);
    assert_eq!(run.success()["Revision"], 2);
    let run = driver.delete(identifier(&created));
    run.deleted();
    assert_eq!(run.waited().as_secs(), 10);
}

#[test]
fn what_cannot_be_done_says_why() {
    let mut driver = Driver::<Things>::new();
    let created = driver.create(thing()).success().clone();
    let mut fancy = created.clone();
    fancy["Kind"] = json!("fancy");
    let run = driver.update(&created, fancy);
    assert_eq!(run.failure().code(), ErrorCode::NotUpdatable);

    let forbidden = json!({"Name": "other", "Comment": "forbidden"});
    let run = driver.create(forbidden);
    assert_eq!(run.failure().code(), ErrorCode::InvalidRequest);
    assert_eq!(driver.list(10).unwrap().models().len(), 1);

    driver.delete(identifier(&created)).deleted();
    let run = driver.update(&created, &created);
    assert_eq!(run.failure().code(), ErrorCode::NotFound);
    let run = driver.delete(&created);
    assert_eq!(run.failure().code(), ErrorCode::NotFound);
}

#[test]
fn a_list_has_pages_and_a_filter() {
    let mut driver = Driver::<Things>::new();
    for (name, kind) in [("a", "plain"), ("b", "fancy"), ("c", "plain")] {
        driver.create(json!({"Name": name, "Kind": kind})).success();
    }
    let listed = driver.list(2).unwrap();
    assert_eq!(listed.pages.len(), 2);
    assert_eq!(listed.models().len(), 3);
    let fancy = driver.list_where(10, &json!({"Kind": "fancy"})).unwrap();
    assert_eq!(fancy.property("Name"), [json!("b")]);
    // The official tool lists with all that a create answered.
    let created = driver.create(thing()).success().clone();
    let same = driver.list_where(10, &created).unwrap();
    assert_eq!(same.models(), [&created]);
}

#[test]
fn tags_of_the_stack_come_to_those_of_the_model() {
    let mut driver = Driver::<Things>::new();
    driver.request(|request| {
        let (key, value) = ("stack".to_owned(), "s".to_owned());
        request.desired_tags =
            vec![formwork_guest::bindings::formwork::handler::types::Tag { key, value }];
    });
    let created = driver.create(thing()).success().clone();
    assert_eq!(
        created["Tags"],
        json!([{"Key": "team", "Value": "blue"}, {"Key": "stack", "Value": "s"}])
    );
}

#[test]
fn a_bug_is_had_from_the_next_invocation_on() {
    let mut driver = Driver::<Things>::new();
    let created = driver.create(thing()).success().clone();
    have(Bug::LosesProperty);
    let updated = driver.update(&created, &created).success().clone();
    assert_eq!(updated.get("Comment"), None);
}

#[test]
#[should_panic(expected = "there is no bug \"typo\"; there are leaks-write-only ")]
fn a_name_that_is_no_bug_is_refused_with_those_that_are() {
    fs::write(root().join("bug"), "typo\n").unwrap();
    Driver::<Things>::new().create(thing()).success();
}

#[test]
fn every_bug_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
