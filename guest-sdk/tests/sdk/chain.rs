//! Chains of named steps, followed by the driver.

use std::cell::RefCell;
use std::time::Duration;

use expect_test::expect;
use formwork_guest::testing::Driver;
use formwork_guest::{
    Chain, DeleteEvent, ErrorCode, Every, HandlerError, ProgressEvent, Request, ResourceHandler,
    Result, Stability, Steps,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

thread_local! {
    /// The calls that the cloud of this test's thread has got.
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn calls() -> Vec<String> {
    CALLS.take()
}

fn called(name: &str) -> usize {
    CALLS.with_borrow_mut(|calls| {
        calls.push(name.to_owned());
        calls.iter().filter(|call| *call == name).count()
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    id: Option<String>,
    password: Option<String>,
    fail_at: Option<String>,
    ready_after: Option<usize>,
    attached: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Started {
    id: String,
    zone: Option<String>,
}

struct Volumes;

fn step(model: &Volume, name: &str) -> Result<usize> {
    let count = called(name);
    match model.fail_at.as_deref().and_then(|at| at.split_once(' ')) {
        Some((at, code)) if at == name => {
            let code = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
            Err(HandlerError::new(
                *code.unwrap(),
                format_args!("{name} failed"),
            ))
        }
        _ => Ok(count),
    }
}

#[formwork_guest::resource(schema_inline = r#"{
    "typeName": "Acme::Cloud::Volume",
    "description": "A volume.",
    "properties": {
        "Name": {"type": "string"}, "Id": {"type": "string"}, "Password": {"type": "string"},
        "FailAt": {"type": "string"}, "ReadyAfter": {"type": "integer"}, "Attached": {"type": "boolean"}
    },
    "primaryIdentifier": ["/properties/Id"],
    "readOnlyProperties": ["/properties/Id", "/properties/Attached"],
    "writeOnlyProperties": ["/properties/Password"],
    "additionalProperties": false,
    "handlers": {"create": {"permissions": []}, "delete": {"permissions": []}}
}"#)]
impl ResourceHandler for Volumes {
    type Model = Volume;

    fn create(request: &Request, desired: Volume, steps: Steps) -> Result<ProgressEvent<Volume>> {
        Chain::run(request, desired, steps, |chain| {
            let started: Started = chain.call("start", |model| {
                step(model, "start")?;
                Ok(Started {
                    id: format!("vol-{}", model.name),
                    zone: None,
                })
            })?;
            chain.model.id = Some(started.id);
            let often = Every::seconds(5)
                .at_most(4)
                .within(Duration::from_secs(3600));
            chain.wait("ready", often, |model| {
                let tries = step(model, "ready")?;
                let all = model.ready_after.unwrap_or(1);
                Ok(if tries >= all {
                    Stability::Stable
                } else {
                    Stability::Waiting(format!("{tries} of {all}"))
                })
            })?;
            chain.checkpoint("made", "the volume is there, attaching it")?;
            chain.call("attach", |model| {
                assert_eq!(model.password.as_deref(), Some("hunter2"));
                step(model, "attach")
            })?;
            chain.model.attached = Some(true);
            Ok(())
        })
    }

    fn delete(request: &Request, volume: Volume, steps: Steps) -> Result<DeleteEvent<Volume>> {
        Chain::run_delete(request, volume, steps, |chain| {
            chain.call("detach", |model| step(model, "detach").map(drop))?;
            let often = Every::seconds(60).within(Duration::from_secs(150));
            chain.wait("gone", often, |model| {
                let tries = step(model, "gone")?;
                Ok(tries >= model.ready_after.unwrap_or(1))
            })
        })
    }
}

fn volume() -> serde_json::Value {
    json!({"Name": "a", "Password": "hunter2", "ReadyAfter": 3})
}

#[test]
fn finished_calls_are_never_made_again_and_their_results_come_back() {
    let run = Driver::<Volumes>::new().create(volume());
    expect![[r#"
        create 1: IN_PROGRESS after 5 s, "1 of 3" {"Name":"a","Id":"vol-a","Password":"hunter2","ReadyAfter":3}
        create 2: IN_PROGRESS after 5 s, "2 of 3" {"Name":"a","Id":"vol-a","Password":"hunter2","ReadyAfter":3}
        create 3: IN_PROGRESS after 0 s, "the volume is there, attaching it" {"Name":"a","Id":"vol-a","Password":"hunter2","ReadyAfter":3}
        create 4: SUCCESS {"Name":"a","Id":"vol-a","ReadyAfter":3,"Attached":true}
    "#]]
    .assert_eq(&run.to_string());
    assert_eq!(calls(), ["start", "ready", "ready", "ready", "attach"]);
    assert_eq!(run.waited(), Duration::from_secs(10));
}

#[test]
fn a_repeated_invocation_does_again_what_it_did_and_no_more() {
    Driver::<Volumes>::new()
        .repeat_each(2)
        .create(volume())
        .success();
    // The first two looks fall to the first invocation and its repeat.
    assert_eq!(
        calls(),
        [
            "start", "ready", "start", "ready", "ready", "ready", "attach", "attach"
        ]
    );
}

#[test]
fn a_wait_that_uses_up_its_tries_is_not_stabilized_and_names_what_was_made() {
    let mut desired = volume();
    desired["ReadyAfter"] = json!(9);
    let run = Driver::<Volumes>::new().create(desired);
    let failure = run.failure();
    assert_eq!(failure.code(), ErrorCode::NotStabilized);
    assert_eq!(failure.message(), "4 of 9; gave up after 4 looks in 15 s");
    assert_eq!(failure.model().unwrap()["Id"], "vol-a");
    assert_eq!(failure.model().unwrap().get("Password"), None);
    assert_eq!(run.invocations.len(), 4);
}

#[test]
fn a_wait_that_uses_up_its_time_is_not_stabilized() {
    let run = Driver::<Volumes>::new().delete(json!({"Name": "a", "Id": "b", "ReadyAfter": 9}));
    assert_eq!(run.failure().code(), ErrorCode::NotStabilized);
    assert_eq!(
        run.failure().message(),
        "waiting for gone; gave up after 4 looks in 180 s"
    );
}

#[test]
fn a_delete_ends_without_a_model() {
    let run = Driver::<Volumes>::new().delete(json!({"Name": "a", "Id": "b", "ReadyAfter": 2}));
    run.deleted();
    assert_eq!(calls(), ["detach", "gone", "gone"]);
}

#[test]
fn a_chain_that_fails_in_its_first_step_has_made_nothing() {
    let mut desired = volume();
    desired["FailAt"] = json!("start GeneralServiceException");
    let run = Driver::<Volumes>::new().create(desired);
    assert_eq!(run.failure().model(), None);
}

#[test]
fn a_chain_that_fails_in_a_later_step_names_what_it_made() {
    for (at, invocations) in [("ready AccessDenied", 1), ("attach AccessDenied", 2)] {
        let mut desired = volume();
        desired["FailAt"] = json!(at);
        desired["ReadyAfter"] = json!(1);
        let run = Driver::<Volumes>::new().create(desired);
        assert_eq!(run.failure().model().unwrap()["Id"], "vol-a", "{at}");
        assert_eq!(run.invocations.len(), invocations, "{at}");
        calls();
    }
}

#[test]
fn a_retriable_failure_is_repeated_with_the_same_context() {
    let mut desired = volume();
    desired["FailAt"] = json!("attach Throttling");
    let run = Driver::<Volumes>::new().create(desired);
    assert_eq!(run.failure().code(), ErrorCode::Throttling);
    let numbers: Vec<_> = run
        .invocations
        .iter()
        .map(|i| (i.invocation, i.attempt))
        .collect();
    assert_eq!(numbers, [(1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (4, 3)]);
    assert_eq!(
        calls(),
        [
            "start", "ready", "ready", "ready", "attach", "attach", "attach"
        ]
    );
}

struct Twins;

#[formwork_guest::resource(schema_inline = r#"{
    "typeName": "Acme::Cloud::Twin", "description": "Two steps of one name.",
    "properties": {"Name": {"type": "string"}}, "primaryIdentifier": ["/properties/Name"],
    "additionalProperties": false, "handlers": {"create": {"permissions": []}}
}"#)]
impl ResourceHandler for Twins {
    type Model = serde_json::Map<String, serde_json::Value>;
    type CallbackContext = Own;

    fn create(
        request: &Request,
        desired: Self::Model,
        context: Own,
    ) -> Result<ProgressEvent<Self::Model, Own>> {
        Chain::run(request, desired, context, |chain| {
            chain.context.note = "mine".to_owned();
            chain.call("step", |_| Ok(1))?;
            chain.checkpoint("pause", "half")?;
            chain.call("step", |_| Ok(2))
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Own {
    note: String,
    steps: Steps,
}

impl AsMut<Steps> for Own {
    fn as_mut(&mut self) -> &mut Steps {
        &mut self.steps
    }
}

#[test]
fn a_context_of_ones_own_can_hold_the_steps_and_two_of_one_name_are_an_error() {
    let run = Driver::<Twins>::new().create(json!({"Name": "a"}));
    let formwork_guest::testing::Answer::InProgress { context, .. } = &run.invocations[0].answer
    else {
        panic!("{run}");
    };
    assert_eq!(
        context.as_ref().unwrap(),
        &json!({
            "note": "mine",
            "steps": {"step": {"done": {"result": 1}}, "pause": {"done": {}}}
        })
    );
    assert_eq!(
        run.failure().message(),
        "the chain has two steps named `step`; give each a name of its own"
    );
}
