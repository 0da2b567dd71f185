//! Any request at the doors, with a handler behind them.
//!
//! An operation that one input has begun may still go on while the next one is
//! looked at; what is promised holds whatever there is.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use formwork::fuzzing::Doors;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::Limits;
use formwork_tests::{guests, stage};
use http::{HeaderValue, Request, Response, Uri};
use serde_json::Value;
use tokio::runtime::Runtime;

/// After how many requests the server starts afresh, lest it fill the memory.
const REQUESTS: usize = 2_000;

/// What an answer may have besides what it repeats of the request, in bytes: a
/// handler may answer 1 MiB.
const ANSWER: usize = 2 * 1_024 * 1_024;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

/// The server, and how many requests it has had.
static SERVER: Mutex<Option<(Doors, usize)>> = Mutex::new(None);

/// Invokes a handler as through Lambda. The lines of an input: the invocation
/// type; the name of the function, as it stands in the path; the payload.
pub(crate) fn lambda(data: &[u8]) {
    let [kind, name, payload] = split(data);
    let path = [
        "/2015-03-31/functions/",
        &String::from_utf8_lossy(name),
        "/invocations",
    ]
    .concat();
    let (Ok(kind), Ok(uri)) = (HeaderValue::from_bytes(kind), path.parse::<Uri>()) else {
        return;
    };
    let request = Request::post(uri).header("x-amz-invocation-type", kind);
    let answer = send(request.body(Bytes::copy_from_slice(payload)));
    let status = answer.status().as_u16();
    assert!(status < 500, "{}", told(&answer));
    if !matches!(status, 202 | 204) {
        let body = serde_json::from_slice::<Value>(answer.body());
        let body = body.unwrap_or_else(|error| panic!("{error}: {}", told(&answer)));
        assert!(body.is_object(), "{}", told(&answer));
        assert!(status != 200 || body["status"].is_string(), "{body}");
    }
}

/// Makes a call of Cloud Control. The lines of an input: the operation; the body.
pub(crate) fn cloud_control(data: &[u8]) {
    let [operation, body] = split(data);
    let target = [b"CloudApiService.", operation].concat();
    let Ok(target) = HeaderValue::from_bytes(&target) else {
        return;
    };
    let request = Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", target);
    let answer = send(request.body(Bytes::copy_from_slice(body)));
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    assert!(body.is_object(), "{}", told(&answer));
    let handlers = matches!(body["__type"].as_str(), Some(name) if HANDLERS.iter().any(|end| name.ends_with(end)));
    match answer.status().as_u16() {
        200 => {}
        400 => assert!(body["__type"].is_string(), "{body}"),
        500 => assert!(handlers && !blames_the_server(&body), "{body}"),
        _ => panic!("{}", told(&answer)),
    }
}

/// The exceptions by which a caller hears that the handler has failed.
const HANDLERS: [&str; 4] = [
    "#HandlerFailureException",
    "#HandlerInternalFailureException",
    "#NetworkFailureException",
    "#ServiceInternalErrorException",
];

fn blames_the_server(body: &Value) -> bool {
    let message = body["Message"].as_str().or(body["message"].as_str());
    message.is_some_and(|message| message.contains("the log of this server says why"))
}

/// Makes a call of the Query protocol. An input is the form.
pub(crate) fn query(data: &[u8]) {
    let request = Request::post("/")
        .header(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .body(Bytes::copy_from_slice(data));
    let answer = send(request);
    assert!(
        matches!(answer.status().as_u16(), 200 | 400..=499),
        "{}",
        told(&answer)
    );
    let text = str::from_utf8(answer.body()).expect("an answer is UTF-8");
    assert!(!text.is_empty(), "{}", told(&answer));
}

fn send(request: http::Result<Request<Bytes>>) -> Response<Bytes> {
    let request = request.expect("its parts are well-formed");
    let length = request.body().len();
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let (doors, requests) = server.get_or_insert_with(|| (RUNTIME.block_on(open()), 0));
    let answer = RUNTIME.block_on(doors.send(request));
    *requests += 1;
    if *requests == REQUESTS {
        *server = None;
    }
    assert!(
        answer.body().len() <= ANSWER + 8 * length,
        "an answer is bounded"
    );
    answer
}

async fn open() -> Doors {
    let quick = Duration::from_millis(200);
    let settings = TypeSettings {
        limits: Limits {
            cpu: quick,
            mutation_wall: quick,
            read_wall: quick,
            ..Limits::default()
        },
        ..TypeSettings::default()
    };
    let component = guests::component("scripted-guest");
    Doors::open(stage::sandbox(), component, settings, stage::START)
        .await
        .expect("a handler of the tests loads")
}

/// Splits an input into so many parts, each but the last a line; what is missing
/// is empty.
fn split<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == b'\n');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

fn told(answer: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(answer.body());
    format!("{} {body}", answer.status())
}
