//! Names that mean several addresses or change their minds, and a server that
//! answers in bytes.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::sandbox::Limits;

const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const KEEP: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that gives one answer to every request, and keeps what it reads.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    // A request ends with its head, or with its last chunk.
                    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let chunked = text.contains("transfer-encoding: chunked");
                        if text.ends_with("0\r\n\r\n") || text.ends_with("\r\n\r\n") && !chunked {
                            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                            kept.push(text);
                            bytes.clear();
                        } else {
                            continue;
                        }
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                        if answer.contains("close") {
                            return;
                        }
                    }
                });
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A way out on which names mean what `answers` say, one look-up after the other.
struct Way {
    outbound: Outbound,
    grants: HttpGrants,
    limits: Limits,
    left: Arc<Mutex<VecDeque<Vec<IpAddr>>>>,
}

impl Way {
    fn new(addresses: &[&str], answers: &[&[&str]]) -> Self {
        let any: HttpPattern = "http://*:*".parse().expect("a pattern");
        let answers = answers
            .iter()
            .map(|answer| answer.iter().copied().map(address).collect());
        let left = Arc::new(Mutex::new(answers.collect::<VecDeque<_>>()));
        let asked = Arc::clone(&left);
        let resolver = Resolver::new(move |_| {
            let mut left = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = left.pop_front();
            async move { answer.ok_or(io::ErrorKind::NotFound.into()) }
        });
        let shared = Shared::new(HttpLimits::default(), resolver, Handle::current());
        Self {
            outbound: Outbound::new(&shared, vec![any.clone()]),
            grants: HttpGrants {
                requests: vec![any],
                addresses: addresses
                    .iter()
                    .map(|text| text.parse().expect(text))
                    .collect(),
                ..HttpGrants::default()
            },
            limits: Limits::default(),
            left,
        }
    }

    fn outgoing(&self) -> Outgoing {
        Outgoing::new(
            Some(&self.outbound),
            &self.grants,
            &self.limits,
            None,
            OnBehalf::default(),
        )
    }

    /// Makes one request in an invocation of its own.
    async fn get(&self, server: &Server) -> Result<Bytes, OutboundError> {
        let mut outgoing = self.outgoing();
        let response = send(&mut outgoing, server, empty()).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }

