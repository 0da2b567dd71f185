//! How long what has ended is kept.

use std::sync::Arc;
use std::time::Duration;

use formwork_host::engine::{Engine, SubmitError};
use formwork_host::model::RequestToken;
use formwork_host::registry::TypeSettings;
use formwork_host::store::{MemoryStore, SqliteStore, Store};
use formwork_tests::guests;
use formwork_tests::stage::{Stage, create, seconds};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Waits until an operation is forgotten: the engine tells nobody when it does.
async fn forgotten(engine: &Engine, token: RequestToken) {
    while engine.status(token).await.expect("readable").is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_operation_is_forgotten_seven_days_after_its_end() {
    let directory = TempDir::new().expect("a directory");
    let sqlite = SqliteStore::open(directory.path()).expect("opened");
    let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::default()), Arc::new(sqlite)];
    for store in stores {
        let stage = Stage::on(store, TypeSettings::default()).await;
        let first = stage.create("a", &["in-progress:5", "success"]).await;
        stage.finish(&first, 10).await;
        stage.clock.advance(seconds(3600));
        let second = stage.create("b", &["success"]).await;
        let ended = stage.finish(&second, 10).await;
        // The next moments are those of the operations alone.
        assert_eq!(stage.engine.idle().await, None);
        let first_ended = stage.engine.status(first.token()).await;
        let first_ended = first_ended.expect("readable").expect("kept").ended_at;
        let end = first_ended.expect("it has ended").after(7 * DAY);
        stage.clock.set(end);
        assert_eq!(stage.engine.idle().await, None);
        stage.clock.set(end.after(Duration::from_secs(61)));
        forgotten(&stage.engine, first.token()).await;
        let kept = stage.engine.status(second.token()).await.expect("readable");
        assert_eq!(kept.as_ref(), Some(&ended));
    }
}

#[tokio::test]
async fn a_client_token_can_be_used_anew_after_36_hours() {
    let stage = Stage::new(TypeSettings::default()).await;
    let keyed = |name: &str| {
        let mut request = create(name, &["success"]);
        request.client_token = "key".parse().ok();
        request
    };
    let first = stage.engine.submit(keyed("a")).await.expect("accepted");
    stage.finish(&first, 10).await;
    stage.clock.advance(Duration::from_secs(36 * 60 * 60));
    let again = stage.engine.submit(keyed("a")).await.expect("replayed");
    assert_eq!(again.token(), first.token());
    let refused = stage.engine.submit(keyed("b")).await.err();
    assert!(
        matches!(refused, Some(SubmitError::TokenReused { .. })),
        "{refused:?}"
    );
    stage.clock.advance(Duration::from_millis(1));
    let anew = stage.engine.submit(keyed("b")).await.expect("accepted");
    assert_ne!(anew.token(), first.token());
    let kept = stage.engine.status(first.token()).await.expect("readable");
    assert!(kept.is_some());
}

#[tokio::test]
async fn a_component_is_removed_when_its_last_operation_is_forgotten() {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage.create("a", &["success"]).await;
    let old = stage.finish(&handle, 10).await.component;
    let version = stage.engine.load(
        guests::another_version("scripted-guest"),
        TypeSettings::default(),
    );
    let new = version.await.expect("it loads").handler().digest();
    assert_ne!(old, new);
    let removed = stage.engine.prune_components().await.expect("pruned");
    assert_eq!(removed, []);
    stage.clock.advance(8 * DAY);
    forgotten(&stage.engine, handle.token()).await;
    // The engine does so by itself too, and may have been faster.
    stage.engine.prune_components().await.expect("pruned");
    let store = stage.engine.store();
    assert!(store.component(old).await.expect("readable").is_none());
    assert!(store.component(new).await.expect("readable").is_some());
    let handle = stage.create("b", &["success"]).await;
    assert_eq!(stage.finish(&handle, 10).await.component, new);
}
