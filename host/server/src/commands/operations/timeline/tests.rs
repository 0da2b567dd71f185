//! Chains as timelines.

use expect_test::{Expect, expect};
use formwork_host::model::{
    Answer, Digest, HandlerErrorCode, JsonObject, Mutation, ProgressEvent, RequestDetails,
    RequestToken, Scope, Trap, TrapKind,
};
use formwork_host::operation::{CancelReason, Input, NewOperation, Policy, Transition, Work};

use super::*;

const START: u64 = 1_700_000_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

/// What happens to an operation, and when.
struct Chain {
    operation: Operation,
    events: Vec<Event>,
}

impl Chain {
    fn new() -> Self {
        let new = NewOperation {
            scope: Scope::default(),
            type_name: "Acme::Test::Thing".parse().expect("a type"),
            mutation: Mutation::Create,
            component: Digest::from_bytes([1; 32]),
            deadline: at(7_200_000),
            work: Work {
                desired_state: JsonObject::parse("{}").expect("an object"),
                previous_state: None,
                callback_context: None,
                details: RequestDetails::default(),
                fault: None,
            },
            identifier: None,
            reporting: None,
        };
        let accepted = Operation::accept(RequestToken::from_bytes([7; 16]), new, at(0));
        Self {
            operation: accepted.operation,
            events: accepted.event.into_iter().collect(),
        }
    }

    fn happens(mut self, input: Input, millis: u64) -> Self {
        let policy = Policy::default();
        let Transition {
            operation, event, ..
        } = self
            .operation
            .apply(input, at(millis), &policy)
            .expect("it applies");
        self.operation = operation;
        self.events.extend(event);
        self
    }

    fn leased(self, millis: u64) -> Self {
        let until = at(millis + 60_000);
        self.happens(Input::Leased { until }, millis)
    }

    /// Is invoked from one moment to another, and asks for a callback.
    fn goes_on(self, from: u64, until: u64, seconds: u64) -> Self {
        let event = ProgressEvent::InProgress {
            callback: Callback::After(Duration::from_secs(seconds)),
            callback_context: None,
            message: Some("Packing the archive".to_owned()),
            model: None,
        };
        self.leased(from).happens(answered(event), until)
    }

    fn check(&self, now: u64, width: Option<usize>, expected: &Expect) {
        let lines = draw(&self.operation, &self.events, at(now), width);
        for line in &lines {
            let width = width.unwrap_or(usize::MAX);
            assert!(measure_text_width(line) <= width, "{width}: {line}");
        }
        expected.assert_eq(&(lines.join("\n") + "\n"));
    }
}

fn answered(event: ProgressEvent) -> Input {
    Input::Answered(Answer {
        event,
        next_state: None,
        identifier: None,
        filled_in: false,
        warnings: Vec::new(),
    })
}

fn succeeded() -> Input {
    answered(ProgressEvent::Success {
        message: None,
        model: None,
    })
}

#[test]
fn a_chain_shows_what_ran_and_what_was_waited_for() {
    let chain = Chain::new()
        .goes_on(1, 12, 5)
        .goes_on(5_013, 5_030, 60)
        .leased(65_031)
        .happens(succeeded(), 65_100);
    chain.check(70_000, None, &expect![[r#""#]]);
    chain.check(70_000, Some(80), &expect![[r#""#]]);
    chain.check(70_000, Some(40), &expect![[r#""#]]);
}

#[test]
fn a_retry_and_a_failure_say_why() {
    let trap = Trap {
        kind: TrapKind::Panic,
        message: "boom".to_owned(),
    };
    let failed = ProgressEvent::Failed {
        code: HandlerErrorCode::AccessDenied,
        message: "no \u{1b}[31mway".to_owned(),
        model: None,
    };
    let chain = Chain::new().leased(0).happens(Input::Trapped(trap), 20);
    let due = chain.operation.due.since(at(0));
    assert!(due < Duration::from_secs(2));
    let chain = chain.leased(2_000).happens(answered(failed), 2_500);
    let lines = draw(&chain.operation, &chain.events, at(9_000), None).join("\n");
    for said in [
        "invocation 1, attempt 1  failed  trap (panic): boom",
        "waits to try again",
        "invocation 1, attempt 2  FAILED  AccessDenied: no \u{fffd}[31mway",
    ] {
        assert!(lines.contains(said), "{said}: {lines}");
    }
}

#[test]
fn what_has_not_ended_says_what_it_does_now() {
    let waiting = || Chain::new().goes_on(1, 12, 60);
    waiting().check(10_012, None, &expect![[r#""#]]);
    waiting().check(60_500, None, &expect![[r#""#]]);
    waiting()
        .leased(60_100)
        .check(61_000, None, &expect![[r#""#]]);
    waiting()
        .leased(60_100)
        .check(200_000, None, &expect![[r#""#]]);
}

#[test]
fn a_cancel_between_invocations_is_no_invocation() {
    let cancel = Input::CancelAsked(CancelReason::Caller);
    Chain::new()
        .goes_on(1, 12, 60)
        .happens(cancel.clone(), 10_000)
        .check(90_000, None, &expect![[r#""#]]);
    Chain::new()
        .leased(0)
        .happens(cancel, 500)
        .happens(succeeded(), 900)
        .check(90_000, None, &expect![[r#""#]]);
}

#[test]
fn no_width_is_too_narrow() {
    let chain = Chain::new()
        .goes_on(1, 12, 5)
        .leased(5_012)
        .happens(succeeded(), 5_020);
    for width in 20..140 {
        for line in draw(&chain.operation, &chain.events, at(9_000), Some(width)) {
            assert!(measure_text_width(&line) <= width, "{width}: {line}");
        }
    }
}
