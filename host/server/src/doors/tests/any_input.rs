//! Whatever comes in, the server's own statuses of 500 and above stay out.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::Door;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

static DOOR: LazyLock<Door> = LazyLock::new(|| RUNTIME.block_on(Door::open(&["scripted-guest"])));

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("CREATE")),
        Just(json!("LIST")),
    ];
    let name = prop_oneof![
        Just("action".to_owned()),
        Just("bearerToken".to_owned()),
        Just("requestData".to_owned()),
        Just("request".to_owned()),
        Just("resourceProperties".to_owned()),
        Just("desiredResourceState".to_owned()),
        Just("callbackContext".to_owned()),
        Just("responseEndpoint".to_owned()),
        Just("__COMPRESSED__".to_owned()),
        Just("Name".to_owned()),
        "\\PC{0,4}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn valid() -> Vec<u8> {
    let payload = json!({
        "action": "CREATE",
        "bearerToken": "b",
        "region": "eu-central-1",
        "callbackContext": {"a": "ä"},
        "requestData": {"resourceProperties": {"Name": "a", "Count": "8"}}
    });
    payload.to_string().into_bytes()
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let valid = valid();
    let length = valid.len();
    prop_oneof![
        vec(any::<u8>(), 0..64),
        json_value().prop_map(|value| value.to_string().into_bytes()),
        // A valid payload that is cut, or has a byte changed.
        (0..=length).prop_map({
            let valid = valid.clone();
            move |end| valid[..end].to_vec()
        }),
        (0..length, any::<u8>()).prop_map(move |(at, byte)| {
            let mut bytes = valid.clone();
            bytes[at] = byte;
            bytes
        }),
    ]
}

/// Gives a request of Cloud Control, each member of which may be anything.
fn call() -> impl Strategy<Value = Value> {
    let text = |often: &'static [&'static str]| {
        prop_oneof![
            4 => proptest::sample::select(often).prop_map(Value::from),
            1 => "\\PC{0,12}".prop_map(Value::from),
            1 => json_value(),
            1 => json_value().prop_map(|value| Value::from(value.to_string())),
        ]
    };
    let members = (
        text(&["Formwork::Tests::Scripted", "Acme::Not::Served"]),
        text(&["{\"Name\":\"a\"}", "{}", "{\"Name\":\"a\",\"Count\":\"x\"}"]),
        text(&["a", "a|b", "{\"Name\":\"a\"}", "a!fail:NotFound"]),
        text(&["[]", "[{\"op\":\"add\",\"path\":\"Note\",\"value\":\"b\"}]"]),
        text(&["01a20422-283f-7343-ac61-da6493e70f8c", "abc"]),
    );
    (members, any::<i64>()).prop_map(|((type_name, state, identifier, patch, token), number)| {
        json!({
            "TypeName": type_name, "DesiredState": state, "Identifier": identifier,
            "PatchDocument": patch, "RequestToken": token, "ResourceModel": state,
            "ClientToken": if number % 2 == 0 { token } else { Value::Null },
            "MaxResults": if number % 3 == 0 { json!(number) } else { json!(number.rem_euclid(100)) },
            "NextToken": if number % 5 == 0 { identifier } else { Value::Null },
        })
    })
}

const OPERATIONS: [&str; 8] = [
    "CreateResource",
    "UpdateResource",
    "DeleteResource",
    "GetResource",
    "ListResources",
    "GetResourceRequestStatus",
    "ListResourceRequests",
    "CancelResourceRequest",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_request_is_the_servers_fault(
        body in body(),
        kind in prop_oneof![
            Just("RequestResponse"), Just("Event"), Just("DryRun"), Just("\u{7f}x"), Just("")
        ],
        path in prop_oneof![
            Just("/2015-03-31/functions/TypeFunction/invocations".to_owned()),
            Just("/".to_owned()),
            "/2015-03-31/functions/[ -~]{0,12}/invocations",
            "/[!-~]{0,20}",
        ],
    ) {
        let request = Request::post(path)
            .header("x-amz-invocation-type", kind.replace('\u{7f}', "~"))
            .body(Body::from(body));
        // What is no URL does not arrive at all.
        let Ok(request) = request else { return Ok(()) };
        let door = &*DOOR;
        let answer = RUNTIME.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), door.send(request)).await
        });
        let answer = answer.expect("every request is answered");
        prop_assert!(answer.status.as_u16() < 500, "{} {}", answer.status, answer.body);
        let said = answer.status.is_success() || !answer.body.is_empty();
        prop_assert!(said, "{} says why", answer.status);
    }
    #[test]
    fn no_call_of_cloud_control_is_the_servers_fault(
        body in prop_oneof![
            4 => call().prop_map(|call| call.to_string().into_bytes()),
            1 => body(),
        ],
        operation in proptest::sample::select(&OPERATIONS[..]),
    ) {
        let request = Request::post("/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("CloudApiService.{operation}"))
            .body(Body::from(body))
            .expect("a request");
        let door = &*DOOR;
        let answer = RUNTIME.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), door.send(request)).await
        });
        let answer = answer.expect("every request is answered");
        // A handler that is told to break is at fault itself.
        let of_handler = answer.header("x-amzn-errortype").starts_with("Handler");
        let is_ours = answer.status.is_server_error() && !of_handler;
        prop_assert!(!is_ours, "{} {}", answer.status, answer.body);
        prop_assert!(matches!(answer.status.as_u16(), 200 | 400 | 500), "{}", answer.status);
        prop_assert!(answer.json().is_object());
    }
}
