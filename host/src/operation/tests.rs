//! The operation's transitions, rule by rule, as a table, and over random histories.

use std::time::Duration;

use super::*;
use crate::model::{Answer, Callback, ProgressEvent, Trap, TrapKind};

mod history;
mod report;
mod table;

/// Acceptance; the deadline of every operation here is two hours later.
const START: Timestamp = Timestamp::from_millis(1_000_000_000);
const DEADLINE: Timestamp = Timestamp::from_millis(1_000_000_000 + 7_200_000);

fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

fn identifier(name: &str) -> PrimaryIdentifier {
    PrimaryIdentifier::new(vec![name.to_owned()]).expect("a part that is not empty")
}

fn token(last: u8) -> RequestToken {
    RequestToken::from_bytes([last; 16])
}

fn new_operation() -> NewOperation {
    NewOperation {
        scope: Scope::default(),
        type_name: "Acme::Storage::Archive".parse().expect("a type name"),
        mutation: Mutation::Create,
        component: Digest::of(b"component"),
        deadline: DEADLINE,
        work: Work {
            desired_state: object(r#"{"Name":"a","Secret":"s"}"#),
            previous_state: None,
            callback_context: None,
            details: RequestDetails::default(),
            fault: None,
        },
        identifier: None,
        reporting: Some(ReportTarget {
            bearer_token: "bearer".parse().expect("a bearer token"),
            endpoint: None,
            region: None,
            credentials: None,
        }),
    }
}

fn recorded(answer: Answer) -> Input {
    Input::Recorded {
        answer,
        client_token: None,
    }
}

fn pending() -> Operation {
    Operation::accept(token(7), new_operation(), START).operation
}

fn policy() -> Policy {
    Policy::default()
}

/// Applies an input that must be taken.
fn step(operation: &Operation, input: Input, now: Timestamp) -> Transition {
    operation
        .apply(input, now, &policy())
        .expect("the input applies")
}

fn lease(operation: &Operation, now: Timestamp) -> Operation {
    let until = now.after(Duration::from_secs(60));
    step(operation, Input::Leased { until }, now).operation
}

fn leased() -> Operation {
    lease(&pending(), START)
}

fn answer(event: ProgressEvent) -> Answer {
    Answer {
        event,
        next_state: None,
        identifier: None,
        filled_in: false,
        warnings: Vec::new(),
    }
}

fn in_progress(callback: Callback) -> Answer {
    answer(ProgressEvent::InProgress {
        callback,
        callback_context: None,
        message: None,
        model: None,
    })
}

fn success() -> Answer {
    answer(ProgressEvent::Success {
        message: Some("made".into()),
        model: Some(object(r#"{"Name":"a"}"#)),
    })
}

fn failure(code: HandlerErrorCode) -> Answer {
    answer(ProgressEvent::Failed {
        code,
        message: "no".into(),
        model: Some(object(r#"{"Name":"half"}"#)),
    })
}

fn trap(kind: TrapKind) -> Input {
    Input::Trapped(Trap {
        kind,
        message: "it broke".into(),
    })
}

fn end(operation: &Operation) -> (Status, Option<HandlerErrorCode>, String) {
    (
        operation.status,
        operation.code,
        operation.message.clone().unwrap_or_default(),
    )
}

#[test]
fn what_is_accepted_unchanged_has_ended_with_its_model_and_nobody_to_tell() {
    let model = object(r#"{"Name":"a"}"#);
    let made = Operation::unchanged(token(1), new_operation(), model.clone(), START);
    let operation = made.operation;
    assert_eq!((operation.status, operation.version), (Status::Success, 1));
    assert_eq!((&operation.work, &operation.reporting), (&None, &None));
    assert_eq!(operation.model.as_ref(), Some(&model));
    assert_eq!(operation.ended_at, Some(START));
    let event = made.event.expect("an event");
    assert_eq!(
        (event.kind, event.status),
        (EventKind::Ended, Status::Success)
    );
    assert_eq!((event.version, event.attempt), (1, 0));
    assert_eq!(event.model, Some(model));
    let cancel = Input::CancelAsked(CancelReason::Caller);
    let refused = operation.apply(cancel, START, &Policy::default());
    assert_eq!(refused, Err(Refusal::Ended));
}

#[test]
fn an_accepted_operation_is_pending_due_now_and_says_so() {
    let transition = Operation::accept(token(7), new_operation(), START);
    let operation = &transition.operation;
    assert_eq!(
        (operation.status, operation.version, operation.due),
        (Status::Pending, 1, START)
    );
    let event = transition.event.expect("an event");
    assert_eq!((event.kind, event.version), (EventKind::Accepted, 1));
    assert_eq!(event.report_status(), Some(ReportStatus::Acknowledgement));
}

#[test]
fn a_lease_counts_the_attempt_and_bears_the_version_that_it_made() {
    let operation = leased();
    assert_eq!((operation.attempt, operation.version), (1, 2));
    assert_eq!(operation.lease.map(|lease| lease.number), Some(2));
    let invocation = operation.invocation_of().expect("an invocation");
    assert_eq!((invocation.invocation, invocation.attempt), (1, 1));
    assert_eq!(invocation.deadline, DEADLINE);
}

#[test]
fn a_trap_is_tried_three_times_with_a_growing_pause_and_then_fails_with_its_kind() {
    let mut operation = leased();
    let mut now = START;
    for (attempt, whole) in [(1, 1), (2, 2)] {
        let told = step(&operation, trap(TrapKind::Panic), now);
        let event = told.event.expect("an event");
        assert_eq!((event.kind, event.attempt), (EventKind::Retried, attempt));
        assert_eq!(event.report_status(), None, "a retry is not reported");
        let pause = told.operation.due.since(now);
        let whole = Duration::from_secs(whole);
        assert!(whole / 2 <= pause && pause <= whole, "{attempt}: {pause:?}");
        now = told.operation.due;
        operation = lease(&told.operation, now);
        assert_eq!(operation.invocation, 1, "a retry is no re-invocation");
    }
    let last = step(&operation, trap(TrapKind::Panic), now).operation;
    assert_eq!(
        end(&last),
        (
            Status::Failed,
            Some(HandlerErrorCode::InternalFailure),
            "trap (panic): it broke".to_owned()
        )
    );
}

#[test]
fn traps_that_depend_on_the_input_alone_are_not_retried() {
    for kind in [
        TrapKind::Memory,
        TrapKind::Stack,
        TrapKind::Limit,
        TrapKind::AnswerSize,
    ] {
        let ended = step(&leased(), trap(kind), at(1)).operation;
        assert_eq!(ended.status, Status::Failed, "{kind}");
        assert!(end(&ended).2.contains(&kind.to_string()), "{kind}");
    }
    for kind in [
        TrapKind::Panic,
        TrapKind::Cpu,
        TrapKind::Wall,
        TrapKind::Answer,
    ] {
        let again = step(&leased(), trap(kind), at(1)).operation;
        assert_eq!(again.status, Status::InProgress, "{kind}");
    }
}

#[test]
fn a_lapsed_lease_is_a_failed_attempt_so_a_call_that_kills_the_host_ends() {
    let mut operation = pending();
    let mut now = START;
    for _ in 0..3 {
        operation = lease(&operation, now);
        now = operation.lease.expect("a lease").until;
        operation = step(&operation, Input::LeaseLapsed, now).operation;
        now = operation.due;
    }
    assert_eq!(
        (operation.status, operation.attempt),
        (Status::Failed, 3),
        "{operation:?}"
    );
}

#[test]
fn a_retriable_failure_is_shown_only_when_the_attempts_are_used_up() {
    let mut operation = leased();
    let mut now = START;
    for _ in 0..2 {
        let input = Input::Answered(failure(HandlerErrorCode::Throttling));
        operation = step(&operation, input, now).operation;
        assert_eq!(
            (operation.status, operation.code),
            (Status::InProgress, None)
        );
        assert_eq!(operation.message.as_deref(), Some("Throttling: no"));
        now = operation.due;
        operation = lease(&operation, now);
    }
    let input = Input::Answered(failure(HandlerErrorCode::Throttling));
    let ended = step(&operation, input, now).operation;
    assert_eq!(
        end(&ended),
        (
            Status::Failed,
            Some(HandlerErrorCode::Throttling),
            "no".to_owned()
        )
    );
    assert_eq!(ended.model, Some(object(r#"{"Name":"half"}"#)));
}

#[test]
fn each_code_is_retried_if_and_only_if_the_contract_lists_it_as_retriable() {
    for code in HandlerErrorCode::ALL {
        let next = step(&leased(), Input::Answered(failure(code)), at(1)).operation;
        assert_eq!(next.status.is_terminal(), !code.is_retriable(), "{code}");
    }
}

#[test]
fn a_re_invocation_has_its_own_attempts() {
    let operation = step(&leased(), trap(TrapKind::Panic), START).operation;
    let operation = lease(&operation, operation.due);
    let input = Input::Answered(in_progress(Callback::After(Duration::from_secs(5))));
    let operation = step(&operation, input, at(10)).operation;
    assert_eq!((operation.invocation, operation.attempt), (2, 0));
    assert_eq!(operation.due, at(15));
}

#[test]
fn no_pause_or_callback_reaches_beyond_the_deadline() {
    let late = DEADLINE.as_millis() - 1;
    let late = Timestamp::from_millis(late);
    let operation = lease(&pending(), late);
    let retried = step(&operation, trap(TrapKind::Panic), late).operation;
    assert_eq!(retried.due, DEADLINE);
    let input = Input::Answered(in_progress(Callback::After(Duration::MAX)));
    assert_eq!(step(&operation, input, late).operation.due, DEADLINE);
}

#[test]
fn an_operation_that_waits_at_its_deadline_did_not_stabilize() {
    let input = Input::Answered(in_progress(Callback::None));
    let waiting = step(&leased(), input, at(1)).operation;
    let ended = step(&waiting, Input::DeadlinePassed, DEADLINE).operation;
    let (status, code, message) = end(&ended);
    assert_eq!(
        (status, code),
        (Status::Failed, Some(HandlerErrorCode::NotStabilized))
    );
    assert!(message.contains("within 120 minutes"), "{message}");
}

#[test]
fn a_terminal_answer_after_the_deadline_counts_and_a_broken_call_does_not_stabilize() {
    let running = lease(&pending(), DEADLINE.min(at(7_199)));
    let ended = step(&running, Input::Answered(success()), DEADLINE).operation;
    assert_eq!(ended.status, Status::Success);
    let ended = step(&running, trap(TrapKind::Wall), DEADLINE).operation;
    assert_eq!(ended.code, Some(HandlerErrorCode::NotStabilized));
    let input = Input::Answered(failure(HandlerErrorCode::Throttling));
    let ended = step(&running, input, DEADLINE).operation;
    assert_eq!(ended.code, Some(HandlerErrorCode::Throttling));
    let input = Input::Answered(in_progress(Callback::After(Duration::ZERO)));
    let waiting = step(&running, input, DEADLINE).operation;
    let until = DEADLINE.after(Duration::from_secs(60));
    assert_eq!(
        waiting.apply(Input::Leased { until }, DEADLINE, &policy()),
        Err(Refusal::DeadlinePassed)
    );
}

#[test]
fn a_cancel_without_a_live_lease_is_complete_and_reported_as_a_failure() {
    let lapsed = leased();
    let after = lapsed.lease.expect("a lease").until;
    for (operation, now) in [(pending(), START), (lapsed, after)] {
        let told = step(&operation, Input::CancelAsked(CancelReason::Caller), now);
        assert_eq!(
            end(&told.operation),
            (Status::CancelComplete, None, "cancelled".to_owned())
        );
        let reported = told.event.expect("an event").report_status();
        assert_eq!(
            reported,
            Some(ReportStatus::Failed(HandlerErrorCode::InternalFailure))
        );
    }
}

#[test]
fn a_terminal_answer_of_the_running_call_wins_over_a_cancel_and_anything_else_completes_it() {
    let told = step(&leased(), Input::CancelAsked(CancelReason::Caller), at(1));
    let event = told.event.expect("an event");
    assert_eq!(
        (event.kind, event.report_status()),
        (EventKind::CancelAsked, None)
    );
    let cancelling = told.operation;
    assert_eq!(cancelling.status, Status::CancelInProgress);
    let cases = [
        (Input::Answered(success()), Status::Success),
        (
            Input::Answered(failure(HandlerErrorCode::Throttling)),
            Status::Failed,
        ),
        (
            Input::Answered(in_progress(Callback::None)),
            Status::CancelComplete,
        ),
        (trap(TrapKind::Panic), Status::CancelComplete),
        (
            Input::HostFailed {
                message: "no memory".into(),
            },
            Status::CancelComplete,
        ),
    ];
    for (input, status) in cases {
        let told = format!("{input:?}");
        assert_eq!(
            step(&cancelling, input, at(2)).operation.status,
            status,
            "{told}"
        );
    }
}

#[test]
fn a_superseded_operation_is_reported_to_nobody_any_more() {
    let superseded = Input::CancelAsked(CancelReason::Superseded);
    let ended = step(&pending(), superseded.clone(), at(1)).operation;
    assert_eq!(ended.reporting, None);
    assert!(
        end(&ended)
            .2
            .contains("CloudFormation holds another status")
    );

    let running = leased();
    assert_eq!(
        step(&running, superseded.clone(), at(1))
            .operation
            .reporting,
        None
    );

    let caller = Input::CancelAsked(CancelReason::Caller);
    let cancelling = step(&running, caller.clone(), at(1)).operation;
    let again = step(&cancelling, superseded.clone(), at(2));
    assert_eq!(
        (again.operation.reporting.clone(), again.event),
        (None, None)
    );
    for reason in [superseded, caller] {
        assert_eq!(
            again.operation.apply(reason, at(3), &policy()),
            Err(Refusal::AlreadyCancelling)
        );
    }
}

#[test]
fn a_changed_identifier_fails_the_operation_and_the_first_one_is_kept() {
    let named = |event: Answer, name: &str| Answer {
        identifier: Some(identifier(name)),
        ..event
    };
    let first = named(in_progress(Callback::After(Duration::ZERO)), "a");
    let operation = step(&leased(), Input::Answered(first), at(1)).operation;
    assert_eq!(operation.identifier, Some(identifier("a")));
    let operation = lease(&operation, at(1));
    let changed = [
        Input::Answered(named(success(), "b")),
        Input::Answered(named(in_progress(Callback::None), "b")),
        recorded(named(success(), "b")),
        recorded(named(failure(HandlerErrorCode::NotFound), "b")),
    ];
    for input in changed {
        let ended = step(&operation, input, at(2)).operation;
        let (status, code, message) = end(&ended);
        assert_eq!(
            (status, code),
            (Status::Failed, Some(HandlerErrorCode::InternalFailure))
        );
        assert!(message.contains("from `a` to `b`"), "{message}");
        assert_eq!(ended.identifier, Some(identifier("a")));
        assert_eq!(
            ended.model, None,
            "the model of another resource is not shown"
        );
    }
    let input = Input::Answered(named(failure(HandlerErrorCode::NotFound), "b"));
    let ended = step(&operation, input, at(2)).operation;
    assert_eq!(
        (ended.code, ended.model.clone(), ended.identifier.clone()),
        (
            Some(HandlerErrorCode::NotFound),
            None,
            Some(identifier("a"))
        ),
        "a failure stays the failure that it is"
    );
}

#[test]
fn a_resource_that_another_operation_works_on_fails_with_its_model() {
    let answer = Answer {
        identifier: Some(identifier("a")),
        ..success()
    };
    let input = Input::IdentifierTaken { answer };
    let ended = step(&leased(), input, at(1)).operation;
    let (status, code, message) = end(&ended);
    assert_eq!(
        (status, code),
        (Status::Failed, Some(HandlerErrorCode::ResourceConflict))
    );
    assert_eq!(message, "the resource `a` is busy with another operation");
    assert_eq!(ended.model, Some(object(r#"{"Name":"a"}"#)));
    assert_eq!(ended.identifier, None, "the lock is the other operation's");
}

#[test]
fn after_ten_delays_of_zero_in_a_row_the_eleventh_is_a_second() {
    let mut operation = pending();
    let now = at(1);
    for _ in 0..10 {
        operation = lease(&operation, now);
        let input = Input::Answered(in_progress(Callback::After(Duration::ZERO)));
        operation = step(&operation, input, now).operation;
        assert_eq!(operation.due, now);
    }
    operation = lease(&operation, now);
    let input = Input::Answered(in_progress(Callback::After(Duration::ZERO)));
    let event = step(&operation, input, now).event.expect("an event");
    assert_eq!(event.due, at(2));
    assert_eq!(event.callback, Some(Callback::After(Duration::ZERO)));
}

#[test]
fn an_operation_has_no_more_invocations_than_its_type_allows() {
    let policy = Policy {
        max_invocations: 2,
        ..policy()
    };
    let again = || Input::Answered(in_progress(Callback::After(Duration::ZERO)));
    let first = leased()
        .apply(again(), at(1), &policy)
        .expect("the first answer")
        .operation;
    assert_eq!(first.status, Status::InProgress);
    let ended = lease(&first, at(1))
        .apply(again(), at(1), &policy)
        .expect("the second answer")
        .operation;
    let (status, code, message) = end(&ended);
    assert_eq!(
        (status, code),
        (Status::Failed, Some(HandlerErrorCode::NotStabilized))
    );
    assert!(message.contains("after 2 invocations"), "{message}");
}

#[test]
fn without_a_callback_an_operation_waits_for_a_recording_a_cancel_or_its_deadline() {
    let input = Input::Answered(in_progress(Callback::None));
    let waiting = step(&leased(), input, at(1)).operation;
    assert_eq!((waiting.due, waiting.lease), (DEADLINE, None));
    let until = at(60);
    assert_eq!(
        waiting.apply(Input::Leased { until }, at(7_199), &policy()),
        Err(Refusal::Early)
    );
    let input = recorded(in_progress(Callback::After(Duration::ZERO)));
    let told = step(&waiting, input, at(2));
    assert_eq!(told.operation.due, DEADLINE);
    assert_eq!(told.event.expect("an event").report_status(), None);
    for (input, status) in [
        (recorded(success()), Status::Success),
        (
            Input::CancelAsked(CancelReason::Caller),
            Status::CancelComplete,
        ),
    ] {
        assert_eq!(step(&waiting, input, at(3)).operation.status, status);
    }
}

#[test]
fn the_next_invocation_sees_the_context_and_the_model_of_the_last_event_alone() {
    let context = object(r#"{"step":1}"#);
    let shown = object(r#"{"Name":"a"}"#);
    let with_secret = object(r#"{"Name":"a","Secret":"s"}"#);
    let told = Answer {
        event: ProgressEvent::InProgress {
            callback: Callback::After(Duration::ZERO),
            callback_context: Some(context.clone()),
            message: Some("copying".into()),
            model: Some(shown.clone()),
        },
        next_state: Some(with_secret.clone()),
        identifier: None,
        filled_in: false,
        warnings: Vec::new(),
    };
    let first = step(&leased(), Input::Answered(told), at(1)).operation;
    assert_eq!(first.model, Some(shown.clone()), "shown without the secret");
    assert_eq!(
        first.invocation_of().expect("an invocation").call,
        Call::Create {
            desired_state: with_secret.clone(),
            callback_context: Some(context.clone()),
        }
    );

    let tried = step(&lease(&first, at(1)), trap(TrapKind::Panic), at(2)).operation;
    let repeated = tried.invocation_of().expect("an invocation");
    assert_eq!(
        repeated.call,
        first.invocation_of().expect("an invocation").call,
        "a retry sees the same"
    );

    let silent = Input::Answered(in_progress(Callback::After(Duration::ZERO)));
    let second = step(&lease(&tried, tried.due), silent, at(5)).operation;
    assert_eq!(
        second.model,
        Some(shown),
        "without a model the last one shows"
    );
    assert_eq!(
        second.invocation_of().expect("an invocation").call,
        Call::Create {
            desired_state: with_secret,
            callback_context: None,
        },
        "a context that is not given again is gone"
    );
}

#[test]
fn each_mutation_makes_its_own_call() {
    for mutation in Mutation::ALL {
        let mut new = new_operation();
        new.mutation = mutation;
        new.work.previous_state = Some(object("{}"));
        let operation = Operation::accept(token(1), new, START).operation;
        let call = operation.invocation_of().expect("an invocation").call;
        assert_eq!(call.action(), mutation.into());
    }
}

#[test]
fn an_ended_operation_keeps_no_work_and_makes_no_invocation() {
    let ended = step(&leased(), Input::Answered(success()), at(3)).operation;
    assert_eq!((&ended.work, ended.lease), (&None, None));
    assert_eq!(ended.invocation_of(), None);
    assert_eq!((ended.ended_at, ended.due), (Some(at(3)), at(3)));
    assert_eq!(end(&ended), (Status::Success, None, "made".to_owned()));
}

#[test]
fn an_event_without_a_model_leaves_the_known_one_in_force() {
    let with = |model: &str, filled_in| Answer {
        event: ProgressEvent::InProgress {
            callback: Callback::After(Duration::ZERO),
            callback_context: None,
            message: None,
            model: Some(object(model)),
        },
        filled_in,
        ..in_progress(Callback::None)
    };
    let state = r#"{"Name":"a"}"#;
    let known = r#"{"Name":"a","Id":"1"}"#;
    let first = step(&leased(), Input::Answered(with(state, true)), at(1)).operation;
    assert_eq!(
        first.model,
        Some(object(state)),
        "the state, where nothing is known"
    );
    let own = Input::Answered(with(known, false));
    let told = step(&lease(&first, at(1)), own, at(2)).operation;
    let input = Input::Answered(with(state, true));
    for later in [
        step(&lease(&told, at(2)), input, at(3)),
        step(&told, recorded(with(state, true)), at(3)),
    ] {
        assert_eq!(later.operation.model, Some(object(known)));
        assert_eq!(later.event.expect("an event").model, Some(object(known)));
    }
}

#[test]
fn write_only_values_are_let_go_with_what_succeeds_and_with_what_is_gone() {
    let of = |mutation, input| {
        let new = NewOperation {
            mutation,
            ..new_operation()
        };
        let operation = Operation::accept(token(7), new, START).operation;
        step(&lease(&operation, START), input, at(1)).write_only
    };
    let not_found = || Input::Answered(failure(HandlerErrorCode::NotFound));
    let denied = Input::Answered(failure(HandlerErrorCode::AccessDenied));
    assert_eq!(
        of(Mutation::Create, Input::Answered(success())),
        WriteOnly::Forget
    );
    assert_eq!(of(Mutation::Delete, not_found()), WriteOnly::Forget);
    assert_eq!(of(Mutation::Delete, denied), WriteOnly::AsIs);
    assert_eq!(of(Mutation::Update, not_found()), WriteOnly::AsIs);
}

#[test]
fn a_deleted_resource_has_no_model() {
    let told = Answer {
        event: ProgressEvent::InProgress {
            callback: Callback::After(Duration::ZERO),
            callback_context: None,
            message: None,
            model: Some(object(r#"{"Name":"a"}"#)),
        },
        ..in_progress(Callback::None)
    };
    let operation = step(&leased(), Input::Answered(told), at(1)).operation;
    let gone = answer(ProgressEvent::Success {
        message: None,
        model: None,
    });
    let ended = step(&lease(&operation, at(1)), Input::Answered(gone), at(2)).operation;
    assert_eq!(ended.model, None);
}

#[test]
fn what_a_store_keeps_is_taken_back_as_it_was() {
    let operation = leased();
    assert_eq!(
        Operation::restore(operation.clone().into_state()),
        operation
    );
}

#[test]
fn what_is_due_at_once_is_leased_by_the_change_that_makes_it_due() {
    let until = at(60);
    let accepted = Operation::accept(token(1), new_operation(), START);
    let told = accepted.event.clone();
    let leased = accepted.leased(until, START);
    assert_eq!(leased.event, told, "what is told stays");
    let operation = leased.operation;
    assert_eq!(operation.lease, Some(Lease { number: 1, until }));
    assert_eq!(
        (operation.status, operation.version, operation.attempt),
        (Status::InProgress, 1, 1)
    );
    let going = |seconds| {
        let event = ProgressEvent::InProgress {
            callback: Callback::After(Duration::from_secs(seconds)),
            callback_context: None,
            message: None,
            model: None,
        };
        let answer = Answer {
            event,
            next_state: None,
            identifier: None,
            filled_in: false,
            warnings: Vec::new(),
        };
        let next = operation.apply(Input::Answered(answer), at(1), &Policy::default());
        next.expect("it is leased").leased(at(61), at(1)).operation
    };
    let again = going(0);
    assert_eq!(again.lease.map(|lease| lease.number), Some(again.version));
    assert_eq!((again.version, again.invocation, again.attempt), (2, 2, 1));
    let waits = going(5);
    assert_eq!((waits.lease, waits.attempt), (None, 0), "it is early");
    let ended = operation.apply(Input::DeadlinePassed, DEADLINE, &Policy::default());
    let ended = ended.expect("it is over").leased(DEADLINE, DEADLINE);
    assert_eq!(ended.operation.lease, None);
}
