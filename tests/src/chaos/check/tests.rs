use std::time::Duration;

use formwork_host::model::{RequestToken, Timestamp};

use super::*;
use crate::chaos::evidence::{Accepted, Seen};
use crate::chaos::schedule::{Mutation, Plan, Step};

const KEY: &str = "s1-n1-create";
const TOKEN: RequestToken = RequestToken::from_bytes([7; 16]);

fn event(version: u64, at: u64, kind: EventKind, (invocation, attempt): (u32, u32)) -> Event {
    let (status, message) = match kind {
        EventKind::Accepted => (Status::Pending, None),
        EventKind::Retried => (Status::InProgress, Some("the host was lost".to_owned())),
        EventKind::Ended => (Status::Success, Some(said(invocation, attempt))),
        _ => (Status::InProgress, Some(said(invocation, attempt))),
    };
    Event {
        token: TOKEN,
        version,
        at: Timestamp::from_millis(at),
        began: None,
        kind,
        status,
        invocation,
        attempt,
        message,
        code: None,
        callback: None,
        delivered: None,
        due: Timestamp::from_millis(at),
        client_token: None,
        model: None,
    }
}

fn said(invocation: u32, attempt: u32) -> String {
    format!("[CREATE invocation={invocation} attempt={attempt} token={TOKEN}]")
}

fn invocation(number: u32, attempt: u32, at: u64, seen: &[&str]) -> Invocation {
    Invocation {
        token: TOKEN.to_string(),
        action: "CREATE".to_owned(),
        name: "s1-n1".to_owned(),
        invocation: number,
        attempt,
        at,
        seen_at: Some(at),
        seen: seen.iter().map(|&seen| seen.to_owned()).collect(),
    }
}

fn report(version: u64, status: &str, taken: bool) -> Report {
    Report {
        bearer: KEY.to_owned(),
        version,
        status: status.to_owned(),
        taken,
    }
}

fn seen(at: u64, status: &str) -> Seen {
    Seen {
        at,
        status: status.to_owned(),
        code: None,
        message: None,
    }
}

/// A create of two invocations. The host is lost in the first, the answer of
/// the endpoint to the last report.
fn good() -> Evidence {
    let plan = Plan {
        name: "s1-n1".to_owned(),
        mutation: Mutation::Create,
        door: Door::Event,
        steps: vec![Step { works: 0, delay: 1 }],
        works: 0,
        end: End::Success,
        cancelled_after: None,
        asked_again: false,
    };
    let progressed = Event {
        callback: Some(Callback::After(Duration::from_secs(1))),
        due: Timestamp::from_millis(2_310),
        ..event(5, 1_310, EventKind::Progressed, (1, 2))
    };
    let retried = Event {
        due: Timestamp::from_millis(1_300),
        ..event(3, 1_200, EventKind::Retried, (1, 1))
    };
    let asked = Asked {
        plan,
        sent: 2,
        accepted: vec![Accepted {
            at: 1_001,
            token: None,
        }],
        seen: vec![
            seen(1_100, "IN_PROGRESS"),
            seen(2_400, "SUCCESS"),
            seen(9_000, "SUCCESS"),
        ],
        refused: Vec::new(),
    };
    Evidence {
        asked: [(KEY.to_owned(), asked)].into(),
        invocations: vec![
            invocation(1, 1, 1_010, &[]),
            invocation(1, 2, 1_300, &[]),
            invocation(2, 1, 2_310, &["CREATE 1.2"]),
        ],
        reports: vec![
            report(1, "IN_PROGRESS", true),
            report(5, "IN_PROGRESS", false),
            report(5, "IN_PROGRESS", true),
            report(7, "SUCCESS", true),
            report(7, "SUCCESS", true),
        ],
        histories: vec![History {
            token: TOKEN.to_string(),
            name: "s1-n1".to_owned(),
            mutation: Mutation::Create,
            status: Status::Success,
            events: vec![
                event(1, 1_000, EventKind::Accepted, (1, 0)),
                retried,
                progressed,
                event(7, 2_320, EventKind::Ended, (2, 1)),
            ],
            unreported: 0,
        }],
        // The one while it works, and one before and one after.
        losses: Some(vec![900, 1_100, 9_000]),
    }
}

fn asked(evidence: &mut Evidence) -> &mut Asked {
    evidence.asked.get_mut(KEY).expect("it was asked for")
}

#[test]
fn a_campaign_without_a_fault_breaks_no_rule() {
    assert_eq!(violations(&good()), []);
    assert!(good().tell(KEY).contains("stored"));
}

