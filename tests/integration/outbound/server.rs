//! A server on this machine that does what the path of a request says.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) requests: Vec<Received>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `METHOD PATH`, or what went wrong with its body.
    pub(crate) line: String,
    pub(crate) fields: HeaderMap,
    pub(crate) body: usize,
    pub(crate) trailers: bool,
}

/// The running server. Dropping it closes its port and its connections.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::serve([127, 0, 0, 1].into(), None).await
    }

    /// Listens at another address of this machine.
    pub(crate) async fn start_at(ip: IpAddr) -> Self {
        Self::serve(ip, None).await
    }

    /// Speaks TLS, and over that what is agreed on.
    pub(crate) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::serve([127, 0, 0, 1].into(), Some(acceptor)).await
    }

    async fn serve(ip: IpAddr, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&seen)));
        Self {
            address,
            seen,
            task,
        }
    }

    /// Gives the URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections += 1;
        connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&seen)));
    }
}

/// Serves one connection; what becomes of it is the client's to tell.
async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, seen: Arc<Mutex<Seen>>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
    let Some(acceptor) = acceptor else {
        let io = TokioIo::new(stream);
        return drop(http1::Builder::new().serve_connection(io, service).await);
    };
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let builder = http2::Builder::new(TokioExecutor::new());
        drop(
            builder
                .serve_connection(TokioIo::new(stream), service)
                .await,
        );
    } else {
        let builder = http1::Builder::new();
        drop(
            builder
                .serve_connection(TokioIo::new(stream), service)
                .await,
        );
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Answers by the path: `/redirect`, `/stall` (no head), `/drip` (half of a body),
/// `/bytes/N`, `/fields/N`, `/trailers`, and else a greeting.
async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Seen>>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let version = match head.version {
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    };
    let mut received = Received {
        line: format!(
            "{} {}",
            head.method,
            head.uri.path_and_query().map_or("", |it| it.as_str())
        ),
        fields: head.headers,
        body: 0,
        trailers: false,
    };
    match body.collect().await {
        Ok(body) => {
            received.trailers = body.trailers().is_some();
            received.body = body.to_bytes().len();
        }
        Err(error) => received.line = error.to_string(),
    }
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .requests
        .push(received);
    let number = || {
        path.rsplit('/')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    };
    let full = |bytes: Vec<u8>| Full::new(Bytes::from(bytes)).boxed();
    let response = Response::builder().header("x-answer", version);
    let response = match path.split('/').nth(1) {
        Some("redirect") => response
            .status(302)
            .header("location", "http://169.254.169.254/latest/meta-data/")
            .body(full(Vec::new())),
        Some("stall") => std::future::pending().await,
        Some("drip") => response.body(Drip(Some("first")).boxed()),
        Some("bytes") => response.body(full(vec![b'y'; number()])),
        Some("fields") => response
            .header("x-large", "z".repeat(number()))
            .body(full(Vec::new())),
        Some("hop") => response
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .body(full(b"hop".to_vec())),
        Some(_) | None => response.body(full(b"hello".to_vec())),
    };
    Ok(response.expect("a response"))
}

/// A body that never comes to its end.
struct Drip(Option<&'static str>);

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part.into())))),
            None => Poll::Pending,
        }
    }
}
