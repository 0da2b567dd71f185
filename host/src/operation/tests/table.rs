//! Every status, every lease and every input.

use super::*;

/// What becomes of an operation, by its status and lease: the new status, or
/// the refusal in lower case. `live` and `lapsed` are the lease's state.
const TABLE: &str = "
                       PENDING        IN_PROGRESS    IN_PROGRESS/live   IN_PROGRESS/lapsed CANCEL_IN_PROGRESS/live CANCEL_IN_PROGRESS/lapsed
leased                 IN_PROGRESS    IN_PROGRESS    leased             leased             leased                  leased
leased-early           early          early          leased             leased             leased                  leased
leased-past-deadline   past           past           leased             leased             leased                  leased
answered-in-progress   not-leased     not-leased     IN_PROGRESS        IN_PROGRESS        CANCEL_COMPLETE         CANCEL_COMPLETE
answered-success       not-leased     not-leased     SUCCESS            SUCCESS            SUCCESS                 SUCCESS
answered-failed        not-leased     not-leased     FAILED             FAILED             FAILED                  FAILED
answered-throttling    not-leased     not-leased     IN_PROGRESS        IN_PROGRESS        FAILED                  FAILED
identifier-taken       not-leased     not-leased     FAILED             FAILED             FAILED                  FAILED
trapped-panic          not-leased     not-leased     IN_PROGRESS        IN_PROGRESS        CANCEL_COMPLETE         CANCEL_COMPLETE
trapped-memory         not-leased     not-leased     FAILED             FAILED             CANCEL_COMPLETE         CANCEL_COMPLETE
host-failed            not-leased     not-leased     IN_PROGRESS        IN_PROGRESS        CANCEL_COMPLETE         CANCEL_COMPLETE
lease-lapsed           not-leased     not-leased     leased             IN_PROGRESS        leased                  CANCEL_COMPLETE
refused                not-leased     not-leased     FAILED             FAILED             FAILED                  FAILED
recorded-in-progress   IN_PROGRESS    IN_PROGRESS    IN_PROGRESS        IN_PROGRESS        CANCEL_IN_PROGRESS      CANCEL_IN_PROGRESS
recorded-success       SUCCESS        SUCCESS        SUCCESS            SUCCESS            SUCCESS                 SUCCESS
recorded-failed        FAILED         FAILED         FAILED             FAILED             FAILED                  FAILED
cancel-by-caller       CANCEL_COMPLETE CANCEL_COMPLETE CANCEL_IN_PROGRESS CANCEL_COMPLETE  cancelling              CANCEL_COMPLETE
cancel-superseded      CANCEL_COMPLETE CANCEL_COMPLETE CANCEL_IN_PROGRESS CANCEL_COMPLETE  CANCEL_IN_PROGRESS      CANCEL_COMPLETE
deadline-early         early          early          early              early              early                   early
deadline               FAILED         FAILED         leased             FAILED             leased                  CANCEL_COMPLETE
";

/// When an input comes: at once, while waiting, or at the deadline.
enum When {
    Now,
    Waiting,
    Deadline,
}

/// Every input by its name in the table.
fn inputs() -> Vec<(&'static str, Input, When)> {
    let leased = || Input::Leased {
        until: DEADLINE.after(Duration::from_secs(60)),
    };
    let after = Callback::After(Duration::from_secs(1));
    vec![
        ("leased", leased(), When::Now),
        ("leased-early", leased(), When::Waiting),
        ("leased-past-deadline", leased(), When::Deadline),
        (
            "answered-in-progress",
            Input::Answered(in_progress(after)),
            When::Now,
        ),
        ("answered-success", Input::Answered(success()), When::Now),
        (
            "answered-failed",
            Input::Answered(failure(HandlerErrorCode::NotFound)),
            When::Now,
        ),
        (
            "answered-throttling",
            Input::Answered(failure(HandlerErrorCode::Throttling)),
            When::Now,
        ),
        (
            "identifier-taken",
            Input::IdentifierTaken { answer: success() },
            When::Now,
        ),
        ("trapped-panic", trap(TrapKind::Panic), When::Now),
        ("trapped-memory", trap(TrapKind::Memory), When::Now),
        (
            "host-failed",
            Input::HostFailed {
                message: "no room".into(),
            },
            When::Now,
        ),
        ("lease-lapsed", Input::LeaseLapsed, When::Now),
        (
            "refused",
            Input::Refused(Fault {
                code: HandlerErrorCode::ResourceConflict,
                message: "busy".to_owned(),
            }),
            When::Now,
        ),
        (
            "recorded-in-progress",
            recorded(in_progress(after)),
            When::Now,
        ),
        ("recorded-success", recorded(success()), When::Now),
        (
            "recorded-failed",
            recorded(failure(HandlerErrorCode::Throttling)),
            When::Now,
        ),
        (
            "cancel-by-caller",
            Input::CancelAsked(CancelReason::Caller),
            When::Now,
        ),
        (
            "cancel-superseded",
            Input::CancelAsked(CancelReason::Superseded),
            When::Now,
        ),
        ("deadline-early", Input::DeadlinePassed, When::Now),
        ("deadline", Input::DeadlinePassed, When::Deadline),
    ]
}

