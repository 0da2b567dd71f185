//! Chains as timelines.

use formwork_host::model::{Answer, HandlerErrorCode, ProgressEvent, RequestToken, Trap, TrapKind};
use formwork_host::operation::{CancelReason, Input, Policy, Transition};

use super::*;
use crate::operations::tests::new_operation;

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
        let accepted = Operation::accept(RequestToken::from_bytes([7; 16]), new_operation(), at(0));
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

    /// Says of the last event when its invocation began.
    fn begun(mut self, millis: u64) -> Self {
        self.events.last_mut().expect("an event").began = Some(at(millis));
        self
    }

    /// Says of the last event when its report was accepted.
    fn reported(mut self, millis: u64) -> Self {
        self.events.last_mut().expect("an event").delivered = Some(at(millis));
        self
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

    /// Compares how the lines of a pipe begin, without their bars.
    fn check(&self, now: u64, expected: &[&str]) {
        let lines = draw(&self.operation, &self.events, at(now), None);
        let plain: Vec<String> = lines.iter().map(|line| plain(line)).collect();
        assert_eq!(plain.len(), expected.len(), "{lines:#?}");
        for (line, expected) in plain.iter().zip(expected) {
            assert!(line.starts_with(expected), "{expected}: {lines:#?}");
        }
    }
}

/// Gives the words of a line.
fn plain(line: &str) -> String {
    let words = line.split_whitespace();
    let words = words.filter(|word| !word.contains(['█', '░', '│']));
    words.collect::<Vec<_>>().join(" ")
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
    chain.check(
        70_000,
        &[
            "+0 ms accepted",
            "+0 ms 12 ms invocation 1 IN_PROGRESS Packing the archive",
            "+12 ms 5.00 s waits",
            "+5.01 s 18 ms invocation 2 IN_PROGRESS Packing the archive",
            "+5.03 s 1 min waits",
            "+1 min 6 s 70 ms invocation 3 SUCCESS",
        ],
    );
}

#[test]
fn an_invocation_is_drawn_from_when_it_began_and_an_event_says_when_it_was_reported() {
    let chain = Chain::new()
        .reported(40)
        .goes_on(4, 12, 5)
        .begun(4)
        .leased(7_000)
        .happens(succeeded(), 7_100)
        .begun(7_010)
        .reported(9_100);
    chain.check(
        10_000,
        &[
            "+0 ms accepted (reported after 40 ms)",
            "+4 ms 8 ms invocation 1 IN_PROGRESS Packing the archive",
            "+12 ms 5.00 s waits",
            "+5.01 s 2.00 s waits to be begun",
            "+7.01 s 90 ms invocation 2 SUCCESS (reported after 2.00 s)",
        ],
    );
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
    let begins = ["+0 ms accepted", "+0 ms 12 ms invocation 1 IN_PROGRESS"];
    let check = |chain: Chain, now, rest: &[&str]| {
        chain.check(now, &[&begins[..], rest].concat());
    };
    check(waiting(), 10_012, &["+12 ms 10.00 s waits, 50 s more"]);
    check(
        waiting(),
        60_500,
        &["+12 ms 1 min waits", "+1 min 1 s 488 ms is due"],
    );
    check(
        waiting().leased(60_100),
        61_000,
        &[
            "+12 ms 1 min waits",
            "+1 min 1 s 988 ms invocation 2 is running",
        ],
    );
    check(
        waiting().leased(60_100),
        200_000,
        &[
            "+12 ms 1 min waits",
            "+1 min 1 s 2 min 20 s invocation 2 was interrupted",
        ],
    );
}

#[test]
fn a_cancel_between_invocations_is_no_invocation() {
    let cancel = Input::CancelAsked(CancelReason::Caller);
    Chain::new()
        .goes_on(1, 12, 60)
        .happens(cancel.clone(), 10_000)
        .check(
            90_000,
            &[
                "+0 ms accepted",
                "+0 ms 12 ms invocation 1 IN_PROGRESS",
                "+12 ms 9.99 s waits",
                "+10.00 s CANCEL_COMPLETE cancelled",
            ],
        );
    Chain::new()
        .leased(0)
        .happens(cancel, 500)
        .happens(succeeded(), 900)
        .check(
            90_000,
            &[
                "+0 ms accepted",
                "+500 ms cancel asked",
                "+0 ms 900 ms invocation 1 SUCCESS",
            ],
        );
}

#[test]
fn what_a_worker_had_is_drawn_also_after_the_deadline_and_what_none_had_never() {
    Chain::new()
        .leased(7_199_000)
        .happens(succeeded(), 7_200_500)
        .begun(7_199_000)
        .check(
            7_300_000,
            &[
                "+0 ms accepted",
                "+0 ms 1 h 59 min waits to be begun",
                "+1 h 59 min 1.50 s invocation 1 SUCCESS",
            ],
        );
    let trap = Trap {
        kind: TrapKind::Panic,
        message: "boom".to_owned(),
    };
    let chain = Chain::new().leased(0).happens(Input::Trapped(trap), 20);
    let cancel = Input::CancelAsked(CancelReason::Caller);
    chain.happens(cancel, 60_000).check(
        90_000,
        &[
            "+0 ms accepted",
            "+0 ms 20 ms invocation 1, attempt 1 failed",
            "+20 ms",
            "+1 min CANCEL_COMPLETE cancelled",
        ],
    );
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
