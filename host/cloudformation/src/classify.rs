//! What became of a call, from what the SDK says.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudformation::config::http::HttpResponse;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::operation::record_handler_progress::RecordHandlerProgressError;
use formwork_host::operation::Delivery;

/// The longest reason that is kept, in characters: it is for people to read.
const REASON_LENGTH: usize = 512;

/// The codes with which AWS services say that there were too many calls.
const THROTTLING: [&str; 8] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
];

/// Tells what became of a call that did not succeed.
///
/// `secrets` are texts that the reason must not repeat.
pub(crate) fn classify(
    error: &SdkError<RecordHandlerProgressError, HttpResponse>,
    secrets: &[&str],
) -> Delivery {
    let chain = || reason(&chain_of(error), secrets);
    if find::<CredentialsError>(error).is_some() {
        // Nothing can be sent unsigned; the source of credentials may come back.
        return Delivery::Unreachable { reason: chain() };
    }
    match error {
        SdkError::ServiceError(answer) => {
            let said = answer.err();
            if said.is_operation_status_check_failed_exception() {
                Delivery::ConditionalCheckFailed
            } else if said.is_invalid_state_transition_exception() {
                Delivery::InvalidStateTransition
            } else {
                let status = answer.raw().status().as_u16();
                answered(status, said.code(), said.message(), secrets)
            }
        }
        SdkError::ConstructionFailure(_) => Delivery::Refused { reason: chain() },
        SdkError::DispatchFailure(failure) => {
            if find::<hyper_util::client::legacy::Error>(error)
                .is_some_and(hyper_util::client::legacy::Error::is_connect)
            {
                Delivery::Unreachable { reason: chain() }
            } else if failure.is_user() {
                Delivery::Refused { reason: chain() }
            } else {
                Delivery::Ambiguous { reason: chain() }
            }
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            Delivery::Ambiguous { reason: chain() }
        }
        // The SDK's enum is open. What is not known may have arrived.
        _ => Delivery::Ambiguous { reason: chain() },
    }
}

/// Tells what became of a call that was answered by an error without a shape.
fn answered(status: u16, code: Option<&str>, message: Option<&str>, secrets: &[&str]) -> Delivery {
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => format!("{code} (HTTP status {status})"),
        (None, _) => format!("HTTP status {status} without an error code"),
    };
    let reason = reason(&text, secrets);
    let throttled = status == 429 || code.is_some_and(|code| THROTTLING.contains(&code));
    if throttled {
        Delivery::Unreachable { reason }
    } else if status == 408 || status >= 500 {
        Delivery::Ambiguous { reason }
    } else {
        Delivery::Refused { reason }
    }
}

/// Makes a text fit to be kept and shown: its first line, cut, without secrets.
///
/// AWS repeats the signed headers, the session token among them, in the later
/// lines of a signature error, and invalid values in a validation error.
fn reason(text: &str, secrets: &[&str]) -> String {
    let mut line = text.lines().next().unwrap_or_default().to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "[redacted]");
    }
    line.chars().take(REASON_LENGTH).collect()
}

/// Joins what an error and its sources say.
pub(crate) fn chain_of(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        // Some of the SDK's errors print their source.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = source.source();
    }
    text
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_settled_by_its_code_and_status() {
        let rows: [(u16, Option<&str>, &str); 15] = [
            (400, Some("Throttling"), "unreachable"),
            (503, Some("SlowDown"), "unreachable"),
            (429, None, "unreachable"),
            (500, Some("InternalFailure"), "ambiguous"),
            (502, None, "ambiguous"),
            (503, Some("ServiceUnavailable"), "ambiguous"),
            (504, None, "ambiguous"),
            (408, None, "ambiguous"),
            (400, Some("ValidationError"), "refused"),
            (403, Some("AccessDenied"), "refused"),
            (403, Some("ExpiredToken"), "refused"),
            (403, Some("InvalidClientTokenId"), "refused"),
            (403, Some("SignatureDoesNotMatch"), "refused"),
            (404, None, "refused"),
            (301, None, "refused"),
        ];
        for (status, code, expected) in rows {
            let found = match answered(status, code, Some("why"), &[]) {
                Delivery::Unreachable { .. } => "unreachable",
                Delivery::Ambiguous { .. } => "ambiguous",
                Delivery::Refused { .. } => "refused",
                other @ (Delivery::Accepted
                | Delivery::ConditionalCheckFailed
                | Delivery::InvalidStateTransition) => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{status} {code:?}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line_without_secrets() {
        let text = "Value 't0ken' at 'bearerToken'\nx-amz-security-token:s3ssion";
        assert_eq!(
            reason(text, &["t0ken", "", "s3ssion"]),
            "Value '[redacted]' at 'bearerToken'"
        );
        assert_eq!(reason(&"ä".repeat(2_000), &[]).chars().count(), 512);
    }

    #[test]
    fn a_request_that_cannot_be_built_is_refused_and_one_without_credentials_waits() {
        let refused = classify(&SdkError::construction_failure("no host"), &[]);
        assert!(matches!(refused, Delivery::Refused { .. }), "{refused:?}");
        let unsigned = SdkError::construction_failure(CredentialsError::not_loaded("none found"));
        let unsigned = classify(&unsigned, &[]);
        assert!(
            matches!(unsigned, Delivery::Unreachable { .. }),
            "{unsigned:?}"
        );
        let late = classify(&SdkError::timeout_error("10 s"), &[]);
        assert!(matches!(late, Delivery::Ambiguous { .. }), "{late:?}");
    }
}
