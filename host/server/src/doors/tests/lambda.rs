//! Lambda's Invoke.

use std::io::Write as _;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use flate2::Compression;
use flate2::write::GzEncoder;
use formwork_host::model::HandlerErrorCode;
use formwork_host::operation::Status;
use formwork_host::store::Filter;
use http::Request;
use serde_json::{Value, json};

use super::super::lambda_invoke::{EVENT_PAYLOAD, PAYLOAD};
use super::Door;

fn request(action: &str, state: impl Into<Value>) -> Value {
    json!({
        "action": action,
        "bearerToken": "b",
        "requestData": {"resourceProperties": state.into()}
    })
}

fn create(script: &str) -> Value {
    request(
        "CREATE",
        json!({"Name": "a", "Secret": "s", "Script": [script]}),
    )
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("it is there")[name] = value;
    object
}

fn gzip(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(payload.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

fn compressed(payload: impl AsRef<[u8]>) -> Value {
    let text = STANDARD.encode(gzip(payload));
    json!({"__COMPRESSED__": text, "__COMPRESSION_METHOD__": "gzip_base64"})
}

#[tokio::test]
async fn an_invocation_is_answered_by_its_event() {
    let door = Door::open(&["scripted-guest"]).await;
    let mut told = String::new();
    for payload in [
        create("success"),
        create("in-progress:5"),
        create("in-progress-no-model"),
        create("in-progress-no-callback"),
        create("fail:NotFound:gone"),
        create("fail-with-model:UnauthorizedTaggingOperation:no"),
        create("fail:ServiceTimeout"),
        create("fail-empty:Throttling"),
        create("panic:oops"),
        create("invalid-json"),
        request("DELETE", json!({"Name": "a"})),
        request("DELETE", json!({"Name": "a!in-progress:1"})),
        request("READ", json!({"Name": "a"})),
        request("READ", json!({"Name": "a!fail-empty:NotFound"})),
        request("READ", json!({"Name": "a!in-progress"})),
        request("READ", json!({"Name": "a!trap"})),
        request("LIST", json!({})),
        json!({"action": "LIST", "requestData": {}, "nextToken": "2", "maxResults": 5}),
    ] {
        let answer = door.invoke("RequestResponse", payload).await;
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-amz-executed-version"), "$LATEST");
        let line = answer.line();
        // The head of a panic message names a line of the guest's source.
        match (line.split_once("trap ("), line.split_once("panicked at")) {
            (Some((head, _)), Some(_)) => told.push_str(&format!("{head}trap...\n")),
            _ => told.push_str(&line),
        }
    }
    expect![[r#"
        200 {"status":"SUCCESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","resourceModel":{"Name":"a","Script":["success"],"Id":"id-a"}}
        200 {"status":"IN_PROGRESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","callbackContext":{"seen":["CREATE 1.1"]},"callbackDelaySeconds":5,"resourceModel":{"Name":"a","Secret":"s","Script":["in-progress:5"]}}
        200 {"status":"IN_PROGRESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","callbackContext":{"seen":["CREATE 1.1"]},"callbackDelaySeconds":0,"resourceModel":{"Name":"a","Secret":"s","Script":["in-progress-no-model"]}}
        200 {"status":"IN_PROGRESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","callbackContext":{"seen":["CREATE 1.1"]},"callbackDelaySeconds":-1,"resourceModel":{"Name":"a","Secret":"s","Script":["in-progress-no-callback"]}}
        200 {"status":"FAILED","errorCode":"NotFound","message":"gone [CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]"}
        200 {"status":"FAILED","errorCode":"AccessDenied","message":"UnauthorizedTaggingOperation: no [CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","resourceModel":{"Name":"a","Script":["fail-with-model:UnauthorizedTaggingOperation:no"],"Id":"id-a"}}
        200 {"status":"FAILED","errorCode":"NotStabilized","message":"ServiceTimeout: [CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]"}
        200 {"status":"FAILED","errorCode":"Throttling","message":"the handler failed with Throttling and said no more"}
        200 {"status":"FAILED","errorCode":"InternalFailure","message":"trap...
        200 {"status":"FAILED","errorCode":"InternalFailure","message":"trap (invalid answer): `model` of the answer is not the text of one JSON object"}
        200 {"status":"SUCCESS","message":"[DELETE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]"}
        200 {"status":"IN_PROGRESS","message":"[DELETE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","callbackContext":{"seen":["DELETE 1.1"]},"callbackDelaySeconds":1,"resourceModel":{"Name":"a!in-progress:1"}}
        200 {"status":"SUCCESS","resourceModel":{"Name":"a","Id":"id-a"}}
        200 {"status":"FAILED","errorCode":"NotFound","message":"the handler failed with NotFound and said no more"}
        200 {"status":"FAILED","errorCode":"InternalFailure","message":"the script wants to be in progress, which this action cannot"}
        200 {"status":"FAILED","errorCode":"InternalFailure","message":"trap (panic): wasm trap: wasm `unreachable` instruction executed"}
        200 {"status":"SUCCESS","resourceModels":[{"Name":"item-0","Id":"id-item-0"},{"Name":"item-1","Id":"id-item-1"}],"nextToken":"2"}
        200 {"status":"SUCCESS","resourceModels":[{"Name":"item-2","Id":"id-item-2"}]}
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn a_caller_chains_by_giving_model_and_context_back() {
    let door = Door::open(&["scripted-guest"]).await;
    let first = door
        .invoke("RequestResponse", create("in-progress:1"))
        .await
        .json();
    let mut state = first["resourceModel"].clone();
    state["Script"] = json!(["success"]);
    let next = with(
        request("CREATE", state),
        "/callbackContext",
        first["callbackContext"].clone(),
    );
    let last = door.invoke("RequestResponse", next).await.json();
    let said = |event: &Value| event["message"].as_str().expect("it says so").to_owned();
    assert_eq!(said(&first), said(&last), "the same token in both");
    assert!(!said(&first).contains("token=b]"), "not the bearer token");
    assert_eq!(last["status"], "SUCCESS");
    assert_eq!(last["resourceModel"]["Secret"], Value::Null);
    let other = with(create("in-progress:1"), "/bearerToken", json!("c"));
    assert_ne!(
        said(&door.invoke("RequestResponse", other).await.json()),
        said(&first)
    );
}

/// What the handler says that it got.
async fn got(door: &Door, payload: Value) -> String {
    let event = door.invoke("RequestResponse", payload).await.json();
    let note = event.pointer("/resourceModel/Note").and_then(Value::as_str);
    note.unwrap_or_else(|| panic!("{event}")).to_owned()
}

#[tokio::test]
async fn a_handler_gets_what_either_form_of_the_payload_says() {
    let door = Door::open(&["scripted-guest"]).await;
    let state = json!({"Name": "a", "Script": ["echo-request & success"]});
    let credentials = json!({
        "accessKeyId": "AKIDHIDDEN", "secretAccessKey": "hidden", "sessionToken": "hidden"
    });
    let production = json!({
        "action": "UPDATE",
        "awsAccountId": "123456789012",
        "bearerToken": "b",
        "region": "eu-central-1",
        "resourceType": "Formwork::Tests::Scripted",
        "resourceTypeVersion": "00000001",
        "stackId": "arn:stack",
        "callbackContext": null,
        "snapshotRequested": false,
        "rollback": true,
        "driftable": true,
        "features": {"f": 1},
        "updatePolicy": {"u": 1},
        "creationPolicy": {"c": 1},
        "requestContext": {"unknown": "to us"},
        "requestData": {
            "callerCredentials": credentials,
            "providerCredentials": {"wrong": 1},
            "platformCredentials": null,
            "providerLogGroupName": "g",
            "logicalResourceId": "Thing",
            "resourceProperties": state,
            "previousResourceProperties": {"Name": "a", "Count": "8"},
            "stackTags": {"s": "1"},
            "previousStackTags": {"s": "0"},
            "systemTags": {"aws:s": "1"},
            "previousSystemTags": {"aws:s": "0"},
            "typeConfiguration": {"t": 1}
        }
    });
    let test = json!({
        "credentials": credentials,
        "action": "UPDATE",
        "callbackContext": null,
        "region": "eu-central-1",
        "typeConfiguration": {"t": 1},
        "request": {
            "clientRequestToken": "b",
            "desiredResourceState": state,
            "previousResourceState": {"Name": "a", "Count": "8"},
            "logicalResourceIdentifier": "Thing",
            "desiredResourceTags": {"s": "1"},
            "previousResourceTags": {"s": "0"},
            "systemTags": {"aws:s": "1"},
            "previousSystemTags": {"aws:s": "0"},
            "awsAccountId": "123456789012",
            "stackId": "arn:stack",
            "snapshotRequested": false,
            "rollback": true,
            "driftable": true,
            "features": {"f": 1},
            "updatePolicy": {"u": 1},
            "creationPolicy": {"c": 1}
        }
    });
    // The moments differ with each invocation.
    let timeless = |text: String| {
        let mut note: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        for name in ["start-time", "deadline"] {
            note[name] = json!("some time");
        }
        format!("{note:#}\n")
    };
    let of_production = timeless(got(&door, production.clone()).await);
    expect![[r#"
        {
          "action": "UPDATE",
          "client-request-token": "2ccbaa7c-a656-829b-b98f-acc86e7a6ae3",
          "type-name": "Formwork::Tests::Scripted",
          "start-time": "some time",
          "deadline": "some time",
          "invocation": 1,
          "attempt": 1,
          "region": "eu-central-1",
          "account-id": "123456789012",
          "partition": "aws",
          "stack-id": "arn:stack",
          "logical-resource-id": "Thing",
          "desired-tags": {
            "s": "1"
          },
          "previous-tags": {
            "s": "0"
          },
          "system-tags": {
            "aws:s": "1"
          },
          "previous-system-tags": {
            "aws:s": "0"
          },
          "type-configuration": {
            "t": 1
          },
          "credentials": null,
          "snapshot-requested": false,
          "rollback": true,
          "driftable": true,
          "features": {
            "f": 1
          },
          "update-policy": {
            "u": 1
          },
          "creation-policy": {
            "c": 1
          },
          "state": {
            "Name": "a",
            "Script": [
              "echo-request & success"
            ]
          },
          "previous": {
            "Name": "a",
            "Count": 8
          },
          "context": {}
        }
    "#]]
    .assert_eq(&of_production);
    assert_eq!(timeless(got(&door, test).await), of_production);
    assert_eq!(
        timeless(got(&door, compressed(production.to_string())).await),
        of_production
    );
    assert!(!of_production.contains("hidden") && !of_production.contains("HIDDEN"));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let door = Door::open(&["scripted-guest"]).await;
    let good = create("success");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let mut told = String::new();
    for (name, payload) in [
        ("empty", String::new()),
        ("no JSON", "{\"action\":".to_owned()),
        ("an array", "[]".to_owned()),
        ("a text", "\"hunter2\"".to_owned()),
        (
            "a key twice",
            "{\"action\":\"READ\",\"action\":\"LIST\"}".to_owned(),
        ),
        ("too deep", deep),
        ("trailing", format!("{good} x")),
        ("nothing in it", "{}".to_owned()),
        (
            "no action",
            json!({"requestData": {"resourceProperties": {"Name": "a"}}}).to_string(),
        ),
        (
            "an unknown action",
            with(good.clone(), "/action", json!("create")).to_string(),
        ),
        (
            "an action of a wrong kind",
            with(good.clone(), "/action", json!(7)).to_string(),
        ),
        ("no data", json!({"action": "CREATE"}).to_string()),
        (
            "data of a wrong kind",
            json!({"action": "CREATE", "requestData": []}).to_string(),
        ),
        (
            "no state",
            json!({"action": "DELETE", "requestData": {}}).to_string(),
        ),
        (
            "a state of a wrong kind",
            request("CREATE", json!("hunter2")).to_string(),
        ),
        (
            "a state off the schema",
            request("CREATE", json!({"Nome": 1, "Count": 2})).to_string(),
        ),
        (
            "a text that is no number",
            request("CREATE", json!({"Name": "a", "Count": "x"})).to_string(),
        ),
        (
            "no identifier",
            request("DELETE", json!({"Count": 1})).to_string(),
        ),
        (
            "no account",
            with(good.clone(), "/awsAccountId", json!("hunter2")).to_string(),
        ),
        (
            "no region",
            with(good.clone(), "/region", json!("")).to_string(),
        ),
        (
            "no token",
            with(good.clone(), "/bearerToken", json!("")).to_string(),
        ),
        (
            "a long token",
            with(good.clone(), "/bearerToken", json!("hunter2".repeat(40))).to_string(),
        ),
        (
            "a context of a wrong kind",
            with(good.clone(), "/callbackContext", json!("hunter2")).to_string(),
        ),
        (
            "tags of a wrong kind",
            with(good.clone(), "/requestData/stackTags", json!({"a": 1})).to_string(),
        ),
        (
            "credentials of a wrong kind",
            with(
                good.clone(),
                "/requestData/callerCredentials",
                json!({"accessKeyId": "hunter2"}),
            )
            .to_string(),
        ),
        (
            "the state of another type",
            with(good.clone(), "/resourceType", json!("Acme::Storage::File")).to_string(),
        ),
        (
            "a fractional page",
            json!({"action": "LIST", "requestData": {}, "maxResults": 1.5}).to_string(),
        ),
        (
            "all at once",
            json!({"action": "CREATE", "region": 1, "rollback": "yes", "requestData": {}})
                .to_string(),
        ),
        (
            "a test without its request",
            json!({"action": "CREATE", "request": "hunter2"}).to_string(),
        ),
        (
            "no compression",
            json!({"__COMPRESSED__": "hunter2"}).to_string(),
        ),
        (
            "another compression",
            with(compressed("{}"), "/__COMPRESSION_METHOD__", json!("zip")).to_string(),
        ),
        (
            "no base64",
            with(compressed("{}"), "/__COMPRESSED__", json!("hunter2!")).to_string(),
        ),
        (
            "no gzip",
            with(compressed("{}"), "/__COMPRESSED__", json!("aHVudGVyMg==")).to_string(),
        ),
        (
            "compressed twice",
            compressed(compressed(good.to_string()).to_string()).to_string(),
        ),
        (
            "two members",
            with(
                compressed("{}"),
                "/__COMPRESSED__",
                json!(STANDARD.encode([gzip("{}"), gzip("")].concat())),
            )
            .to_string(),
        ),
        ("a bomb", compressed(vec![b' '; PAYLOAD + 1]).to_string()),
    ] {
        let answer = door.invoke("RequestResponse", payload).await;
        assert!(!answer.body.contains("hunter2"), "{name}: {}", answer.body);
        told.push_str(&format!("{name}: {}", answer.line()));
    }
    expect![[r#"
        empty: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: EOF while parsing a value at line 1 column 0"}
        no JSON: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: EOF while parsing a value at line 1 column 10"}
        an array: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: an array, expected a JSON object at line 1 column 2"}
        a text: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: a string, expected a JSON object at line 1 column 9"}
        a key twice: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: duplicate key at line 1 column 25"}
        too deep: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: recursion limit exceeded at line 1 column 132"}
        trailing: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: not the text of one JSON object: trailing characters at line 1 column 123"}
        nothing in it: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`action` is missing: it must be one of CREATE, READ, UPDATE, DELETE and LIST; `requestData` is missing: it must be a JSON object"}
        no action: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`action` is missing: it must be one of CREATE, READ, UPDATE, DELETE and LIST"}
        an unknown action: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`action` must be one of CREATE, READ, UPDATE, DELETE and LIST"}
        an action of a wrong kind: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`action` must be one of CREATE, READ, UPDATE, DELETE and LIST"}
        no data: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`requestData` is missing: it must be a JSON object"}
        data of a wrong kind: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`requestData` must be a JSON object"}
        no state: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`requestData.resourceProperties` is missing: it must be a JSON object"}
        a state of a wrong kind: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`requestData.resourceProperties` must be a JSON object"}
        a state off the schema: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"the desired state does not fit the schema of `Formwork::Tests::Scripted`: the model breaks `/additionalProperties`: Additional properties are not allowed ('Nome' was unexpected); the model breaks `/required`: \"Name\" is a required property"}
        a text that is no number: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"the request does not fit the schema of `Formwork::Tests::Scripted`: the text at `/Count` does not read as an integer of at most 64 bits"}
        no identifier: 200 {"status":"FAILED","errorCode":"NotFound","message":"the request does not name a resource of `Formwork::Tests::Scripted`: give a value to `/properties/Name`"}
        no account: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`awsAccountId` must be a string of 12 digits"}
        no region: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`region` must be the name of a region, such as `eu-central-1`"}
        no token: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`bearerToken` must be a string of 1 to 128 characters"}
        a long token: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`bearerToken` must be a string of 1 to 128 characters"}
        a context of a wrong kind: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`callbackContext` must be a JSON object"}
        tags of a wrong kind: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`requestData.stackTags` must be a JSON object of strings"}
        credentials of a wrong kind: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`requestData.callerCredentials` must be a JSON object with the strings `accessKeyId` and `secretAccessKey`, and `sessionToken` if there is one"}
        the state of another type: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`resourceType` is Acme::Storage::File, and this function handles Formwork::Tests::Scripted"}
        a fractional page: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`maxResults` must be a whole number from 0 to 4294967295"}
        all at once: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`region` must be the name of a region, such as `eu-central-1`; `requestData.resourceProperties` is missing: it must be a JSON object; `rollback` must be true or false"}
        a test without its request: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`request` must be a JSON object"}
        no compression: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `__COMPRESSION_METHOD__` must be `gzip_base64`"}
        another compression: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `__COMPRESSION_METHOD__` must be `gzip_base64`"}
        no base64: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `__COMPRESSED__` must be base64"}
        no gzip: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `__COMPRESSED__` must be the base64 of a gzip stream"}
        compressed twice: 200 {"status":"FAILED","errorCode":"InvalidRequest","message":"`action` is missing: it must be one of CREATE, READ, UPDATE, DELETE and LIST; `requestData` is missing: it must be a JSON object"}
        two members: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `__COMPRESSED__` must be one gzip member with nothing after it"}
        a bomb: 413 RequestTooLargeException {"Type":"User","Message":"the request has more than 6291456 bytes, which a decompressed payload may have at most"}
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn what_is_no_invocation_is_refused() {
    let door = Door::open(&["scripted-guest"]).await;
    let two = Door::open(&["scripted-guest", "file"]).await;
    let payload = create("success").to_string();
    let long = "x".repeat(PAYLOAD + 1);
    let bytes = Body::from(vec![b'{', 0xff, b'}']);
    let mut told = String::new();
    for (door, name, kind, body) in [
        (
            &door,
            "Formwork::Tests::Scripted",
            "RequestResponse",
            Body::from(payload.clone()),
        ),
        (
            &two,
            "Formwork-Tests-Scripted",
            "RequestResponse",
            Body::from(payload.clone()),
        ),
        (
            &door,
            "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3ATypeFunction",
            "RequestResponse",
            Body::from(payload.clone()),
        ),
        (
            &door,
            "Formwork%3A%3ATests%3A%3AScripted",
            "RequestResponse",
            Body::from(payload.clone()),
        ),
        (
            &two,
            "TypeFunction",
            "RequestResponse",
            Body::from(payload.clone()),
        ),
        (
            &door,
            "Acme::Storage::File",
            "RequestResponse",
            Body::from(payload.clone()),
        ),
        (&door, "%ff", "RequestResponse", Body::from(payload.clone())),
        (&door, "TypeFunction", "Sometimes", Body::from(payload)),
        (
            &door,
            "TypeFunction",
            "RequestResponse",
            Body::from(long.clone()),
        ),
        (
            &door,
            "TypeFunction",
            "Event",
            Body::from(long[..=EVENT_PAYLOAD].to_owned()),
        ),
        (&door, "TypeFunction", "RequestResponse", bytes),
    ] {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        let request = Request::post(path).header("x-amz-invocation-type", kind);
        let answer = door.send(request.body(body).expect("a request")).await;
        told.push_str(&format!("{name} {kind}: {}", answer.line()));
    }
    expect![[r#"
        Formwork::Tests::Scripted RequestResponse: 200 {"status":"SUCCESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","resourceModel":{"Name":"a","Script":["success"],"Id":"id-a"}}
        Formwork-Tests-Scripted RequestResponse: 200 {"status":"SUCCESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","resourceModel":{"Name":"a","Script":["success"],"Id":"id-a"}}
        arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3ATypeFunction RequestResponse: 200 {"status":"SUCCESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","resourceModel":{"Name":"a","Script":["success"],"Id":"id-a"}}
        Formwork%3A%3ATests%3A%3AScripted RequestResponse: 200 {"status":"SUCCESS","message":"[CREATE invocation=1 attempt=1 token=2ccbaa7c-a656-829b-b98f-acc86e7a6ae3]","resourceModel":{"Name":"a","Script":["success"],"Id":"id-a"}}
        TypeFunction RequestResponse: 404 ResourceNotFoundException {"Type":"User","Message":"there is no function `TypeFunction`; use `Formwork::Examples::File` or `Formwork::Tests::Scripted`"}
        Acme::Storage::File RequestResponse: 404 ResourceNotFoundException {"Type":"User","Message":"there is no function `Acme::Storage::File`; use `Formwork::Tests::Scripted` or `TypeFunction`"}
        %ff RequestResponse: 400 InvalidParameterValueException {"Type":"User","Message":"the name of the function must be percent-encoded UTF-8"}
        TypeFunction Sometimes: 400 InvalidParameterValueException {"Type":"User","Message":"X-Amz-Invocation-Type must be RequestResponse, Event or DryRun"}
        TypeFunction RequestResponse: 413 RequestTooLargeException {"Type":"User","Message":"the request has more than 6291456 bytes, which a payload may have at most"}
        TypeFunction Event: 413 RequestTooLargeException {"Type":"User","Message":"the request has more than 1048576 bytes, which the payload of an `Event` may have at most"}
        TypeFunction RequestResponse: 400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: it is not UTF-8: invalid utf-8 sequence of 1 bytes from index 1"}
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn a_dry_run_says_what_is_wrong_and_does_nothing() {
    let door = Door::open(&["scripted-guest"]).await;
    let mut told = String::new();
    for payload in [
        create("panic"),
        request("READ", json!({"Name": "a"})),
        request("LIST", json!({})),
        // A model that is fed back may be off the schema.
        with(
            request("CREATE", json!({"Name": "a", "Nome": 1})),
            "/callbackContext",
            json!({"a": 1}),
        ),
        // An empty context is none.
        with(
            request("CREATE", json!({"Name": "a", "Nome": 1})),
            "/callbackContext",
            json!({}),
        ),
        request("CREATE", json!({"Name": "a", "Nome": 1})),
        request("DELETE", json!({})),
        json!({"action": "CREATE", "bearerToken": 1}),
    ] {
        told.push_str(&door.invoke("DryRun", payload).await.line());
    }
    expect![[r#"
        204
        204
        204
        204
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: the desired state does not fit the schema of `Formwork::Tests::Scripted`: the model breaks `/additionalProperties`: Additional properties are not allowed ('Nome' was unexpected)"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: the desired state does not fit the schema of `Formwork::Tests::Scripted`: the model breaks `/additionalProperties`: Additional properties are not allowed ('Nome' was unexpected)"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: the request does not name a resource of `Formwork::Tests::Scripted`: give a value to `/properties/Name`"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `requestData` is missing: it must be a JSON object; `bearerToken` must be a string of 1 to 128 characters"}
    "#]].assert_eq(&told);
    assert_eq!(
        door.engine
            .operations(&Filter::default())
            .await
            .expect("it reads"),
        []
    );
}

#[tokio::test]
async fn an_event_becomes_an_operation_whatever_is_wrong_with_it() {
    let endpoint = json!("http://127.0.0.1:9");
    let event = with(create("success"), "/responseEndpoint", endpoint);
    for (payload, code, words) in [
        (event.clone(), None, "CREATE"),
        (
            with(event.clone(), "/callbackContext", json!({})),
            None,
            "CREATE",
        ),
        (
            with(event.clone(), "/callbackContext", json!({"a": 1})),
            Some(HandlerErrorCode::InvalidRequest),
            "`callbackContext`",
        ),
        (
            with(event.clone(), "/awsAccountId", json!(1)),
            Some(HandlerErrorCode::InvalidRequest),
            "`awsAccountId` must be",
        ),
        (
            with(event.clone(), "/requestData", json!({})),
            Some(HandlerErrorCode::InvalidRequest),
            "`requestData.resourceProperties` is missing",
        ),
        (
            with(
                event.clone(),
                "/requestData/resourceProperties",
                json!({"Nome": 1}),
            ),
            Some(HandlerErrorCode::InvalidRequest),
            "/required",
        ),
    ] {
        let door = Door::open(&["scripted-guest"]).await;
        let answer = door.invoke("Event", &payload).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (202, ""),
            "{payload}"
        );
        let operation = door.operation().await;
        let status = code.map_or(Status::Success, |_| Status::Failed);
        assert_eq!(
            (operation.status, operation.code),
            (status, code),
            "{payload}"
        );
        let said = operation.message.clone().unwrap_or_default();
        assert!(said.contains(words), "{payload}: {said}");
        let target = operation.reporting.as_ref().expect("it is reported");
        assert_eq!(target.bearer_token.reveal(), "b");
        assert_eq!(target.endpoint.as_deref(), Some("http://127.0.0.1:9"));
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_reported_is_refused() {
    let door = Door::open(&["scripted-guest"]).await;
    let good = create("success");
    let mut told = String::new();
    for payload in [
        with(good.clone(), "/bearerToken", Value::Null),
        with(good.clone(), "/bearerToken", json!(["hunter2"])),
        with(good.clone(), "/action", json!("READ")),
        with(good.clone(), "/action", json!("LIST")),
        with(good.clone(), "/action", json!("BREED")),
        with(
            good.clone(),
            "/responseEndpoint",
            json!("http://example.com"),
        ),
        with(
            good.clone(),
            "/responseEndpoint",
            json!("https://user:hunter2@example.com"),
        ),
        with(good.clone(), "/responseEndpoint", json!(1)),
        with(
            good.clone(),
            "/requestData/platformCredentials",
            json!("hunter2"),
        ),
    ] {
        told.push_str(&door.invoke("Event", payload).await.line());
    }
    assert!(!told.contains("hunter2"), "{told}");
    expect![[r#"
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `bearerToken` is missing, and an `Event` is reported by it: give 1 to 128 characters"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `bearerToken` must be a string of 1 to 128 characters"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: READ is no operation that is reported: invoke it as RequestResponse"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: LIST is no operation that is reported: invoke it as RequestResponse"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `action` must be one of CREATE, READ, UPDATE, DELETE and LIST"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `responseEndpoint`: the CloudFormation endpoint at `example.com` is a plain http URL, which only a loopback address may have: use https, or allow plain http in the reporter's settings"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `responseEndpoint`: the CloudFormation endpoint has a user name or password: leave it out"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `responseEndpoint` must be a string"}
        400 InvalidRequestContentException {"Type":"User","Message":"cannot use the payload: `requestData.platformCredentials` must be a JSON object with the strings `accessKeyId` and `secretAccessKey`, and `sessionToken` if there is one"}
    "#]].assert_eq(&told);
    assert_eq!(
        door.engine
            .operations(&Filter::default())
            .await
            .expect("it reads"),
        []
    );
}

#[tokio::test]
async fn a_bearer_token_is_one_operation() {
    let door = Door::open(&["scripted-guest"]).await;
    let first = create("in-progress-no-callback");
    let credentials = json!({"accessKeyId": "A", "secretAccessKey": "other"});
    let again = with(first.clone(), "/requestData/callerCredentials", credentials);
    for payload in [&first, &again, &first] {
        assert_eq!(door.invoke("Event", payload).await.status, 202);
    }
    let operation = door.operation().await;
    let other = door.invoke("Event", create("success")).await;
    expect![[r#"
        409 ResourceConflictException {"Type":"User","Message":"the bearer token stands for another request, operation TOKEN; a new request has a bearer token of its own"}
    "#]].assert_eq(&other.line().replace(&operation.token.to_string(), "TOKEN"));
}
