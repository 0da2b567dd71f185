//! Cases of the outbox.

use crate::operation::{CancelReason, EventKind, PendingReport, Status};

use super::*;

/// Accepts an operation and brings it to its end, at 0, 1 and 2 s: three reports.
async fn ended(store: &dyn Store) -> Operation {
    accept(store, reported()).await;
    let leased = claim_one(store, T0).await;
    advance(store, &leased, progress(0, id("made")), at(1)).await;
    let leased = claim_one(store, at(1)).await;
    advance(store, &leased, success(id("made")), at(2)).await
}

async fn due(store: &dyn Store, now: Timestamp) -> Vec<PendingReport> {
    store.due_reports(now, 100).await.expect("readable")
}

async fn pending(store: &dyn Store, operation: &Operation) -> Vec<u64> {
    let reports = store.reports(operation.token).await.expect("readable");
    reports.iter().map(|report| report.event.version).collect()
}

async fn settle(store: &dyn Store, operation: &Operation, version: u64, settlement: Settlement) {
    let settled = store.settle(operation.token, version, settlement).await;
    settled.expect("settled");
}

fn delivered() -> Settlement {
    Settlement::Delivered { at: at(7) }
}

fn parked() -> Settlement {
    Settlement::Parked {
        reason: "the token has expired: canary-bearer".to_owned(),
    }
}

pub(in crate::store) async fn an_event_and_its_report_are_there_together(store: Arc<dyn Store>) {
    let operation = accept(&*store, reported()).await;
    let transition = Operation::accept(operation.token, reported(), T0);
    let expected = PendingReport {
        type_name: thing(),
        mutation: Mutation::Create,
        deadline: operation.deadline,
        target: target(),
        event: transition.event.expect("an event"),
        attempts: 0,
        ambiguous: false,
        due: T0,
        parked: None,
    };
    assert_eq!(due(&*store, T0).await, std::slice::from_ref(&expected));
    let reports = store.reports(operation.token).await.expect("readable");
    assert_eq!(reports, [expected]);
    let early = Timestamp::from_millis(T0.as_millis() - 1);
    assert_eq!(due(&*store, early).await, []);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        Some(T0)
    );
}

pub(in crate::store) async fn only_events_to_report_are_queued(store: Arc<dyn Store>) {
    accept(&*store, reported()).await;
    let leased = claim_one(&*store, T0).await;
    let message = "no memory".to_owned();
    let retried = advance(&*store, &leased, Input::HostFailed { message }, T0).await;
    assert_eq!(pending(&*store, &retried).await, [1]);
    let leased = claim_one(&*store, retried.due).await;
    let cancel = Input::CancelAsked(CancelReason::Caller);
    let cancelling = advance(&*store, &leased, cancel, retried.due).await;
    assert_eq!(pending(&*store, &cancelling).await, [1]);
    let ended = advance(&*store, &cancelling, failure(), retried.due).await;
    assert_eq!(pending(&*store, &ended).await, [1, ended.version]);
}

pub(in crate::store) async fn without_a_target_nothing_is_queued(store: Arc<dyn Store>) {
    let operation = accept(&*store, create()).await;
    assert_eq!(pending(&*store, &operation).await, [0_u64; 0]);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        None
    );
    let leased = claim_one(&*store, T0).await;
    advance(&*store, &leased, success(None), T0).await;
    assert_eq!(due(&*store, at(100)).await, []);
}

pub(in crate::store) async fn reports_of_an_operation_come_one_by_one_in_order(
    store: Arc<dyn Store>,
) {
    let operation = ended(&*store).await;
    assert_eq!(pending(&*store, &operation).await, [1, 3, 5]);
    let mut heard = Vec::new();
    while let [report] = &due(&*store, at(10)).await[..] {
        heard.push((report.event.kind, report.due));
        let version = report.event.version;
        settle(&*store, &operation, version, delivered()).await;
    }
    assert_eq!(
        heard,
        [
            (EventKind::Accepted, T0),
            (EventKind::Progressed, at(1)),
            (EventKind::Ended, at(2))
        ]
    );
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        None
    );
}

