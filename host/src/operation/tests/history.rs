//! The invariants over random histories.

use proptest::prelude::*;

use super::*;

fn callback() -> impl Strategy<Value = Callback> {
    prop_oneof![
        4 => prop_oneof![Just(0_u64), 1..90_u64, Just(u64::MAX)]
            .prop_map(|seconds| Callback::After(Duration::from_secs(seconds))),
        1 => Just(Callback::None),
    ]
}

fn event() -> impl Strategy<Value = ProgressEvent> {
    let model = || prop::option::of((0..5_u8).prop_map(|n| object(&format!(r#"{{"Size":{n}}}"#))));
    let context = prop::option::of((0..5_u8).prop_map(|n| object(&format!(r#"{{"step":{n}}}"#))));
    prop_oneof![
        6 => (callback(), context, model()).prop_map(|(callback, callback_context, model)| {
            ProgressEvent::InProgress { callback, callback_context, message: None, model }
        }),
        1 => model().prop_map(|model| ProgressEvent::Success { message: None, model }),
        2 => (prop::sample::select(&HandlerErrorCode::ALL[..]), model()).prop_map(
            |(code, model)| ProgressEvent::Failed { code, message: "no".into(), model }
        ),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let name = prop::option::weighted(0.5, prop_oneof![9 => Just("a"), 1 => Just("b")]);
    (event(), name).prop_map(|(event, name)| Answer {
        identifier: name.map(identifier),
        ..answer(event)
    })
}

/// An input and how long after the one before it comes. A lease's end is
/// relative to the moment, so it is set when the step is taken.
fn steps() -> impl Strategy<Value = Vec<(Duration, Input)>> {
    let input = prop_oneof![
        12 => Just(Input::Leased { until: Timestamp::from_millis(60_000) }),
        8 => any_answer().prop_map(Input::Answered),
        1 => any_answer().prop_map(|answer| Input::IdentifierTaken { answer }),
        2 => prop_oneof![Just(TrapKind::Panic), Just(TrapKind::Memory)].prop_map(trap),
        1 => Just(Input::HostFailed { message: "no room".into() }),
        2 => Just(Input::LeaseLapsed),
        2 => any_answer().prop_map(recorded),
        1 => prop_oneof![Just(CancelReason::Caller), Just(CancelReason::Superseded)]
            .prop_map(Input::CancelAsked),
        1 => Just(Input::DeadlinePassed),
    ];
    let pause = prop_oneof![
        4 => Just(0_u64),
        4 => 1..5_000_u64,
        2 => 5_000..120_000_u64,
        1 => 120_000..3_600_000_u64,
    ];
    prop::collection::vec((pause.prop_map(Duration::from_millis), input), 1..60)
}

fn small_policy() -> impl Strategy<Value = Policy> {
    (1..4_u32, 1..8_u32, 0..3_u32).prop_map(|(attempts, max_invocations, zero_delays)| Policy {
        attempts,
        max_invocations,
        zero_delays,
        ..Policy::default()
    })
}

const fn rank(status: Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::InProgress => 1,
        Status::CancelInProgress => 2,
        Status::Success | Status::Failed | Status::CancelComplete => 3,
    }
}

/// Checks one committed change.
fn check(
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
    assert_eq!(
        (
            after.token,
            &after.type_name,
            after.mutation,
            after.component
        ),
        (
            before.token,
            &before.type_name,
            before.mutation,
            before.component
        )
    );
    assert_eq!(
        (after.accepted_at, after.deadline),
        (before.accepted_at, before.deadline)
    );
    if before.identifier.is_some() {
        assert_eq!(after.identifier, before.identifier);
    }
    assert_eq!(
        after.work.is_none(),
        ended,
        "work while there is some to do"
    );
    assert_eq!(after.ended_at, ended.then_some(now));
    assert_eq!(after.code.is_some(), after.status == Status::Failed);
    assert!(!ended || after.lease.is_none());
    assert!(ended || after.due <= after.deadline);
    assert!(after.invocation <= policy.max_invocations);
    assert!(after.attempt <= policy.attempts);
    assert!(after.status != Status::CancelInProgress || after.lease.is_some());
    if let Some(event) = &transition.event {
        assert_eq!(
            (event.token, event.version, event.status, event.at),
            (after.token, after.version, after.status, now)
        );
        assert_eq!(event.kind == EventKind::Ended, ended);
    }
    match input {
        Input::Leased { .. } => {
            assert!(now >= before.due, "a callback is never early");
            assert!(now < before.deadline);
            assert_eq!(after.lease.map(|lease| lease.number), Some(after.version));
            assert_eq!(after.work, before.work);
        }
        Input::Answered(answer) | Input::Recorded { answer, .. } => {
            let ProgressEvent::InProgress {
                callback,
                callback_context,
                ..
            } = &answer.event
            else {
                return;
            };
            if let Some(work) = &after.work {
                assert_eq!(work.callback_context, *callback_context);
            }
            if let (Input::Answered(_), Callback::After(asked), false) = (input, callback, ended) {
                assert!(after.due >= now.after(*asked).min(after.deadline));
            }
        }
        Input::Trapped(_) | Input::HostFailed { .. } | Input::LeaseLapsed => {
            assert!(ended || after.work == before.work, "a retry sees the same");
            assert!(ended || after.due >= now.after(policy.backoff / 2).min(after.deadline));
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

proptest! {
    #[test]
    fn the_invariants_hold_over_every_history(steps in steps(), policy in small_policy()) {
        let mut operation = pending();
        let mut now = START;
        for (pause, input) in steps {
            now = now.after(pause);
            let input = match input {
                Input::Leased { until } => {
                    // A worker comes when the operation is due, if that is near.
                    if operation.due.since(now) < Duration::from_secs(120) {
                        now = now.max(operation.due);
                    }
                    Input::Leased { until: now.after(Duration::from_millis(until.as_millis())) }
                }
                other @ (Input::Answered(_)
                | Input::IdentifierTaken { .. }
                | Input::Trapped(_)
                | Input::HostFailed { .. }
                | Input::LeaseLapsed
                | Input::Refused(_)
                | Input::Recorded { .. }
                | Input::CancelAsked(_)
                | Input::DeadlinePassed) => other,
            };
            match operation.apply(input.clone(), now, &policy) {
                Ok(transition) => {
                    check(&operation, &input, &transition, now, &policy);
                    operation = transition.operation;
                }
                Err(refusal) => prop_assert_eq!(
                    refusal == Refusal::Ended,
                    operation.status.is_terminal()
                ),
            }
        }
        // Whatever happened, the deadline ends it once no worker runs it.
        if !operation.status.is_terminal() {
            let late = operation.deadline.max(now).after(Duration::from_secs(3_600));
            let ended = operation.apply(Input::DeadlinePassed, late, &policy);
            prop_assert!(ended.is_ok_and(|told| told.operation.status.is_terminal()));
        }
    }
}
