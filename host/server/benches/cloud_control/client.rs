//! A client on one connection, as thin as can be: what it takes is in the figures.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;

/// A connection that is kept alive.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// An answer of the server.
pub(crate) struct Answer {
    /// The id by which the server's log knows the request.
    pub(crate) request_id: String,
    pub(crate) event: Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    progress_event: Event,
}

/// What is read of an answer.
#[derive(Deserialize)]
pub(crate) struct Event {
    #[serde(rename = "RequestToken")]
    pub(crate) token: String,
    #[serde(rename = "OperationStatus")]
    pub(crate) status: String,
    #[serde(rename = "StatusMessage")]
    message: Option<String>,
}

impl Event {
    /// Tells whether the request has ended, and sees that it has ended well.
    pub(crate) fn has_ended(&self) -> bool {
        match self.status.as_str() {
            "SUCCESS" => true,
            "PENDING" | "IN_PROGRESS" => false,
            other => panic!("a request ended {other}: {:?}", self.message),
        }
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .expect("a connection");
        // It ends with the sender.
        tokio::spawn(connection);
        Self {
            sender,
            host: address.to_string(),
        }
    }

    /// Asks for a resource, and gives the first answer.
    pub(crate) async fn accept(&mut self, type_name: &str, model: &Value) -> Answer {
        let body = json!({
            "TypeName": type_name,
            "DesiredState": model.to_string(),
            "ClientToken": Uuid::new_v4().to_string(),
        });
        self.call("CreateResource", &body).await
    }

    /// Makes a resource, and gives the answer that says so.
    pub(crate) async fn create(&mut self, type_name: &str, model: &Value) -> Answer {
        let mut answer = self.accept(type_name, model).await;
        while !answer.event.has_ended() {
            answer = self.poll(&answer.event.token).await;
        }
        answer
    }

    /// Asks how far a request is.
    pub(crate) async fn poll(&mut self, token: &str) -> Answer {
        self.call("GetResourceRequestStatus", &json!({"RequestToken": token}))
            .await
    }

    async fn call(&mut self, operation: &str, body: &Value) -> Answer {
        let request = Request::post("/")
            .header("host", &self.host)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("CloudApiService.{operation}"))
            .body(Full::from(body.to_string()))
            .expect("a request");
        self.sender.ready().await.expect("the connection lives");
        let answer = self.sender.send_request(request).await;
        let (head, body) = answer.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&body));
        let id = head.headers["x-amzn-requestid"].to_str();
        let body: Body = serde_json::from_slice(&body).expect("a progress event");
        Answer {
            request_id: id.expect("a UUID").to_owned(),
            event: body.progress_event,
        }
    }
}
