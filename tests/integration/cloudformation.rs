//! Reports to CloudFormation: through the real SDK, over HTTP.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use formwork_cloudformation::{BuildError, CloudFormationReporter};
use formwork_host::engine::Reporter;
use formwork_host::model::{
    Credentials, HandlerErrorCode, JsonObject, Mutation, RequestToken, Timestamp,
};
use formwork_host::operation::{
    Delivery, Event, EventKind, PendingReport, ReportTarget, Settlement, Status,
};
use formwork_tests::cloudformation::{CloudFormation, Misbehaviour, RecordedRequest};
use tracing_subscriber::fmt::MakeWriter;

const BEARER: &str = "s3cr3t-bearer-token";
const NOW: Timestamp = Timestamp::from_millis(1_000);

fn credentials(key: &str) -> Credentials {
    Credentials {
        access_key_id: key.to_owned(),
        secret_access_key: "s3cr3t-key".to_owned(),
        session_token: Some("s3cr3t-session".to_owned()),
    }
}

async fn reporter_to(endpoint: &str) -> CloudFormationReporter {
    CloudFormationReporter::builder()
        .endpoint(endpoint)
        .region("us-east-1".parse().expect("a region"))
        .credentials(credentials("AKIDOWN"))
        .build()
        .await
        .expect("the settings are complete")
}

async fn start() -> (CloudFormation, CloudFormationReporter) {
    let cloudformation = CloudFormation::start().await;
    cloudformation.issue(BEARER);
    let reporter = reporter_to(&cloudformation.endpoint()).await;
    (cloudformation, reporter)
}

fn report(version: u64, kind: EventKind, status: Status) -> PendingReport {
    PendingReport {
        type_name: "Acme::Storage::Archive".parse().expect("a type name"),
        mutation: Mutation::Create,
        deadline: Timestamp::from_millis(10_000),
        target: ReportTarget {
            bearer_token: BEARER.parse().expect("a token"),
            endpoint: None,
            region: None,
            credentials: None,
        },
        event: Event {
            token: RequestToken::from_bytes([1; 16]),
            version,
            at: NOW,
            began: None,
            kind,
            status,
            invocation: 1,
            attempt: 1,
            message: None,
            code: None,
            callback: None,
            delivered: None,
            due: NOW,
            client_token: None,
            model: None,
        },
        attempts: 0,
        ambiguous: false,
        due: NOW,
        parked: None,
    }
}

fn acknowledgement() -> PendingReport {
    report(1, EventKind::Accepted, Status::Pending)
}

fn in_progress(version: u64) -> PendingReport {
    report(version, EventKind::Progressed, Status::InProgress)
}

fn ended(version: u64, status: Status) -> PendingReport {
    report(version, EventKind::Ended, status)
}

fn failed(version: u64, code: HandlerErrorCode, message: &str) -> PendingReport {
    let mut report = ended(version, Status::Failed);
    report.event.code = Some(code);
    report.event.message = Some(message.to_owned());
    report
}

fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

/// Shows the parameters as they were sent, one line a request.
fn transcript(requests: &[RecordedRequest]) -> String {
    requests
        .iter()
        .map(|request| {
            let line: Vec<String> = request
                .parameters
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            line.join(" ") + "\n"
        })
        .collect()
}

async fn accept(reporter: &CloudFormationReporter, report: &PendingReport) {
    assert_eq!(reporter.deliver(report).await, Delivery::Accepted);
}