pub(in crate::store) async fn reports_due_longest_come_first_up_to_the_limit(
    store: Arc<dyn Store>,
) {
    let mut expected = Vec::new();
    for seconds in [5, 1, 9, 3] {
        let operation = accept_at(&*store, reported(), at(seconds)).await;
        expected.push((at(seconds), operation.token));
    }
    expected.sort();
    let reports = store.due_reports(at(9), 3).await.expect("readable");
    let order: Vec<_> = reports.iter().map(|r| (r.due, r.event.token)).collect();
    assert_eq!(order, expected[..3]);
    assert_eq!(store.due_reports(at(9), 0).await.expect("readable"), []);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        Some(at(1))
    );
}

pub(in crate::store) async fn reports_are_leased_before_they_are_delivered(store: Arc<dyn Store>) {
    let claim = async |now| {
        let claimed = store.claim_reports(now, 9, LEASE, &[]).await;
        claimed.expect("claimed")
    };
    let operation = ended(&*store).await;
    let early = Timestamp::from_millis(T0.as_millis() - 1);
    assert_eq!(claim(early).await, []);
    for (version, left) in [(1, vec![3, 5]), (3, vec![5]), (5, vec![])] {
        let expected = due(&*store, at(10)).await;
        let claimed = claim(at(10)).await;
        assert_eq!(claimed, expected);
        let under_way = [operation.token];
        let again = store.claim_reports(at(10), 9, LEASE, &under_way).await;
        assert_eq!(again.expect("claimed"), []);
        assert_eq!(claimed[0].event.version, version);
        settle(&*store, &operation, version, delivered()).await;
        assert_eq!(pending(&*store, &operation).await, left);
    }
    assert_eq!(claim(at(10)).await, []);
    // What is to be tried again is given again.
    let operation = accept(&*store, reported()).await;
    assert_eq!(claim(T0).await.len(), 1);
    let retry = Settlement::Retry {
        due: at(5),
        ambiguous: false,
        reason: "503".to_owned(),
    };
    settle(&*store, &operation, 1, retry).await;
    assert_eq!(claim(at(4)).await, []);
    let claimed = claim(at(5)).await;
    assert_eq!((claimed[0].attempts, claimed[0].ambiguous), (1, false));
}

pub(in crate::store) async fn a_retry_is_due_later_and_remembers_doubt(store: Arc<dyn Store>) {
    let operation = ended(&*store).await;
    let retry = |due, ambiguous| Settlement::Retry {
        due,
        ambiguous,
        reason: "503".to_owned(),
    };
    settle(&*store, &operation, 1, retry(at(60), true)).await;
    // The later ones, though due, wait for their turn.
    assert_eq!(due(&*store, at(59)).await, []);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        Some(at(60))
    );
    let reports = due(&*store, at(60)).await;
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert_eq!(
        (report.attempts, report.ambiguous, report.due),
        (1, true, at(60))
    );
    settle(&*store, &operation, 1, retry(at(90), true)).await;
    assert_eq!(due(&*store, at(90)).await[0].attempts, 2);
    settle(&*store, &operation, 1, delivered()).await;
    let report = &due(&*store, at(90)).await[0];
    assert_eq!((report.event.version, report.ambiguous), (3, false));
}

pub(in crate::store) async fn a_parked_report_holds_back_the_later_ones_until_unparked(
    store: Arc<dyn Store>,
) {
    let operation = ended(&*store).await;
    settle(&*store, &operation, 1, parked()).await;
    assert_eq!(due(&*store, at(1000)).await, []);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        None
    );
    let reports = store.reports(operation.token).await.expect("readable");
    assert_eq!(reports.len(), 3);
    assert!(
        reports[0]
            .parked
            .as_ref()
            .is_some_and(|r| r.contains("expired"))
    );
    assert_eq!((reports[0].attempts, &reports[1].parked), (1, &None));

    // Another operation is not held back.
    let other = accept(&*store, reported()).await;
    assert_eq!(due(&*store, at(1000)).await[0].event.token, other.token);
    settle(&*store, &other, 1, delivered()).await;

    let unpark = async |operation: &Operation| {
        let unparked = store.unpark(operation.token, at(2000)).await;
        unparked.expect("unparked")
    };
    assert_eq!(unpark(&other).await, 0);
    assert_eq!(due(&*store, at(2000)).await, []);
    assert_eq!(unpark(&operation).await, 1);
    assert_eq!(unpark(&operation).await, 0);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("read"),
        Some(at(2000))
    );
    let report = &due(&*store, at(2000)).await[0];
    assert_eq!(
        (report.event.version, report.due, &report.parked),
        (1, at(2000), &None)
    );
    assert_eq!(report.attempts, 0, "it begins anew");
    // What was not parked keeps its time.
    settle(&*store, &operation, 1, delivered()).await;
    assert_eq!(due(&*store, at(2000)).await[0].due, at(1));
}

