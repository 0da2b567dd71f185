//! The Query protocol of CloudFormation and STS: a form at `POST /`, answered in
//! XML.
//!
//! Requests are told by `Action` and `Version`. They may be signed or not where
//! the server is open.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use formwork_host::model::{Scope, Timestamp, TypeName};
use http::header::{ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp as Moment;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use url::form_urlencoded;
use uuid::Uuid;

use crate::access::Identity;

use super::body::{self, BodyError};
use super::trace::RequestId;
use super::{House, not_permitted, record_handler_progress, registry_api, scope, sts};

/// The largest form, in bytes: the longest configuration of a type with each
/// character as three of an escape, and the rest.
pub(super) const FORM: usize = 1_024 * 1_024;

/// A service that has calls.
#[derive(Debug, PartialEq, Eq)]
struct Service {
    namespace: &'static str,
    version: &'static str,
}

const CLOUDFORMATION: Service = Service {
    namespace: "http://cloudformation.amazonaws.com/doc/2010-05-15/",
    version: "2010-05-15",
};

const STS: Service = Service {
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    version: "2011-06-15",
};

/// A call that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Registry(registry_api::Call),
    RecordHandlerProgress,
    Sts(sts::Call),
}

impl Call {
    /// Reads which call a request is.
    fn take(form: &mut Form) -> Result<Self, Refusal> {
        let Some(action) = form.take("Action") else {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "MissingAction",
                "The request has no parameter `Action`, which names a call of CloudFormation or STS",
            ));
        };
        let version = form.take("Version").unwrap_or_default();
        Self::named(&action)
            .filter(|call| call.service().version == version)
            .ok_or_else(|| {
                let [action, version] =
                    [action, version].map(|text| text.chars().take(64).collect::<String>());
                Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "InvalidAction",
                    format!("Could not find the operation `{action}` for version `{version}`"),
                )
            })
    }

    fn named(action: &str) -> Option<Self> {
        if action == record_handler_progress::ACTION {
            return Some(Self::RecordHandlerProgress);
        }
        let registry = registry_api::Call::named(action).map(Self::Registry);
        registry.or_else(|| sts::Call::named(action).map(Self::Sts))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Registry(call) => call.name(),
            Self::RecordHandlerProgress => record_handler_progress::ACTION,
            Self::Sts(call) => call.name(),
        }
    }

    const fn service(self) -> &'static Service {
        match self {
            Self::Registry(_) | Self::RecordHandlerProgress => &CLOUDFORMATION,
            Self::Sts(_) => &STS,
        }
    }
}

/// Whoever made a request.
pub(super) struct Caller<'a> {
    pub(super) house: &'a House,
    pub(super) identity: Identity,
    pub(super) scope: Scope,
}

/// Answers a call.
pub(super) async fn call(
    State(house): State<Arc<House>>,
    Extension(RequestId(id)): Extension<RequestId>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response {
    let of_browser = request.headers().contains_key(ORIGIN);
    let url = request.uri().query().unwrap_or_default().to_owned();
    let caller = Caller {
        house: &house,
        scope: scope::of(&identity, request.headers(), &house.settings),
        identity,
    };
    let body = match body::read(request, FORM, &house.clock).await {
        Ok(body) => body,
        Err(error) => return refused(&CLOUDFORMATION, &error.into(), id),
    };
    if of_browser {
        let refusal = Refusal::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Requests of web pages are refused: leave the header `Origin` out",
        );
        return refused(&CLOUDFORMATION, &refusal, id);
    }
    let mut form = Form::read(url.as_bytes(), &body);
    let call = match Call::take(&mut form) {
        Ok(call) => call,
        Err(refusal) => return refused(&CLOUDFORMATION, &refusal, id),
    };
    match answer(&caller, call, form).await {
        Ok(result) => xml(StatusCode::OK, answered(call, &result, id)),
        Err(refusal) => refused(call.service(), &refusal, id),
    }
}

/// Answers a call that is a URL, if somebody has signed it: an open server is not
/// called by the links and images of web pages.
pub(super) async fn call_by_url(
    state: State<Arc<House>>,
    id: Extension<RequestId>,
    identity: Extension<Identity>,
    request: Request,
) -> Response {
    if identity.key_id().is_some() {
        call(state, id, identity, request).await
    } else {
        wrong_method(state, id, request).await
    }
}

async fn answer(caller: &Caller<'_>, call: Call, form: Form) -> Result<Node, Refusal> {
    match call {
        Call::Registry(call) => registry_api::answer(caller, call, form).await,
        Call::RecordHandlerProgress => record_handler_progress::answer(caller, form).await,
        Call::Sts(call) => sts::answer(caller, call, form),
    }
}

/// Refuses a method that this door does not take.
pub(super) async fn wrong_method(
    State(house): State<Arc<House>>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    body::discard(request, &house.clock).await;
    let refusal = Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "Requests are sent by POST, as a form",
    );
    let mut response = refused(&CLOUDFORMATION, &refusal, id);
    let post = HeaderValue::from_static("POST");
    response.headers_mut().insert(ALLOW, post);
    response
}

/// Refuses a request whose body was not read.
pub(super) fn unread(error: BodyError, id: Option<RequestId>) -> Response {
    refused(&CLOUDFORMATION, &error.into(), id_of(id))
}

