//! What is reported of an event, and what a delivery leads to.

use super::*;

fn event(kind: EventKind, status: Status) -> Event {
    let mut event = Operation::accept(token(7), new_operation(), START)
        .event
        .expect("an event");
    event.kind = kind;
    event.status = status;
    event
}

fn pending_report(event: Event, ambiguous: bool) -> PendingReport {
    let new = new_operation();
    PendingReport {
        type_name: new.type_name,
        mutation: new.mutation,
        deadline: DEADLINE,
        target: new.reporting.expect("a target"),
        event,
        attempts: 0,
        ambiguous,
        due: START,
        parked: None,
    }
}

fn reason() -> String {
    "because".to_owned()
}

#[test]
fn a_mismatch_of_status_is_settled_by_the_kind_of_report() {
    use Settlement::Superseded;
    let delivered = || Settlement::Delivered { at: START };
    let acknowledgement = || event(EventKind::Accepted, Status::Pending);
    let in_progress = || event(EventKind::Progressed, Status::InProgress);
    let rows = [
        (acknowledgement(), false, delivered(), Superseded),
        (acknowledgement(), true, delivered(), Superseded),
        (in_progress(), false, Superseded, Superseded),
        (in_progress(), true, Superseded, Superseded),
    ];
    let ended = [Status::Success, Status::Failed, Status::CancelComplete];
    let ended = ended.into_iter().flat_map(|status| {
        [
            (
                event(EventKind::Ended, status),
                false,
                Superseded,
                Superseded,
            ),
            (
                event(EventKind::Ended, status),
                true,
                delivered(),
                delivered(),
            ),
        ]
    });
    for (event, ambiguous, check_failed, invalid_transition) in rows.into_iter().chain(ended) {
        let name = format!("{:?} {} ambiguous: {ambiguous}", event.kind, event.status);
        let report = pending_report(event, ambiguous);
        assert_eq!(
            report.settle(Delivery::ConditionalCheckFailed, START),
            check_failed,
            "{name}"
        );
        assert_eq!(
            report.settle(Delivery::InvalidStateTransition, START),
            invalid_transition,
            "{name}"
        );
        assert_eq!(
            report.settle(Delivery::Accepted, START),
            delivered(),
            "{name}"
        );
        let refused = Delivery::Refused { reason: reason() };
        assert_eq!(
            report.settle(refused, START),
            Settlement::Parked { reason: reason() },
            "{name}"
        );
    }
}

#[test]
fn a_send_that_may_have_arrived_stays_ambiguous() {
    for (delivery, before, after) in [
        (Delivery::Ambiguous { reason: reason() }, false, true),
        (Delivery::Ambiguous { reason: reason() }, true, true),
        (Delivery::Unreachable { reason: reason() }, false, false),
        (Delivery::Unreachable { reason: reason() }, true, true),
    ] {
        let report = pending_report(event(EventKind::Ended, Status::Success), before);
        let name = format!("{delivery:?} {before}");
        let settled = report.settle(delivery, START);
        assert!(
            matches!(settled, Settlement::Retry { ambiguous, .. } if ambiguous == after),
            "{name}: {settled:?}"
        );
    }
}

#[test]
fn a_report_is_tried_until_48_hours_after_the_deadline_with_pauses_of_at_most_a_minute() {
    let mut report = pending_report(event(EventKind::Ended, Status::Success), false);
    let mut now = START;
    let give_up = DEADLINE.after(Duration::from_secs(48 * 3_600));
    loop {
        match report.settle(Delivery::Unreachable { reason: reason() }, now) {
            Settlement::Retry { due, .. } => {
                assert!(now < give_up, "at {now} it is too late");
                let pause = due.since(now);
                assert!(
                    (Duration::from_millis(500)..=Duration::from_secs(60)).contains(&pause),
                    "{pause:?}"
                );
                now = due;
                report.attempts += 1;
            }
            Settlement::Parked { reason: why } => {
                let attempts = report.attempts + 1;
                let said = format!("given up after {attempts} attempts: {}", reason());
                assert_eq!(why, said);
                assert!(now >= give_up, "at {now} it is too early");
                break;
            }
            other @ (Settlement::Delivered { .. } | Settlement::Superseded) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_report_that_is_sent_again_late_is_tried_for_a_while_before_it_is_given_up() {
    let late = DEADLINE.after(Duration::from_secs(1_000 * 3_600));
    for (attempts, is_given_up) in [(0, false), (1_438, false), (1_439, true)] {
        let report = PendingReport {
            attempts,
            ..pending_report(event(EventKind::Ended, Status::Success), false)
        };
        let settled = report.settle(Delivery::Unreachable { reason: reason() }, late);
        let parked = matches!(settled, Settlement::Parked { .. });
        assert_eq!(parked, is_given_up, "{attempts}: {settled:?}");
    }
}

#[test]
fn each_kind_of_event_is_reported_or_not() {
    let internal = ReportStatus::Failed(HandlerErrorCode::InternalFailure);
    let rows = [
        (
            EventKind::Accepted,
            Status::Pending,
            Some(ReportStatus::Acknowledgement),
        ),
        (
            EventKind::Progressed,
            Status::InProgress,
            Some(ReportStatus::InProgress),
        ),
        (EventKind::Recorded, Status::InProgress, None),
        (EventKind::Retried, Status::InProgress, None),
        (EventKind::CancelAsked, Status::CancelInProgress, None),
        (
            EventKind::Ended,
            Status::Success,
            Some(ReportStatus::Success),
        ),
        (EventKind::Ended, Status::CancelComplete, Some(internal)),
    ];
    for (kind, status, reported) in rows {
        assert_eq!(event(kind, status).report_status(), reported, "{kind:?}");
    }
    for code in HandlerErrorCode::ALL {
        let mut failed = event(EventKind::Ended, Status::Failed);
        failed.code = Some(code);
        assert_eq!(failed.report_status(), Some(ReportStatus::Failed(code)));
    }
}
