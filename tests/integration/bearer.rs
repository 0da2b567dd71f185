//! What goes by bearer tokens: single invocations, operations that are taken
//! over, and progress that is recorded from outside.

use formwork_host::engine::{
    CurrentStatus, InvokeError, LoadTypeError, OperationHandle, Record, RecordError,
    RecordedStatus, Request, SubmitError,
};
use formwork_host::model::{Callback, HandlerErrorCode, JsonObject, ProgressEvent, RequestToken};
use formwork_host::operation::{Fault, ReportStatus, Status};
use formwork_host::registry::TypeSettings;
use formwork_host::store::Filter;
use formwork_tests::guests::component;
use formwork_tests::stage::{Stage, create, object, scripted, seconds};
use serde_json::{Value, json};

async fn stage() -> Stage {
    Stage::new(TypeSettings::default()).await
}

fn single(state: &Value) -> Request {
    Request::create(scripted(), object(state))
}

fn map(model: Option<&JsonObject>) -> Value {
    model.map_or(Value::Null, |model| Value::Object(model.to_map()))
}

#[tokio::test]
async fn a_caller_who_chains_by_himself_feeds_context_and_model_back() {
    let stage = stage().await;
    let token = RequestToken::derived("bearer");
    let state = json!({"Name": "a", "Secret": "s3cr3t", "Script": ["in-progress:5", "success"]});
    let first = stage.engine.invoke(single(&state), token, None).await;
    let ProgressEvent::InProgress {
        callback,
        callback_context,
        model,
        message,
    } = first.expect("an event")
    else {
        panic!("the first invocation is in progress");
    };
    assert_eq!(callback, Callback::After(seconds(5)));
    assert!(message.is_some_and(|text| text.contains(&token.to_string())));
    assert_eq!(map(model.as_ref())["Secret"], "s3cr3t");

    let fed_back = Request::create(scripted(), model.expect("a model"));
    let second = stage.engine.invoke(fed_back, token, callback_context).await;
    let Ok(ProgressEvent::InProgress {
        callback_context: Some(context),
        ..
    }) = second
    else {
        panic!("{second:?}");
    };
    assert_eq!(context.to_map()["seen"].as_array().map(Vec::len), Some(2));
    let kept = stage.engine.operations(&Filter::default()).await;
    assert!(kept.expect("readable").is_empty());
}

#[tokio::test]
async fn a_single_invocation_shows_no_write_only_value_once_it_has_ended() {
    let stage = stage().await;
    let state = json!({"Name": "a", "Secret": "s3cr3t", "Script": ["leak-secret"]});
    let event = stage
        .engine
        .invoke(single(&state), RequestToken::random(), None)
        .await;
    let Ok(ProgressEvent::Success { model, .. }) = event else {
        panic!("{event:?}");
    };
    let model = map(model.as_ref());
    assert_eq!(
        (&model["Id"], &model["Secret"]),
        (&json!("id-a"), &Value::Null)
    );
}

#[tokio::test]
async fn a_single_invocation_without_a_model_shows_the_state_that_it_was_given() {
    let stage = stage().await;
    let state = json!({"Name": "a", "Script": ["in-progress-no-model:5"]});
    let event = stage
        .engine
        .invoke(single(&state), RequestToken::random(), None)
        .await;
    let Ok(ProgressEvent::InProgress { model, .. }) = event else {
        panic!("{event:?}");
    };
    assert_eq!(map(model.as_ref()), state);
}

#[tokio::test]
async fn a_single_invocation_is_refused_and_traps_without_a_retry() {
    let stage = stage().await;
    let invoke = |state| {
        stage
            .engine
            .invoke(single(state), RequestToken::random(), None)
    };
    let uncoercible = json!({"Name": "a", "Count": "many"});
    let refused = invoke(&uncoercible).await;
    assert!(
        matches!(
            refused,
            Err(InvokeError::Refused(SubmitError::Uncoercible { .. }))
        ),
        "{refused:?}"
    );
    let panicking = json!({"Name": "a", "Script": ["panic:out of luck"]});
    let trapped = invoke(&panicking).await;
    assert!(
        matches!(trapped, Err(InvokeError::Trapped(_))),
        "{trapped:?}"
    );
}

