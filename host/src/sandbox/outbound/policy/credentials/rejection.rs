//! Whether AWS refuses the credentials that a request is signed with, from its
//! response.
//!
//! *Invariant*: a refusal for want of a right is none: nobody takes over for what the
//! caller may not do.

use http::response::Parts;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::model::parse_value;

/// How many bytes of a response that says no are looked at.
pub(in crate::sandbox::outbound) const LOOKED_AT: usize = 64 * 1024;

/// The codes by which services of AWS refuse credentials: what they hold, whether
/// they still do, and whether they belong together. What they may do is not among
/// it: no others would be better entitled.
const CODES: [&str; 11] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

/// What stands for a code in the answer to a HEAD.
const TO_A_HEAD: &str = "400 to a HEAD";

/// Tells whether a response can be such a refusal, so that its body is worth a look.
pub(in crate::sandbox::outbound) fn is_possible(head: &Parts) -> bool {
    matches!(
        head.status,
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    )
}

/// Gives the code by which a response refuses credentials, if it does.
///
/// The response to a HEAD has no body to hold one. S3 answers 400 to it where the
/// same GET says `ExpiredToken` or `InvalidToken`, and 403 for keys that it does not
/// know as for what they may not do: the second is left to the guest, so that
/// nobody gets by it what the caller may not.
pub(in crate::sandbox::outbound) fn code(
    method: &Method,
    head: &Parts,
    body: &[u8],
) -> Option<&'static str> {
    if *method == Method::HEAD && head.status == StatusCode::BAD_REQUEST {
        // A bucket of another region answers so too, and says which.
        return (!head.headers.contains_key("x-amz-bucket-region")).then_some(TO_A_HEAD);
    }
    let field = head.headers.get("x-amzn-errortype");
    let said = field
        .and_then(|value| value.to_str().ok())
        .and_then(|text| known(bare(text)));
    let code = said
        .or_else(|| known(bare(&of_json(body)?)))
        .or_else(|| known(of_xml(body)?))?;
    // EC2 says the same of a right that is lacking, with another status.
    let is_of_a_right = code == "AuthFailure" && head.status != StatusCode::UNAUTHORIZED;
    (!is_of_a_right).then_some(code)
}

/// Takes the name space before a code, and the URL behind it.
fn bare(text: &str) -> &str {
    let text = text.rsplit_once('#').map_or(text, |(_, code)| code);
    text.split(':').next().unwrap_or(text).trim()
}

fn of_json(body: &[u8]) -> Option<String> {
    let Ok(Value::Object(members)) = parse_value(std::str::from_utf8(body).ok()?) else {
        return None;
    };
    ["__type", "code", "Code"]
        .into_iter()
        .find_map(|name| members.get(name)?.as_str().map(str::to_owned))
}

/// Reads the element `Code`, of which an error has one, at different depths.
fn of_xml(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.trim())
}

/// Gives a code as we spell it: a server's own words go into no message.
fn known(code: &str) -> Option<&'static str> {
    CODES.into_iter().find(|known| *known == code)
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn read(method: &Method, status: u16, field: &str, body: &str) -> Option<&'static str> {
        let mut response = Response::builder().status(status);
        if !field.is_empty() {
            response = response.header("x-amzn-ErrorType", field);
        }
        let (head, ()) = response.body(()).expect("a response").into_parts();
        is_possible(&head).then(|| code(method, &head, body.as_bytes()))?
    }

    #[test]
    fn a_refusal_of_credentials_is_read_from_each_protocol() {
        for (status, field, body, expected) in [
            (
                403,
                "",
                "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code></Error>",
                Some("InvalidAccessKeyId"),
            ),
            (
                400,
                "",
                "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>",
                Some("ExpiredToken"),
            ),
            (
                403,
                "",
                "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code></Error></ErrorResponse>",
                Some("InvalidClientTokenId"),
            ),
            (
                400,
                "",
                r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"m"}"#,
                Some("UnrecognizedClientException"),
            ),
            (
                403,
                "ExpiredTokenException:http://internal.amazon.com/",
                "",
                Some("ExpiredTokenException"),
            ),
            // No right to do it is no fault of the credentials.
            (403, "", "<Error><Code>AccessDenied</Code></Error>", None),
            (403, "", r#"{"__type":"AccessDeniedException"}"#, None),
            (404, "", "<Error><Code>ExpiredToken</Code></Error>", None),
            (403, "", "<Code>", None),
            (403, "", "", None),
            (
                401,
                "",
                "<Response><Errors><Error><Code>AuthFailure</Code></Error></Errors></Response>",
                Some("AuthFailure"),
            ),
            (400, "", "<Error><Code>AuthFailure</Code></Error>", None),
            (403, "", "<Error><Code>AuthFailure</Code></Error>", None),
            // The time of the request is no matter of its credentials.
            (400, "", "<Error><Code>RequestExpired</Code></Error>", None),
        ] {
            assert_eq!(
                read(&Method::GET, status, field, body),
                expected,
                "{status} {field} {body}"
            );
        }
    }
    #[test]
    fn the_answer_to_a_head_refuses_credentials_by_its_status() {
        for (status, expected) in [(400, Some("400 to a HEAD")), (403, None), (404, None)] {
            assert_eq!(read(&Method::HEAD, status, "", ""), expected, "{status}");
        }
    }

    #[test]
    fn a_bucket_of_another_region_refuses_no_credentials() {
        let response = Response::builder()
            .status(400)
            .header("x-amz-bucket-region", "us-west-2");
        let (head, ()) = response.body(()).expect("a response").into_parts();
        assert_eq!(code(&Method::HEAD, &head, b""), None);
    }
}
