//! What the driver does as a host does, and what it does not let pass.

use std::time::Duration;

use formwork_guest::testing::{Driver, Outcome};
use formwork_guest::{
    ErrorCode, HandlerError, ProgressEvent, Request, ResourceHandler, Result, Steps, log,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Model {
    name: String,
    secret: Option<String>,
    act: String,
    extra: Option<String>,
}

struct Acts;

#[formwork_guest::resource(schema_inline = r#"{
    "typeName": "Acme::Desk::Act", "description": "What its name says.",
    "properties": {"Name": {"type": "string"}, "Act": {"type": "string"}, "Secret": {"type": "string"}},
    "primaryIdentifier": ["/properties/Name"], "writeOnlyProperties": ["/properties/Secret"],
    "additionalProperties": false,
    "handlers": {"create": {"permissions": [], "timeoutInMinutes": 2}, "update": {"permissions": []}}
}"#)]
impl ResourceHandler for Acts {
    type Model = Model;

    fn create(request: &Request, desired: Model, _: Steps) -> Result<ProgressEvent<Model>> {
        let mut next = desired.clone();
        next.secret = None;
        match (desired.act.as_str(), request.invocation) {
            ("tell", 1 | 2) => {
                assert_eq!(desired.secret.as_deref(), Some("s"));
                log::info!("{} s left", request.remaining().as_secs());
                let words = format!("{} {}", request.client_request_token, request.invocation);
                Ok(ProgressEvent::in_progress(next)
                    .after(Duration::from_secs(7))
                    .message(words)
                    .into())
            }
            ("throttled", _) if request.attempt < 3 => Err(HandlerError::throttling("slow down")),
            ("endless", _) => Ok(ProgressEvent::in_progress(next).into()),
            ("late", _) => Ok(ProgressEvent::in_progress(next)
                .after(Duration::from_secs(50))
                .into()),
            ("no callback", _) => Ok(ProgressEvent::in_progress(next).no_callback().into()),
            ("rename", 1) => Ok(ProgressEvent::in_progress(next).into()),
            ("rename", _) => {
                next.name.push('2');
                Ok(ProgressEvent::success(next))
            }
            ("extra", _) => {
                next.extra = Some("x".to_owned());
                Ok(ProgressEvent::success(next))
            }
            ("panic", _) => panic!("the act is to panic"),
            _ => Ok(ProgressEvent::success(desired)),
        }
    }

    fn update(_: &Request, _: Model, _: Option<Model>, _: Steps) -> Result<ProgressEvent<Model>> {
        Err(HandlerError::already_exists("wrong code"))
    }
}

fn act(act: &str) -> serde_json::Value {
    json!({"Name": "a", "Secret": "s", "Act": act})
}

#[test]
fn a_chain_keeps_its_token_its_secrets_and_the_clock() {
    let mut driver = Driver::<Acts>::new();
    let start = driver.now();
    let run = driver.token("tok").create(act("tell"));
    assert_eq!(run.messages(), ["tok 1", "tok 2"]);
    assert_eq!(run.success(), &json!({"Name": "a", "Act": "tell"}));
    let lines = run
        .invocations
        .iter()
        .flat_map(|invocation| &invocation.log);
    let lines: Vec<_> = lines
        .map(|(level, line)| format!("{level} {line}"))
        .collect();
    assert_eq!(lines, ["info 120 s left", "info 113 s left"]);
    assert_eq!(driver.now(), start + Duration::from_secs(14));
}

#[test]
fn retriable_failures_are_attempted_three_times_with_backoff() {
    let mut driver = Driver::<Acts>::new();
    let start = driver.now();
    let run = driver.create(act("throttled"));
    run.success();
    let attempts: Vec<_> = run
        .invocations
        .iter()
        .map(|i| (i.invocation, i.attempt))
        .collect();
    assert_eq!(attempts, [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(driver.now(), start + Duration::from_secs(3));
}

#[test]
fn an_operation_ends_at_its_deadline() {
    let run = Driver::<Acts>::new().create(act("late"));
    assert_eq!(run.failure().code(), ErrorCode::NotStabilized);
    assert_eq!(run.invocations.len(), 3);
}

#[test]
fn an_operation_without_callback_waits_to_be_recorded() {
    let run = Driver::<Acts>::new().create(act("no callback"));
    assert_eq!(run.outcome, Outcome::WaitsForRecord);
}

#[test]
#[should_panic(expected = "does not end after 5 invocations")]
fn an_endless_chain_is_an_error() {
    let _ = Driver::<Acts>::new()
        .invocation_cap(5)
        .create(act("endless"));
}

#[test]
#[should_panic(expected = "the primary identifier changed")]
fn a_changed_identifier_is_an_error() {
    let _ = Driver::<Acts>::new().create(act("rename"));
}

#[test]
#[should_panic(expected = "`Extra`, which the schema does not have")]
fn a_property_off_the_schema_is_an_error() {
    let _ = Driver::<Acts>::new().create(act("extra"));
}

#[test]
#[should_panic(expected = "a update cannot fail with AlreadyExists")]
fn a_code_that_the_action_cannot_have_is_an_error() {
    let _ = Driver::<Acts>::new().update(act(""), act(""));
}

#[test]
#[should_panic(expected = "the act is to panic")]
fn a_panic_is_never_an_answer() {
    let _ = Driver::<Acts>::new().create(act("panic"));
}

#[test]
#[should_panic(expected = "`handlers` does not name `delete`")]
fn an_action_that_the_schema_does_not_name_is_refused() {
    let _ = Driver::<Acts>::new().delete(json!({"Name": "a"}));
}

#[test]
#[should_panic(expected = "the create did not fail")]
fn an_outcome_that_was_not_expected_shows_the_transcript() {
    Driver::<Acts>::new().create(act("")).failure();
}
