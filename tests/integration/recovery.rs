//! Stops at every commit point, and goes on.

use std::path::Path;
use std::sync::Arc;

use formwork_host::clock::{Clock as _, ManualClock};
use formwork_host::engine::{Change, Engine, Request};
use formwork_host::model::{HandlerErrorCode, JsonObject, RequestToken, Timestamp};
use formwork_host::operation::{Operation, Policy, ReportStatus, Status};
use formwork_host::registry::TypeSettings;
use formwork_host::store::{Filter, MemoryStore, SqliteStore, Store};
use formwork_tests::crash::CrashingStore;
use formwork_tests::guests::component;
use formwork_tests::stage::{RecordingReporter, START, Stage, create, object, sandbox, seconds};
use serde_json::json;
use tempfile::TempDir;

/// What must be the same however often the process stopped.
#[derive(Debug, PartialEq)]
struct End {
    status: Status,
    code: Option<HandlerErrorCode>,
    model: Option<JsonObject>,
    invocations: u32,
    told: Vec<ReportStatus>,
}

fn open(directory: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(directory).expect("the data directory opens"))
}

async fn finish(stage: &Stage, token: RequestToken) -> Operation {
    let handle = stage
        .engine
        .operation(token)
        .await
        .expect("the store reads")
        .expect("it is there");
    let ended = stage.finish(&handle, 100).await;
    while let Some(next) = stage.engine.idle().await {
        stage.clock.set(next);
    }
    ended
}

fn end(operation: &Operation, reports: &RecordingReporter) -> End {
    End {
        status: operation.status,
        code: operation.code,
        model: operation.model.clone(),
        invocations: operation.invocation,
        told: reports.told(),
    }
}

/// Makes a request, stops at write number `at` if there is one so late, and goes
/// on in a second life. Gives the end, or none if the chain has fewer writes.
async fn run(request: &Request, at: usize) -> Option<End> {
    let directory = TempDir::new().expect("a directory");
    let reports = Arc::<RecordingReporter>::default();
    let now = first_life(directory.path(), request, at, &reports).await?;
    let stage = Stage::at(
        open(directory.path()),
        TypeSettings::default(),
        now,
        Arc::clone(&reports),
    )
    .await;
    let found = stage
        .engine
        .operations(&Filter::default())
        .await
        .expect("the store reads");
    let [operation] = found.as_slice() else {
        panic!("{} operations are there", found.len())
    };
    let ended = finish(&stage, operation.token).await;
    Some(end(&ended, &reports))
}

async fn first_life(
    directory: &Path,
    request: &Request,
    at: usize,
    reports: &Arc<RecordingReporter>,
) -> Option<Timestamp> {
    let store = Arc::new(CrashingStore::new(open(directory), at));
    let stage = Stage::at(
        Arc::clone(&store) as _,
        TypeSettings::default(),
        START,
        Arc::clone(reports),
    )
    .await;
    let life = async {
        // The request may be what the process stops at.
        let handle = stage
            .engine
            .submit(request.clone())
            .await
            .expect("it is accepted");
        finish(&stage, handle.token()).await
    };
    let stopped_at = tokio::select! {
        () = store.crashed() => Some(stage.clock.now()),
        _ = life => None,
    };
    drop(stage);
    store.gone().await;
    stopped_at
}

async fn check(request: &Request, invocations: usize) {
    let unbroken = {
        let stage = Stage::new(TypeSettings::default()).await;
        let handle = stage.engine.submit(request.clone()).await;
        let ended = finish(&stage, handle.expect("it is accepted").token()).await;
        end(&ended, &stage.reports)
    };
    let mut points = 0;
    while let Some(broken) = run(request, points + 1).await {
        points += 1;
        assert_eq!(broken, unbroken, "stopped at write {points}");
    }
    // The acceptance, which is the first lease, a commit for each invocation, a
    // lease for each that had to wait, and a settlement for each report.
    let least = 2 + 2 * invocations;
    assert!(points >= least, "only {points} commit points were met");
}

#[tokio::test]
async fn a_create_ends_the_same_wherever_the_process_stops() {
    let script = ["in-progress:5", "in-progress:1", "success"];
    check(&create("a", &script), 3).await;
}

#[tokio::test]
async fn an_update_ends_the_same_wherever_the_process_stops() {
    let mut request = create("a", &["in-progress:1", "in-progress:0", "success"]);
    if let Change::Create { desired_state } = request.change {
        request.change = Change::Update {
            previous_state: Some(desired_state.clone()),
            desired_state,
        };
    }
    check(&request, 3).await;
}

#[tokio::test]
async fn a_delete_ends_the_same_wherever_the_process_stops() {
    let mut request = create("a", &[]);
    let state = object(&json!({"Name": "a!in-progress:1;success"}));
    request.change = Change::Delete { state };
    check(&request, 2).await;
}

#[tokio::test]
async fn a_failing_chain_ends_the_same_wherever_the_process_stops() {
    let script = ["in-progress:0", "fail-with-model:ServiceLimitExceeded"];
    check(&create("a", &script), 2).await;
}

