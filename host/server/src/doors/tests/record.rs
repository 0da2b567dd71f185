//! RecordHandlerProgress.

use expect_test::expect;
use formwork_host::model::{HandlerErrorCode, JsonObject};
use formwork_host::operation::Status;
use serde_json::json;

use super::{Answer, Door};

const CALL: [(&str, &str); 2] = [
    ("Action", "RecordHandlerProgress"),
    ("Version", "2010-05-15"),
];

async fn recorded(door: &Door, parameters: &[(&str, &str)]) -> Answer {
    door.query(&[&CALL, parameters].concat()).await
}

/// Opens the door to an operation that waits to be recorded.
async fn waiting(action: &str) -> Door {
    let door = Door::open(&["scripted-guest"]).await;
    let name = "a!in-progress-no-callback";
    let payload = json!({
        "action": action,
        "bearerToken": "bearer & <secret>",
        "requestData": {"resourceProperties": {"Name": name, "Secret": "s"}}
    });
    assert_eq!(door.invoke("Event", payload).await.status, 202);
    assert_eq!(door.operation().await.status, Status::InProgress);
    door
}

const BEARER: (&str, &str) = ("BearerToken", "bearer & <secret>");

#[tokio::test]
async fn work_that_finishes_elsewhere_completes_an_operation() {
    let door = waiting("CREATE").await;
    let model = r#"{"Name":"a!in-progress-no-callback","Id":"ä","Secret":"s"}"#;
    let progress = [
        BEARER,
        ("OperationStatus", "IN_PROGRESS"),
        ("StatusMessage", "half"),
    ];
    let done = [
        BEARER,
        ("OperationStatus", "SUCCESS"),
        ("CurrentOperationStatus", "IN_PROGRESS"),
        ("ResourceModel", model),
        ("ClientRequestToken", "once"),
    ];
    let token = door.operation().await.token;
    let mut said = String::new();
    for parameters in [&progress[..], &done, &done, &done[..4], &progress] {
        said.push_str(&recorded(&door, parameters).await.told());
    }
    expect![[r#"
        200
        200
        200
        400 Sender ConditionalCheckFailed the operation is SUCCESS, not IN_PROGRESS
        400 Sender InvalidStateTransition an operation that is SUCCESS cannot become IN_PROGRESS
    "#]]
    .assert_eq(&said);
    let operation = door.status(token).await;
    assert_eq!(operation.status, Status::Success);
    assert_eq!(
        operation.model.as_ref().map(JsonObject::as_str),
        Some(r#"{"Name":"a!in-progress-no-callback","Id":"ä"}"#)
    );
}

#[tokio::test]
async fn an_operation_can_be_completed_by_its_request_token() {
    let door = waiting("DELETE").await;
    let token = door.operation().await.token;
    let text = token.to_string();
    let answer = recorded(
        &door,
        &[("BearerToken", &text), ("OperationStatus", "FAILED")],
    )
    .await;
    assert_eq!(answer.told(), "200\n");
    let operation = door.status(token).await;
    let code = operation.code.map(HandlerErrorCode::as_str);
    assert_eq!(
        (operation.status, code),
        (Status::Failed, Some("InternalFailure"))
    );
}

#[tokio::test]
async fn a_wrong_call_is_refused_in_the_words_of_the_service() {
    let door = waiting("CREATE").await;
    let long = "x".repeat(16_385);
    let status = ("OperationStatus", "SUCCESS");
    let mut said = String::new();
    for parameters in [
        &[][..],
        &[("Action", "DescribeStacks"), ("Version", "2010-05-15")],
        &[
            ("Action", "RecordHandlerProgress"),
            ("Version", "2010-05-16"),
        ],
        &[("Action", "RecordHandlerProgress")],
        &[CALL[0], CALL[1]],
        &[
            CALL[0],
            CALL[1],
            BEARER,
            ("OperationStatus", "CANCEL_COMPLETE"),
        ],
        &[CALL[0], CALL[1], ("BearerToken", ""), status],
        &[CALL[0], CALL[1], ("BearerToken", &long[..129]), status],
        &[
            CALL[0],
            CALL[1],
            BEARER,
            status,
            ("CurrentOperationStatus", ""),
        ],
        &[
            CALL[0],
            CALL[1],
            BEARER,
            status,
            ("StatusMessage", &long[..1_025]),
        ],
        &[
            CALL[0],
            CALL[1],
            BEARER,
            status,
            ("ErrorCode", "UnauthorizedTaggingOperation"),
        ],
        &[CALL[0], CALL[1], BEARER, status, ("ResourceModel", "")],
        &[CALL[0], CALL[1], BEARER, status, ("ResourceModel", &long)],
        &[CALL[0], CALL[1], BEARER, status, ("ResourceModel", "[1]")],
        &[
            CALL[0],
            CALL[1],
            BEARER,
            status,
            ("ClientRequestToken", "-a"),
        ],
        &[CALL[0], CALL[1], ("BearerToken", "nobody's"), status],
        &[
            CALL[0],
            CALL[1],
            BEARER,
            status,
            ("CurrentOperationStatus", "PENDING"),
        ],
        &[CALL[0], CALL[1], BEARER, ("OperationStatus", "PENDING")],
    ] {
        let answer = door.query(parameters).await;
        assert!(!answer.body.contains("secret"), "{}", answer.body);
        said.push_str(&answer.told());
    }
    expect![[r#"
        400 Sender MissingAction The request has no parameter `Action`, which names a call of CloudFormation or STS
        400 Sender InvalidAction Could not find the operation `DescribeStacks` for version `2010-05-15`
        400 Sender InvalidAction Could not find the operation `RecordHandlerProgress` for version `2010-05-16`
        400 Sender InvalidAction Could not find the operation `RecordHandlerProgress` for version ``
        400 Sender ValidationError 2 validation errors detected: Value null at &apos;bearerToken&apos; failed to satisfy constraint: Member must not be null; Value null at &apos;operationStatus&apos; failed to satisfy constraint: Member must not be null
        400 Sender ValidationError 1 validation error detected: Value &apos;CANCEL_COMPLETE&apos; at &apos;operationStatus&apos; failed to satisfy constraint: Member must satisfy enum value set: [PENDING, IN_PROGRESS, SUCCESS, FAILED]
        400 Sender ValidationError 1 validation error detected: Value at &apos;bearerToken&apos; failed to satisfy constraint: Member must have length greater than or equal to 1
        400 Sender ValidationError 1 validation error detected: Value at &apos;bearerToken&apos; failed to satisfy constraint: Member must have length less than or equal to 128
        400 Sender ValidationError 1 validation error detected: Value &apos;&apos; at &apos;currentOperationStatus&apos; failed to satisfy constraint: Member must satisfy enum value set: [PENDING, IN_PROGRESS, SUCCESS, FAILED]
        400 Sender ValidationError 1 validation error detected: Value at &apos;statusMessage&apos; failed to satisfy constraint: Member must have length less than or equal to 1024
        400 Sender ValidationError 1 validation error detected: Value &apos;UnauthorizedTaggingOperation&apos; at &apos;errorCode&apos; failed to satisfy constraint: Member must satisfy enum value set: [NotUpdatable, InvalidRequest, AccessDenied, InvalidCredentials, AlreadyExists, NotFound, ResourceConflict, Throttling, ServiceLimitExceeded, NotStabilized, GeneralServiceException, ServiceInternalError, NetworkFailure, InternalFailure, InvalidTypeConfiguration, HandlerInternalFailure, NonCompliant, UnsupportedTarget, Unknown]
        400 Sender ValidationError 1 validation error detected: Value at &apos;resourceModel&apos; failed to satisfy constraint: Member must have length greater than or equal to 1
        400 Sender ValidationError 1 validation error detected: Value at &apos;resourceModel&apos; failed to satisfy constraint: Member must have length less than or equal to 16384
        400 Sender ValidationError 1 validation error detected: Value at &apos;resourceModel&apos; failed to satisfy constraint: Member must be the text of one JSON object
        400 Sender ValidationError 1 validation error detected: Value at &apos;clientRequestToken&apos; failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*
        400 Sender ValidationError The bearer token is not that of an operation of this server
        400 Sender ConditionalCheckFailed the operation is IN_PROGRESS, not PENDING
        400 Sender InvalidStateTransition an operation that is IN_PROGRESS cannot become PENDING
    "#]].assert_eq(&said);
    assert_eq!(door.operation().await.status, Status::InProgress);
}