/// Holds the table to every kind of input: a new one does not compile.
fn prefix(input: &Input) -> &'static str {
    match input {
        Input::Leased { .. } => "leased",
        Input::Answered(_) => "answered",
        Input::IdentifierTaken { .. } => "identifier-taken",
        Input::Trapped(_) => "trapped",
        Input::HostFailed { .. } => "host-failed",
        Input::LeaseLapsed => "lease-lapsed",
        Input::Refused(_) => "refused",
        Input::Recorded { .. } => "recorded",
        Input::CancelAsked(_) => "cancel",
        Input::DeadlinePassed => "deadline",
    }
}

/// An operation of `column`, due at `due`, as it can be `now`.
fn operation(column: &str, due: Timestamp, now: Timestamp) -> Operation {
    let (status, lease) = column.split_once('/').unwrap_or((column, "none"));
    let mut state = pending().into_state();
    state.status = status.parse().expect("a status");
    state.due = due;
    let until = match lease {
        "live" => Some(now.after(Duration::from_millis(1))),
        "lapsed" => Some(now),
        "none" => None,
        other => panic!("no lease is `{other}`"),
    };
    state.lease = until.map(|until| Lease { number: 2, until });
    state.attempt = u32::from(state.lease.is_some());
    if state.status.is_terminal() {
        state.work = None;
        state.ended_at = Some(now);
    }
    Operation::restore(state)
}

fn outcome(column: &str, input: Input, when: &When) -> String {
    let (due, now) = match when {
        When::Now => (at(10), at(10)),
        When::Waiting => (at(11), at(10)),
        When::Deadline => (at(10), DEADLINE),
    };
    match operation(column, due, now).apply(input, now, &policy()) {
        Ok(transition) => transition.operation.status.to_string(),
        Err(refusal) => match refusal {
            Refusal::Ended => "ended",
            Refusal::Leased => "leased",
            Refusal::NotLeased => "not-leased",
            Refusal::Early => "early",
            Refusal::DeadlinePassed => "past",
            Refusal::AlreadyCancelling => "cancelling",
        }
        .to_owned(),
    }
}

#[test]
fn each_status_has_an_answer_to_each_input() {
    let mut rows = TABLE.trim_start_matches('\n').lines();
    let columns: Vec<&str> = rows.next().expect("a head").split_whitespace().collect();
    let mut named = Vec::new();
    for row in rows {
        let mut cells = row.split_whitespace();
        let name = cells.next().expect("a name");
        let (_, input, when) = inputs()
            .into_iter()
            .find(|(found, ..)| *found == name)
            .expect(name);
        assert!(name.starts_with(prefix(&input)), "{name}");
        let cells: Vec<&str> = cells.collect();
        assert_eq!(cells.len(), columns.len(), "{name}");
        for (column, cell) in columns.iter().zip(cells) {
            assert_eq!(
                outcome(column, input.clone(), &when),
                cell,
                "{name} on {column}"
            );
        }
        named.push(name);
    }
    let all: Vec<&str> = inputs().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(named, all, "each input has its row");
}

#[test]
fn terminal_absorbs() {
    for status in Status::ALL
        .into_iter()
        .filter(|status| status.is_terminal())
    {
        for (name, input, when) in inputs() {
            assert_eq!(
                outcome(status.as_str(), input, &when),
                "ended",
                "{name} on {status}"
            );
        }
    }
}
