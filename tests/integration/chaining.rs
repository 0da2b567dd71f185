//! Chains under a manual clock: a script in, a transcript out.

use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use formwork_host::engine::{Engine, Exchange, Exchanged, Observer, Request, SubmitError};
use formwork_host::model::{HandlerErrorCode, JsonObject, ProgressEvent};
use formwork_host::operation::{Delivery, ReportStatus, Status};
use formwork_host::registry::TypeSettings;
use formwork_host::store::MemoryStore;
use formwork_tests::crash::CrashingStore;
use formwork_tests::guests;
use formwork_tests::stage::{START, Stage, create, object, sandbox, seconds};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;

/// Runs a script to its end and compares what was told of it.
async fn check(script: &[&str], expect: Expect) {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage.create("a", script).await;
    stage.finish(&handle, 50).await;
    expect.assert_eq(&stage.transcript(&handle).await);
}

#[tokio::test]
async fn a_handler_that_succeeds_at_once_is_invoked_once() {
    check(
        &["success"],
        expect![[r#"
            0.000    accepted    PENDING         1.0
            0.000    ended       SUCCESS         1.1 | [CREATE invocation=1 attempt=1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn callback_delays_are_honoured_and_the_context_is_fed_back() {
    check(
        &["in-progress:5", "in-progress:60", "success"],
        expect![[r#"
            0.000    accepted    PENDING         1.0
            0.000    progressed  IN_PROGRESS     1.1 again at 5.000 | [CREATE invocation=1 attempt=1
            5.000    progressed  IN_PROGRESS     2.1 again at 65.000 | [CREATE invocation=2 attempt=1
            65.000   ended       SUCCESS         3.1 | [CREATE invocation=3 attempt=1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_event_without_a_model_keeps_the_last_one() {
    check(
        &["in-progress-no-model:1", "success"],
        expect![[r#"
            0.000    accepted    PENDING         1.0
            0.000    progressed  IN_PROGRESS     1.1 again at 1.000 | [CREATE invocation=1 attempt=1
            1.000    ended       SUCCESS         2.1 | [CREATE invocation=2 attempt=1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn more_than_ten_delays_of_zero_in_a_row_are_slowed_down() {
    let script: Vec<&str> = std::iter::repeat_n("in-progress:0", 12)
        .chain(["success"])
        .collect();
    check(
        &script,
        expect![[r#"
            0.000    accepted    PENDING         1.0
            0.000    progressed  IN_PROGRESS     1.1 again at 0.000 | [CREATE invocation=1 attempt=1
            0.000    progressed  IN_PROGRESS     2.1 again at 0.000 | [CREATE invocation=2 attempt=1
            0.000    progressed  IN_PROGRESS     3.1 again at 0.000 | [CREATE invocation=3 attempt=1
            0.000    progressed  IN_PROGRESS     4.1 again at 0.000 | [CREATE invocation=4 attempt=1
            0.000    progressed  IN_PROGRESS     5.1 again at 0.000 | [CREATE invocation=5 attempt=1
            0.000    progressed  IN_PROGRESS     6.1 again at 0.000 | [CREATE invocation=6 attempt=1
            0.000    progressed  IN_PROGRESS     7.1 again at 0.000 | [CREATE invocation=7 attempt=1
            0.000    progressed  IN_PROGRESS     8.1 again at 0.000 | [CREATE invocation=8 attempt=1
            0.000    progressed  IN_PROGRESS     9.1 again at 0.000 | [CREATE invocation=9 attempt=1
            0.000    progressed  IN_PROGRESS     10.1 again at 0.000 | [CREATE invocation=10 attempt=1
            0.000    progressed  IN_PROGRESS     11.1 again at 1.000 | [CREATE invocation=11 attempt=1
            1.000    progressed  IN_PROGRESS     12.1 again at 2.000 | [CREATE invocation=12 attempt=1
            2.000    ended       SUCCESS         13.1 | [CREATE invocation=13 attempt=1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_retriable_code_is_tried_three_times_and_then_shown() {
    check(&["fail:Throttling:slow down"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    retried     IN_PROGRESS     1.1 | Throttling: slow down [CREATE invocation=1 attempt=1
        -        retried     IN_PROGRESS     1.2 | Throttling: slow down [CREATE invocation=1 attempt=2
        -        ended       FAILED          1.3 Throttling | slow down [CREATE invocation=1 attempt=3
    "#]]).await;
}

#[tokio::test]
async fn a_retry_sees_the_same_invocation() {
    check(
        &["in-progress:1", "attempts:3:NetworkFailure"],
        expect![[r#"
            0.000    accepted    PENDING         1.0
            0.000    progressed  IN_PROGRESS     1.1 again at 1.000 | [CREATE invocation=1 attempt=1
            1.000    retried     IN_PROGRESS     2.1 | NetworkFailure: [CREATE invocation=2 attempt=1
            -        retried     IN_PROGRESS     2.2 | NetworkFailure: [CREATE invocation=2 attempt=2
            -        ended       SUCCESS         2.3 | [CREATE invocation=2 attempt=3
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_trap_is_retried_and_never_taken_for_an_answer() {
    check(
        &["attempts-trap:2"],
        expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    retried     IN_PROGRESS     1.1 | attempt 1 of 2 traps
        -        ended       SUCCESS         1.2 | [CREATE invocation=1 attempt=2
    "#]],
    )
    .await;
    check(
        &["panic:out of luck"],
        expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    retried     IN_PROGRESS     1.1 | out of luck
        -        retried     IN_PROGRESS     1.2 | out of luck
        -        ended       FAILED          1.3 InternalFailure | out of luck
    "#]],
    )
    .await;
}

#[tokio::test]
async fn memory_stack_and_answer_size_are_not_tried_again() {
    check(&["hog"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    ended       FAILED          1.1 InternalFailure | trap (memory limit): memory allocation of 1048576 bytes failed (the handler needs more than its 268435456 bytes of memory: raise `limits.memory` of the type)
    "#]]).await;
    check(&["recurse"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    ended       FAILED          1.1 InternalFailure | trap (stack overflow): the handler recursed deeper than its stack
    "#]]).await;
    check(&["big-answer:2000000"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    ended       FAILED          1.1 InternalFailure | trap (answer size): the answer has 2000140 bytes of text, the limit is 1048576: raise `limits.answer` of the type
    "#]]).await;
}

#[tokio::test]
async fn an_answer_that_is_no_json_object_is_a_trap() {
    check(&["invalid-json"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    retried     IN_PROGRESS     1.1 | trap (invalid answer): `model` of the answer is not the text of one JSON object
        -        retried     IN_PROGRESS     1.2 | trap (invalid answer): `model` of the answer is not the text of one JSON object
        -        ended       FAILED          1.3 InternalFailure | trap (invalid answer): `model` of the answer is not the text of one JSON object
    "#]]).await;
    check(&["array-json"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    retried     IN_PROGRESS     1.1 | trap (invalid answer): `model` of the answer is not the text of one JSON object
        -        retried     IN_PROGRESS     1.2 | trap (invalid answer): `model` of the answer is not the text of one JSON object
        -        ended       FAILED          1.3 InternalFailure | trap (invalid answer): `model` of the answer is not the text of one JSON object
    "#]]).await;
}

#[tokio::test]
async fn a_terminal_code_ends_the_chain_with_its_model() {
    check(&["in-progress:1", "fail-with-model:ServiceLimitExceeded:no more"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    progressed  IN_PROGRESS     1.1 again at 1.000 | [CREATE invocation=1 attempt=1
        1.000    ended       FAILED          2.1 ServiceLimitExceeded | no more [CREATE invocation=2 attempt=1
    "#]]).await;
}

#[tokio::test]
async fn a_changed_identifier_fails_the_operation_and_the_first_one_is_kept() {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage
        .create("a", &["in-progress:1", "change-identifier"])
        .await;
    let ended = stage.finish(&handle, 5).await;
    assert_eq!(
        (ended.status, ended.code),
        (Status::Failed, Some(HandlerErrorCode::InternalFailure))
    );
    assert_eq!(
        ended
            .identifier
            .as_ref()
            .map(ToString::to_string)
            .as_deref(),
        Some("a")
    );
    expect![
        "the handler broke its contract: it changed the primary identifier from `a` to `a-changed`"
    ]
    .assert_eq(ended.message.as_deref().unwrap_or_default());
}

#[tokio::test]
async fn without_a_callback_the_operation_waits_to_be_recorded_from_outside() {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage.create("a", &["in-progress-no-callback"]).await;
    stage.engine.idle().await;
    let event = ProgressEvent::Success {
        message: None,
        model: Some(object(&json!({"Name": "a", "Count": 1}))),
    };
    stage
        .engine
        .record(handle.token(), event)
        .await
        .expect("it is recorded");
    let ended = stage.finish(&handle, 0).await;
    assert_eq!(ended.status, Status::Success);
    expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    progressed  IN_PROGRESS     1.1 waits | [CREATE invocation=1 attempt=1
        0.000    ended       SUCCESS         2.0
    "#]]
    .assert_eq(&stage.transcript(&handle).await);
}

#[tokio::test]
async fn an_operation_ends_at_its_deadline() {
    check(&["in-progress-no-callback"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    progressed  IN_PROGRESS     1.1 waits | [CREATE invocation=1 attempt=1
        7200.000 ended       FAILED          2.0 NotStabilized | the resource did not stabilize within 120 minutes, the timeoutInMinutes of its schema
    "#]]).await;
    check(&["in-progress:5000"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    progressed  IN_PROGRESS     1.1 again at 5000.000 | [CREATE invocation=1 attempt=1
        5000.000 progressed  IN_PROGRESS     2.1 again at 7200.000 | [CREATE invocation=2 attempt=1
        7200.000 ended       FAILED          3.0 NotStabilized | the resource did not stabilize within 120 minutes, the timeoutInMinutes of its schema
    "#]]).await;
}

#[tokio::test]
async fn an_operation_is_cancelled_between_invocations_and_its_cancel_is_reported_as_a_failure() {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage.create("a", &["in-progress:60"]).await;
    stage.engine.idle().await;
    let cancelled = handle.cancel().await.expect("it is cancelled");
    assert_eq!(cancelled.status, Status::CancelComplete);
    assert!(handle.cancel().await.is_err(), "terminal absorbs");
    stage.engine.idle().await;
    assert_eq!(
        stage.reports.told(),
        [
            ReportStatus::Acknowledgement,
            ReportStatus::InProgress,
            ReportStatus::Failed(HandlerErrorCode::InternalFailure)
        ]
    );
    expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    progressed  IN_PROGRESS     1.1 again at 60.000 | [CREATE invocation=1 attempt=1
        0.000    ended       CANCEL_COMPLETE 2.0 | cancelled
    "#]]
    .assert_eq(&stage.transcript(&handle).await);
}

#[tokio::test]
async fn a_superseded_operation_is_cancelled_and_reported_no_more() {
    let stage = Stage::new(TypeSettings::default()).await;
    stage
        .reports
        .answer([Delivery::Accepted, Delivery::InvalidStateTransition]);
    let handle = stage.create("a", &["in-progress:60"]).await;
    let ended = stage.finish(&handle, 3).await;
    assert_eq!(ended.status, Status::CancelComplete);
    stage.engine.idle().await;
    assert_eq!(
        stage.reports.told(),
        [ReportStatus::Acknowledgement, ReportStatus::InProgress]
    );
}

#[tokio::test]
async fn reports_arrive_in_order_however_often_they_are_tried() {
    let stage = Stage::new(TypeSettings::default()).await;
    let lost = || Delivery::Ambiguous {
        reason: "connection reset".to_owned(),
    };
    stage
        .reports
        .answer([lost(), Delivery::ConditionalCheckFailed, lost(), lost()]);
    let handle = stage.create("a", &["in-progress:1", "success"]).await;
    stage.finish(&handle, 10).await;
    while let Some(next) = stage.engine.idle().await {
        stage.clock.set(next);
    }
    let sent: Vec<_> = stage
        .reports
        .delivered()
        .iter()
        .map(|report| (report.event.version, report.attempts))
        .collect();
    assert_eq!(sent, [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (4, 0)]);
    assert_eq!(
        stage.reports.told(),
        [
            ReportStatus::Acknowledgement,
            ReportStatus::InProgress,
            ReportStatus::Success
        ]
    );
}

#[tokio::test]
async fn a_refused_report_is_parked_until_an_operator_retries_it() {
    let stage = Stage::new(TypeSettings::default()).await;
    stage.reports.answer([Delivery::Refused {
        reason: "AccessDenied".to_owned(),
    }]);
    let handle = stage.create("a", &["success"]).await;
    let ended = stage.finish(&handle, 3).await;
    assert_eq!(
        ended.status,
        Status::Success,
        "a parked report holds up no chain"
    );
    let parked = stage
        .engine
        .store()
        .reports(handle.token())
        .await
        .expect("the store reads");
    assert_eq!(
        parked
            .iter()
            .map(|report| report.parked.as_deref())
            .collect::<Vec<_>>(),
        [Some("AccessDenied"), None]
    );
    stage
        .engine
        .retry_reports(handle.token())
        .await
        .expect("they are due again");
    stage.engine.idle().await;
    assert_eq!(
        stage.reports.told(),
        [ReportStatus::Acknowledgement, ReportStatus::Success]
    );
}

#[tokio::test]
async fn an_event_says_when_its_invocation_began() {
    let stage = Stage::new(TypeSettings::default()).await;
    let script = ["sleep:2000 & in-progress:5", "success"];
    let handle = stage.create("a", &script).await;
    stage.finish(&handle, 50).await;
    let events = stage.engine.store().events(handle.token(), 0).await;
    let moments: Vec<_> = events
        .expect("readable")
        .iter()
        .map(|event| (event.began.map(|it| it.since(START)), event.at.since(START)))
        .collect();
    let expected = [
        (None, seconds(0)),
        (Some(seconds(0)), seconds(2)),
        (Some(seconds(7)), seconds(7)),
    ];
    assert_eq!(moments, expected);
}

#[tokio::test]
async fn progress_is_a_stream_of_the_committed_events() {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage.create("a", &["in-progress:1", "success"]).await;
    let events = tokio::spawn(
        handle
            .progress()
            .map(|event| event.expect("the store reads").status)
            .collect::<Vec<_>>(),
    );
    stage.finish(&handle, 3).await;
    let statuses = events.await.expect("the stream ends");
    assert_eq!(
        statuses,
        [Status::Pending, Status::InProgress, Status::Success]
    );
    let outcome = handle.outcome().await.expect("it has ended");
    let model = outcome.model.as_ref().expect("a model");
    assert_eq!(
        Value::Object(model.to_map()),
        json!({"Name": "a", "Script": ["in-progress:1", "success"], "Id": "id-a"}),
        "the write-only secret is not shown"
    );
}

#[tokio::test]
async fn whoever_waits_for_a_version_is_given_it_without_reading_the_store() {
    let store = Arc::new(CrashingStore::never(Arc::<MemoryStore>::default()));
    let shared = Arc::clone(&store) as _;
    let stage = Stage::at(shared, TypeSettings::default(), START, Arc::default()).await;
    let handle = stage.create("a", &["in-progress:60", "success"]).await;
    let waiting = handle
        .wait_for(|operation| operation.invocation == 2)
        .await
        .expect("it comes");
    assert_eq!(waiting.status, Status::InProgress);
    assert_eq!(waiting.due, START.after(seconds(60)));
    let later = stage.engine.operation(handle.token()).await;
    let later = later.expect("the store reads").expect("it is there");
    assert_eq!(store.gets(), 1, "only who comes later needs to look");
    let again = later.wait_for(|_| true).await.expect("it is known");
    assert_eq!(again, waiting);
    let ended = stage.finish(&handle, 1).await;
    let gets = store.gets();
    for handle in [handle.clone(), handle, later] {
        assert_eq!(handle.outcome().await.expect("it has ended"), ended);
    }
    assert_eq!(store.gets(), gets);
}

#[tokio::test]
async fn one_resource_has_one_live_operation() {
    let stage = Stage::new(TypeSettings::default()).await;
    let first = stage.create("a", &["in-progress:1", "success"]).await;
    let refusal = stage
        .engine
        .submit(create("a", &["success"]))
        .await
        .err()
        .expect("it is busy")
        .to_string();
    assert_eq!(
        refusal,
        format!(
            "the resource is busy with operation {}; wait for it or cancel it",
            first.token()
        )
    );
    stage.finish(&first, 3).await;
    stage.create("a", &["success"]).await;
}

#[tokio::test]
async fn a_client_token_stands_for_one_request() {
    let stage = Stage::new(TypeSettings::default()).await;
    let with_token = |name| {
        let mut request = create(name, &["success"]);
        request.client_token = Some("token-1".parse().expect("a client token"));
        request
    };
    let first = stage
        .engine
        .submit(with_token("a"))
        .await
        .expect("accepted");
    stage.finish(&first, 1).await;
    let again = stage
        .engine
        .submit(with_token("a"))
        .await
        .expect("replayed");
    assert_eq!(first.token(), again.token());
    assert!(
        stage.engine.submit(with_token("b")).await.is_err(),
        "another request needs another token"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_by_name_and_begin_nothing() {
    let stage = Stage::new(TypeSettings::default()).await;
    let mut texts = String::new();
    for state in [
        json!({}),
        json!({"Name": "a", "Count": "x"}),
        json!({"Name": "", "Other": 1}),
        json!({"Name": "a", "Id": "i"}),
    ] {
        let mut request = create("a", &[]);
        request.change = formwork_host::engine::Change::Create {
            desired_state: object(&state),
        };
        let error = stage
            .engine
            .submit(request)
            .await
            .err()
            .expect("it is refused");
        texts += &format!("{error}\n");
    }
    let mut request = create("a", &[]);
    request.type_name = "Acme::No::Such".parse().expect("a type name");
    texts += &format!(
        "{}\n",
        stage
            .engine
            .submit(request)
            .await
            .err()
            .expect("it is refused")
    );
    expect![[r#"
        the desired state does not fit the schema of `Formwork::Tests::Scripted`: the model breaks `/required`: "Name" is a required property
        the request does not fit the schema of `Formwork::Tests::Scripted`
        the desired state does not fit the schema of `Formwork::Tests::Scripted`: `/Name` breaks `/properties/Name/minLength`: value is shorter than 1 character; the model breaks `/additionalProperties`: Additional properties are not allowed ('Other' was unexpected)
        a create of `Formwork::Tests::Scripted` cannot set the read-only property `/properties/Id`; leave it out
        no handler of `Acme::No::Such` is loaded
    "#]].assert_eq(&texts);
    assert_eq!(
        stage
            .engine
            .operations(&Default::default())
            .await
            .expect("the store reads")
            .len(),
        0
    );
}

#[tokio::test]
async fn a_type_with_two_slots_gets_through_twenty_operations() {
    let settings = TypeSettings {
        concurrency: 2,
        ..TypeSettings::default()
    };
    let stage = Stage::new(settings).await;
    let mut handles = Vec::new();
    for n in 0..20 {
        handles.push(stage.create(&format!("n{n}"), &["success"]).await);
    }
    stage.engine.idle().await;
    for handle in handles {
        assert_eq!(
            handle.outcome().await.expect("the store reads").status,
            Status::Success
        );
    }
}

#[tokio::test]
async fn a_gentle_stop_finishes_what_runs() {
    let stage = Stage::new(TypeSettings::default()).await;
    let handle = stage.create("a", &["spin:50 & success"]).await;
    let drained = tokio::spawn({
        let engine = stage.engine.clone();
        async move { engine.shutdown(seconds(60)).await }
    });
    assert!(drained.await.expect("it stops"));
    let operation = stage
        .engine
        .status(handle.token())
        .await
        .expect("the store reads")
        .expect("it is there");
    assert!(
        operation.lease.is_none(),
        "no lease is left behind: {operation:?}"
    );
}

#[tokio::test]
async fn an_engine_that_is_shut_down_accepts_nothing_and_keeps_nobody_waiting() {
    let stage = Stage::new(TypeSettings::default()).await;
    let waiting = stage.create("a", &["in-progress:60"]).await;
    stage.engine.idle().await;
    assert!(stage.engine.shutdown(seconds(60)).await);
    let refusal = stage.engine.submit(create("b", &["success"])).await.err();
    assert!(matches!(refusal, Some(SubmitError::Stopped)), "{refusal:?}");
    assert!(waiting.outcome().await.is_err(), "nobody will end it");
    let last = waiting.progress().collect::<Vec<_>>().await;
    assert!(last.last().is_some_and(Result::is_err), "{last:?}");
}

#[tokio::test]
async fn a_busy_type_leaves_a_slot_to_another_one() {
    let engine = Engine::builder(sandbox()).concurrency(2).start();
    let load = async |name| {
        let settings = TypeSettings::default();
        engine
            .load(guests::component(name), settings)
            .await
            .expect(name)
    };
    load("scripted-guest").await;
    let file = load("file").await.schema().type_name().clone();
    let mut busy = Vec::new();
    for n in 0..20 {
        let request = create(&format!("n{n}"), &["spin:50"]);
        busy.push(engine.submit(request).await.expect("it is accepted"));
    }
    let other = Request::create(file, object(&json!({"Name": "a", "Contents": ""})));
    let other = engine.submit(other).await.expect("it is accepted");
    let ended = other.outcome().await.expect("it ends");
    assert_eq!(ended.status, Status::Failed, "nothing is granted to it");
    let last = engine
        .status(busy[19].token())
        .await
        .expect("the store reads");
    assert!(
        last.is_some_and(|last| !last.status.is_terminal()),
        "the other type did not wait for all of the busy one"
    );
}

#[tokio::test]
async fn a_line_for_the_log_that_is_too_large_is_a_limit_and_not_tried_again() {
    check(&["log-bytes:5000000"], expect![[r#"
        0.000    accepted    PENDING         1.0
        0.000    ended       FAILED          1.1 InternalFailure | trap (limit): a call into the host carried more than its 4194304 bytes: raise `limits.transfer` of the type
    "#]]).await;
}

#[tokio::test]
async fn a_guest_that_sleeps_goes_on_when_the_clock_is_moved_there() {
    check(
        &["sleep:40000 & success"],
        expect![[r#"
        0.000    accepted    PENDING         1.0
        40.000   ended       SUCCESS         1.1 | [CREATE invocation=1 attempt=1
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_guest_that_sleeps_past_the_wall_limit_is_cut_by_the_engines_clock() {
    let mut settings = TypeSettings::default();
    settings.policy.attempts = 1;
    let stage = Stage::new(settings).await;
    let handle = stage.create("a", &["sleep:90000 & success"]).await;
    stage.finish(&handle, 50).await;
    expect![[r#"
        0.000    accepted    PENDING         1.0
        60.000   ended       FAILED          1.1 InternalFailure | trap (wall limit): the handler did not answer within 60s: raise `limits.mutation_wall` of the type
    "#]].assert_eq(&stage.transcript(&handle).await);
}

/// Keeps what it is shown.
#[derive(Default)]
struct Witness(Mutex<Vec<String>>);

impl Observer for Witness {
    fn invoked(&self, exchange: &Exchange) {
        let seen = match &exchange.outcome {
            Exchanged::Event(ProgressEvent::Success { model, .. }) => {
                model.as_ref().map_or("", JsonObject::as_str).to_owned()
            }
            other => format!("{other:?}"),
        };
        let warnings = exchange.warnings.len();
        self.0
            .lock()
            .expect("nobody panicked")
            .push(format!("{seen} {warnings}"));
    }
}

#[tokio::test]
async fn an_observer_sees_what_a_handler_answered_before_the_output_rules() {
    let witness = Arc::new(Witness::default());
    let engine = Engine::builder(sandbox())
        .observer(Arc::clone(&witness) as _)
        .start();
    let guest = guests::component("scripted-guest");
    let loaded = engine.load(guest, TypeSettings::default()).await;
    loaded.expect("the scripted guest loads");
    let handle = engine.submit(create("a", &["leak-secret"])).await;
    let ended = handle.expect("accepted").outcome().await.expect("ended");
    assert!(
        !ended
            .model
            .as_ref()
            .expect("a model")
            .as_str()
            .contains("s3cr3t")
    );
    let seen = witness.0.lock().expect("nobody panicked").clone();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        seen[0].contains("s3cr3t") && seen[0].ends_with(" 1"),
        "{seen:?}"
    );
}