#[test]
fn each_rule_finds_what_it_is_there_to_find() {
    type Plant = fn(&mut Evidence);
    let plants: &[(Rule, Plant)] = &[
        (Rule::Lost, |e| e.histories.clear()),
        (Rule::Stuck, |e| asked(e).accepted.clear()),
        (Rule::Stuck, |e| asked(e).seen.truncate(1)),
        (Rule::Stuck, |e| {
            e.histories[0].status = Status::InProgress;
        }),
        (Rule::Ends, |e| {
            e.histories[0].events.pop();
        }),
        (Rule::Ends, |e| {
            let again = event(8, 2_330, EventKind::Ended, (2, 1));
            e.histories[0].events.push(again);
        }),
        (Rule::Ends, |e| {
            let late = event(8, 2_330, EventKind::Progressed, (3, 1));
            e.histories[0].events.push(late);
        }),
        (Rule::Ends, |e| {
            e.histories[0].events[3].status = Status::Failed;
        }),
        (Rule::Ends, |e| {
            asked(e).seen[1].status = "FAILED".to_owned();
        }),
        (Rule::Ends, |e| {
            asked(e).seen.push(seen(9_999, "IN_PROGRESS"));
        }),
        (Rule::Ends, |e| {
            asked(e).seen[2].message = Some("otherwise".to_owned());
        }),
        (Rule::Outcome, |e| asked(e).plan.end = End::Failure),
        (Rule::Outcome, |e| {
            e.histories[0].status = Status::CancelComplete;
        }),
        (Rule::Outcome, |e| {
            asked(e).plan.end = End::Failure;
            e.histories[0].status = Status::Failed;
            e.histories[0].events[3].code = Some(HandlerErrorCode::InternalFailure);
        }),
        (Rule::Key, |e| {
            let mut other = e.histories[0].clone();
            other.token = RequestToken::from_bytes([8; 16]).to_string();
            e.histories.push(other);
        }),
        (Rule::Key, |e| {
            asked(e).accepted[0].token = Some("another".to_owned());
        }),
        (Rule::Key, |e| e.invocations[0].token = "another".to_owned()),
        (Rule::Unasked, |e| {
            let mut other = e.histories[0].clone();
            other.mutation = Mutation::Delete;
            e.histories.push(other);
        }),
        // The commit of one of two live invocations was lost.
        (Rule::Fenced, |e| e.invocations[2].seen.clear()),
        (Rule::Fenced, |e| {
            e.invocations[2].seen = vec!["CREATE 1.1".to_owned()];
        }),
        (Rule::Fenced, |e| {
            e.invocations[2].seen.push("CREATE 1.3".to_owned());
        }),
        (Rule::Fenced, |e| {
            let twice = e.invocations[1].clone();
            e.invocations.push(twice);
        }),
        (Rule::Fenced, |e| {
            e.invocations.remove(2);
        }),
        (Rule::Fenced, |e| {
            let twice = event(6, 1_320, EventKind::Progressed, (1, 2));
            e.histories[0].events.insert(3, twice);
        }),
        (Rule::Fenced, |e| {
            e.histories[0].events[2].message = Some(said(1, 1));
        }),
        (Rule::Fenced, |e| e.histories[0].events[3].message = None),
        (Rule::Absorbed, |e| {
            e.invocations.push(invocation(2, 2, 9_000, &["CREATE 1.2"]));
        }),
        (Rule::Early, |e| e.invocations[2].at = 2_309),
        (Rule::Early, |e| e.invocations[1].at = 1_299),
        (Rule::Early, |e| e.invocations[2].seen_at = Some(2_309)),
        // The store agrees with the host that was too early.
        (Rule::Early, |e| {
            e.invocations[2].at = 2_200;
            e.histories[0].events[2].at = Timestamp::from_millis(1_000);
            e.histories[0].events[2].due = Timestamp::from_millis(2_000);
        }),
        (Rule::Spurious, |e| e.losses = Some(Vec::new())),
        (Rule::Spurious, |e| e.losses = Some(vec![900, 9_000])),
        (Rule::Reports, |e| {
            e.reports.remove(0);
        }),
        (Rule::Reports, |e| e.reports.truncate(3)),
        (Rule::Reports, |e| e.reports.swap(2, 3)),
        (Rule::Reports, |e| {
            e.reports.push(report(9, "IN_PROGRESS", true));
        }),
        // It was refused, and is sent before what it follows all the same.
        (Rule::Reports, |e| {
            e.reports.insert(0, report(7, "SUCCESS", false));
        }),
        (Rule::Reports, |e| e.reports[3].status = "FAILED".to_owned()),
        (Rule::Reports, |e| e.histories[0].unreported = 1),
        (Rule::Answers, |e| asked(e).refused.push("400".to_owned())),
    ];
    for (number, (rule, plant)) in plants.iter().enumerate() {
        let mut evidence = good();
        plant(&mut evidence);
        let found = violations(&evidence);
        assert!(
            found.iter().any(|violation| violation.rule == *rule),
            "plant {number}: {rule:?} is not among {found:?}"
        );
    }
}
