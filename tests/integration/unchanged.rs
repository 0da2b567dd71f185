//! Updates that change nothing.

use formwork_host::engine::{Change, Request, SubmitError};
use formwork_host::model::JsonObject;
use formwork_host::operation::{EventKind, Status};
use formwork_host::registry::TypeSettings;
use formwork_tests::stage::{Stage, create, object, seconds};
use serde_json::json;
use tokio_stream::StreamExt as _;

fn update(client_token: &str, note: &str) -> Request {
    let mut request = create("a", &["success"]);
    request.client_token = client_token.parse().ok();
    request.change = Change::Update {
        desired_state: object(&json!({"Name": "a", "Secret": "s3cr3t", "Note": note})),
        previous_state: None,
    };
    request
}

#[tokio::test]
async fn an_update_that_changes_nothing_succeeds_at_once_without_an_invocation() {
    let stage = Stage::new(TypeSettings::default()).await;
    let engine = &stage.engine;
    let model = object(&json!({"Name": "a", "Secret": "s3cr3t", "Note": "n"}));
    let accepted = engine.submit_unchanged(update("key", "n"), &model).await;
    let handle = accepted.expect("accepted");
    let ended = handle.outcome().await.expect("readable");
    assert_eq!((ended.status, ended.attempt), (Status::Success, 0));
    let shown = ended.model.as_ref().map(JsonObject::as_str);
    assert_eq!(shown, Some(r#"{"Name":"a","Note":"n"}"#));
    let events: Vec<_> = handle.progress().collect().await;
    let events: Vec<_> = events
        .into_iter()
        .map(|it| it.expect("read").kind)
        .collect();
    assert_eq!(events, [EventKind::Ended]);
    assert_eq!(engine.idle().await, None);
    assert_eq!(stage.reports.told(), [], "nobody is told");

    // A repeat is the same, whatever it would do now.
    let again = engine.submit(update("key", "n")).await.expect("replayed");
    assert_eq!(again.token(), handle.token());
    let other = engine.submit_unchanged(update("key", "m"), &model).await;
    assert!(matches!(other, Err(SubmitError::TokenReused { .. })));
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_refused_while_another_is_at_work() {
    let stage = Stage::new(TypeSettings::default()).await;
    let engine = &stage.engine;
    let mut busy = update("first", "n");
    let Change::Update { desired_state, .. } = &mut busy.change else {
        unreachable!("it is an update")
    };
    *desired_state = object(&json!({"Name": "a", "Script": ["in-progress:60", "success"]}));
    let live = engine.submit(busy).await.expect("accepted");
    let model = object(&json!({"Name": "a"}));
    let refused = engine.submit_unchanged(update("second", "n"), &model).await;
    assert!(
        matches!(refused, Err(SubmitError::Busy { holder }) if holder == live.token()),
        "it is busy"
    );
    stage.finish(&live, 5).await;
    stage.clock.advance(seconds(1));
    let accepted = engine.submit_unchanged(update("second", "n"), &model).await;
    assert!(accepted.is_ok(), "the same token, now that it is free");
}
