//! The shapes that programs read, to the letter, and read back.

use std::time::Duration;

use expect_test::{Expect, expect};
use formwork_host::model::{
    Callback, Digest, HandlerErrorCode, JsonObject, Mutation, PrimaryIdentifier, ProgressEvent,
    RequestDetails, RequestToken, Scope, TypeSchema,
};
use formwork_host::operation::{
    CancelReason, Input, NewOperation, Policy, ReportTarget, Settlement, Transition, Work,
};
use formwork_host::store::{Accept, MemoryStore, Store as _};
use serde::Serialize;

use super::read::{DetailsAnswer, ListAnswer};
use super::shapes::{EventLine, ListRequest, OperationDetails, OperationLine, OperationList};
use super::*;

fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

fn check(value: &impl Serialize, expected: &Expect) {
    expected.assert_eq(&serde_json::to_string(value).expect("it prints"));
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000)
}

fn accepted() -> Transition {
    Operation::accept(RequestToken::from_bytes([7; 16]), new_operation(), at(0))
}

/// A create that is reported to nobody, accepted at 1,700,000,000 s.
pub(crate) fn new_operation() -> NewOperation {
    NewOperation {
        scope: Scope {
            account: "123456789012".parse().ok(),
            region: "eu-central-1".parse().ok(),
        },
        type_name: "Acme::Test::Thing".parse().expect("a type"),
        mutation: Mutation::Create,
        component: Digest::from_bytes([1; 32]),
        deadline: at(7_200),
        work: Work {
            desired_state: object(r#"{"Name":"a","Secret":"hunter2"}"#),
            previous_state: None,
            callback_context: None,
            details: RequestDetails::default(),
            fault: None,
        },
        identifier: PrimaryIdentifier::new(vec!["a".to_owned()]),
        reporting: None,
    }
}

/// The same, which is reported.
pub(crate) fn reported() -> NewOperation {
    NewOperation {
        reporting: Some(ReportTarget {
            bearer_token: "s3cr3t".parse().expect("a token"),
            endpoint: None,
            region: None,
            credentials: None,
        }),
        ..new_operation()
    }
}

/// Leases the operation and lets its handler answer.
fn answered(before: &Transition, event: ProgressEvent, seconds: u64) -> Transition {
    let schema = TypeSchema::parse(
        r#"{"typeName":"Acme::Test::Thing","description":"A thing.",
            "additionalProperties":false,"primaryIdentifier":["/properties/Name"],
            "writeOnlyProperties":["/properties/Secret"],
            "properties":{"Name":{"type":"string"},"Secret":{"type":"string"}}}"#,
    )
    .expect("a schema");
    let policy = Policy::default();
    let leased = before
        .operation
        .apply(
            Input::Leased {
                until: at(seconds + 60),
            },
            at(seconds),
            &policy,
        )
        .expect("it can be leased");
    let state = object(r#"{"Name":"a","Secret":"hunter2"}"#);
    let answer =
        formwork_host::model::Answer::translate(&schema, Mutation::Create, &state, event, false);
    leased
        .operation
        .apply(Input::Answered(answer), at(seconds), &policy)
        .expect("it can be answered")
}

fn in_progress(callback: Callback) -> ProgressEvent {
    ProgressEvent::InProgress {
        callback,
        callback_context: Some(object(r#"{"token":"hunter2"}"#)),
        message: Some("waiting".to_owned()),
        // A guest may lay out its JSON over several lines; a line of ours is one.
        model: Some(object(
            "{\n  \"Name\": \"a\",\n  \"Secret\": \"hunter2\"\n}",
        )),
    }
}

fn line(transition: &Transition) -> EventLine {
    EventLine::new(transition.event.as_ref().expect("an event"))
}

#[test]
fn an_event_has_the_names_of_the_wire_and_nothing_null() {
    let accepted = accepted();
    check(
        &line(&accepted),
        &expect![[
            r#"{"requestToken":"07070707-0707-0707-0707-070707070707","version":1,"time":"2023-11-14T22:13:20.000Z","event":"ACCEPTED","status":"PENDING","invocation":1,"attempt":0,"dueTime":"2023-11-14T22:13:20.000Z"}"#
        ]],
    );
    let waiting = answered(
        &accepted,
        in_progress(Callback::After(Duration::from_secs(5))),
        1,
    );
    check(
        &line(&waiting),
        &expect![[
            r#"{"requestToken":"07070707-0707-0707-0707-070707070707","version":3,"time":"2023-11-14T22:13:21.000Z","event":"PROGRESSED","status":"IN_PROGRESS","invocation":1,"attempt":1,"message":"waiting","callbackDelaySeconds":5,"dueTime":"2023-11-14T22:13:26.000Z","resourceModel":{"Name":"a"}}"#
        ]],
    );
    let failed = ProgressEvent::Failed {
        code: HandlerErrorCode::AccessDenied,
        message: "no".to_owned(),
        model: None,
    };
    check(
        &line(&answered(&waiting, failed, 6)),
        &expect![[
            r#"{"requestToken":"07070707-0707-0707-0707-070707070707","version":5,"time":"2023-11-14T22:13:26.000Z","event":"ENDED","status":"FAILED","invocation":2,"attempt":1,"errorCode":"AccessDenied","message":"no","resourceModel":{"Name":"a"}}"#
        ]],
    );
}

#[test]
fn no_callback_is_a_negative_delay() {
    let waiting = answered(&accepted(), in_progress(Callback::None), 1);
    check(
        &line(&waiting),
        &expect![[
            r#"{"requestToken":"07070707-0707-0707-0707-070707070707","version":3,"time":"2023-11-14T22:13:21.000Z","event":"PROGRESSED","status":"IN_PROGRESS","invocation":1,"attempt":1,"message":"waiting","callbackDelaySeconds":-1,"dueTime":"2023-11-15T00:13:20.000Z","resourceModel":{"Name":"a"}}"#
        ]],
    );
}

#[test]
fn an_operation_shows_everything_but_secrets() {
    let waiting = answered(
        &accepted(),
        in_progress(Callback::After(Duration::from_secs(5))),
        1,
    );
    let event = waiting.event.clone().expect("an event");
    let details = OperationDetails::new(&Details {
        operation: waiting.operation.clone(),
        events: vec![event],
        reports: Vec::new(),
    });
    let text = serde_json::to_string(&details).expect("it prints");
    assert!(!text.contains("hunter2"), "{text}");
    check(
        &OperationLine::new(&waiting.operation),
        &expect![[
            r#"{"requestToken":"07070707-0707-0707-0707-070707070707","typeName":"Acme::Test::Thing","action":"CREATE","status":"IN_PROGRESS","version":3,"invocation":2,"attempt":0,"identifier":"a","accountId":"123456789012","region":"eu-central-1","message":"waiting","component":"sha256:0101010101010101010101010101010101010101010101010101010101010101","acceptedTime":"2023-11-14T22:13:20.000Z","deadline":"2023-11-15T00:13:20.000Z","dueTime":"2023-11-14T22:13:26.000Z","resourceModel":{"Name":"a"}}"#
        ]],
    );
}

/// Gives an operation as a reader of its JSON knows it.
fn told(operation: &Operation) -> Operation {
    let mut state = operation.clone().into_state();
    (state.work, state.reporting, state.zero_delays) = (None, None, 0);
    if state.status.is_terminal() {
        state.due = state.ended_at.expect("it has ended");
    }
    Operation::restore(state)
}

#[test]
fn what_is_printed_is_read_back() {
    let accepted = accepted();
    let callback = Callback::After(Duration::from_secs(5));
    let mut waiting = answered(&accepted, in_progress(callback), 1);
    let event = waiting.event.as_mut().expect("an event");
    (event.began, event.delivered) = (Some(at(0)), Some(at(3)));
    let outside = answered(&accepted, in_progress(Callback::None), 1);
    let failed = ProgressEvent::Failed {
        code: HandlerErrorCode::AccessDenied,
        message: "no".to_owned(),
        model: None,
    };
    let ended = answered(&waiting, failed, 6);
    let report = Report {
        version: 3,
        status: Status::InProgress,
        attempts: 2,
        due: at(9),
        refused: Some("no".to_owned()),
    };
    for (operation, events) in [
        (&accepted.operation, vec![&accepted]),
        (&waiting.operation, vec![&accepted, &waiting]),
        (&outside.operation, vec![&accepted, &outside]),
        (&ended.operation, vec![&accepted, &waiting, &ended]),
    ] {
        let events = events.into_iter().flat_map(|it| it.event.clone());
        let details = Details {
            operation: operation.clone(),
            events: events.collect(),
            reports: vec![report.clone()],
        };
        let text = serde_json::to_string(&OperationDetails::new(&details)).expect("it prints");
        let read: DetailsAnswer = serde_json::from_str(&text).expect("it reads");
        let read = read.read().expect("it is understood");
        assert_eq!(read.operation, told(operation));
        assert_eq!(read.reports, details.reports);
        for (read, event) in read.events.iter().zip(&details.events) {
            let mut event = event.clone();
            if event.status.is_terminal() {
                event.due = event.at;
            }
            assert_eq!(*read, event);
        }
        assert_eq!(read.events.len(), details.events.len());
    }
    let found = Found {
        operations: vec![waiting.operation.clone()],
        next: Some(waiting.operation.token),
    };
    let text = serde_json::to_string(&OperationList::new(&found)).expect("it prints");
    let read: ListAnswer = serde_json::from_str(&text).expect("it reads");
    let read = read.read().expect("it is understood");
    assert_eq!(read.operations, [told(&waiting.operation)]);
    assert_eq!(read.next, found.next);
}

#[test]
fn what_is_asked_for_is_read_as_it_was_meant_and_nonsense_is_refused() {
    let criteria = Criteria {
        statuses: vec![Status::Failed],
        mutations: vec![Mutation::Delete],
        type_name: "Acme::Test::Thing".parse().ok(),
        account: "123456789012".parse().ok(),
        region: "eu-central-1".parse().ok(),
        identifier: Some("a|b".to_owned()),
        from: Some(at(0)),
        until: Some(at(1)),
    };
    let reach = Reach {
        before: Some(RequestToken::from_bytes([9; 16])),
        limit: 7,
        looks: 0,
    };
    let text = serde_json::to_string(&ListRequest::new(&criteria, reach)).expect("it prints");
    let request: ListRequest = serde_json::from_str(&text).expect("it reads");
    let (read, reached) = request.read().expect("it is understood");
    assert_eq!(read, criteria);
    assert_eq!((reached.before, reached.limit), (reach.before, 7));
    for wrong in [
        r#"{"statuses":["DONE"]}"#,
        r#"{"actions":["LIST"]}"#,
        r#"{"acceptedFrom":"yesterday"}"#,
        r#"{"nextToken":"x"}"#,
    ] {
        let request: ListRequest = serde_json::from_str(wrong).expect("it reads");
        assert!(request.read().is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<ListRequest>(r#"{"status":["FAILED"]}"#).is_err());
}

/// A store with an operation for each of these accounts, accepted now, the names
/// of their resources in the same order.
async fn store(accounts: &[&str]) -> (MemoryStore, Timestamp) {
    let store = MemoryStore::new();
    let clock = formwork_host::clock::SystemClock::new();
    let now = formwork_host::clock::Clock::now(&clock);
    for (number, account) in accounts.iter().enumerate() {
        let new = NewOperation {
            scope: Scope {
                account: account.parse().ok(),
                region: "eu-central-1".parse().ok(),
            },
            identifier: PrimaryIdentifier::new(vec![number.to_string()]),
            deadline: now.after(Duration::from_secs(7_200)),
            ..reported()
        };
        let transition = Operation::accept(RequestToken::random(), new, now);
        let accept = Accept {
            transition,
            key: None,
            basis: None,
            tokens_expired: Timestamp::from_millis(0),
        };
        store.accept(accept).await.expect("it is accepted");
    }
    (store, now)
}

#[tokio::test]
async fn a_second_look_has_the_whole_chain_and_each_event_once() {
    let (store, now) = store(&["111111111111"]).await;
    let found = store.list(&Filter::default()).await.expect("readable");
    let token = found[0].token;
    let details = Details::of(&store, token).await.expect("readable");
    let mut details = details.expect("it is there");
    let cancel = Input::CancelAsked(CancelReason::Caller);
    let ended = found[0].apply(cancel, now, &Policy::default());
    let ended = ended.expect("it is cancelled");
    store.commit(ended).await.expect("it is committed");
    for _ in 0..2 {
        let is_there = details.look_again(&store).await;
        assert!(is_there.expect("readable"));
        let versions: Vec<_> = details.events.iter().map(|event| event.version).collect();
        assert_eq!(versions, [1, 2]);
        assert_eq!(details.operation.status, Status::CancelComplete);
    }
    let settlement = Settlement::Delivered { at: now };
    let settled = store.settle(token, 1, settlement).await;
    settled.expect("settled");
    details.look_again(&store).await.expect("readable");
    let delivered: Vec<_> = details.events.iter().map(|event| event.delivered).collect();
    assert_eq!(
        delivered,
        [Some(now), None],
        "an event that was known says so"
    );
    store.forget(token).await.expect("it has ended");
    assert!(!details.look_again(&store).await.expect("readable"));
}

#[tokio::test]
async fn a_search_finds_what_is_meant_newest_first_and_goes_on_where_it_ended() {
    let (one, other) = ("111111111111", "222222222222");
    let (store, now) = store(&[one, other, one, other, one]).await;
    let find = async |criteria: &Criteria, before, limit| {
        let reach = Reach {
            before,
            limit,
            looks: 1_000,
        };
        let sees = |operation: &Operation| operation.type_name.as_str() == "Acme::Test::Thing";
        let found = search(&store, criteria, reach, sees).await;
        let Found { operations, next } = found.expect("the store reads");
        let names = operations.iter().map(|it| {
            let name = it.identifier.as_ref().expect("a name");
            name.to_string()
        });
        (names.collect::<Vec<_>>().concat(), next)
    };
    let hour = Duration::from_secs(3_600);
    for (criteria, expected) in [
        (Criteria::default(), "43210"),
        (
            Criteria {
                account: one.parse().ok(),
                ..Criteria::default()
            },
            "420",
        ),
        (
            Criteria {
                account: one.parse().ok(),
                region: "eu-central-1".parse().ok(),
                ..Criteria::default()
            },
            "420",
        ),
        (
            Criteria {
                region: "eu-west-1".parse().ok(),
                ..Criteria::default()
            },
            "",
        ),
        (
            Criteria {
                identifier: Some("3".to_owned()),
                ..Criteria::default()
            },
            "3",
        ),
        (
            Criteria {
                from: Some(now),
                ..Criteria::default()
            },
            "43210",
        ),
        (
            Criteria {
                from: Some(now.after(hour)),
                ..Criteria::default()
            },
            "",
        ),
        (
            Criteria {
                until: Some(now),
                ..Criteria::default()
            },
            "",
        ),
        (
            Criteria {
                until: Some(now.after(hour)),
                ..Criteria::default()
            },
            "43210",
        ),
        (
            Criteria {
                statuses: vec![Status::Success],
                ..Criteria::default()
            },
            "",
        ),
    ] {
        let (names, _) = find(&criteria, None, 10).await;
        assert_eq!(names, expected, "{criteria:?}");
        let (mut all, mut before) = (String::new(), None);
        loop {
            let (names, next) = find(&criteria, before, 2).await;
            all += &names;
            if next.is_none() {
                break;
            }
            before = next;
        }
        assert_eq!(all, expected, "page by page: {criteria:?}");
    }
}