#[tokio::test]
async fn a_fault_is_acknowledged_and_then_reported() {
    let stage = stage().await;
    let fault = Fault {
        code: HandlerErrorCode::InvalidRequest,
        message: "the account is no account".to_owned(),
    };
    let handle = stage
        .engine
        .take_over(create("a", &["success"]), Some(fault))
        .await;
    let ended = stage.finish(&handle.expect("taken over"), 5).await;
    assert_eq!(ended.message.as_deref(), Some("the account is no account"));
    stage.engine.idle().await;
    assert_eq!(
        stage.reports.told(),
        [
            ReportStatus::Acknowledgement,
            ReportStatus::Failed(HandlerErrorCode::InvalidRequest)
        ]
    );
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_acknowledged_and_then_reported_with_its_place() {
    let stage = stage().await;
    let mut request = create("a", &["success"]);
    request.change = formwork_host::engine::Change::Create {
        desired_state: object(&json!({"Name": "a", "Count": "many"})),
    };
    let handle = stage
        .engine
        .take_over(request, None)
        .await
        .expect("taken over");
    let ended = stage.finish(&handle, 5).await;
    assert_eq!(ended.code, Some(HandlerErrorCode::InvalidRequest));
    let message = ended.message.as_deref().unwrap_or_default();
    assert!(message.contains("`/Count`"), "{message}");
}

#[tokio::test]
async fn a_busy_resource_fails_what_is_taken_over_and_not_what_it_is_busy_with() {
    let stage = stage().await;
    let holder = stage.create("a", &["in-progress:60"]).await;
    let handle = stage
        .engine
        .take_over(create("a", &["success"]), None)
        .await;
    let handle = handle.expect("taken over");
    assert_ne!(handle.token(), holder.token());
    let ended = stage.finish(&handle, 5).await;
    assert_eq!(ended.code, Some(HandlerErrorCode::ResourceConflict));
}

#[tokio::test]
async fn a_bearer_token_stands_for_one_request_whatever_the_credentials() {
    let stage = stage().await;
    let request = || create("a", &["in-progress:60"]);
    let first = stage
        .engine
        .take_over(request(), None)
        .await
        .expect("taken over");
    let mut again = request();
    again.details.credentials = Some(formwork_host::model::Credentials {
        access_key_id: "a".to_owned(),
        secret_access_key: "b".to_owned(),
        session_token: None,
    });
    let same = stage.engine.take_over(again, None).await.expect("the same");
    assert_eq!(first.token(), same.token());

    let mut tagged = request();
    tagged
        .details
        .desired_tags
        .insert("a".to_owned(), "b".to_owned());
    for other in [create("b", &["in-progress:60"]), tagged] {
        let refused = stage.engine.take_over(other, None).await.err();
        assert!(
            matches!(refused, Some(SubmitError::TokenReused { holder }) if holder == first.token()),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_type_configuration_off_the_schema_is_refused_with_its_place() {
    let stage = stage().await;
    let mut request = create("a", &["success"]);
    request.details.type_configuration = Some(object(&json!({"t": "s3cr3t"})));
    let refused = stage.engine.submit(request.clone()).await.err();
    let said = refused.expect("it is refused").to_string();
    assert!(said.contains("`/t`") && !said.contains("s3cr3t"), "{said}");
    let token = RequestToken::random();
    let invoked = stage.engine.invoke(request.clone(), token, None).await;
    assert!(
        matches!(
            invoked,
            Err(InvokeError::Refused(SubmitError::Configuration(_)))
        ),
        "{invoked:?}"
    );
    let handle = stage.engine.take_over(request, None).await;
    let ended = stage.finish(&handle.expect("taken over"), 5).await;
    assert_eq!(ended.code, Some(HandlerErrorCode::InvalidTypeConfiguration));

    let settings = TypeSettings {
        type_configuration: Some(object(&json!({"t": 1, "u": 2}))),
        ..TypeSettings::default()
    };
    let loaded = stage.engine.load(component("scripted-guest"), settings);
    assert!(matches!(loaded.await, Err(LoadTypeError::Configuration(_))));
}

struct Recorder<'a> {
    stage: &'a Stage,
    handle: OperationHandle,
}

impl Recorder<'_> {
    async fn record(
        &self,
        status: RecordedStatus,
        current: Option<CurrentStatus>,
        key: Option<&str>,
    ) -> Result<Status, RecordError> {
        let record = Record {
            bearer_token: "bearer".parse().expect("a bearer token"),
            status,
            current_status: current,
            message: Some("made elsewhere".to_owned()),
            model: Some(object(&json!({"Name": "a", "Note": "elsewhere"}))),
            client_token: key.map(|key| key.parse().expect("a client token")),
        };
        let recorded = self.stage.engine.record_progress(record).await?;
        assert_eq!(recorded.token, self.handle.token());
        Ok(recorded.status)
    }
}

async fn waiting(stage: &Stage) -> Recorder<'_> {
    let request = create("a", &["in-progress-no-callback"]);
    let handle = stage
        .engine
        .take_over(request, None)
        .await
        .expect("taken over");
    stage.engine.idle().await;
    Recorder { stage, handle }
}

#[tokio::test]
async fn progress_is_recorded_along_the_legal_transitions_only() {
    let stage = stage().await;
    let recorder = waiting(&stage).await;
    let failed = RecordedStatus::Failed(HandlerErrorCode::NotFound);

    let refused = recorder.record(RecordedStatus::Success, Some(CurrentStatus::Pending), None);
    assert!(matches!(
        refused.await,
        Err(RecordError::CheckFailed {
            held: CurrentStatus::InProgress,
            expected: CurrentStatus::Pending
        })
    ));
    let refused = recorder.record(RecordedStatus::Pending, None, None).await;
    assert!(matches!(
        refused,
        Err(RecordError::InvalidTransition { .. })
    ));
    let current = Some(CurrentStatus::InProgress);
    for _ in 0..2 {
        let recorded = recorder.record(RecordedStatus::InProgress, current, Some("key-1"));
        assert_eq!(recorded.await.expect("recorded"), Status::InProgress);
    }
    let events = stage.transcript(&recorder.handle).await;
    assert_eq!(events.matches("recorded").count(), 1, "{events}");
    let recorded = recorder.record(RecordedStatus::Success, current, Some("key-2"));
    assert_eq!(recorded.await.expect("recorded"), Status::Success);

    // The same record again is the same; anything else comes too late.
    let repeated = recorder.record(RecordedStatus::Success, current, Some("key-2"));
    assert_eq!(repeated.await.expect("repeated"), Status::Success);
    for (status, key) in [
        (RecordedStatus::Success, None),
        (RecordedStatus::Success, Some("key-3")),
        (failed, Some("key-4")),
        (RecordedStatus::InProgress, None),
        (RecordedStatus::Pending, None),
    ] {
        let refused = recorder.record(status, None, key).await;
        assert!(
            matches!(refused, Err(RecordError::InvalidTransition { .. })),
            "{status:?} {key:?}: {refused:?}"
        );
    }
    stage.engine.idle().await;
    let told = stage.reports.told();
    assert_eq!(told.last(), Some(&ReportStatus::Success));
    let model = stage
        .reports
        .delivered()
        .last()
        .and_then(|report| report.event.model.clone());
    assert_eq!(map(model.as_ref())["Note"], "elsewhere");
}

#[tokio::test]
async fn the_request_token_that_the_handler_is_given_records_too() {
    let stage = stage().await;
    let handle = stage.create("a", &["in-progress-no-callback"]).await;
    stage.engine.idle().await;
    let record = |token: String| Record {
        bearer_token: token.parse().expect("a bearer token"),
        status: RecordedStatus::Success,
        current_status: None,
        message: None,
        model: None,
        client_token: None,
    };
    let recorded = stage
        .engine
        .record_progress(record(handle.token().to_string()))
        .await;
    let recorded = recorded.expect("recorded");
    assert_eq!(recorded.status, Status::Success);
    assert_eq!(
        map(recorded.model.as_ref())["Name"],
        "a",
        "the last known model stays"
    );
    for unknown in ["nobody's", &RequestToken::random().to_string()] {
        let refused = stage
            .engine
            .record_progress(record(unknown.to_owned()))
            .await;
        assert!(matches!(refused, Err(RecordError::Unknown)), "{refused:?}");
    }
}

#[tokio::test]
async fn what_was_recorded_ends_a_chain_that_still_runs() {
    let stage = stage().await;
    let request = create("a", &["in-progress:5", "success"]);
    let handle = stage
        .engine
        .take_over(request, None)
        .await
        .expect("taken over");
    stage.engine.idle().await;
    let recorder = Recorder {
        stage: &stage,
        handle,
    };
    let failed = RecordedStatus::Failed(HandlerErrorCode::ServiceLimitExceeded);
    let recorded = recorder.record(failed, None, None).await;
    assert_eq!(recorded.expect("recorded"), Status::Failed);
    let ended = stage.finish(&recorder.handle, 5).await;
    assert_eq!(ended.code, Some(HandlerErrorCode::ServiceLimitExceeded));
}
