//! A stand-in for CloudFormation's RecordHandlerProgress, over real HTTP.
//!
//! It speaks the Query protocol on a port of the loopback interface, checks
//! what CloudFormation checks, keeps a status for each bearer token, and
//! misbehaves when told to. Signatures must be there and well-formed for the
//! service `cloudformation`; since nobody's keys are known, they are not verified.
//!
//! *Invariant*: every request is recorded, also those that are refused or spoiled.

mod check;
mod ledger;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use check::Signature;
use ledger::Ledger;

pub use ledger::Recorded as RecordedProgress;

/// What the stand-in does to a request instead of answering it properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Answers 503, without having processed the request.
    Unavailable,
    /// Processes the request and answers 500.
    InternalFailure,
    /// Answers 400 `Throttling`.
    Throttle,
    /// Answers 429 without a document.
    TooManyRequests,
    /// Closes the connection without having processed the request.
    CloseBefore,
    /// Processes the request and closes the connection.
    CloseAfter,
    /// Processes the request and never answers.
    Silence,
    /// Processes the request twice, as when somebody in between sends it again, and
    /// answers as the second time.
    Twice,
    /// Answers 200 with the page of a proxy.
    Page,
    /// Answers 502 with the page of a proxy.
    ErrorPage,
    /// Answers 403 `ExpiredToken`.
    ExpiredToken,
    /// Answers 403 `AccessDenied`, and repeats the bearer token in the message.
    AccessDenied,
}

/// A request as it came, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRequest {
    /// The parameters of the form, `Action` and `Version` excluded.
    pub parameters: BTreeMap<String, String>,
    /// The access key that signed it.
    pub access_key_id: Option<String>,
    /// The region that it was signed for.
    pub region: Option<String>,
    /// The session token that came with it.
    pub session_token: Option<String>,
    /// The code of the error that processing it gave, or none for a success.
    pub code: Option<String>,
    /// What was done to it instead of answering.
    pub misbehaviour: Option<Misbehaviour>,
}

impl RecordedRequest {
    /// Gives a parameter's value, if it was sent.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Tells whether it was processed, and gave no error, whatever was answered.
    #[must_use]
    pub fn was_taken(&self) -> bool {
        self.code.is_none() && self.misbehaviour.is_none_or(is_processed)
    }
}

/// The running stand-in. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct CloudFormation {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Ledger,
    misbehaviours: VecDeque<Option<Misbehaviour>>,
    nature: Nature,
    requests: Vec<RecordedRequest>,
}

/// What is done to a request that nothing is planned for, by its number.
struct Nature(Box<dyn FnMut(usize) -> Option<Misbehaviour> + Send>);

impl Default for Nature {
    fn default() -> Self {
        Self(Box::new(|_| None))
    }
}

impl fmt::Debug for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nature")
    }
}

impl CloudFormation {
    /// Starts the stand-in on a free port of the loopback interface.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("the loopback interface has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            server,
        }
    }

    /// Gives the URL to report to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Issues a bearer token, with status PENDING.
    pub fn issue(&self, bearer_token: &str) {
        self.lock().ledger.issue(bearer_token);
    }

    /// Does this to the next request that nothing is planned for.
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.lock().misbehaviours.push_back(Some(misbehaviour));
    }

    /// Answers the next request that nothing is planned for as it should.
    pub fn behave(&self) {
        self.lock().misbehaviours.push_back(None);
    }

    /// Does this from now on to requests that nothing is planned for, each by its
    /// number.
    pub fn misbehave_by(&self, nature: impl FnMut(usize) -> Option<Misbehaviour> + Send + 'static) {
        self.lock().nature = Nature(Box::new(nature));
    }

    /// Gives what is recorded for a bearer token.
    #[must_use]
    pub fn recorded(&self, bearer_token: &str) -> Option<RecordedProgress> {
        self.lock().ledger.recorded(bearer_token)
    }

    /// Gives every request since the start, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for CloudFormation {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("the stand-in does not panic")
}

/// Says that the connection is to be closed instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("told to close the connection")]
struct Closed;

