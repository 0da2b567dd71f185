//! What a report says, in the parameters of RecordHandlerProgress.

use aws_sdk_cloudformation::types;
use formwork_host::model::{Callback, HandlerErrorCode, JsonObject};
use formwork_host::operation::{PendingReport, ReportStatus, Status};

/// The longest `StatusMessage`, set by RecordHandlerProgress.
///
/// This length and the next are counted in UTF-16 code units, the strictest
/// meaning of "characters": a report that is refused is lost.
const MESSAGE_LENGTH: usize = 1_024;

/// The longest `ResourceModel`, set by RecordHandlerProgress.
const MODEL_LENGTH: usize = 16_384;

/// Six parameters of a call; the seventh, the bearer token, stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) operation_status: types::OperationStatus,
    pub(crate) current_operation_status: types::OperationStatus,
    pub(crate) status_message: Option<String>,
    pub(crate) error_code: Option<types::HandlerErrorCode>,
    pub(crate) resource_model: Option<String>,
    pub(crate) client_request_token: String,
}

impl Parameters {
    /// Gives the parameters of a report, or none if its event is not reported.
    pub(crate) fn of(report: &PendingReport) -> Option<Self> {
        let event = &report.event;
        let (operation_status, current_operation_status, code) = match event.report_status()? {
            ReportStatus::Acknowledgement => (
                types::OperationStatus::InProgress,
                types::OperationStatus::Pending,
                None,
            ),
            ReportStatus::InProgress => (
                types::OperationStatus::InProgress,
                types::OperationStatus::InProgress,
                None,
            ),
            ReportStatus::Success => (
                types::OperationStatus::Success,
                types::OperationStatus::InProgress,
                None,
            ),
            ReportStatus::Failed(code) => (
                types::OperationStatus::Failed,
                types::OperationStatus::InProgress,
                Some(code),
            ),
        };
        let said = match event.status {
            Status::CancelComplete => "cancelled",
            Status::Pending
            | Status::InProgress
            | Status::CancelInProgress
            | Status::Success
            | Status::Failed => event.message.as_deref().unwrap_or_default(),
        };
        let (error_code, said) = match code {
            Some(code) => {
                let (code, said) = wire_failure(code, said);
                (Some(code), said)
            }
            None => (None, said.to_owned()),
        };
        let (resource_model, note) = model(event.model.as_ref());
        Some(Self {
            operation_status,
            current_operation_status,
            status_message: message(&said, note.as_deref()),
            // By name: the SDK's variant for `NotStabilized` is called `ServiceTimeout`.
            error_code: error_code.map(types::HandlerErrorCode::from),
            resource_model,
            client_request_token: format!("{}-{}", event.token, event.version),
        })
    }
}

/// Gives the model if it is short enough, else what to say of it.
fn model(model: Option<&JsonObject>) -> (Option<String>, Option<String>) {
    let Some(model) = model else {
        return (None, None);
    };
    let length = utf16_length(model.as_str());
    if length <= MODEL_LENGTH {
        return (Some(model.as_str().to_owned()), None);
    }
    let note = format!(
        "[the resource model is left out: it has {length} characters and CloudFormation takes {MODEL_LENGTH}]"
    );
    (None, Some(note))
}

/// Joins what was said and the note, and cuts what was said so that both fit.
fn message(said: &str, note: Option<&str>) -> Option<String> {
    let whole = match note {
        None => cut(said, MESSAGE_LENGTH).to_owned(),
        Some(note) => {
            let said = cut(said, MESSAGE_LENGTH - utf16_length(note) - 1);
            let space = if said.is_empty() { "" } else { " " };
            format!("{said}{space}{note}")
        }
    };
    (!whole.is_empty()).then_some(whole)
}

fn utf16_length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Gives the longest beginning of `text` that has at most `length` UTF-16 code units.
fn cut(text: &str, length: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find_map(|(at, char)| {
        used += char.len_utf16();
        (used > length).then_some(at)
    });
    &text[..end.unwrap_or(text.len())]
}

