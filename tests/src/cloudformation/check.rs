//! What CloudFormation checks of a request before it looks at its state.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::http::request::Parts;

use super::Refusal;

/// The statuses that RecordHandlerProgress knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    InProgress,
    Success,
    Failed,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }

    fn parse(name: &'static str, text: &str) -> Result<Self, Refusal> {
        [Self::Pending, Self::InProgress, Self::Success, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                invalid(
                    name,
                    "Member must satisfy enum value set: [PENDING, IN_PROGRESS, SUCCESS, FAILED]",
                )
            })
    }
}

/// The 19 codes that RecordHandlerProgress takes.
const CODES: [&str; 19] = [
    "NotUpdatable",
    "InvalidRequest",
    "AccessDenied",
    "InvalidCredentials",
    "AlreadyExists",
    "NotFound",
    "ResourceConflict",
    "Throttling",
    "ServiceLimitExceeded",
    "NotStabilized",
    "GeneralServiceException",
    "ServiceInternalError",
    "NetworkFailure",
    "InternalFailure",
    "InvalidTypeConfiguration",
    "HandlerInternalFailure",
    "NonCompliant",
    "Unknown",
    "UnsupportedTarget",
];

/// Who signed a request, and for where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) access_key_id: Option<String>,
    pub(super) region: Option<String>,
    pub(super) session_token: Option<String>,
    complete: bool,
}

impl Signature {
    /// Reads the parts of a version 4 signature.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut signature = Self {
            session_token: header("x-amz-security-token").map(str::to_owned),
            ..Self::default()
        };
        let Some(parts) = header("authorization")
            .and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 "))
            .map(|value| {
                value
                    .split(',')
                    .filter_map(|part| part.trim().split_once('='))
                    .collect::<BTreeMap<_, _>>()
            })
        else {
            return signature;
        };
        let scope: Vec<&str> = parts
            .get("Credential")
            .map_or_else(Vec::new, |credential| credential.split('/').collect());
        let [key, date, region, "cloudformation", "aws4_request"] = scope[..] else {
            return signature;
        };
        let signed: Vec<&str> = parts
            .get("SignedHeaders")
            .map_or_else(Vec::new, |names| names.split(';').collect());
        let hexadecimal = parts.get("Signature").is_some_and(|text| {
            text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let dated = header("x-amz-date").is_some_and(|moment| moment.starts_with(date));
        let covered = ["host", "x-amz-date"]
            .iter()
            .all(|name| signed.contains(name))
            && (signature.session_token.is_none() || signed.contains(&"x-amz-security-token"));
        signature.access_key_id = Some(key.to_owned());
        signature.region = Some(region.to_owned());
        signature.complete = hexadecimal && dated && covered;
        signature
    }
}

/// A request whose every parameter is as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) bearer_token: String,
    pub(super) status: Status,
    pub(super) current_status: Option<Status>,
    pub(super) message: Option<String>,
    pub(super) code: Option<String>,
    pub(super) model: Option<String>,
    pub(super) client_request_token: Option<String>,
}

pub(super) fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub(super) fn request(
    head: &Parts,
    signature: &Signature,
    form: &BTreeMap<String, String>,
) -> Result<Checked, Refusal> {
    if !signature.complete {
        return Err(Refusal {
            status: 403,
            code: "MissingAuthenticationToken",
            message: "Request is missing Authentication Token".to_owned(),
        });
    }
    let content_type = head.headers.get("content-type");
    if head.method != hyper::Method::POST
        || head.uri.path() != "/"
        || content_type.is_none_or(|value| value != "application/x-www-form-urlencoded")
        || form.get("Action").map(String::as_str) != Some("RecordHandlerProgress")
        || form.get("Version").map(String::as_str) != Some("2010-05-15")
    {
        return Err(Refusal {
            status: 400,
            code: "InvalidAction",
            message: "Could not find operation for version 2010-05-15".to_owned(),
        });
    }
    parameters(form)
}

