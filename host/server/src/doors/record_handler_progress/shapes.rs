//! The form of a request and the documents of its answers, as CloudFormation
//! has them in its Query protocol.

use std::collections::BTreeMap;
use std::io;

use http::StatusCode;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use url::form_urlencoded;
use uuid::Uuid;

const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";

/// The parameters of a request, by name.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form. Of a parameter that stands in it twice, the last counts.
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// Takes a parameter out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Requests of web pages are refused: leave the header `Origin` out")]
    Browser,
    #[error("{0}")]
    NotPermitted(String),
    #[error("The request has no parameter `Action`; this server has RecordHandlerProgress")]
    NoAction,
    #[error(
        "Could not find the operation `{action}` for version `{version}`; this server has RecordHandlerProgress for version 2010-05-15"
    )]
    UnknownAction { action: String, version: String },
    #[error("{} detected: {}", count(.0.len()), .0.join("; "))]
    Invalid(Vec<String>),
    #[error("The bearer token is not that of an operation of this server")]
    UnknownBearer,
    #[error("{0}")]
    CheckFailed(String),
    #[error("{0}")]
    InvalidTransition(String),
    #[error("The request has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("The request did not arrive in time; send it whole")]
    TooSlow,
    #[error("The request ended early")]
    Broken,
    #[error("Requests are sent by POST, as a form")]
    Method,
    #[error("The progress could not be recorded; the log of this server says why")]
    Host,
}

fn count(errors: usize) -> String {
    let plural = if errors == 1 { "" } else { "s" };
    format!("{errors} validation error{plural}")
}

impl Refusal {
    /// Gives the status of HTTP.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NoAction
            | Self::UnknownAction { .. }
            | Self::Invalid(_)
            | Self::UnknownBearer
            | Self::CheckFailed(_)
            | Self::InvalidTransition(_)
            | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Browser | Self::NotPermitted(_) => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Gives the code, by which the SDKs tell their exceptions apart.
    const fn code(&self) -> &'static str {
        match self {
            Self::Browser | Self::NotPermitted(_) => "AccessDenied",
            Self::NoAction => "MissingAction",
            Self::UnknownAction { .. } => "InvalidAction",
            Self::Invalid(_) | Self::UnknownBearer => "ValidationError",
            Self::CheckFailed(_) => "ConditionalCheckFailed",
            Self::InvalidTransition(_) => "InvalidStateTransition",
            Self::TooLarge { .. } => "RequestEntityTooLarge",
            Self::TooSlow => "RequestTimeout",
            Self::Broken => "IncompleteBody",
            Self::Method => "MethodNotAllowed",
            Self::Host => "InternalFailure",
        }
    }
}

/// Prints the answer to progress that was recorded.
pub(super) fn recorded(id: Uuid) -> Vec<u8> {
    document("RecordHandlerProgressResponse", |writer| {
        writer
            .create_element("RecordHandlerProgressResult")
            .write_empty()?;
        writer
            .create_element("ResponseMetadata")
            .write_inner_content(|writer| text(writer, "RequestId", &id.to_string()))?;
        Ok(())
    })
}

/// Prints the answer to progress that was refused.
pub(super) fn refused(refusal: &Refusal, id: Uuid) -> Vec<u8> {
    let fault = if refusal.status().is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    document("ErrorResponse", |writer| {
        writer
            .create_element("Error")
            .write_inner_content(|writer| {
                text(writer, "Type", fault)?;
                text(writer, "Code", refusal.code())?;
                text(writer, "Message", &refusal.to_string())
            })?;
        text(writer, "RequestId", &id.to_string())
    })
}

fn document(root: &str, content: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| {
            writer
                .create_element(root)
                .with_attribute(("xmlns", NAMESPACE))
                .write_inner_content(content)
        })
        .expect("a vector takes all that is written");
    writer.into_inner()
}

fn text(writer: &mut Writer<Vec<u8>>, name: &str, value: &str) -> io::Result<()> {
    // What XML 1.0 cannot hold at all would break the document.
    let value: String = value
        .chars()
        .filter(|char| matches!(char, '\t' | '\n' | ' '..))
        .filter(|char| !matches!(char, '\u{fffe}' | '\u{ffff}'))
        .collect();
    writer
        .create_element(name)
        .write_text_content(BytesText::new(&value))?;
    Ok(())
}
