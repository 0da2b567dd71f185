//! Write-only values that are kept for later updates.

use formwork_host::engine::{Change, Request};
use formwork_host::model::{JsonObject, PrimaryIdentifier, Scope};
use formwork_host::operation::Status;
use formwork_host::registry::TypeSettings;
use formwork_tests::guests;
use formwork_tests::stage::{Stage, create, object, scripted};
use serde_json::json;

fn keeping() -> TypeSettings {
    TypeSettings {
        keep_write_only: true,
        ..TypeSettings::default()
    }
}

async fn kept(stage: &Stage) -> Option<String> {
    let identifier = PrimaryIdentifier::new(vec!["a".to_owned()]).expect("an identifier");
    let (type_name, scope) = (scripted(), Scope::default());
    let found = stage
        .engine
        .kept_write_only(&type_name, &scope, &identifier)
        .await;
    let found = found.expect("readable")?;
    Some(JsonObject::as_str(&found).to_owned())
}

async fn end(stage: &Stage, change: Change) -> Status {
    let mut request: Request = create("a", &[]);
    request.change = change;
    let handle = stage.engine.submit(request).await.expect("accepted");
    stage.finish(&handle, 10).await.status
}

fn update(secret: &str, script: &[&str]) -> Change {
    Change::Update {
        desired_state: object(&json!({"Name": "a", "Secret": secret, "Script": script})),
        previous_state: None,
    }
}

fn delete() -> Change {
    Change::Delete {
        state: object(&json!({"Name": "a"})),
    }
}

#[tokio::test]
async fn they_are_those_of_the_last_state_that_was_reached() {
    let stage = Stage::new(keeping()).await;
    assert_eq!(kept(&stage).await, None);
    let handle = stage.create("a", &["in-progress:1", "success"]).await;
    stage.engine.idle().await;
    assert_eq!(kept(&stage).await, None, "it has not ended");
    stage.finish(&handle, 10).await;
    assert_eq!(
        kept(&stage).await.as_deref(),
        Some(r#"{"Secret":"s3cr3t"}"#)
    );

    let script = ["in-progress:1", "success"];
    assert_eq!(end(&stage, update("n3w", &script)).await, Status::Success);
    assert_eq!(kept(&stage).await.as_deref(), Some(r#"{"Secret":"n3w"}"#));
    let script = ["fail:AccessDenied"];
    assert_eq!(end(&stage, update("late", &script)).await, Status::Failed);
    assert_eq!(kept(&stage).await.as_deref(), Some(r#"{"Secret":"n3w"}"#));

    assert_eq!(end(&stage, delete()).await, Status::Success);
    assert_eq!(kept(&stage).await, None);
}

#[tokio::test]
async fn they_are_kept_only_while_the_type_says_so() {
    let stage = Stage::new(TypeSettings::default()).await;
    let load = async |settings| {
        let component = guests::component("scripted-guest");
        stage.engine.load(component, settings).await.expect("loads");
    };
    let handle = stage.create("a", &["success"]).await;
    stage.finish(&handle, 10).await;
    load(keeping()).await;
    assert_eq!(kept(&stage).await, None, "nothing was kept before");
    end(&stage, update("n3w", &["success"])).await;
    assert_eq!(kept(&stage).await.as_deref(), Some(r#"{"Secret":"n3w"}"#));

    load(TypeSettings::default()).await;
    assert_eq!(kept(&stage).await, None);
    end(&stage, update("other", &["success"])).await;
    load(keeping()).await;
    assert_eq!(kept(&stage).await, None, "they were erased");
}