/// Keeps a store full for longer than a lease, once the guest has answered and the
/// acknowledgement is sent: both are refused once before time passes.
async fn stay_full(stage: &Stage, store: &CrashingStore) {
    store.refused(2).await;
    let full_since = stage.clock.now();
    stage.as_time_passes(store.refused(60)).await;
    assert!(stage.clock.now().since(full_since) > seconds(30));
    store.set_full(false);
}

#[tokio::test]
async fn an_answer_waits_for_a_full_store_longer_than_its_lease() {
    let store = Arc::new(CrashingStore::never(Arc::new(MemoryStore::default())));
    let stage = Stage::on(Arc::clone(&store) as _, TypeSettings::default()).await;
    store.set_full(true);
    let handle = stage.create("a", &["success"]).await;
    stay_full(&stage, &store).await;
    let ended = stage.as_time_passes(handle.outcome()).await;
    let ended = ended.expect("it ends");
    assert_eq!((ended.status, ended.attempt), (Status::Success, 1));
}

#[tokio::test]
async fn a_report_that_a_full_store_cannot_note_is_not_sent_again() {
    let store = Arc::new(CrashingStore::never(Arc::new(MemoryStore::default())));
    let stage = Stage::on(Arc::clone(&store) as _, TypeSettings::default()).await;
    store.set_full(true);
    let handle = stage.create("a", &["success"]).await;
    stay_full(&stage, &store).await;
    let whole = async {
        handle.outcome().await.expect("it ends");
        stage.engine.idle().await;
    };
    stage.as_time_passes(whole).await;
    let delivered = stage.reports.delivered().len();
    assert_eq!(delivered, 2, "the acknowledgement and the end, each once");
}

#[tokio::test]
async fn a_call_that_kills_the_host_each_time_ends_after_three_attempts() {
    let directory = TempDir::new().expect("a directory");
    let mut now = START;
    let mut token = None;
    for _ in 0..3 {
        let store = Arc::new(CrashingStore::at_first_lease(open(directory.path())));
        let stage = Stage::at(
            Arc::clone(&store) as _,
            TypeSettings::default(),
            now,
            Arc::default(),
        )
        .await;
        let life = async {
            let token = match token {
                Some(token) => token,
                None => stage
                    .engine
                    .submit(create("a", &["success"]))
                    .await
                    .expect("it is accepted")
                    .token(),
            };
            let handle = stage
                .engine
                .operation(token)
                .await
                .expect("the store reads")
                .expect("it is there");
            stage.finish(&handle, 5).await;
        };
        tokio::select! {
            () = store.crashed() => {}
            () = life => panic!("the process lived through a lease"),
        }
        now = stage.clock.now();
        drop(stage);
        let found = store.inner().list(&Filter::default()).await;
        token = found
            .expect("the store reads")
            .first()
            .map(|operation| operation.token);
        store.gone().await;
    }
    let stage = Stage::at(
        open(directory.path()),
        TypeSettings::default(),
        now,
        Arc::default(),
    )
    .await;
    let ended = finish(&stage, token.expect("the first life accepted it")).await;
    assert_eq!(
        (ended.status, ended.code, ended.attempt),
        (Status::Failed, Some(HandlerErrorCode::InternalFailure), 3)
    );
    assert_eq!(
        ended.message.as_deref(),
        Some("the host was lost during the invocation")
    );
}

#[tokio::test]
async fn what_was_lost_is_tried_again_as_its_type_says_once_that_is_loaded() {
    let directory = TempDir::new().expect("a directory");
    let store = Arc::new(CrashingStore::at_first_lease(open(directory.path())));
    let stage = Stage::on(Arc::clone(&store) as _, TypeSettings::default()).await;
    let life = async {
        // What leases it may be the acceptance itself, which is never answered then.
        let accepted = stage.create("a", &["success"]).await;
        accepted.outcome().await
    };
    tokio::select! {
        () = store.crashed() => {}
        _ = life => panic!("the process lived through a lease"),
    }
    drop(stage);
    let kept = store.inner().list(&Filter::default()).await;
    let token = kept.expect("readable")[0].token;
    store.gone().await;

    let clock = Arc::new(ManualClock::new(START));
    let engine = Engine::builder(sandbox())
        .store(open(directory.path()))
        .clock(Arc::clone(&clock) as _)
        .start();
    engine.idle().await;
    let events = engine.store().events(token, 0).await.expect("readable");
    assert_eq!(events.len(), 1, "it is accepted, and nothing was decided");
    let settings = TypeSettings {
        policy: Policy {
            attempts: 1,
            ..Policy::default()
        },
        ..TypeSettings::default()
    };
    let loaded = engine.load(component("scripted-guest"), settings).await;
    loaded.expect("the guest loads");
    let handle = engine.operation(token).await.expect("the store reads");
    let ended = handle
        .expect("it is there")
        .outcome()
        .await
        .expect("it ends");
    assert_eq!((ended.status, ended.attempt), (Status::Failed, 1));
}
