//! Requests with what the host puts on them, to a server that looks at it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;

use http::Request;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Full, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use async_trait::async_trait;

use super::super::{
    Cause, CredentialsError, HttpGrants, HttpPattern, OnBehalf, Outbound, Outgoing, Resolver,
    SecretGrant, Shared, SigningGrant, SigningSource,
};
use super::*;
use crate::sandbox::{HttpLimits, Limits};

/// A server that keeps what it hears, and answers by which key has signed.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

const REFUSAL: &str = "<Error><Code>ExpiredToken</Code></Error>";

impl Server {
    /// Takes requests that are signed by one of `good`, or by anybody without any.
    async fn start(good: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if !is_whole(&text) {
                        continue;
                    }
                    let is_good = good.is_empty() || good.iter().any(|key| text.contains(*key));
                    let (status, body) = if is_good {
                        ("200 OK", "well")
                    } else {
                        ("400 Bad Request", REFUSAL)
                    };
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(text);
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    drop(stream.write_all(answer.as_bytes()).await);
                    break;
                }
            }
        });
        Self {
            address,
            heard,
            task,
        }
    }

    fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    /// Gives which keys have signed, in order.
    fn keys(&self) -> Vec<String> {
        let key = |request: String| {
            let (_, rest) = request.split_once("Credential=")?;
            Some(rest.split('/').next()?.to_owned())
        };
        self.heard().into_iter().filter_map(key).collect()
    }

    fn pattern(&self) -> HttpPattern {
        let text = format!("http://{}", self.address);
        text.parse().expect("a pattern")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().expect("a number"))
}

fn credentials(key: &str) -> Credentials {
    Credentials {
        access_key_id: key.to_owned(),
        secret_access_key: "s3cr3t".to_owned(),
        session_token: Some("t0k3n".to_owned()),
    }
}