pub(in crate::store) async fn parked_reports_are_listed_until_they_are_unparked_or_dropped(
    store: Arc<dyn Store>,
) {
    let listed = async |limit| -> Vec<_> {
        let listed = store.parked_reports(limit).await.expect("readable");
        let readable = listed.iter().map(|it| it.as_ref().expect("readable"));
        readable
            .map(|it| (it.event.token, it.event.version))
            .collect()
    };
    let mut operations = [ended(&*store).await, ended(&*store).await];
    operations.sort_by_key(|operation| operation.token);
    assert_eq!(listed(9).await, []);
    for operation in &operations {
        settle(&*store, operation, 1, parked()).await;
    }
    let [first, second] = operations.each_ref().map(|it| it.token);
    assert_eq!(listed(9).await, [(first, 1), (second, 1)]);
    assert_eq!(listed(1).await, [(first, 1)]);
    let parked = store.parked_reports(1).await.expect("readable");
    assert!(matches!(&parked[0], Ok(report) if report.parked.is_some()));

    store.unpark(first, at(50)).await.expect("unparked");
    assert_eq!(listed(9).await, [(second, 1)]);
    let drop = async |token| store.drop_parked(token).await.expect("written");
    assert_eq!(drop(first).await, 0, "it is to be sent");
    assert_eq!(pending(&*store, &operations[0]).await.len(), 3);
    assert_eq!(drop(second).await, 3);
    assert_eq!(drop(second).await, 0);
    assert_eq!(listed(9).await, []);
    assert_eq!(pending(&*store, &operations[1]).await, [0_u64; 0]);
    assert_eq!(get(&*store, &operations[1]).await.reporting, None);
    let events = store.events(second, 0).await.expect("readable");
    let models: Vec<_> = events.iter().map(|event| event.model.is_some()).collect();
    assert_eq!(models, [false, false, true]);
}

pub(in crate::store) async fn a_superseded_report_is_forgotten_with_all_others(
    store: Arc<dyn Store>,
) {
    let operation = ended(&*store).await;
    let other = accept(&*store, reported()).await;
    settle(&*store, &operation, 1, Settlement::Superseded).await;
    assert_eq!(pending(&*store, &operation).await, [0_u64; 0]);
    assert_eq!(pending(&*store, &other).await, [1]);
    assert_eq!(get(&*store, &operation).await.reporting, None);
}

pub(in crate::store) async fn an_event_says_when_its_report_was_accepted(store: Arc<dyn Store>) {
    let operation = ended(&*store).await;
    let said = async || -> Vec<_> {
        let events = store.events(operation.token, 0).await.expect("readable");
        events.iter().map(|event| event.delivered).collect()
    };
    settle(&*store, &operation, 1, delivered()).await;
    assert_eq!(said().await, [Some(at(7)), None, None]);
    let again = Settlement::Delivered { at: at(8) };
    settle(&*store, &operation, 1, again).await;
    settle(&*store, &operation, 3, Settlement::Superseded).await;
    assert_eq!(said().await, [Some(at(7)), None, None]);
}

pub(in crate::store) async fn settling_what_is_not_there_changes_nothing(store: Arc<dyn Store>) {
    let operation = ended(&*store).await;
    settle(&*store, &operation, 1, delivered()).await;
    let before = store.reports(operation.token).await.expect("readable");
    let nobody = new(reported(), T0).operation;
    for settlement in [delivered(), Settlement::Superseded, parked()] {
        for version in [1, 2, 99] {
            settle(&*store, &operation, version, settlement.clone()).await;
        }
        settle(&*store, &nobody, 1, settlement).await;
    }
    store.unpark(nobody.token, T0).await.expect("unparked");
    let after = store.reports(operation.token).await.expect("readable");
    assert_eq!(after, before);
    assert_eq!(get(&*store, &operation).await, operation);
}