#[tokio::test]
async fn a_chain_is_reported_in_the_order_and_with_the_values_of_the_contract() {
    let (cloudformation, reporter) = start().await;
    accept(&reporter, &acknowledgement()).await;
    let mut progressed = in_progress(3);
    progressed.event.message = Some("copying & moving".to_owned());
    progressed.event.model = Some(object(r#"{"Name":"ä b"}"#));
    accept(&reporter, &progressed).await;
    accept(&reporter, &in_progress(5)).await;
    let mut done = ended(7, Status::Success);
    done.event.model = Some(object(r#"{"Name":"ä b","Size":1}"#));
    accept(&reporter, &done).await;

    let token = "01010101-0101-0101-0101-010101010101";
    assert_eq!(
        transcript(&cloudformation.requests()),
        format!(
            "BearerToken={BEARER} ClientRequestToken={token}-1 CurrentOperationStatus=PENDING OperationStatus=IN_PROGRESS\n\
             BearerToken={BEARER} ClientRequestToken={token}-3 CurrentOperationStatus=IN_PROGRESS OperationStatus=IN_PROGRESS ResourceModel={{\"Name\":\"ä b\"}} StatusMessage=copying & moving\n\
             BearerToken={BEARER} ClientRequestToken={token}-5 CurrentOperationStatus=IN_PROGRESS OperationStatus=IN_PROGRESS\n\
             BearerToken={BEARER} ClientRequestToken={token}-7 CurrentOperationStatus=IN_PROGRESS OperationStatus=SUCCESS ResourceModel={{\"Name\":\"ä b\",\"Size\":1}}\n"
        )
    );
    let recorded = cloudformation.recorded(BEARER).expect("an issued token");
    assert_eq!(recorded.status, "SUCCESS");
    assert_eq!(
        recorded.model.as_deref(),
        Some(r#"{"Name":"ä b","Size":1}"#)
    );
}

#[tokio::test]
async fn a_cancelled_operation_is_reported_as_failed() {
    let (cloudformation, reporter) = start().await;
    accept(&reporter, &acknowledgement()).await;
    accept(&reporter, &ended(2, Status::CancelComplete)).await;
    let recorded = cloudformation.recorded(BEARER).expect("an issued token");
    assert_eq!(
        (
            recorded.status,
            recorded.code.as_deref(),
            recorded.message.as_deref()
        ),
        ("FAILED", Some("InternalFailure"), Some("cancelled"))
    );
}

#[tokio::test]
async fn each_code_is_taken_by_cloudformation() {
    for code in HandlerErrorCode::ALL {
        let (cloudformation, reporter) = start().await;
        accept(&reporter, &acknowledgement()).await;
        accept(&reporter, &failed(2, code, "why")).await;
        let expected = match code.as_str() {
            "UnauthorizedTaggingOperation" => ("AccessDenied", "UnauthorizedTaggingOperation: why"),
            "ServiceTimeout" => ("NotStabilized", "ServiceTimeout: why"),
            same => (same, "why"),
        };
        let recorded = cloudformation.recorded(BEARER).expect("an issued token");
        assert_eq!(
            (recorded.code.as_deref(), recorded.message.as_deref()),
            (Some(expected.0), Some(expected.1))
        );
    }
}

#[tokio::test]
async fn a_long_message_is_cut_between_characters() {
    let (cloudformation, reporter) = start().await;
    accept(&reporter, &acknowledgement()).await;
    let long = format!("x{}", "😀".repeat(1_000));
    accept(&reporter, &failed(2, HandlerErrorCode::NotFound, &long)).await;
    let recorded = cloudformation.recorded(BEARER).expect("an issued token");
    assert_eq!(recorded.message, Some(format!("x{}", "😀".repeat(511))));
}

#[tokio::test]
async fn a_model_that_is_too_large_is_left_out_and_the_message_says_so() {
    let (cloudformation, reporter) = start().await;
    accept(&reporter, &acknowledgement()).await;
    let mut done = ended(2, Status::Success);
    done.event.message = Some("ä".repeat(2_000));
    done.event.model = Some(object(&format!(r#"{{"A":"{}"}}"#, "x".repeat(20_000))));
    accept(&reporter, &done).await;
    let recorded = cloudformation.recorded(BEARER).expect("an issued token");
    assert_eq!((recorded.status, recorded.model), ("SUCCESS", None));
    let message = recorded.message.expect("a message");
    assert_eq!(message.chars().count(), 1_024);
    assert!(message.ends_with(
        "ä [the resource model is left out: it has 20008 characters and CloudFormation takes 16384]"
    ));
}

#[tokio::test]
async fn a_repeated_report_is_recognized_by_its_client_request_token() {
    let (cloudformation, reporter) = start().await;
    accept(&reporter, &acknowledgement()).await;
    accept(&reporter, &acknowledgement()).await;
    accept(&reporter, &ended(2, Status::Success)).await;
    accept(&reporter, &ended(2, Status::Success)).await;
    assert_eq!(cloudformation.requests().len(), 4);
}

#[tokio::test]
async fn a_status_that_is_not_the_expected_one_supersedes_or_is_our_own() {
    let (_cloudformation, reporter) = start().await;
    accept(&reporter, &acknowledgement()).await;
    accept(&reporter, &ended(2, Status::Success)).await;

    let late = in_progress(3);
    let delivery = reporter.deliver(&late).await;
    assert_eq!(delivery, Delivery::ConditionalCheckFailed);
    assert_eq!(late.settle(delivery, NOW), Settlement::Superseded);

    let mut again = ended(4, Status::Success);
    again.ambiguous = true;
    let delivery = reporter.deliver(&again).await;
    assert_eq!(delivery, Delivery::ConditionalCheckFailed);
    assert_eq!(
        again.settle(delivery, NOW),
        Settlement::Delivered { at: NOW }
    );
}

#[tokio::test]
async fn what_the_stand_in_answers_is_what_the_sdk_takes_for_the_modelled_errors() {
    let cloudformation = CloudFormation::start().await;
    cloudformation.issue(BEARER);
    let client = aws_client(&cloudformation);
    let record = |status: &str| {
        client
            .record_handler_progress()
            .bearer_token(BEARER)
            .operation_status(status.into())
    };
    let illegal = record("SUCCESS")
        .send()
        .await
        .expect_err("PENDING cannot become SUCCESS");
    assert!(
        illegal
            .into_service_error()
            .is_invalid_state_transition_exception()
    );
    let unexpected = record("IN_PROGRESS")
        .current_operation_status("IN_PROGRESS".into())
        .send()
        .await
        .expect_err("the status is PENDING");
    assert!(
        unexpected
            .into_service_error()
            .is_operation_status_check_failed_exception()
    );
    record("IN_PROGRESS")
        .send()
        .await
        .expect("a legal transition");
    record("IN_PROGRESS")
        .send()
        .await
        .expect("a legal transition");
    record("FAILED").send().await.expect("a legal transition");
    record("FAILED")
        .send()
        .await
        .expect_err("FAILED is terminal");
    let codes: Vec<Option<String>> = cloudformation
        .requests()
        .into_iter()
        .map(|request| request.code)
        .collect();
    let refused = |code: &str| Some(code.to_owned());
    assert_eq!(
        codes,
        [
            refused("InvalidStateTransition"),
            refused("ConditionalCheckFailed"),
            None,
            None,
            None,
            refused("InvalidStateTransition"),
        ]
    );
}

fn aws_client(cloudformation: &CloudFormation) -> aws_sdk_cloudformation::Client {
    use aws_sdk_cloudformation::config::{BehaviorVersion, Region, retry::RetryConfig};
    let config = aws_sdk_cloudformation::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(cloudformation.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_credential_types::Credentials::from_keys(
            "AKID", "secret", None,
        ))
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_cloudformation::Client::from_conf(config)
}

/// What a delivery amounts to, and its reason.
fn kind(delivery: &Delivery) -> (&'static str, &str) {
    match delivery {
        Delivery::Accepted => ("accepted", ""),
        Delivery::ConditionalCheckFailed => ("conditional check failed", ""),
        Delivery::InvalidStateTransition => ("invalid state transition", ""),
        Delivery::Ambiguous { reason } => ("ambiguous", reason),
        Delivery::Unreachable { reason } => ("unreachable", reason),
        Delivery::Refused { reason } => ("refused", reason),
    }
}

#[tokio::test]
async fn each_misbehaviour_is_told_apart_and_settled_once_it_is_over() {
    let rows = [
        (
            Misbehaviour::Unavailable,
            "ambiguous",
            "PENDING",
            "ServiceUnavailable: Try later.",
        ),
        (
            Misbehaviour::InternalFailure,
            "ambiguous",
            "IN_PROGRESS",
            "InternalFailure: It broke.",
        ),
        (
            Misbehaviour::Throttle,
            "unreachable",
            "PENDING",
            "Throttling: Rate exceeded",
        ),
        (
            Misbehaviour::TooManyRequests,
            "unreachable",
            "PENDING",
            "HTTP status 429",
        ),
        (
            Misbehaviour::CloseBefore,
            "ambiguous",
            "PENDING",
            "dispatch failure",
        ),
        (
            Misbehaviour::CloseAfter,
            "ambiguous",
            "IN_PROGRESS",
            "dispatch failure",
        ),
        (
            Misbehaviour::Page,
            "ambiguous",
            "PENDING",
            "no RecordHandlerProgressResponse",
        ),
        (
            Misbehaviour::ErrorPage,
            "ambiguous",
            "PENDING",
            "HTTP status 502",
        ),
        (
            Misbehaviour::ExpiredToken,
            "refused",
            "PENDING",
            "ExpiredToken: The security token",
        ),
        (
            Misbehaviour::AccessDenied,
            "refused",
            "PENDING",
            "not allowed for [redacted]",
        ),
    ];
    for (misbehaviour, expected, recorded, text) in rows {
        let (cloudformation, reporter) = start().await;
        cloudformation.misbehave(misbehaviour);
        let report = acknowledgement();
        let delivery = reporter.deliver(&report).await;
        let (found, reason) = kind(&delivery);
        assert_eq!(found, expected, "{misbehaviour:?}: {delivery:?}");
        assert!(reason.contains(text), "{misbehaviour:?}: {reason}");
        assert!(!reason.contains("s3cr3t"), "{misbehaviour:?}: {reason}");
        assert_eq!(
            cloudformation
                .recorded(BEARER)
                .expect("an issued token")
                .status,
            recorded,
            "{misbehaviour:?}"
        );
        assert_eq!(cloudformation.requests().len(), 1, "the SDK does not retry");
        let settlement = report.settle(delivery, NOW);
        let agrees = match &settlement {
            Settlement::Retry { ambiguous, .. } => *ambiguous == (expected == "ambiguous"),
            Settlement::Parked { .. } => expected == "refused",
            Settlement::Delivered { .. } | Settlement::Superseded => false,
        };
        assert!(agrees, "{misbehaviour:?}: {settlement:?}");
        accept(&reporter, &report).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_it_open_whether_the_report_arrived() {
    let cloudformation = CloudFormation::start().await;
    cloudformation.issue(BEARER);
    let reporter = CloudFormationReporter::builder()
        .endpoint(cloudformation.endpoint())
        .region("us-east-1".parse().expect("a region"))
        .credentials(credentials("AKIDOWN"))
        .call_timeout(Duration::from_millis(300))
        .build()
        .await
        .expect("the settings are complete");
    cloudformation.misbehave(Misbehaviour::Silence);
    let delivery = reporter.deliver(&acknowledgement()).await;
    assert_eq!(kind(&delivery).0, "ambiguous", "{delivery:?}");
    assert_eq!(cloudformation.requests().len(), 1);
    accept(&reporter, &acknowledgement()).await;
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_unreachable() {
    // A bound socket that does not listen keeps its port from everybody else.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(loopback).expect("a free port");
    let closed = format!("http://{}", socket.local_addr().expect("an address"));
    let delivery = reporter_to(&closed).await.deliver(&acknowledgement()).await;
    assert_eq!(kind(&delivery).0, "unreachable", "{delivery:?}");
}

#[tokio::test]
async fn a_bearer_token_that_nobody_issued_is_refused() {
    let cloudformation = CloudFormation::start().await;
    let reporter = reporter_to(&cloudformation.endpoint()).await;
    let delivery = reporter.deliver(&acknowledgement()).await;
    let (found, reason) = kind(&delivery);
    assert_eq!(found, "refused", "{delivery:?}");
    assert!(reason.starts_with("ValidationError: "), "{reason}");
}

#[tokio::test]
async fn a_request_brings_its_own_endpoint_region_and_credentials() {
    let (own, reporter) = start().await;
    let other = CloudFormation::start().await;
    other.issue(BEARER);
    let mut elsewhere = acknowledgement();
    elsewhere.target.endpoint = Some(other.endpoint());
    elsewhere.target.region = Some("eu-central-1".parse().expect("a region"));
    elsewhere.target.credentials = Some(credentials("AKIDCALLER"));
    accept(&reporter, &elsewhere).await;
    accept(&reporter, &acknowledgement()).await;
    let mut second = in_progress(2);
    let mut without_session = credentials("AKIDSECOND");
    without_session.session_token = None;
    second.target.credentials = Some(without_session);
    accept(&reporter, &second).await;

    let signed = |requests: Vec<RecordedRequest>| -> Vec<_> {
        requests
            .into_iter()
            .map(|request| (request.access_key_id, request.region, request.session_token))
            .collect()
    };
    let session = || Some("s3cr3t-session".to_owned());
    assert_eq!(
        signed(other.requests()),
        [(
            Some("AKIDCALLER".into()),
            Some("eu-central-1".into()),
            session()
        )]
    );
    assert_eq!(
        signed(own.requests()),
        [
            (Some("AKIDOWN".into()), Some("us-east-1".into()), session()),
            (Some("AKIDSECOND".into()), Some("us-east-1".into()), None),
        ]
    );
}

#[tokio::test]
async fn an_endpoint_that_is_not_to_be_called_is_refused_and_not_called() {
    let (cloudformation, reporter) = start().await;
    for endpoint in [
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "https://user:s3cr3t@example.com",
        "nonsense",
    ] {
        let mut report = acknowledgement();
        report.target.endpoint = Some(endpoint.to_owned());
        let delivery = reporter.deliver(&report).await;
        let (found, reason) = kind(&delivery);
        assert_eq!(found, "refused", "{endpoint}");
        assert!(!reason.contains("s3cr3t"), "{reason}");
    }
    assert_eq!(cloudformation.requests(), []);

    let settings = CloudFormationReporter::builder()
        .endpoint("http://example.com")
        .region("us-east-1".parse().expect("a region"))
        .credentials(credentials("AKIDOWN"));
    let error = settings.clone().build().await.expect_err("plain http");
    assert!(matches!(error, BuildError::Endpoint(_)), "{error:?}");
    assert!(settings.allow_plain_http(true).build().await.is_ok());
}

#[tokio::test]
async fn an_event_that_is_not_reported_is_not_sent() {
    let (cloudformation, reporter) = start().await;
    accept(
        &reporter,
        &report(2, EventKind::Retried, Status::InProgress),
    )
    .await;
    assert_eq!(cloudformation.requests(), []);
}

#[tokio::test]
async fn what_is_logged_names_the_report_and_holds_no_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // The test's runtime has one thread, so this hears the SDK too.
    let _listening = tracing::subscriber::set_default(subscriber);
    let (cloudformation, reporter) = start().await;
    // A test on another thread, where nobody listens, may have met the same lines
    // for the first time meanwhile, and had them switched off.
    tracing::callsite::rebuild_interest_cache();
    let mut report = acknowledgement();
    report.target.credentials = Some(credentials("AKIDCALLER"));
    cloudformation.misbehave(Misbehaviour::AccessDenied);
    assert_eq!(kind(&reporter.deliver(&report).await).0, "refused");
    accept(&reporter, &report).await;
    assert!(!format!("{reporter:?} {report:?}").contains("s3cr3t"));

    let log = log.text();
    for event in [
        "a report was not accepted by CloudFormation request_token=01010101-0101-0101-0101-010101010101 type_name=Acme::Storage::Archive action=CREATE invocation=1 version=1 status=\"IN_PROGRESS\" outcome=\"refused\"",
        "reported to CloudFormation request_token=01010101-0101-0101-0101-010101010101 type_name=Acme::Storage::Archive action=CREATE invocation=1 version=1 status=\"IN_PROGRESS\" outcome=\"accepted\"",
    ] {
        assert!(log.contains(event), "{log}");
    }
    assert!(!log.contains("s3cr3t"), "{log}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
