//! Cloud Control: requests that are wrong, and what is said of them.

use axum::body::Body;
use expect_test::{Expect, expect};
use http::Request;
use serde_json::{Value, json};

use super::{Answer, Door};

pub(super) async fn send(door: &Door, operation: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post("/")
        .header("x-amz-target", format!("CloudApiService.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .body(body.into());
    door.send(request.expect("a request")).await
}

pub(super) async fn ask(door: &Door, operation: &str, request: &Value) -> Answer {
    send(door, operation, request.to_string()).await
}

/// Gives status, exception and message, without what differs each time.
fn told(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/x-amz-json-1.0");
    let body = answer.json();
    let message = body.get("Message").or_else(|| body.get("message"));
    let Some(message) = message.and_then(Value::as_str) else {
        return format!("{} {body}\n", answer.status.as_u16());
    };
    let exception = body["__type"].as_str().expect("a name");
    let (namespace, name) = exception.split_once('#').expect("a namespace");
    assert_eq!(name, answer.header("x-amzn-errortype"));
    assert_eq!(
        namespace.starts_with("com.amazonaws"),
        body.get("Message").is_some()
    );
    let mut message = message.replace(answer.header("x-amzn-requestid"), "ID");
    // What the guest says besides differs each time.
    if let Some((start, end)) = message.find(" [READ").zip(message.find(']')) {
        message.replace_range(start..=end, "");
    }
    format!("{} {name}: {message}\n", answer.status.as_u16())
}

async fn check(door: &Door, requests: &[(&str, Value)], expected: &Expect) {
    let mut said = String::new();
    for (operation, request) in requests {
        said.push_str(&told(&ask(door, operation, request).await));
    }
    expected.assert_eq(&said);
}

pub(super) const SCRIPTED: &str = "Formwork::Tests::Scripted";
pub(super) const THING: &str = "Formwork::Tests::Thing";

#[tokio::test]
async fn no_path_is_answered_by_a_status_that_means_gone() {
    let door = Door::open(&["file"]).await;
    for path in ["/foo", "//", "/2015-03-31"] {
        let request = Request::post(path).header("x-amz-target", "CloudApiService.GetResource");
        let answer = door
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(
            answer.header("x-amzn-errortype"),
            "UnknownOperationException"
        );
    }
}

#[tokio::test]
async fn members_are_checked_before_anything_is_done() {
    let door = Door::open(&["file"]).await;
    let file = "Formwork::Examples::File";
    check(
        &door,
        &[
            ("CreateResource", json!({})),
            ("CreateResource", json!({"TypeName": null, "DesiredState": "{}"})),
            ("CreateResource", json!({"TypeName": "Aa::Bb", "DesiredState": ""})),
            ("CreateResource", json!({"TypeName": file, "DesiredState": "x".repeat(262_145)})),
            ("CreateResource", json!({"TypeName": file, "DesiredState": "{}", "ClientToken": "ä b"})),
            ("CreateResource", json!({"TypeName": file, "DesiredState": "{}", "TypeVersionId": "a_b", "RoleArn": "arn:aws:iam::1:role/x"})),
            ("UpdateResource", json!({"TypeName": file, "Identifier": "a\nb", "PatchDocument": "[]"})),
            ("DeleteResource", json!({"TypeName": file, "Identifier": ""})),
            ("ListResources", json!({"TypeName": file, "MaxResults": 0})),
            ("ListResourceRequests", json!({"MaxResults": 101, "NextToken": "a_b"})),
            ("ListResourceRequests", json!({"NextToken": "abcd"})),
            ("ListResourceRequests", json!({"ResourceRequestStatusFilter": {"Operations": ["READ", "CREATE"], "OperationStatuses": ["DONE"]}})),
            ("GetResourceRequestStatus", json!({"RequestToken": "?"})),
        ],
        &expect![[r#"
            400 ValidationException: 2 validation errors detected: Value null at 'typeName' failed to satisfy constraint: Member must not be null; Value null at 'desiredState' failed to satisfy constraint: Member must not be null
            400 ValidationException: 1 validation error detected: Value null at 'typeName' failed to satisfy constraint: Member must not be null
            400 ValidationException: 3 validation errors detected: Value 'Aa::Bb' at 'typeName' failed to satisfy constraint: Member must have length greater than or equal to 10; Value 'Aa::Bb' at 'typeName' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}; Value at 'desiredState' failed to satisfy constraint: Member must have length greater than or equal to 1
            400 ValidationException: 1 validation error detected: Value at 'desiredState' failed to satisfy constraint: Member must have length less than or equal to 262144
            400 ValidationException: 1 validation error detected: Value 'ä b' at 'clientToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [-A-Za-z0-9+/=]+
            400 ValidationException: 2 validation errors detected: Value 'a_b' at 'typeVersionId' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9-]+; Value 'arn:aws:iam::1:role/x' at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:.+:iam::[0-9]{12}:role/.+
            400 ValidationException: 1 validation error detected: Value 'ab' at 'identifier' failed to satisfy constraint: Member must satisfy regular expression pattern: .+
            400 ValidationException: 1 validation error detected: Value '' at 'identifier' failed to satisfy constraint: Member must have length greater than or equal to 1
            400 ValidationException: 1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1
            400 ValidationException: 2 validation errors detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100; Value 'a_b' at 'nextToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [-A-Za-z0-9+/=]+
            400 ValidationException: Invalid NextToken: give the one that the page before came with
            400 ValidationException: 2 validation errors detected: Value 'READ, CREATE' at 'resourceRequestStatusFilter.operations' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [CREATE, UPDATE, DELETE]]; Value 'DONE' at 'resourceRequestStatusFilter.operationStatuses' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [PENDING, IN_PROGRESS, CANCEL_IN_PROGRESS, SUCCESS, FAILED, CANCEL_COMPLETE]]
            400 ValidationException: 1 validation error detected: Value '?' at 'requestToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [-A-Za-z0-9+/=]+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_without_repeating_it() {
    let door = Door::open(&["file"]).await;
    let mut said = String::new();
    for body in [
        "",
        "{",
        "[]",
        "5",
        "\"s3cr3t\"",
        "\u{0}",
        "[\"Formwork::Examples::File\", null, null, \"s3cr3t\"]",
        "{\"TypeName\": 5}",
        "{\"TypeName\": {\"a\": \"s3cr3t\"}}",
        "{\"TypeName\": \"a\", \"TypeName\": \"b\"}",
    ] {
        said.push_str(&told(&send(&door, "GetResource", body.to_owned()).await));
    }
    let mut deep = "[".repeat(100_000);
    deep.insert_str(0, "{\"X\": ");
    said.push_str(&told(&send(&door, "GetResource", deep).await));
    let large = vec![b' '; 3 * 1_024 * 1_024];
    said.push_str(&told(&send(&door, "GetResource", large).await));
    said.push_str(&told(&ask(&door, "GetResources", &json!({})).await));
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-amz-target", "DynamoDB_20120810.ListTables"),
        ("origin", "https://example.com"),
    ] {
        let mut request = Request::post("/")
            .body(Body::from("{}"))
            .expect("a request");
        for (name, value) in [
            ("content-type", "application/x-amz-json-1.0; charset=utf-8"),
            ("x-amz-target", "CloudApiService.GetResource"),
            (name, value),
        ] {
            let value = value.parse().expect("a value");
            request
                .headers_mut()
                .insert(http::HeaderName::try_from(name).expect("a name"), value);
        }
        said.push_str(&told(&door.send(request).await));
    }
    let request = Request::get("/").header("x-amz-target", "CloudApiService.GetResource");
    let answer = door
        .send(request.body(Body::empty()).expect("a request"))
        .await;
    said.push_str(&told(&answer));
    assert!(!said.contains("s3cr3t"), "{said}");
    expect![[r#"
        400 SerializationException: At line 0 column 0, the body is no object of the members that the operation has
        400 SerializationException: At line 1 column 1, the body is no JSON
        400 SerializationException: At line 0 column 0, the body is no object of the members that the operation has
        400 SerializationException: At line 0 column 0, the body is no object of the members that the operation has
        400 SerializationException: At line 0 column 0, the body is no object of the members that the operation has
        400 SerializationException: At line 0 column 0, the body is no object of the members that the operation has
        400 SerializationException: At line 0 column 0, the body is no object of the members that the operation has
        400 SerializationException: At line 1 column 14, the body is no object of the members that the operation has
        400 SerializationException: At line 1 column 13, the body is no object of the members that the operation has
        400 SerializationException: At line 1 column 28, the body is no object of the members that the operation has
        400 SerializationException: At line 1 column 100006, the body is no JSON
        400 RequestEntityTooLargeException: The request has more than 2097152 bytes
        400 UnknownOperationException: The header `X-Amz-Target` names no operation of `CloudApiService`
        400 SerializationException: The `Content-Type` of a request must be application/x-amz-json-1.0
        400 UnknownOperationException: The header `X-Amz-Target` names no operation of `CloudApiService`
        400 AccessDeniedException: Requests of web pages are refused: leave the header `Origin` out
        400 UnknownOperationException: Requests are sent by POST
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn types_identifiers_and_states_are_checked_before_acceptance() {
    let door = Door::open(&["scripted-guest", "faulty-guest"]).await;
    let thing = |state: Value| json!({"TypeName": THING, "DesiredState": state.to_string()});
    check(
        &door,
        &[
            ("CreateResource", json!({"TypeName": "Acme::Not::Served", "DesiredState": "{"})),
            ("CreateResource", json!({"TypeName": THING, "DesiredState": "{}", "TypeVersionId": "00000002"})),
            ("CreateResource", json!({"TypeName": THING, "DesiredState": "{\"Name\": s3cr3t}"})),
            ("CreateResource", json!({"TypeName": THING, "DesiredState": "[]"})),
            ("CreateResource", thing(json!({}))),
            ("CreateResource", thing(json!({"Name": true, "Zip": 1}))),
            ("CreateResource", thing(json!({"Name": "a", "Id": "th-0000000000000000"}))),
            ("CreateResource", thing(json!({"Name": "a", "Size": "many"}))),
            ("CreateResource", thing(json!({"Name": "a", "Size": 1001, "Kind": "odd", "Comment": "x".repeat(201)}))),
            ("CreateResource", thing(json!({"Name": "1", "Labels": vec!["x"; 11], "Settings": {"Level": -1, "Other": 1}}))),
            ("GetResource", json!({"TypeName": THING, "Identifier": "{\"Name\": \"a\", \"Id\": \"b\"}"})),
            ("DeleteResource", json!({"TypeName": THING, "Identifier": "{\"Size\": 1}"})),
            ("UpdateResource", json!({"TypeName": "Acme::Not::Served", "Identifier": "a", "PatchDocument": "?"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a!fail:NotFound:it is gone", "PatchDocument": "?"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a", "PatchDocument": "?"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a", "PatchDocument": "{}"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a", "PatchDocument": "[{\"op\": \"test\", \"path\": \"Name\", \"value\": \"b\"}]"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a", "PatchDocument": "[{\"op\": \"replace\", \"path\": \"Name\", \"value\": \"b\"}]"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a", "PatchDocument": "[{\"op\": \"add\", \"path\": \"Id\", \"value\": \"b\"}]"})),
            ("UpdateResource", json!({"TypeName": SCRIPTED, "Identifier": "a", "PatchDocument": "[{\"op\": \"add\", \"path\": \"Count\", \"value\": true}]"})),
            ("ListResources", json!({"TypeName": SCRIPTED, "ResourceModel": "?"})),
            ("GetResourceRequestStatus", json!({"RequestToken": "abc"})),
            ("CancelResourceRequest", json!({"RequestToken": "01a20422-283f-7343-ac61-da6493e70f8c"})),
        ],
        &expect![[r#"
            400 TypeNotFoundException: The type 'Acme::Not::Served' cannot be found.
            400 TypeNotFoundException: The type 'Formwork::Tests::Thing' cannot be found.
            400 InvalidRequestException: Invalid desired state: not the text of one JSON object: expected value at line 1 column 10
            400 InvalidRequestException: Invalid desired state: not the text of one JSON object: an array, expected a JSON object at line 1 column 2
            400 ValidationException: Model validation failed (#: required key [Name] not found)
            400 ValidationException: Model validation failed (#/Name: expected type: String, found: Boolean
            #: extraneous key [Zip] is not permitted)
            400 ValidationException: Model validation failed (#/Id: readOnlyProperties [/properties/Id] cannot be specified)
            400 ValidationException: Model validation failed (#/Size: the text does not read as an integer of at most 64 bits)
            400 ValidationException: Model validation failed (#/Size: the value is not less or equal to 1000
            #/Kind: the value is not a valid enum value
            #/Comment: expected maxLength: 200, actual: 201)
            400 ValidationException: Model validation failed (#/Name: string [the value] does not match pattern ^[A-Za-z][A-Za-z0-9-]{0,39}$
            #/Labels: expected maximum item count: 10, found: 11
            #/Settings/Level: the value is not greater or equal to 0
            #/Settings: extraneous key [Other] is not permitted)
            400 ValidationException: Identifier {"Name": "a", "Id": "b"} is not valid for identifier [/properties/Name]
            400 ValidationException: Identifier {"Size": 1} is not valid for identifier [/properties/Name]
            400 TypeNotFoundException: The type 'Acme::Not::Served' cannot be found.
            400 ResourceNotFoundException: Formwork::Tests::Scripted Handler returned status FAILED: it is gone (HandlerErrorCode: NotFound, RequestToken: ID)
            400 InvalidRequestException: Invalid patch update: the patch document is no JSON at line 1 column 1
            400 InvalidRequestException: Invalid patch update: the patch document is no JSON array
            400 InvalidRequestException: Invalid patch update: operation 0 cannot be applied at '/Name': value did not match
            400 NotUpdatableException: Invalid patch update: createOnlyProperties [/properties/Name] cannot be updated
            400 NotUpdatableException: Invalid patch update: readOnlyProperties [/properties/Id] cannot be updated
            400 ValidationException: Model validation failed (#/Count: expected type: Integer, found: Boolean)
            400 InvalidRequestException: Invalid resource model: not the text of one JSON object: expected value at line 1 column 1
            400 RequestTokenNotFoundException: Request with token abc was not found
            400 RequestTokenNotFoundException: Request with token 01a20422-283f-7343-ac61-da6493e70f8c was not found
        "#]],
    )
    .await;
    let operations = door
        .engine
        .operations(&formwork_host::store::Filter::default())
        .await;
    assert!(operations.expect("the store reads").is_empty());
}

#[tokio::test]
async fn what_a_handler_says_of_a_read_becomes_the_exception_for_it() {
    let door = Door::open(&["scripted-guest"]).await;
    let mut said = String::new();
    for step in [
        "fail:NotFound:no such thing",
        "fail:AccessDenied:the role was not found",
        "fail:InvalidTypeConfiguration",
        "fail:Throttling",
        "fail:ResourceConflict",
        "fail:ServiceInternalError",
        "fail:NetworkFailure",
        "fail:InternalFailure",
        "fail:ServiceTimeout",
        "fail:NotUpdatable",
        "panic:cause Not Found",
    ] {
        let request = json!({"TypeName": SCRIPTED, "Identifier": format!("a!{step}")});
        said.push_str(&told(&ask(&door, "GetResource", &request).await));
    }
    expect![[r#"
        400 ResourceNotFoundException: Formwork::Tests::Scripted Handler returned status FAILED: no such thing (HandlerErrorCode: NotFound, RequestToken: ID)
        400 AccessDeniedException: Formwork::Tests::Scripted Handler returned status FAILED: the role was missing (HandlerErrorCode: AccessDenied, RequestToken: ID)
        400 InvalidRequestException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: InvalidTypeConfiguration, RequestToken: ID)
        400 ThrottlingException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: Throttling, RequestToken: ID)
        400 ResourceConflictException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: ResourceConflict, RequestToken: ID)
        500 ServiceInternalErrorException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: ServiceInternalError, RequestToken: ID)
        500 NetworkFailureException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: NetworkFailure, RequestToken: ID)
        500 HandlerInternalFailureException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: InternalFailure, RequestToken: ID)
        500 HandlerFailureException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: ServiceTimeout, RequestToken: ID)
        400 NotUpdatableException: Formwork::Tests::Scripted Handler returned status FAILED: (HandlerErrorCode: NotUpdatable, RequestToken: ID)
        500 HandlerFailureException: Formwork::Tests::Scripted Handler returned status FAILED: trap (panic): panicked at tests/guests/scripted/src/effects.rs:86:20: cause missing (HandlerErrorCode: InternalFailure, RequestToken: ID)
    "#]].assert_eq(&said);
}