/// Refuses a request of whom nobody knows who made it.
pub(super) fn denied(
    status: StatusCode,
    code: &'static str,
    message: String,
    id: Option<RequestId>,
) -> Response {
    let refusal = Refusal::new(status, code, message);
    refused(&CLOUDFORMATION, &refusal, id_of(id))
}

fn id_of(id: Option<RequestId>) -> Uuid {
    id.map_or_else(Uuid::new_v4, |RequestId(id)| id)
}

/// Answers where this door broke.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request of the Query protocol broke this server's code");
    refused(&CLOUDFORMATION, &Refusal::host(), Uuid::new_v4())
}

/// The parameters of a request, by name.
#[derive(Default)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads the parameters of a URL and of a form, save those that sign a URL.
    /// Of one that stands there twice, the last counts.
    fn read(url: &[u8], body: &[u8]) -> Self {
        let parameters = [url, body].into_iter().flat_map(form_urlencoded::parse);
        let own = parameters.filter(|(name, _)| !name.starts_with("X-Amz-"));
        let owned = own.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self(owned.collect())
    }

    /// Takes a parameter out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Gives a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes the parameters of each member of a list, `NAME.member.N.…`, in
    /// the order of N.
    pub(super) fn take_members(&mut self, name: &str) -> Vec<Self> {
        let prefix = format!("{name}.member.");
        let mut members: BTreeMap<u32, Self> = BTreeMap::new();
        for (parameter, value) in &self.0 {
            let member = parameter
                .strip_prefix(&prefix)
                .and_then(|rest| rest.split_once('.'));
            if let Some((number, name)) = member
                && let Ok(number) = number.parse()
            {
                let member = members.entry(number).or_default();
                member.0.insert(name.to_owned(), value.clone());
            }
        }
        members.into_values().collect()
    }
}

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Members(Vec<(&'static str, Node)>),
    List(Vec<Node>),
}

impl Node {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Writes a moment as the protocol has it, `2026-11-22T16:42:29.119Z`.
    pub(super) fn moment(at: Timestamp) -> Self {
        let at = i64::try_from(at.as_millis())
            .ok()
            .and_then(|at| Moment::from_millisecond(at).ok())
            .unwrap_or(Moment::MAX);
        Self::Text(format!("{at:.3}"))
    }

    fn write(&self, name: &str, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let element = writer.create_element(name);
        match self {
            Self::Text(text) => {
                // What XML 1.0 cannot hold at all would break the document.
                let text: String = text
                    .chars()
                    .filter(|char| matches!(char, '\t' | '\n' | '\r' | ' '..))
                    .filter(|char| !matches!(char, '\u{fffe}' | '\u{ffff}'))
                    .collect();
                element.write_text_content(BytesText::new(&text))?;
            }
            Self::Members(members) if members.is_empty() => {
                element.write_empty()?;
            }
            Self::Members(members) => {
                element.write_inner_content(|writer| {
                    members
                        .iter()
                        .try_for_each(|(name, node)| node.write(name, writer))
                })?;
            }
            Self::List(nodes) => {
                element.write_inner_content(|writer| {
                    nodes
                        .iter()
                        .try_for_each(|node| node.write("member", writer))
                })?;
            }
        }
        Ok(())
    }
}

/// Why a call was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// By which the SDKs tell their exceptions apart.
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// Says that the caller may not do it.
    pub(super) fn not_permitted(identity: &Identity, what: &str, on: &TypeName) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            not_permitted(identity, what, on),
        )
    }

    /// Says what is wrong with the parameters.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    /// Says that this server broke; why is in its log.
    pub(super) fn host() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "The request could not be carried out; the log of this server says why",
        )
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("The request has more than {limit} bytes"),
            ),
            BodyError::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "RequestTimeout",
                "The request did not arrive in time; send it whole",
            ),
            BodyError::Broken => Self::new(
                StatusCode::BAD_REQUEST,
                "IncompleteBody",
                "The request ended early",
            ),
        }
    }
}

fn answered(call: Call, result: &Node, id: Uuid) -> Vec<u8> {
    let action = call.name();
    let metadata = Node::Members(vec![("RequestId", Node::text(id.to_string()))]);
    document(call.service(), &format!("{action}Response"), |writer| {
        result.write(&format!("{action}Result"), writer)?;
        metadata.write("ResponseMetadata", writer)
    })
}

fn refused(service: &Service, refusal: &Refusal, id: Uuid) -> Response {
    let fault = if refusal.status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let error = Node::Members(vec![
        ("Type", Node::text(fault)),
        ("Code", Node::text(refusal.code)),
        ("Message", Node::text(refusal.message.as_str())),
    ]);
    let document = document(service, "ErrorResponse", |writer| {
        error.write("Error", writer)?;
        Node::text(id.to_string()).write("RequestId", writer)
    });
    xml(refusal.status, document)
}

fn document(
    service: &Service,
    root: &str,
    content: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>,
) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| {
            writer
                .create_element(root)
                .with_attribute(("xmlns", service.namespace))
                .write_inner_content(content)
        })
        .expect("a vector takes all that is written");
    writer.into_inner()
}

fn xml(status: StatusCode, document: Vec<u8>) -> Response {
    let mut response = (status, document).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}