async fn serve(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    // Connections end with the set, and the set with the server's task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| handle(request, Arc::clone(&shared)));
            // A closed connection is what the test asked for.
            let _closed = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    shared: Arc<Mutex<Shared>>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let signature = Signature::of(&head.headers);
    let form = check::form(&body);
    let (answer, misbehaviour) = {
        let mut shared = lock(&shared);
        let number = shared.requests.len();
        let misbehaviour = match shared.misbehaviours.pop_front() {
            Some(planned) => planned,
            None => (shared.nature.0)(number),
        };
        let processed = misbehaviour.is_none_or(is_processed);
        let checked = check::request(&head, &signature, &form);
        let times = if misbehaviour == Some(Misbehaviour::Twice) {
            2
        } else {
            1
        };
        let mut answer = Ok(());
        for _ in 0..times {
            answer = match (processed, &checked) {
                (true, Ok(checked)) => shared.ledger.record(checked),
                (true, Err(refusal)) => Err(refusal.clone()),
                (false, _) => Ok(()),
            };
        }
        let recorded = RecordedRequest {
            parameters: form
                .iter()
                .filter(|(name, _)| *name != "Action" && *name != "Version")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            access_key_id: signature.access_key_id,
            region: signature.region,
            session_token: signature.session_token,
            code: answer.as_ref().err().map(|refusal| refusal.code.to_owned()),
            misbehaviour,
        };
        let again = std::iter::repeat_n(recorded, times);
        shared.requests.extend(again);
        (answer, misbehaviour)
    };
    match misbehaviour {
        None => Ok(answered(&answer)),
        Some(misbehaviour) => spoil(misbehaviour, &answer, &form).await,
    }
}

const fn is_processed(misbehaviour: Misbehaviour) -> bool {
    match misbehaviour {
        Misbehaviour::InternalFailure
        | Misbehaviour::CloseAfter
        | Misbehaviour::Silence
        | Misbehaviour::Twice => true,
        Misbehaviour::Unavailable
        | Misbehaviour::Throttle
        | Misbehaviour::TooManyRequests
        | Misbehaviour::CloseBefore
        | Misbehaviour::Page
        | Misbehaviour::ErrorPage
        | Misbehaviour::ExpiredToken
        | Misbehaviour::AccessDenied => false,
    }
}

async fn spoil(
    misbehaviour: Misbehaviour,
    answer: &Result<(), Refusal>,
    form: &BTreeMap<String, String>,
) -> Result<Response<Full<Bytes>>, Closed> {
    const PAGE: &str = "<html><body>Please log in.</body></html>";
    let refusal = |status, code, message: &str| {
        refused(&Refusal {
            status,
            code,
            message: message.to_owned(),
        })
    };
    Ok(match misbehaviour {
        Misbehaviour::Unavailable => refusal(503, "ServiceUnavailable", "Try later."),
        Misbehaviour::InternalFailure => refusal(500, "InternalFailure", "It broke."),
        Misbehaviour::Throttle => refusal(400, "Throttling", "Rate exceeded"),
        Misbehaviour::TooManyRequests => respond(429, "text/plain", String::new()),
        Misbehaviour::CloseBefore | Misbehaviour::CloseAfter => return Err(Closed),
        Misbehaviour::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Misbehaviour::Twice => answered(answer),
        Misbehaviour::Page => respond(200, "text/html", PAGE.to_owned()),
        Misbehaviour::ErrorPage => respond(502, "text/html", PAGE.to_owned()),
        Misbehaviour::ExpiredToken => refusal(
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        Misbehaviour::AccessDenied => {
            let token = form.get("BearerToken").map_or("", String::as_str);
            refusal(403, "AccessDenied", &format!("not allowed for {token}"))
        }
    })
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";
const REQUEST_ID: &str = "5ccc7dcd-744c-11e5-be70-1b08c228efb3";

fn answered(answer: &Result<(), Refusal>) -> Response<Full<Bytes>> {
    match answer {
        Ok(()) => success(),
        Err(refusal) => refused(refusal),
    }
}

fn success() -> Response<Full<Bytes>> {
    let body = format!(
        "<RecordHandlerProgressResponse xmlns=\"{NAMESPACE}\">\n  \
         <RecordHandlerProgressResult/>\n  \
         <ResponseMetadata>\n    <RequestId>{REQUEST_ID}</RequestId>\n  </ResponseMetadata>\n\
         </RecordHandlerProgressResponse>\n"
    );
    respond(200, "text/xml", body)
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let fault = if refusal.status < 500 {
        "Sender"
    } else {
        "Receiver"
    };
    let message = refusal
        .message
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{fault}</Type>\n    \
         <Code>{}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
         <RequestId>{REQUEST_ID}</RequestId>\n</ErrorResponse>\n",
        refusal.code
    );
    respond(refusal.status, "text/xml", body)
}

fn respond(status: u16, content_type: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status of the stand-in is one of HTTP"))
        .header("content-type", content_type)
        .header("x-amzn-requestid", REQUEST_ID)
        .body(Full::from(body))
        .expect("the head of an answer is well-formed")
}