/// A source that gives these keys, one after the other.
#[derive(Debug)]
struct Keys(Mutex<VecDeque<&'static str>>);

impl Keys {
    fn source(keys: &[&'static str]) -> SigningSource {
        let keys = keys.iter().copied().collect();
        SigningSource::Operator(Arc::new(Self(Mutex::new(keys))))
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys of a test")
    }
}

#[async_trait]
impl CredentialsSource for Keys {
    async fn credentials(&self, _: Option<&Credentials>) -> Result<Credentials, CredentialsError> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys
            .pop_front()
            .ok_or_else(|| CredentialsError::new("no more"))?;
        Ok(credentials(key))
    }
}

fn shared() -> Shared {
    Shared::new(
        HttpLimits::default(),
        Resolver::system(),
        tokio::runtime::Handle::current(),
    )
}

/// The way out of a component, to one server.
struct Way {
    outbound: Outbound,
    grants: HttpGrants,
    limits: Limits,
    caller: Option<Credentials>,
}

impl Way {
    fn new(server: &Server) -> Self {
        let grants = HttpGrants {
            addresses: vec!["127.0.0.1".parse().expect("an address")],
            ..HttpGrants::default()
        };
        Self {
            outbound: Outbound::new(&shared(), vec![server.pattern()]),
            grants,
            limits: Limits::default(),
            caller: None,
        }
    }

    /// Signs with the credentials of these sources.
    fn signed(server: &Server, caller: Option<&str>, sources: Vec<SigningSource>) -> Self {
        let mut way = Self::new(server);
        let region = Some("eu-central-1".parse().expect("a region"));
        let grant = SigningGrant::new(server.pattern(), "s3", region, sources);
        way.grants.signatures.push(grant.expect("a grant"));
        way.caller = caller.map(credentials);
        way
    }

    fn outgoing(&self) -> Outgoing {
        let behalf = OnBehalf {
            caller: self.caller.clone(),
            region: None,
        };
        Outgoing::new(
            Some(&self.outbound),
            &self.grants,
            &self.limits,
            None,
            behalf,
        )
    }
}

async fn send(
    outgoing: &mut Outgoing,
    server: &Server,
    request: http::request::Builder,
    body: &'static str,
) -> Result<(u16, Bytes), OutboundError> {
    let body: UnsyncBoxBody<Bytes, Cause> = Full::new(Bytes::from(body))
        .map_err(|never| match never {})
        .boxed_unsync();
    let request = request
        .uri(format!("http://{}/a?b=c", server.address))
        .body(body)
        .expect("a request");
    let patience = outgoing.patience();
    let response: Response<_> = outgoing.send(request, patience).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

async fn get(outgoing: &mut Outgoing, server: &Server) -> Result<(u16, Bytes), OutboundError> {
    send(outgoing, server, Request::get("/"), "").await
}

#[tokio::test]
async fn a_request_is_signed_with_the_callers_credentials() {
    let server = Server::start(&["CALLER"]).await;
    let way = Way::signed(&server, Some("CALLER"), vec![SigningSource::Caller]);
    let mut outgoing = way.outgoing();
    let put = Request::put("/")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=GUEST/")
        .header("x-amz-meta-a", "b");
    let (status, body) = send(&mut outgoing, &server, put, "body")
        .await
        .expect("an answer");
    assert_eq!((status, body.as_ref()), (200, &b"well"[..]));
    let heard = server.heard().remove(0);
    assert!(heard.contains("Credential=CALLER/"), "{heard}");
    assert!(heard.contains("/eu-central-1/s3/aws4_request"), "{heard}");
    assert!(heard.contains("x-amz-meta-a;"), "{heard}");
    assert!(heard.contains("x-amz-security-token: t0k3n"), "{heard}");
    assert!(!heard.contains("GUEST"), "{heard}");
    assert!(heard.ends_with("body"), "{heard}");
    assert_eq!(outgoing.lack_of_credentials(), None);
}

#[tokio::test]
async fn when_the_callers_are_refused_the_operators_take_over() {
    let server = Server::start(&["NEWEST"]).await;
    let sources = vec![
        SigningSource::Caller,
        Keys::source(&["OLD", "OLDER"]),
        Keys::source(&["OLDEST", "NEWEST"]),
    ];
    let way = Way::signed(&server, Some("CALLER"), sources);
    let mut outgoing = way.outgoing();
    for _ in 0..2 {
        let (status, _) = get(&mut outgoing, &server).await.expect("an answer");
        assert_eq!(status, 200);
    }
    // Each source is asked once more for others; what was refused is not tried again.
    assert_eq!(
        server.keys(),
        ["CALLER", "OLD", "OLDER", "OLDEST", "NEWEST", "NEWEST"]
    );
    assert_eq!(outgoing.lack_of_credentials(), None);
}

#[tokio::test]
async fn what_one_server_says_of_credentials_holds_for_that_server() {
    let servers = [
        Server::start(&["CALLER"]).await,
        Server::start(&["OURS"]).await,
    ];
    let any: HttpPattern = "http://127.0.0.1:*".parse().expect("a pattern");
    let sources = vec![SigningSource::Caller, Keys::source(&["OURS"])];
    let mut way = Way::signed(&servers[0], Some("CALLER"), sources.clone());
    way.outbound = Outbound::new(&shared(), vec![any.clone()]);
    let region = Some("eu-central-1".parse().expect("a region"));
    way.grants.signatures = vec![SigningGrant::new(any, "s3", region, sources).expect("a grant")];
    let mut outgoing = way.outgoing();
    for server in servers.iter().rev().chain(&servers) {
        let (status, _) = get(&mut outgoing, server).await.expect("an answer");
        assert_eq!(status, 200);
    }
    assert_eq!(servers[0].keys(), ["CALLER", "CALLER"]);
    assert_eq!(servers[1].keys(), ["CALLER", "OURS", "OURS"]);
}

#[tokio::test]
async fn a_body_that_is_not_finished_holds_no_place_of_the_host() {
    let server = Server::start(&[]).await;
    let mut way = Way::signed(&server, Some("CALLER"), vec![SigningSource::Caller]);
    let one = HttpLimits {
        requests: 1,
        ..HttpLimits::default()
    };
    let shared = Shared::new(one, Resolver::system(), tokio::runtime::Handle::current());
    way.outbound = Outbound::new(&shared, vec![server.pattern()]);
    let mut quick = way.outgoing();
    way.limits.http_first_byte = Duration::from_millis(100);
    let mut slow = way.outgoing();
    let never = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Cause>>());
    let request = Request::put(format!("http://{}/", server.address))
        .body(never.boxed_unsync())
        .expect("a request");
    let patience = slow.patience();
    let (unfinished, answered) =
        tokio::join!(slow.send(request, patience), get(&mut quick, &server));
    let unfinished = unfinished.map(drop);
    assert!(
        matches!(unfinished, Err(OutboundError::Unfinished { .. })),
        "{unfinished:?}"
    );
    assert_eq!(answered.expect("an answer").0, 200);
}

#[tokio::test]
async fn a_source_is_asked_in_each_invocation() {
    let server = Server::start(&[]).await;
    let way = Way::signed(&server, None, vec![Keys::source(&["FIRST", "SECOND"])]);
    for _ in 0..2 {
        let mut outgoing = way.outgoing();
        for _ in 0..2 {
            get(&mut outgoing, &server).await.expect("an answer");
        }
    }
    assert_eq!(server.keys(), ["FIRST", "FIRST", "SECOND", "SECOND"]);
}

#[tokio::test]
async fn when_nobody_takes_over_the_guest_sees_the_refusal_and_the_host_knows() {
    let server = Server::start(&["NOBODY"]).await;
    let sources = vec![SigningSource::Caller, Keys::source(&[])];
    let way = Way::signed(&server, Some("CALLER"), sources);
    let mut outgoing = way.outgoing();
    let (status, body) = get(&mut outgoing, &server).await.expect("an answer");
    assert_eq!((status, body), (400, Bytes::from(REFUSAL)));
    assert_eq!(
        outgoing.lack_of_credentials().as_deref(),
        Some("the credentials of the request are refused (ExpiredToken)")
    );
    let again = get(&mut outgoing, &server).await;
    assert!(matches!(again, Err(OutboundError::Unsigned)), "{again:?}");
    assert_eq!(
        server.keys(),
        ["CALLER"],
        "what is refused is not sent again"
    );
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let server = Server::start(&[]).await;
    let way = Way::signed(&server, None, vec![SigningSource::Caller]);
    let mut outgoing = way.outgoing();
    let refused = get(&mut outgoing, &server).await;
    assert!(
        matches!(refused, Err(OutboundError::Unsigned)),
        "{refused:?}"
    );
    assert_eq!(
        outgoing.lack_of_credentials().as_deref(),
        Some("the request brings no credentials to sign with")
    );
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_body_is_signed_up_to_a_limit() {
    let server = Server::start(&[]).await;
    let mut way = Way::signed(&server, Some("CALLER"), vec![SigningSource::Caller]);
    way.limits.http_signed_bytes = 4;
    let mut outgoing = way.outgoing();
    let put = || Request::put("/");
    send(&mut outgoing, &server, put(), "four")
        .await
        .expect("an answer");
    let refused = send(&mut outgoing, &server, put(), "fives").await;
    let limit = 4;
    assert!(
        matches!(refused, Err(OutboundError::SignedTooMuch { limit: found }) if found == limit),
        "{refused:?}"
    );
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_secret_is_put_on_in_place_of_the_guests_own_and_never_sent_back() {
    let server = Server::start(&[]).await;
    let mut way = Way::new(&server);
    let grant = SecretGrant::new(server.pattern(), "X-Api-Key", "s3cr3t").expect("a grant");
    way.grants.secrets.push(grant);
    let mut outgoing = way.outgoing();
    let get = Request::get("/").header("x-api-key", "guest");
    send(&mut outgoing, &server, get, "")
        .await
        .expect("an answer");
    let heard = server.heard().remove(0);
    assert!(heard.contains("x-api-key: s3cr3t\r\n"), "{heard}");
    assert!(!heard.contains("guest"), "{heard}");
    for method in ["TRACE", "trace", "Trace", "TRACK", "DEBUG"] {
        let trace = Request::builder().method(method);
        let refused = send(&mut outgoing, &server, trace, "").await;
        assert!(
            matches!(refused, Err(OutboundError::Denied)),
            "{method}: {refused:?}"
        );
    }
    assert_eq!(server.heard().len(), 1);
    // Which other methods its server takes the operator knows.
    let named = format!("LIST {}", server.pattern());
    let grant = SecretGrant::new(named.parse().expect("a pattern"), "X-Api-Key", "s3cr3t");
    way.grants.secrets = vec![grant.expect("a grant")];
    let mut outgoing = way.outgoing();
    let list = Request::builder().method("LIST");
    send(&mut outgoing, &server, list, "")
        .await
        .expect("an answer");
    assert_eq!(server.heard().len(), 2);
}
