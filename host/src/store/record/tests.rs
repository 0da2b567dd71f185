use std::time::Duration;

use super::event::KINDS;
use super::*;
use crate::model::{Callback, RequestToken};
use crate::operation::{Event, Input, Policy, Status};
use crate::store::conformance::{T0, at, create, failure, full, progress};

/// Records of format 1 as they were first written. They never change.
const OPERATION: &str = r#"{"component":"6985ca1f4daa5a584a28eae043a239cb96689af1337ea13afb63e00c2bf512fa","mutation":"update","accepted_at":1700000000000,"work":{"desired":{"Name":"a","Password":"canary-desired"},"previous":{"Password":"canary-previous"},"context":{"step":"canary-context"},"details":{"stack_id":"stack","logical_resource_id":"Logical","desired_tags":{"desired":"canary-tag"},"previous_tags":{"previous":"canary-tag"},"system_tags":{"system":"canary-tag"},"previous_system_tags":{"previous-system":"canary-tag"},"type_configuration":{"key":"canary-configuration"},"credentials":{"access_key_id":"canary-access","secret_access_key":"canary-secret","session_token":"canary-session"},"snapshot_requested":true,"rollback":false,"driftable":true,"features":{"f":1},"update_policy":{"u":1},"creation_policy":{"c":1}}},"invocation":1,"zero_delays":0}"#;
const TARGET: &str = r#"{"bearer_token":"canary-bearer","endpoint":"https://cloudformation.example","region":"eu-west-1","credentials":{"access_key_id":"canary-access","secret_access_key":"canary-secret","session_token":"canary-session"}}"#;
const EVENT: &str = r#"{"at":1700000001000,"kind":"progressed","status":"IN_PROGRESS","invocation":1,"attempt":1,"message":"creating","callback":{"after":{"seconds":5,"nanoseconds":0}},"due":1700000006000}"#;

fn token() -> RequestToken {
    RequestToken::from_bytes([7; 16])
}

fn json(bytes: &[u8]) -> (u8, &str) {
    let (format, json) = bytes.split_first().expect("a record");
    (*format, std::str::from_utf8(json).expect("text"))
}

fn record(json: &str) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

#[test]
fn an_operation_of_format_1_decodes() {
    let operation = Operation::accept(token(), full(), T0).operation;
    let encoded = encode_operation(&operation);
    assert_eq!(json(&encoded), (1, OPERATION));
    let rest = decode_operation(&record(OPERATION)).expect("decodes");
    assert_eq!(rest.component, operation.component);
    assert_eq!(rest.mutation, operation.mutation);
    assert_eq!(rest.accepted_at, operation.accepted_at);
    assert_eq!(rest.work, operation.work);
    assert_eq!(rest.invocation, operation.invocation);
}

#[test]
fn a_target_of_format_1_decodes() {
    let target = full().reporting.expect("a target");
    assert_eq!(json(&encode_target(&target)), (1, TARGET));
    assert_eq!(decode_target(&record(TARGET)).expect("decodes"), target);
}

#[test]
fn an_event_of_format_1_decodes() {
    let operation = Operation::accept(token(), create(), T0).operation;
    let until = at(30);
    let apply = |operation: &Operation, input| {
        operation
            .apply(input, at(1), &Policy::default())
            .expect("applies")
    };
    let leased = apply(&operation, Input::Leased { until }).operation;
    let event = apply(&leased, progress(5, None)).event.expect("an event");
    assert_eq!(json(&encode_event(&event)), (1, EVENT));
    let begun = Event {
        began: Some(at(1)),
        ..event.clone()
    };
    let encoded = encode_event(&begun);
    assert_eq!(
        json(&encoded).1,
        EVENT.replace(r#","kind""#, r#","began":1700000001000,"kind""#)
    );
    let read_back = decode_event(token(), event.version, &encoded).expect("decodes");
    assert_eq!(read_back.began, begun.began);
    let decoded = decode_event(token(), event.version, &record(EVENT));
    let decoded = decoded.expect("decodes");
    assert_eq!(
        Event {
            model: event.model.clone(),
            ..decoded
        },
        event
    );
}

#[test]
fn every_kind_mutation_and_callback_survives() {
    let operation = Operation::accept(token(), create(), T0);
    let event = operation.event.expect("an event");
    for kind in KINDS {
        for callback in [
            None,
            Some(Callback::None),
            Some(Callback::After(Duration::new(5, 7))),
        ] {
            for status in Status::ALL {
                let event = Event {
                    kind,
                    callback,
                    status,
                    ..event.clone()
                };
                let decoded = decode_event(token(), 1, &encode_event(&event));
                assert_eq!(decoded.expect("decodes"), event);
            }
        }
    }
    for mutation in Mutation::ALL {
        let new = crate::operation::NewOperation {
            mutation,
            ..create()
        };
        let encoded = encode_operation(&Operation::accept(token(), new, T0).operation);
        assert_eq!(
            decode_operation(&encoded).expect("decodes").mutation,
            mutation
        );
    }
    let operation = Operation::accept(token(), create(), T0).operation;
    let leased = operation.apply(Input::Leased { until: at(9) }, T0, &Policy::default());
    let leased = leased.expect("leased").operation;
    let ended = leased
        .apply(failure(), at(1), &Policy::default())
        .expect("ended");
    let rest = decode_operation(&encode_operation(&ended.operation)).expect("decodes");
    assert_eq!(
        (rest.code, rest.message, rest.ended_at),
        (
            Some(HandlerErrorCode::AccessDenied),
            Some("no".to_owned()),
            Some(at(1))
        )
    );
}

#[test]
fn what_the_format_gained_later_survives() {
    let mut new = create();
    new.work.fault = Some(Fault {
        code: HandlerErrorCode::InvalidRequest,
        message: "no such property".to_owned(),
    });
    let operation = Operation::accept(token(), new, T0).operation;
    let rest = decode_operation(&encode_operation(&operation)).expect("decodes");
    assert_eq!(rest.work, operation.work);

    let mut event = Operation::accept(token(), create(), T0)
        .event
        .expect("an event");
    event.client_token = "key-1".parse().ok();
    let decoded = decode_event(token(), 1, &encode_event(&event)).expect("decodes");
    assert_eq!(decoded, event);
}

#[test]
fn what_is_of_another_format_is_refused_with_its_number() {
    let mut newer = record(OPERATION);
    newer[0] = 2;
    let error = decode_operation(&newer).err().expect("refused").to_string();
    assert!(error.contains("format 2"), "{error}");
    for senseless in ["", "{}", "[]", &OPERATION.replace("update", "paint")] {
        assert!(decode_operation(&record(senseless)).is_err(), "{senseless}");
    }
    assert!(decode_operation(&[]).is_err());
}