fn parameters(form: &BTreeMap<String, String>) -> Result<Checked, Refusal> {
    const KNOWN: [&str; 9] = [
        "Action",
        "Version",
        "BearerToken",
        "OperationStatus",
        "CurrentOperationStatus",
        "StatusMessage",
        "ErrorCode",
        "ResourceModel",
        "ClientRequestToken",
    ];
    if let Some(unknown) = form.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        // CloudFormation would ignore it; a test wants to know.
        return Err(invalid(unknown, "no such parameter"));
    }
    let status = form
        .get("OperationStatus")
        .ok_or_else(|| invalid("operationStatus", "Member must not be null"))?;
    let bearer_token = sized(form, "BearerToken", 1, 128)?
        .ok_or_else(|| invalid("bearerToken", "Member must not be null"))?;
    let code = form.get("ErrorCode").cloned();
    if code
        .as_ref()
        .is_some_and(|code| !CODES.contains(&code.as_str()))
    {
        return Err(invalid("errorCode", "Member must satisfy enum value set"));
    }
    let client_request_token = sized(form, "ClientRequestToken", 1, 128)?;
    if client_request_token.as_ref().is_some_and(|token| {
        token.starts_with('-')
            || !token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }) {
        let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*";
        return Err(invalid("clientRequestToken", rule));
    }
    Ok(Checked {
        bearer_token,
        status: Status::parse("operationStatus", status)?,
        current_status: form
            .get("CurrentOperationStatus")
            .map(|text| Status::parse("currentOperationStatus", text))
            .transpose()?,
        message: sized(form, "StatusMessage", 0, 1_024)?,
        code,
        model: sized(form, "ResourceModel", 1, 16_384)?,
        client_request_token,
    })
}

/// Gives a parameter whose length is within its bounds, counted in UTF-16 code
/// units, the strictest meaning of "characters".
fn sized(
    form: &BTreeMap<String, String>,
    name: &str,
    least: usize,
    most: usize,
) -> Result<Option<String>, Refusal> {
    let Some(value) = form.get(name) else {
        return Ok(None);
    };
    let length = value.encode_utf16().count();
    if length < least {
        let rule = format!("Member must have length greater than or equal to {least}");
        Err(invalid(name, &rule))
    } else if length > most {
        let rule = format!("Member must have length less than or equal to {most}");
        Err(invalid(name, &rule))
    } else {
        Ok(Some(value.clone()))
    }
}

fn invalid(name: &str, rule: &str) -> Refusal {
    Refusal {
        status: 400,
        code: "ValidationError",
        message: format!(
            "1 validation error detected: Value at '{name}' failed to satisfy constraint: {rule}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[(&str, Option<&str>)]) -> Result<Checked, Refusal> {
        let mut form: BTreeMap<String, String> = [
            ("BearerToken", "b"),
            ("OperationStatus", "FAILED"),
            ("CurrentOperationStatus", "IN_PROGRESS"),
            ("StatusMessage", ""),
            ("ErrorCode", "NotFound"),
            ("ResourceModel", "{}"),
            ("ClientRequestToken", "a-1"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (name, value) in changes {
            match value {
                Some(value) => form.insert((*name).to_owned(), (*value).to_owned()),
                None => form.remove(*name),
            };
        }
        parameters(&form)
    }

    #[test]
    fn each_parameter_has_its_constraint() {
        assert!(with(&[]).is_ok());
        let long = "x".repeat(16_385);
        let rows = [
            ("BearerToken", None),
            ("BearerToken", Some("")),
            ("BearerToken", Some(&long[..129])),
            ("OperationStatus", None),
            ("OperationStatus", Some("CANCEL_COMPLETE")),
            ("CurrentOperationStatus", Some("in progress")),
            ("StatusMessage", Some(&long[..1_025])),
            ("ErrorCode", Some("ServiceTimeout")),
            ("ErrorCode", Some("")),
            ("ResourceModel", Some("")),
            ("ResourceModel", Some(long.as_str())),
            ("ClientRequestToken", Some("")),
            ("ClientRequestToken", Some("-a")),
            ("ClientRequestToken", Some("a_b")),
            ("ClientRequestToken", Some(&long[..129])),
            ("Unheard", Some("of")),
        ];
        for (name, value) in rows {
            let refusal = with(&[(name, value)]).expect_err(name);
            assert_eq!(refusal.code, "ValidationError", "{name} {value:?}");
        }
    }

    #[test]
    fn only_a_signature_for_cloudformation_counts() {
        let signed = |service: &str| {
            let mut headers = HeaderMap::new();
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
                "0a".repeat(32)
            );
            headers.insert("authorization", authorization.parse().expect("a header"));
            headers.insert("x-amz-date", "20260101T000000Z".parse().expect("a header"));
            Signature::of(&headers)
        };
        assert!(signed("cloudformation").complete);
        assert!(!signed("cloudcontrolapi").complete);
        assert!(!Signature::of(&HeaderMap::new()).complete);
    }
}
