//! A walk through all that a caller can see of the guest: no bug leaves it as it was.

use std::fs;
use std::panic::catch_unwind;

use formwork_guest::bindings::exports::formwork::handler::resource::Guest as _;
use formwork_guest::bindings::formwork::handler::types as wit;
use serde_json::{Value, json};

use super::{have, root, thing};
use crate::thing::KEY;
use crate::{Bug, Faulty};

/// Those that nobody can wait for, or that no test outside of a sandbox survives.
const WITHOUT_END: [Bug; 4] = [
    Bug::SlowInvocation,
    Bug::SlowRead,
    Bug::Loops,
    Bug::EatsMemory,
];

#[test]
fn every_bug_shows() {
    let right = walk();
    assert_eq!(right, walk(), "the walk is the same each time");
    let hidden: Vec<&str> = Bug::ALL
        .iter()
        .filter(|bug| !WITHOUT_END.contains(bug))
        .filter(|bug| {
            have(**bug);
            catch_unwind(walk).is_ok_and(|seen| seen == right)
        })
        .map(|bug| bug.name())
        .collect();
    // An identifier that the handler assigns is never there already.
    let expected: &[&str] = if cfg!(feature = "assigned") {
        &["already-exists-ok", "already-exists-wrong-code"]
    } else {
        &[]
    };
    assert_eq!(hidden, expected);
}

/// Tells what the guest answers, from an empty directory on.
fn walk() -> Vec<String> {
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "bug" {
            fs::remove_file(path).unwrap();
        }
    }
    let mut seen = Vec::new();
    list(&mut seen, "empty");
    let created = create(&mut seen, "made", &thing());
    create(&mut seen, "made", &thing());
    create(&mut seen, "again", &thing());
    read_by_each_name(&mut seen, &created);

    let update = |seen: &mut Vec<String>, token: &str, name: &str, value: Value| {
        let mut desired = thing();
        desired[KEY] = created[KEY].clone();
        desired[name] = value;
        seen.push(format!(
            "{:?}",
            Faulty::update(request(token), desired.to_string(), None, None)
        ));
        read_by_each_name(seen, &created);
    };
    update(&mut seen, "comment", "Comment", json!("moved"));
    update(&mut seen, "labels", "Labels", json!(["c"]));
    update(&mut seen, "tags", "Tags", json!([]));
    update(&mut seen, "kind", "Kind", json!("fancy"));
    update(&mut seen, "forbidden", "Comment", json!("forbidden"));
    update(&mut seen, "missing", KEY, json!("th-0000000000000000"));

    let mut slow = json!({"Name": "slow", "Delay": 1});
    let mut context = None;
    for _ in 0..3 {
        let event = Faulty::create(request("slow"), slow.to_string(), context);
        seen.push(format!("{event:?}"));
        let wit::ProgressEvent::InProgress(event) = event else {
            break;
        };
        slow = event.model.map_or(slow, |model| parsed(&model));
        context = event.callback_context;
    }
    let forbidden = json!({"Name": "bad", "Comment": "forbidden"});
    create(&mut seen, "bad", &forbidden);
    let read_only = json!({"Name": "own", "Revision": 7});
    create(&mut seen, "read-only", &read_only);
    list(&mut seen, "full");

    for token in ["deleted", "deleted again"] {
        let identifier = json!({KEY: created[KEY]});
        seen.push(format!(
            "{:?}",
            Faulty::delete(request(token), identifier.to_string(), None)
        ));
        read_by_each_name(&mut seen, &created);
    }
    list(&mut seen, "less");
    create(&mut seen, "made", &thing());
    seen
}

/// Creates a thing, and gives what it has become.
fn create(seen: &mut Vec<String>, token: &str, desired: &Value) -> Value {
    let event = Faulty::create(request(token), desired.to_string(), None);
    seen.push(format!("{event:?}"));
    match event {
        wit::ProgressEvent::Success(success) => parsed(&success.model),
        wit::ProgressEvent::InProgress(event) => {
            event.model.map_or(Value::Null, |model| parsed(&model))
        }
        wit::ProgressEvent::Failed(_) => Value::Null,
    }
}

fn read_by_each_name(seen: &mut Vec<String>, created: &Value) {
    for name in ["Name", "Id", "Alias"] {
        let identifier = json!({name: created[name]});
        seen.push(format!(
            "{:?}",
            Faulty::read(request("read"), identifier.to_string())
        ));
    }
}

/// Lists in pages of one, and no more pages than there can be.
fn list(seen: &mut Vec<String>, token: &str) {
    let mut next_token = None;
    for _ in 0..5 {
        let page = wit::ListRequest {
            filter: None,
            next_token,
            max_results: Some(1),
        };
        let answer = Faulty::list(request(token), page);
        seen.push(format!("{answer:?}"));
        next_token = answer.ok().and_then(|page| page.next_token);
        if next_token.is_none() {
            return;
        }
    }
}

fn request(token: &str) -> wit::Request {
    let stack = wit::Tag {
        key: "stack".to_owned(),
        value: "s".to_owned(),
    };
    wit::Request {
        client_request_token: token.to_owned(),
        type_name: String::new(),
        start_time: 0,
        deadline: u64::MAX / 2,
        invocation: 1,
        attempt: 1,
        region: None,
        account_id: None,
        partition: None,
        stack_id: None,
        logical_resource_id: None,
        desired_tags: vec![stack],
        previous_tags: Vec::new(),
        system_tags: Vec::new(),
        previous_system_tags: Vec::new(),
        type_configuration: None,
        credentials: None,
        snapshot_requested: None,
        rollback: None,
        driftable: None,
        features: None,
        update_policy: None,
        creation_policy: None,
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
