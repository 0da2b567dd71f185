//! A caller of the doors, on a connection for each call: any of them may be cut.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;

/// The type that all campaigns serve.
pub(crate) const TYPE: &str = "Formwork::Tests::Scripted";

/// How long an answer may take: far longer than the longest hold, and not so long
/// that callers wait for a host that is paused.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a call was not answered as it should be.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no whole answer: whether it took effect is unknown.
    Unanswered,
    /// The server could not do it, or was too busy: to be tried again.
    Later,
    /// The server says that the request is wrong.
    Refused {
        /// The exception.
        name: String,
        /// The answer.
        text: String,
    },
}

/// Where a request is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Progress {
    pub(crate) request_token: String,
    pub(crate) operation_status: String,
    pub(crate) error_code: Option<String>,
    pub(crate) status_message: Option<String>,
}

/// Makes a call of Cloud Control.
pub(crate) async fn cloud_control(
    address: SocketAddr,
    operation: &str,
    input: &Value,
) -> Result<Progress, Failure> {
    let request = Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("CloudApiService.{operation}"));
    let (status, body) = send(address, request, input).await?;
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        progress_event: Progress,
    }
    if status == StatusCode::OK {
        let answer: Result<Answer, _> = serde_json::from_slice(&body);
        return answer
            .map(|answer| answer.progress_event)
            .map_err(|error| refused("", format!("{error}: {}", lossy(&body))));
    }
    Err(judged(status, &body))
}

/// Has an operation taken over.
pub(crate) async fn invoke(address: SocketAddr, payload: &Value) -> Result<(), Failure> {
    let path = "/2015-03-31/functions/TypeFunction/invocations";
    let request = Request::post(path).header("x-amz-invocation-type", "Event");
    match send(address, request, payload).await? {
        (StatusCode::ACCEPTED, _) => Ok(()),
        (status, body) => Err(judged(status, &body)),
    }
}

fn judged(status: StatusCode, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = value["__type"].as_str().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    if status.is_server_error() || name == "ThrottlingException" || status.as_u16() == 429 {
        return Failure::Later;
    }
    refused(name, format!("{status} {}", lossy(body)))
}

fn refused(name: &str, text: String) -> Failure {
    let name = name.to_owned();
    Failure::Refused { name, text }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn send(
    address: SocketAddr,
    request: hyper::http::request::Builder,
    body: &Value,
) -> Result<(StatusCode, Bytes), Failure> {
    let exchanged = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let request = request
            .header("host", address.to_string())
            .header("connection", "close")
            .body(Full::<Bytes>::from(body.to_string()))
            .expect("the parts of a request are well-formed");
        let answer = async {
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            Some((head.status, body.collect().await.ok()?.to_bytes()))
        };
        let answer = answer.await;
        connection.abort();
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchanged).await;
    answer.ok().flatten().ok_or(Failure::Unanswered)
}
