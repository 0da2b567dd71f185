//! Several engines on one database, and versions of handlers that take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use formwork_host::clock::ManualClock;
use formwork_host::engine::{Engine, Exchange, Observer, Request};
use formwork_host::model::HandlerErrorCode;
use formwork_host::operation::Status;
use formwork_host::registry::{OnUpgrade, TypeSettings};
use formwork_host::store::{Filter, MemoryStore, SqliteStore, Store};
use formwork_tests::crash::CrashingStore;
use formwork_tests::guests;
use formwork_tests::postgres::Server;
use formwork_tests::stage::{START, Stage, create, object, sandbox, scripted, seconds};
use serde_json::json;
use tempfile::TempDir;

/// Counts invocations.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Observer for Counter {
    fn invoked(&self, _: &Exchange) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts an engine that goes by the time of the server.
async fn host(server: &Server) -> (Engine, Arc<Counter>) {
    let counter = Arc::new(Counter::default());
    let engine = Engine::builder(sandbox())
        .store(Arc::new(server.host().await))
        .observer(Arc::clone(&counter) as _)
        .concurrency(4)
        .start();
    let component = guests::component("scripted-guest");
    let loaded = engine.load(component, TypeSettings::default()).await;
    loaded.expect("the guest loads");
    (engine, counter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_share_a_load_and_any_of_them_tells_how_it_ended() {
    let Some(server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let (first, by_first) = host(&server).await;
    let (second, by_second) = host(&server).await;
    let mut handles = Vec::new();
    for number in 0..60 {
        let state = object(&json!({
            "Name": format!("n{number}"),
            "Script": ["sleep:20 & in-progress:1", "sleep:20 & success"],
        }));
        let request = Request::create(scripted(), state);
        let handle = first.submit(request).await.expect("it is accepted");
        // Half of them are followed at the host that did not accept them.
        handles.push(if number % 2 == 0 {
            handle
        } else {
            let found = second.operation(handle.token()).await;
            found.expect("readable").expect("it is there")
        });
    }
    for handle in handles {
        let ended = handle.outcome().await.expect("it ends");
        assert_eq!(ended.status, Status::Success, "{:?}", ended.message);
        assert_eq!((ended.invocation, ended.attempt), (2, 1));
    }
    let [first, second] = [by_first, by_second].map(|it| it.0.load(Ordering::Relaxed));
    assert_eq!(first + second, 120, "no invocation is made twice");
    assert!(first > 0 && second > 0, "{first} and {second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_host_had_leased_goes_on_at_another_on_its_version() {
    let Some(server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let clock = Arc::new(ManualClock::new(START));
    let lost = Arc::new(CrashingStore::at_first_lease(Arc::new(server.host().await)));
    let stage = Stage::at(
        Arc::clone(&lost) as _,
        TypeSettings::default(),
        START,
        Arc::default(),
    )
    .await;
    let life = async {
        // What leases it may be the acceptance itself, which is never answered then.
        let handle = stage.create("a", &["in-progress:1", "success"]).await;
        handle.outcome().await
    };
    tokio::select! {
        () = lost.crashed() => {}
        _ = life => panic!("the host lived through a lease"),
    }
    drop(stage);
    let kept = lost.inner().list(&Filter::default()).await;
    let token = kept.expect("readable")[0].token;

    // The other one has loaded another version, and finds the first in the database.
    let store: Arc<dyn Store> = Arc::new(server.host().await);
    let engine = Engine::builder(sandbox())
        .store(store)
        .clock(Arc::clone(&clock) as _)
        .start();
    let loaded = engine.load(reworded(), TypeSettings::default()).await;
    loaded.expect("the guest loads");
    assert!(engine.idle().await.is_some());
    let found = engine.status(token).await.expect("readable");
    assert_eq!(found.expect("kept").attempt, 1, "its lease holds");
    let ended = loop {
        let next = engine.idle().await.expect("something is due");
        clock.set(next);
        engine.idle().await;
        let found = engine.status(token).await.expect("readable");
        let found = found.expect("kept");
        if found.status.is_terminal() {
            break found;
        }
    };
    assert_eq!(ended.status, Status::Success, "{:?}", ended.message);
    let message = ended.message.as_deref().unwrap_or_default();
    assert!(message.contains("[CREATE invocation=2"), "{message}");
    let events = engine.store().events(token, 0).await.expect("readable");
    let lapsed = events.iter().find(|event| {
        let message = event.message.as_deref();
        message == Some("the host was lost during the invocation")
    });
    let at = lapsed.expect("the loss is an attempt").at;
    assert_eq!(at.since(START), Duration::from_secs(30));
}

#[tokio::test]
async fn a_component_taken_from_the_database_stays_when_another_host_removes_its_own() {
    let Some(server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let first: Arc<dyn Store> = Arc::new(server.host().await);
    let digest = first
        .put_component(guests::component("scripted-guest"))
        .await;
    let digest = digest.expect("it is kept");
    let second = Engine::builder(sandbox())
        .store(Arc::new(server.host().await))
        .start();
    let loaded = second.load_kept(digest, TypeSettings::default()).await;
    loaded.expect("the guest loads");
    let removed = first.prune_components(&[]).await.expect("written");
    assert_eq!(removed, []);
}

/// The scripted guest in other words: its messages say INVOCATION.
fn reworded() -> Arc<[u8]> {
    let mut component = guests::component("scripted-guest").to_vec();
    let (from, to) = (b" invocation=", b" INVOCATION=");
    let mut found = 0;
    for at in 0..component.len() - from.len() {
        if component[at..].starts_with(from) {
            component[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "the guest says nothing of its invocations");
    component.into()
}

#[tokio::test]
async fn the_operator_decides_which_version_goes_on() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(&["fsync=off"]);
    let mut stores: Vec<Arc<dyn Store>> = vec![
        Arc::new(MemoryStore::default()),
        Arc::new(SqliteStore::open(directory.path()).expect("opened")),
    ];
    if let Some(server) = &server {
        stores.push(Arc::new(server.host().await));
    }
    for store in stores {
        for (on_upgrade, status, said) in [
            (OnUpgrade::Pinned, Status::Success, "[CREATE invocation=2"),
            (
                OnUpgrade::LatestCompatible,
                Status::Success,
                "[CREATE INVOCATION=2",
            ),
            (
                OnUpgrade::Fail,
                Status::Failed,
                "replaced by another version",
            ),
        ] {
            let settings = TypeSettings {
                on_upgrade,
                ..TypeSettings::default()
            };
            let stage = Stage::on(Arc::clone(&store), settings.clone()).await;
            let name = format!("{on_upgrade:?}");
            let handle = stage
                .engine
                .submit(create(&name, &["in-progress:5", "success"]));
            let handle = handle.await.expect("it is accepted");
            stage.engine.idle().await;
            let loaded = stage.engine.load(reworded(), settings).await;
            loaded.expect("the guest loads");
            let ended = stage.finish(&handle, 10).await;
            let message = ended.message.clone().unwrap_or_default();
            assert_eq!(ended.status, status, "{on_upgrade:?}: {message}");
            assert!(message.contains(said), "{on_upgrade:?}: {message}");
            if status == Status::Failed {
                assert_eq!(ended.code, Some(HandlerErrorCode::InternalFailure));
            }
            // What begins after it has the new one in any case.
            let next = stage.create(&format!("{name}-next"), &["success"]).await;
            let ended = stage.finish(&next, 10).await;
            let message = ended.message.clone().unwrap_or_default();
            assert!(message.contains("[CREATE INVOCATION=1"), "{message}");
            stage.clock.advance(seconds(60));
        }
    }
}