/// Gives the `callbackDelaySeconds` of an event in progress, which is negative
/// where no callback shall be made.
#[must_use]
pub fn wire_delay(callback: Callback) -> i64 {
    match callback {
        Callback::After(delay) => i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
        Callback::None => -1,
    }
}

/// Gives a failure in the words of those who know the 19 codes of
/// RecordHandlerProgress and no other: the code's name among them, and the
/// message, which begins with the handler's own code where that is another.
///
/// `UnauthorizedTaggingOperation` becomes `AccessDenied` and `ServiceTimeout`
/// becomes `NotStabilized`. The contract tests know the same 19.
#[must_use]
pub fn wire_failure(code: HandlerErrorCode, message: &str) -> (&'static str, String) {
    let name = wire_name(code);
    let message = if name == code.as_str() {
        message.to_owned()
    } else if message.is_empty() {
        code.to_string()
    } else {
        format!("{code}: {message}")
    };
    (name, message)
}

/// Gives the code's name among the 19 that RecordHandlerProgress takes.
const fn wire_name(code: HandlerErrorCode) -> &'static str {
    match code {
        HandlerErrorCode::NotUpdatable
        | HandlerErrorCode::InvalidRequest
        | HandlerErrorCode::AccessDenied
        | HandlerErrorCode::InvalidCredentials
        | HandlerErrorCode::AlreadyExists
        | HandlerErrorCode::NotFound
        | HandlerErrorCode::ResourceConflict
        | HandlerErrorCode::Throttling
        | HandlerErrorCode::ServiceLimitExceeded
        | HandlerErrorCode::NotStabilized
        | HandlerErrorCode::GeneralServiceException
        | HandlerErrorCode::ServiceInternalError
        | HandlerErrorCode::NetworkFailure
        | HandlerErrorCode::InternalFailure
        | HandlerErrorCode::InvalidTypeConfiguration
        | HandlerErrorCode::HandlerInternalFailure
        | HandlerErrorCode::NonCompliant
        | HandlerErrorCode::UnsupportedTarget
        | HandlerErrorCode::Unknown => code.as_str(),
        HandlerErrorCode::UnauthorizedTaggingOperation => "AccessDenied",
        HandlerErrorCode::ServiceTimeout => "NotStabilized",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_sent_as_one_that_the_call_takes() {
        for code in HandlerErrorCode::ALL {
            let expected = match code.as_str() {
                "UnauthorizedTaggingOperation" => "AccessDenied",
                "ServiceTimeout" => "NotStabilized",
                same => same,
            };
            assert_eq!(wire_name(code), expected);
            assert!(
                types::HandlerErrorCode::values().contains(&expected),
                "{code}"
            );
            assert_eq!(types::HandlerErrorCode::from(expected).as_str(), expected);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aäb", 2), "aä");
        assert_eq!(cut("a😀b", 2), "a");
        assert_eq!(cut("a😀b", 3), "a😀");
        assert_eq!(cut("ab", 2), "ab");
        assert_eq!(cut("ab", 0), "");
    }

    #[test]
    fn a_message_and_its_note_fit_together() {
        let long = "ä".repeat(2_000);
        let whole = message(&long, Some("[note]")).expect("a message");
        assert_eq!(utf16_length(&whole), MESSAGE_LENGTH);
        assert!(whole.ends_with("ä [note]"));
        assert_eq!(message("", Some("[note]")).as_deref(), Some("[note]"));
        assert_eq!(message("", None), None);
    }

    #[test]
    fn a_model_is_left_out_from_one_character_too_many() {
        let of = |length: usize| {
            let text = format!(r#"{{"A":"{}"}}"#, "x".repeat(length - 8));
            assert_eq!(text.len(), length);
            JsonObject::parse(text).expect("an object")
        };
        let (sent, note) = model(Some(&of(MODEL_LENGTH)));
        assert_eq!(
            (sent.map(|text| text.len()), note),
            (Some(MODEL_LENGTH), None)
        );
        let (sent, note) = model(Some(&of(MODEL_LENGTH + 1)));
        assert_eq!(sent, None);
        assert!(note.expect("a note").contains("16385"));
    }
}
