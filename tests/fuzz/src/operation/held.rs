//! What operations promise, change by change.

use formwork_host::model::{Callback, ProgressEvent, Timestamp};
use formwork_host::operation::{
    CancelReason, Event, EventKind, Input, Operation, PendingReport, Policy, Status, Transition,
};

/// Holds one change to what operations promise.
pub(super) fn check(
    before: &Operation,
    input: &Input,
    transition: &Transition,
    now: Timestamp,
    policy: &Policy,
) {
    let after = &transition.operation;
    let ended = after.status.is_terminal();
    assert!(!before.status.is_terminal(), "terminal absorbs");
    assert!(rank(after.status) >= rank(before.status), "forward only");
    assert_eq!(after.version, before.version + 1);
    assert_eq!(after.token, before.token);
    assert_eq!(after.component, before.component, "the component is pinned");
    assert_eq!(after.deadline, before.deadline, "the deadline stands");
    if before.identifier.is_some() {
        assert_eq!(
            after.identifier, before.identifier,
            "the identifier never changes"
        );
    }
    assert_eq!(
        after.work.is_none(),
        ended,
        "work while there is some to do"
    );
    assert_eq!(after.ended_at, ended.then_some(now));
    assert_eq!(after.code.is_some(), after.status == Status::Failed);
    assert!(
        !ended || after.lease.is_none(),
        "who has ended is leased to nobody"
    );
    assert!(
        ended || after.due <= after.deadline,
        "no operation outlives its deadline"
    );
    assert!(after.status != Status::CancelInProgress || after.lease.is_some());
    // A policy may become narrower while an operation goes on.
    assert!(after.invocation <= policy.max_invocations.max(before.invocation));
    assert!(after.attempt <= policy.attempts.max(before.attempt + 1));
    if let Some(event) = &transition.event {
        assert_eq!((event.token, event.version), (after.token, after.version));
        assert_eq!((event.status, event.at), (after.status, now));
        assert_eq!(event.kind == EventKind::Ended, ended);
    }
    match input {
        Input::Leased { until } => {
            assert!(now >= before.due, "a callback is never early");
            assert!(now < before.deadline, "nothing begins after the deadline");
            let lease = after.lease.expect("it is leased");
            assert_eq!((lease.number, lease.until), (after.version, *until));
            assert_eq!(after.work, before.work);
        }
        Input::Answered(answer) | Input::Recorded { answer, .. } => {
            if let (
                ProgressEvent::InProgress {
                    callback,
                    callback_context,
                    ..
                },
                Some(work),
            ) = (&answer.event, &after.work)
            {
                assert_eq!(
                    work.callback_context, *callback_context,
                    "the context is the last one"
                );
                if let (Input::Answered(_), Callback::After(asked)) = (input, callback) {
                    assert!(
                        after.due >= now.after(*asked).min(after.deadline),
                        "never early"
                    );
                }
            }
        }
        Input::Trapped(_) | Input::HostFailed { .. } | Input::LeaseLapsed => {
            assert!(ended || after.work == before.work, "a retry sees the same");
            let least = now.after(policy.backoff / 2).min(after.deadline);
            assert!(ended || after.due >= least, "a retry waits");
        }
        Input::IdentifierTaken { .. } | Input::Refused(_) | Input::DeadlinePassed => {
            assert!(ended);
        }
        Input::CancelAsked(reason) => assert!(
            *reason == CancelReason::Caller || after.reporting.is_none(),
            "who superseded us is told nothing"
        ),
    }
}

/// Tells how far a status is from the beginning.
const fn rank(status: Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::InProgress => 1,
        Status::CancelInProgress => 2,
        Status::Success | Status::Failed | Status::CancelComplete => 3,
    }
}

/// Sees that two are the same operation at the same point. A store erases the
/// report target of one that has ended once nothing is to be reported.
pub(super) fn same(found: &Operation, committed: &Operation) {
    let (mut found, mut committed) = (found.clone().into_state(), committed.clone().into_state());
    if committed.status.is_terminal() {
        found.reporting = None;
        committed.reporting = None;
    }
    assert_eq!(found, committed, "the store has what was committed");
}

/// Sees that events come in order, and the last one ends the operation.
pub(super) fn events(events: &[Event], operation: &Operation) {
    let rises = events.windows(2).all(|two| {
        two[0].version < two[1].version
            && two[0].at <= two[1].at
            && rank(two[0].status) <= rank(two[1].status)
    });
    assert!(rises, "events come in order: {events:?}");
    let ends = events
        .iter()
        .filter(|event| event.kind == EventKind::Ended)
        .count();
    assert_eq!(
        ends,
        usize::from(operation.status.is_terminal()),
        "an end is told once"
    );
    let last = events.last().expect("the acceptance is told");
    assert!(last.version <= operation.version);
    assert!(
        ends == 0 || last.kind == EventKind::Ended,
        "the end is the last"
    );
}

/// Sees that reports are of events, in their order.
pub(super) fn reports(reports: &[PendingReport], events: &[Event]) {
    let versions: Vec<u64> = reports.iter().map(|report| report.event.version).collect();
    assert!(versions.is_sorted(), "reports come in order");
    for report in reports {
        let told = events
            .iter()
            .any(|event| event.version == report.event.version);
        assert!(
            told && report.event.report_status().is_some(),
            "a report is of an event"
        );
    }
}