pub(in crate::store) async fn a_model_stays_while_its_report_is_pending(store: Arc<dyn Store>) {
    let operation = ended(&*store).await;
    let models = async || {
        let events = store.events(operation.token, 0).await.expect("readable");
        let versions = events.iter().filter(|e| e.model.is_some());
        versions.map(|e| e.version).collect::<Vec<_>>()
    };
    assert_eq!(models().await, [3, 5]);
    settle(&*store, &operation, 1, delivered()).await;
    let report = &due(&*store, at(10)).await[0];
    assert!(report.event.model.is_some());
    settle(&*store, &operation, 3, delivered()).await;
    assert_eq!(models().await, [5]);
    let report = &due(&*store, at(10)).await[0];
    assert_eq!(report.event.model, operation.model);
    settle(&*store, &operation, 5, delivered()).await;
    assert_eq!(models().await, [5]);
}

pub(in crate::store) async fn what_is_reported_of_a_live_operation_leaves_no_model_behind(
    store: Arc<dyn Store>,
) {
    accept(&*store, reported()).await;
    let mut waiting = Vec::new();
    for step in 0..4 {
        let leased = claim_one(&*store, at(step)).await;
        waiting.push(advance(&*store, &leased, progress(1, None), at(step)).await);
    }
    let operation = &waiting[0];
    let models = async || {
        let events = store.events(operation.token, 0).await.expect("readable");
        let versions = events.iter().filter(|e| e.model.is_some());
        versions.map(|e| e.version).collect::<Vec<_>>()
    };
    assert_eq!(models().await, [3, 5, 7, 9]);
    for version in [1, 3] {
        settle(&*store, operation, version, delivered()).await;
    }
    assert_eq!(models().await, [5, 7, 9]);
    settle(&*store, operation, 5, Settlement::Superseded).await;
    assert_eq!(models().await, [9]);
    let leased = claim_one(&*store, at(4)).await;
    advance(&*store, &leased, progress(1, None), at(4)).await;
    assert_eq!(models().await, [11]);
}

pub(in crate::store) async fn the_target_is_erased_with_the_last_report_of_what_ended(
    store: Arc<dyn Store>,
) {
    // While it lives it keeps the target for the reports to come.
    let live = accept(&*store, reported()).await;
    settle(&*store, &live, 1, delivered()).await;
    assert_eq!(get(&*store, &live).await.reporting, Some(target()));
    let leased = claim_one(&*store, T0).await;
    let ended = advance(&*store, &leased, success(None), T0).await;
    assert_eq!(get(&*store, &ended).await.reporting, Some(target()));
    assert_eq!(pending(&*store, &ended).await, [3]);

    settle(&*store, &ended, 3, parked()).await;
    assert_eq!(get(&*store, &ended).await.reporting, Some(target()));
    settle(&*store, &ended, 3, delivered()).await;
    let kept = get(&*store, &ended).await;
    assert_eq!(
        (kept.reporting.as_ref(), kept.status),
        (None, Status::Success)
    );
    assert_eq!((kept.version, &kept.model), (ended.version, &ended.model));
}

pub(in crate::store) async fn an_operation_that_lost_its_target_has_no_reports(
    store: Arc<dyn Store>,
) {
    accept(&*store, reported()).await;
    let leased = claim_one(&*store, T0).await;
    let waiting = advance(&*store, &leased, progress(5, None), T0).await;
    let cancel = Input::CancelAsked(CancelReason::Superseded);
    let cancelled = advance(&*store, &waiting, cancel, T0).await;
    assert_eq!(pending(&*store, &cancelled).await, [0_u64; 0]);
    assert_eq!(
        store
            .next_report(Timestamp::from_millis(0))
            .await
            .expect("readable"),
        None
    );
    assert_eq!(get(&*store, &cancelled).await, cancelled);
    let events = store.events(cancelled.token, 0).await.expect("readable");
    let (_, earlier) = events.split_last().expect("events");
    assert!(earlier.iter().all(|event| event.model.is_none()));
}
