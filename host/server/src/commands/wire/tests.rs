//! The shapes that programs read, to the letter.

use std::time::Duration;

use expect_test::{Expect, expect};
use formwork_host::model::{
    Digest, Mutation, PrimaryIdentifier, ProgressEvent, RequestDetails, RequestToken, Scope,
    TrapKind, TypeSchema,
};
use formwork_host::operation::{Input, NewOperation, Policy, Transition, Work};

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
    let new = NewOperation {
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
    };
    Operation::accept(RequestToken::from_bytes([7; 16]), new, at(0))
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
fn a_read_and_a_list_answer_in_the_same_names() {
    check(
        &Answer::read(&object(r#"{"Name":"a"}"#)),
        &expect![[r#"{"status":"SUCCESS","resourceModel":{"Name":"a"}}"#]],
    );
    let page = ListPage {
        models: vec![object(r#"{"Name":"a"}"#)],
        next_token: Some("2".to_owned()),
    };
    check(
        &Answer::listed(&page),
        &expect![[r#"{"status":"SUCCESS","resourceModels":[{"Name":"a"}],"nextToken":"2"}"#]],
    );
    let last = ListPage {
        models: vec![],
        next_token: None,
    };
    check(
        &Answer::listed(&last),
        &expect![[r#"{"status":"SUCCESS","resourceModels":[]}"#]],
    );
    check(&Page::new(&last), &expect![[r#"{"resourceModels":[]}"#]]);
    let failure = ReadFailure {
        code: HandlerErrorCode::NotFound,
        message: "gone".to_owned(),
    };
    check(
        &Answer::failed(&failure),
        &expect![[r#"{"status":"FAILED","errorCode":"NotFound","message":"gone"}"#]],
    );
    let trap = Trap {
        kind: TrapKind::Panic,
        message: "boom".to_owned(),
    };
    check(
        &Answer::trapped(&trap),
        &expect![[
            r#"{"status":"FAILED","errorCode":"InternalFailure","message":"trap (panic): boom"}"#
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
    let details = OperationDetails::new(&waiting.operation, &[event], &[]);
    let text = serde_json::to_string(&details).expect("it prints");
    assert!(!text.contains("hunter2"), "{text}");
    check(
        &OperationLine::new(&waiting.operation),
        &expect![[
            r#"{"requestToken":"07070707-0707-0707-0707-070707070707","typeName":"Acme::Test::Thing","action":"CREATE","status":"IN_PROGRESS","version":3,"invocation":2,"attempt":0,"identifier":"a","accountId":"123456789012","region":"eu-central-1","message":"waiting","component":"sha256:0101010101010101010101010101010101010101010101010101010101010101","acceptedTime":"2023-11-14T22:13:20.000Z","deadline":"2023-11-15T00:13:20.000Z","dueTime":"2023-11-14T22:13:26.000Z","resourceModel":{"Name":"a"}}"#
        ]],
    );
}
