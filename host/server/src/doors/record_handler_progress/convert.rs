//! From the form of a request to progress to record.
//!
//! *Invariant*: total, and all that is wrong is said at once, in the words of
//! AWS's validation, without repeating a value.

use std::str::FromStr;

use formwork_cloudformation::wire_failure;
use formwork_host::engine::{CurrentStatus, Record, RecordedStatus};
use formwork_host::model::{BearerToken, ClientToken, HandlerErrorCode, JsonObject};

use super::shapes::{Form, Refusal};

const VERSION: &str = "2010-05-15";

const STATUSES: &str =
    "Member must satisfy enum value set: [PENDING, IN_PROGRESS, SUCCESS, FAILED]";

/// The longest texts, set by RecordHandlerProgress and counted in UTF-16 code
/// units, the strictest meaning of "characters".
const BEARER_TOKEN: usize = 128;
const MESSAGE: usize = 1_024;
const MODEL: usize = 16_384;
const CLIENT_TOKEN: usize = 128;

/// Reads the parameters of RecordHandlerProgress.
pub(super) fn record(mut form: Form) -> Result<Record, Refusal> {
    let Some(action) = form.take("Action") else {
        return Err(Refusal::NoAction);
    };
    let version = form.take("Version").unwrap_or_default();
    if action != "RecordHandlerProgress" || version != VERSION {
        return Err(Refusal::UnknownAction {
            action: shown(&action),
            version: shown(&version),
        });
    }
    let mut wrong = Wrong(Vec::new());
    let bearer_token: Option<BearerToken> = form
        .take("BearerToken")
        .or_else(|| wrong.missing("bearerToken"))
        .and_then(|text| wrong.sized("bearerToken", text, 1, BEARER_TOKEN))
        .and_then(|text| wrong.parsed("bearerToken", &text));
    let status = form
        .take("OperationStatus")
        .or_else(|| wrong.missing("operationStatus"))
        .and_then(|text| wrong.status("operationStatus", &text));
    let current_status = form
        .take("CurrentOperationStatus")
        .and_then(|text| wrong.status("currentOperationStatus", &text));
    let message = form
        .take("StatusMessage")
        .and_then(|text| wrong.sized("statusMessage", text, 0, MESSAGE));
    let code = form.take("ErrorCode").and_then(|text| wrong.code(&text));
    let model = form
        .take("ResourceModel")
        .and_then(|text| wrong.sized("resourceModel", text, 1, MODEL))
        .and_then(|text| wrong.model(text));
    let client_token: Option<ClientToken> = form
        .take("ClientRequestToken")
        .and_then(|text| wrong.sized("clientRequestToken", text, 1, CLIENT_TOKEN))
        .and_then(|text| wrong.client_token(&text));
    match (bearer_token, status) {
        (Some(bearer_token), Some(status)) if wrong.0.is_empty() => Ok(Record {
            bearer_token,
            status: recorded(status, code),
            current_status,
            message,
            model,
            client_token,
        }),
        (Some(_) | None, Some(_) | None) => Err(Refusal::Invalid(wrong.0)),
    }
}

/// Joins status and code. A failure without a code is an internal one; with
/// another status a code says nothing.
fn recorded(status: CurrentStatus, code: Option<HandlerErrorCode>) -> RecordedStatus {
    match status {
        CurrentStatus::Pending => RecordedStatus::Pending,
        CurrentStatus::InProgress => RecordedStatus::InProgress,
        CurrentStatus::Success => RecordedStatus::Success,
        CurrentStatus::Failed => {
            RecordedStatus::Failed(code.unwrap_or(HandlerErrorCode::InternalFailure))
        }
    }
}

/// Gives the beginning of a text that is no secret.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What is wrong with a form.
struct Wrong(Vec<String>);

impl Wrong {
    /// Notes a parameter that breaks a rule, and gives nothing in its place.
    fn note<T>(&mut self, name: &str, rule: &str) -> Option<T> {
        self.0.push(format!(
            "Value at '{name}' failed to satisfy constraint: {rule}"
        ));
        None
    }

    fn missing<T>(&mut self, name: &str) -> Option<T> {
        self.note(name, "Member must not be null")
    }

    fn sized(&mut self, name: &str, text: String, least: usize, most: usize) -> Option<String> {
        let length = text.encode_utf16().count();
        if length < least {
            let rule = format!("Member must have length greater than or equal to {least}");
            self.note(name, &rule)
        } else if length > most {
            let rule = format!("Member must have length less than or equal to {most}");
            self.note(name, &rule)
        } else {
            Some(text)
        }
    }

    fn parsed<T: FromStr<Err: ToString>>(&mut self, name: &str, text: &str) -> Option<T> {
        text.parse()
            .or_else(|error: T::Err| self.note(name, &error.to_string()).ok_or(()))
            .ok()
    }

    fn status(&mut self, name: &str, text: &str) -> Option<CurrentStatus> {
        match text {
            "PENDING" => Some(CurrentStatus::Pending),
            "IN_PROGRESS" => Some(CurrentStatus::InProgress),
            "SUCCESS" => Some(CurrentStatus::Success),
            "FAILED" => Some(CurrentStatus::Failed),
            _ => self.note(name, STATUSES),
        }
    }

    /// Takes the 19 codes that the call has; those are their own names on the wire.
    fn code(&mut self, text: &str) -> Option<HandlerErrorCode> {
        let codes = HandlerErrorCode::ALL
            .into_iter()
            .filter(|code| wire_failure(*code, "").0 == code.as_str());
        if let Some(code) = codes.clone().find(|code| code.as_str() == text) {
            return Some(code);
        }
        let names: Vec<_> = codes.map(HandlerErrorCode::as_str).collect();
        let rule = format!("Member must satisfy enum value set: [{}]", names.join(", "));
        self.note("errorCode", &rule)
    }

    fn model(&mut self, text: String) -> Option<JsonObject> {
        match JsonObject::parse(text) {
            Ok(model) => Some(model),
            Err(_) => self.note(
                "resourceModel",
                "Member must be the text of one JSON object",
            ),
        }
    }

    fn client_token(&mut self, text: &str) -> Option<ClientToken> {
        let fits = text.starts_with(|char: char| char.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '-');
        if fits {
            return self.parsed("clientRequestToken", text);
        }
        let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*";
        self.note("clientRequestToken", rule)
    }
}