    fn lookups_left(&self) -> usize {
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn empty() -> UnsyncBoxBody<Bytes, Cause> {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

async fn send(
    outgoing: &mut Outgoing,
    server: &Server,
    body: UnsyncBoxBody<Bytes, Cause>,
) -> Result<Response<UnsyncBoxBody<Bytes, OutboundError>>, OutboundError> {
    let url = format!("http://name.test:{}/", server.address.port());
    let request = Request::post(url)
        .header("proxy-authorization", "s3cr3t")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    outgoing.send(request, outgoing.patience()).await
}

fn failure<T>(result: Result<T, OutboundError>) -> Failure {
    match result.map(drop) {
        Err(OutboundError::Failed { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_means_another_address_later_is_judged_by_that() {
    let server = Server::start(CLOSE).await;
    for rebound in [
        "10.0.0.1",
        "169.254.169.254",
        "::ffff:10.0.0.1",
        "127.0.0.2",
    ] {
        let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"], &[rebound]]);
        assert_eq!(way.get(&server).await.expect("an answer"), "ok");
        let failure = failure(way.get(&server).await);
        assert!(
            matches!(&failure, Failure::Prohibited { address: found, .. } if *found == address(rebound)),
            "{failure:?}"
        );
        assert_eq!(way.lookups_left(), 0);
    }
    assert_eq!(server.heard().len(), 4);
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection() {
    let server = Server::start(KEEP).await;
    let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"], &["10.0.0.1"]]);
    for _ in 0..3 {
        assert_eq!(way.get(&server).await.expect("an answer"), "ok");
    }
    assert_eq!(way.lookups_left(), 1);
}

#[tokio::test]
async fn of_several_addresses_the_allowed_ones_are_dialed() {
    let server = Server::start(CLOSE).await;
    for answer in [
        &["169.254.169.254", "127.0.0.1"][..],
        // Nothing listens at the first that is allowed.
        &["10.0.0.1", "::1", "127.0.0.1"],
    ] {
        let way = Way::new(&["127.0.0.1", "::1"], &[answer]);
        assert_eq!(way.get(&server).await.expect("an answer"), "ok");
    }
    for (answer, expected) in [(&["::1"][..], Failure::Refused), (&[], Failure::Nowhere)] {
        let way = Way::new(&["127.0.0.1", "::1"], &[answer]);
        assert_eq!(failure(way.get(&server).await), expected, "{answer:?}");
    }
    let way = Way::new(&["127.0.0.1"], &[]);
    assert_eq!(failure(way.get(&server).await), Failure::Lookup);
}

#[tokio::test]
async fn no_name_leads_to_what_is_not_public() {
    let server = Server::start(CLOSE).await;
    for answer in [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
    ] {
        let way = Way::new(&[], &[&[answer]]);
        let failure = failure(way.get(&server).await);
        assert!(
            matches!(failure, Failure::Prohibited { .. }),
            "{answer}: {failure:?}"
        );
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_of_this_machine_leads_nowhere_else() {
    let server = Server::start(CLOSE).await;
    for (found, is_reached) in [("127.0.0.1", true), ("10.0.0.1", false)] {
        let way = Way::new(&["127.0.0.1", "10.0.0.1"], &[&[found]]);
        let mut outgoing = way.outgoing();
        let url = format!("http://LOCALHOST.:{}/", server.address.port());
        let request = Request::get(url).body(empty()).expect("a request");
        let patience = outgoing.patience();
        let answered = outgoing.send(request, patience).await.map(drop);
        if is_reached {
            answered.expect("an answer");
        } else {
            let failure = failure(answered);
            let is_prohibited = matches!(failure, Failure::Prohibited { .. });
            assert!(is_prohibited, "{failure:?}");
        }
    }
}

#[tokio::test]
async fn fields_of_the_host_and_trailers_are_left_out_both_ways() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nkeep-alive: x\r\n\
        trailer: a\r\nx-b: c\r\n\r\n2\r\nok\r\n0\r\na: b\r\n\r\n";
    let server = Server::start(ANSWER).await;
    let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"]]);
    let trailers = HeaderMap::from_iter([(http::header::AGE, HeaderValue::from_static("1"))]);
    let frames = [Frame::data(Bytes::from("body")), Frame::trailers(trailers)];
    let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Cause>)));
    let mut outgoing = way.outgoing();
    let response = send(&mut outgoing, &server, body.boxed_unsync())
        .await
        .expect("an answer");
    let names: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    assert_eq!(names, ["x-b"]);
    let body = response.into_body().collect().await.expect("a body");
    assert!(body.trailers().is_none());
    assert_eq!(body.to_bytes(), "ok");
    let heard = server.heard().concat();
    assert!(heard.contains(&format!("host: name.test:{}", server.address.port())));
    for left_out in ["proxy-authorization", "te: trailers", "age: 1"] {
        assert!(!heard.contains(left_out), "{heard}");
    }
}

#[tokio::test]
async fn a_response_with_a_head_that_is_longer_than_any_is_an_error_of_its_own() {
    let field = "a".repeat(1_000_000);
    let answer = format!("HTTP/1.1 200 OK\r\nx-a: {field}\r\nconnection: close\r\n\r\n");
    let server = Server::start(answer.leak()).await;
    let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"]]);
    assert_eq!(failure(way.get(&server).await), Failure::LongHead);
}

#[tokio::test]
async fn requests_beyond_the_places_wait_and_are_given_up() {
    let server = Server::start(KEEP).await;
    let mut way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"], &["127.0.0.1"]]);
    way.limits.http_concurrency = 1;
    way.limits.http_connect = Duration::from_millis(200);
    let mut outgoing = way.outgoing();
    let first = send(&mut outgoing, &server, empty())
        .await
        .expect("an answer");
    let second = send(&mut outgoing, &server, empty()).await.map(drop);
    assert!(
        matches!(second, Err(OutboundError::Crowded { .. })),
        "{second:?}"
    );
    drop(first);
    send(&mut outgoing, &server, empty())
        .await
        .expect("there is a place again");
}

#[tokio::test]
async fn connections_are_made_by_the_threads_for_them_whoever_asks() {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("moves-bytes")
        .enable_all()
        .build()
        .expect("threads");
    let server = Server::start(KEEP).await;
    let makers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&makers);
    let resolver = Resolver::new(move |_| {
        let maker = std::thread::current().name().map(str::to_owned);
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(maker);
        async { Ok(vec![address("127.0.0.1")]) }
    });
    let shared = Shared::new(HttpLimits::default(), resolver, threads.handle().clone());
    let mut way = Way::new(&["127.0.0.1"], &[]);
    way.outbound = Outbound::new(&shared, way.grants.requests.clone());
    send(&mut way.outgoing(), &server, empty())
        .await
        .expect("an answer");
    let makers = makers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    assert_eq!(makers, [Some("moves-bytes".to_owned())]);
    threads.shutdown_background();
}

#[tokio::test]
async fn one_handler_has_half_of_the_hosts_places() {
    let server = Server::start(KEEP).await;
    let resolver = Resolver::new(|_| async { Ok(vec![address("127.0.0.1")]) });
    let limits = HttpLimits {
        requests: 2,
        ..HttpLimits::default()
    };
    let shared = Shared::new(limits, resolver, Handle::current());
    let mut way = Way::new(&["127.0.0.1"], &[]);
    way.limits.http_connect = Duration::from_millis(200);
    way.outbound = Outbound::new(&shared, way.grants.requests.clone());
    let held = send(&mut way.outgoing(), &server, empty())
        .await
        .expect("an answer");
    let second = send(&mut way.outgoing(), &server, empty()).await.map(drop);
    let crowd = Crowd::Requests;
    assert!(
        matches!(second, Err(OutboundError::Crowded { crowd: found, .. }) if found == crowd),
        "{second:?}"
    );
    way.outbound = Outbound::new(&shared, way.grants.requests.clone());
    way.limits.http_connect = Duration::from_secs(5);
    assert_eq!(way.get(&server).await.expect("an answer"), "ok");
    drop(held);
}

#[tokio::test]
async fn no_field_says_another_method_or_path() {
    let server = Server::start(CLOSE).await;
    let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"]]);
    let mut outgoing = way.outgoing();
    let url = format!("http://name.test:{}/v1", server.address.port());
    let request = Request::get(url)
        .header("x-http-method-override", "DELETE")
        .header("x-original-url", "/admin")
        .body(empty())
        .expect("a request");
    let patience = outgoing.patience();
    drop(outgoing.send(request, patience).await.expect("an answer"));
    let heard = server.heard().concat();
    assert!(
        heard.starts_with("GET /v1 ") && !heard.contains("x-"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_connection_is_used_until_its_response_is_read() {
    let server = Server::start(KEEP).await;
    let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"]]);
    let response = send(&mut way.outgoing(), &server, empty()).await;
    let response = response.expect("an answer");
    let exchanges = connection::exchanges(response.extensions());
    assert_eq!(exchanges(), Some(1));
    let read = response.into_body().collect().await.map(drop);
    read.expect("it is read");
    assert_eq!(exchanges(), Some(0));
}

#[tokio::test]
async fn other_grants_make_other_connections() {
    let server = Server::start(KEEP).await;
    let mut way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"], &["127.0.0.1"]]);
    let before = way.outbound.granted(&way.grants);
    assert!(Arc::ptr_eq(&before, &way.outbound.granted(&way.grants)));
    assert_eq!(way.get(&server).await.expect("an answer"), "ok");
    way.grants
        .addresses
        .push("127.0.0.2".parse().expect("an address"));
    assert_eq!(way.get(&server).await.expect("an answer"), "ok");
    assert_eq!(way.lookups_left(), 0, "each has looked up its own");
    way.grants.addresses.clear();
    assert_eq!(failure(way.get(&server).await), Failure::Lookup);
}

#[tokio::test]
async fn nothing_is_sent_while_a_component_describes_itself() {
    let server = Server::start(CLOSE).await;
    let way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"]]);
    let mut outgoing = Outgoing::new(None, &way.grants, &way.limits, None, OnBehalf::default());
    let refused = send(&mut outgoing, &server, empty()).await.map(drop);
    assert!(matches!(refused, Err(OutboundError::Denied)), "{refused:?}");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_never_finished_ends_its_request() {
    let server = Server::start(KEEP).await;
    let mut way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"], &["127.0.0.1"]]);
    way.limits.http_sent_bytes = 3;
    let part = || Ok(Frame::data(Bytes::from("body")));
    let broken = || Err(io::Error::other("given up").into());
    for (frame, expected) in [
        (part(), Failure::SentTooMuch { limit: 3 }),
        (broken(), Failure::GivenUp),
    ] {
        let body = StreamBody::new(tokio_stream::iter([frame])).boxed_unsync();
        let sent = send(&mut way.outgoing(), &server, body).await;
        assert_eq!(failure(sent), expected);
    }
}

#[tokio::test]
async fn who_is_slow_is_told_apart_the_guest_or_the_server() {
    let server = Server::start(KEEP).await;
    let silent = Server::start("").await;
    let body = |frames: Vec<Frame<Bytes>>| {
        let frames = frames.into_iter().map(Ok::<_, Cause>);
        StreamBody::new(tokio_stream::iter(frames)).boxed_unsync()
    };
    let never = StreamBody::new(tokio_stream::pending()).boxed_unsync();
    for (server, body, is_sent) in [
        (&server, never, false),
        (&silent, body(vec![Frame::data(Bytes::from("body"))]), true),
        (&silent, empty(), true),
    ] {
        let mut way = Way::new(&["127.0.0.1"], &[&["127.0.0.1"]]);
        way.limits.http_first_byte = Duration::from_millis(50);
        let answered = send(&mut way.outgoing(), server, body).await.map(drop);
        let is_expected = match answered {
            Err(OutboundError::Unfinished { .. }) => !is_sent,
            Err(OutboundError::Silent { .. }) => is_sent,
            _ => false,
        };
        assert!(is_expected, "{is_sent}: {answered:?}");
    }
}

#[tokio::test]
async fn names_that_are_never_answered_hold_look_ups_and_not_those_of_others() {
    let server = Server::start(KEEP).await;
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let resolver = Resolver::new(move |name| {
        *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        async move {
            match name.as_str() {
                "name.test" => Ok(vec![address("127.0.0.1")]),
                _ => std::future::pending().await,
            }
        }
    });
    let limits = HttpLimits {
        lookups: 10,
        ..HttpLimits::default()
    };
    let shared = Shared::new(limits, resolver, Handle::current());
    let mut way = Way::new(&["127.0.0.1"], &[]);
    way.limits.http_connect = Duration::from_millis(5);
    // The first one takes two, and each other one that is silent takes one.
    for so_many in [2, 1, 1, 1] {
        way.outbound = Outbound::new(&shared, way.grants.requests.clone());
        let before = *asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outgoing = way.outgoing();
        for number in 0..4 {
            let request = Request::get(format!("http://{number}.silent.test/"))
                .body(empty())
                .expect("a request");
            let sent = outgoing.send(request, outgoing.patience()).await.map(drop);
            let is_expected = match sent {
                Err(OutboundError::Unconnected { .. }) => number < so_many,
                Err(OutboundError::Crowded { crowd, .. }) => {
                    crowd == Crowd::Lookups && number >= so_many
                }
                _ => false,
            };
            assert!(is_expected, "{number} of {so_many}: {sent:?}");
        }
        let asked = *asked.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(asked - before, so_many);
    }
    way.outbound = Outbound::new(&shared, way.grants.requests.clone());
    way.limits.http_connect = Duration::from_secs(5);
    assert_eq!(way.get(&server).await.expect("an answer"), "ok");
}

#[tokio::test]
async fn connections_beyond_those_of_a_handler_are_waited_for_and_given_up() {
    let server = Server::start(KEEP).await;
    let other = Server::start(KEEP).await;
    let resolver = Resolver::new(|_| async { Ok(vec![address("127.0.0.1")]) });
    let limits = HttpLimits {
        connections: 1,
        ..HttpLimits::default()
    };
    let mut way = Way::new(&["127.0.0.1"], &[]);
    let shared = Shared::new(limits, resolver, Handle::current());
    way.outbound = Outbound::new(&shared, way.grants.requests.clone());
    way.limits.http_connect = Duration::from_millis(200);
    // The connection is kept, and used again.
    for _ in 0..2 {
        assert_eq!(way.get(&server).await.expect("an answer"), "ok");
    }
    let crowded = way.get(&other).await;
    assert!(
        matches!(
            crowded,
            Err(OutboundError::Crowded {
                crowd: Crowd::Connections,
                ..
            })
        ),
        "{crowded:?}"
    );
}
