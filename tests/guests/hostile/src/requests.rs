//! Attacks on outgoing HTTP. They speak `wasi:http` itself, which takes what no
//! client of a language would send.
//!
//! `request METHOD SCHEME AUTHORITY PATH [WORD…]`, where a word is `body=BYTES`,
//! `trailer=NAME`, or a header field `NAME=VALUE`. In all of them `%20`, `%0d` and
//! `%0a` stand for their characters.
//!
//! `begin N BYTES` begins so many requests with a method and an authority of so many
//! bytes, `bodies N` so many with a body, and they keep them; `ask N BYTES` sends as
//! many, each with another method of so many bytes.

use std::hint::black_box;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

/// How much is read of an answer.
const READ: u64 = 4096;

/// How much of a body the host keeps until it is sent, at the least.
const CHUNK: usize = 64 * 1024;

pub(crate) fn attack(verb: &str, argument: &str) -> Option<String> {
    let (count, bytes) = argument.split_once(' ').unwrap_or((argument, ""));
    let (count, bytes) = (count.parse().unwrap_or(0), bytes.parse().unwrap_or(0));
    let done = match verb {
        "request" => request(argument),
        "begin" => begin(count, bytes),
        "bodies" => bodies(count),
        "ask" => ask(count, bytes),
        _ => return None,
    };
    Some(done.unwrap_or_else(|error| format!("error: {error}")))
}

fn begin(count: usize, bytes: usize) -> Result<String, String> {
    let (method, authority) = (Method::Other("A".repeat(bytes)), "a".repeat(bytes));
    let begun: Result<Vec<_>, String> = (0..count)
        .map(|_| {
            let request = OutgoingRequest::new(Fields::new());
            request.set_method(&method).map_err(|()| "method")?;
            request
                .set_authority(Some(&authority))
                .map_err(|()| "authority")?;
            Ok(request)
        })
        .collect();
    Ok(format!("{} requests", black_box(&begun?).len()))
}

fn bodies(count: usize) -> Result<String, String> {
    let begun: Result<Vec<_>, String> = (0..count)
        .map(|_| {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().map_err(|()| "body")?;
            let stream = body.write().map_err(|()| "no stream")?;
            stream.check_write().map_err(|error| error.to_string())?;
            stream
                .write(&[b'x'; CHUNK])
                .map_err(|error| error.to_string())?;
            drop(stream);
            Ok((request, body))
        })
        .collect();
    Ok(format!("{} bodies", black_box(&begun?).len()))
}

/// Sends the requests, and gives the last error.
fn ask(count: usize, bytes: usize) -> Result<String, String> {
    let method = "A".repeat(bytes);
    let mut last = Err("nothing is asked".to_owned());
    for number in 0..count {
        let request = OutgoingRequest::new(Fields::new());
        let method = Method::Other(format!("{method}{number}"));
        request.set_method(&method).map_err(|()| "method")?;
        request
            .set_scheme(Some(&Scheme::Http))
            .map_err(|()| "scheme")?;
        request
            .set_authority(Some("front.test"))
            .map_err(|()| "authority")?;
        request
            .set_path_with_query(Some("/"))
            .map_err(|()| "path")?;
        last = match outgoing_handler::handle(request, None) {
            Ok(answer) => {
                answer.subscribe().block();
                match answer.get() {
                    Some(Ok(Err(code))) => Err(code.to_string()),
                    _ => Ok("answered".to_owned()),
                }
            }
            Err(code) => Err(code.to_string()),
        };
    }
    last
}

fn request(argument: &str) -> Result<String, String> {
    let mut words = argument.split(' ').map(decoded);
    let mut word = || words.next().unwrap_or_default();
    let (method, scheme, authority, path) = (word(), word(), word(), word());
    let fields = Fields::new();
    let (mut size, mut trailer) = (0, None);
    for word in words {
        match word.split_once('=').ok_or("a word has no value")? {
            ("body", bytes) => size = bytes.parse().unwrap_or(0),
            ("trailer", name) => trailer = Some(name.to_owned()),
            (name, value) => fields
                .append(name, value.as_bytes())
                .map_err(|error| format!("field: {error:?}"))?,
        }
    }
    let request = OutgoingRequest::new(fields);
    let scheme = match scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request
        .set_authority(Some(&authority))
        .map_err(|()| "authority")?;
    request
        .set_path_with_query(Some(&path))
        .map_err(|()| "path")?;
    let body = request.body().map_err(|()| "body")?;
    let answer = outgoing_handler::handle(request, None).map_err(|code| code.to_string())?;
    write(body, size, trailer)?;
    answer.subscribe().block();
    let answer = answer.get().ok_or("no answer")?.map_err(|()| "no answer")?;
    let answer = answer.map_err(|code| code.to_string())?;
    let location = answer.headers().get("location").concat();
    let body = answer.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no body")?;
    let text = stream.blocking_read(READ).unwrap_or_default();
    Ok(format!(
        "{} {}{}",
        answer.status(),
        String::from_utf8_lossy(&location),
        String::from_utf8_lossy(&text)
    ))
}

/// Writes the body, and finishes it with trailers.
fn write(body: OutgoingBody, bytes: usize, trailer: Option<String>) -> Result<(), String> {
    let stream = body.write().map_err(|()| "no stream")?;
    // Why it cannot go on is the answer's to tell.
    vec![b'x'; bytes]
        .chunks(4096)
        .try_for_each(|piece| stream.blocking_write_and_flush(piece))
        .ok();
    drop(stream);
    let trailers = trailer
        .map(|name| {
            Fields::from_list(&[(name, b"trailing".to_vec())])
                .map_err(|error| format!("trailer: {error:?}"))
        })
        .transpose()?;
    OutgoingBody::finish(body, trailers).map_err(|code| format!("finish: {code}"))
}

fn decoded(word: &str) -> String {
    word.replace("%20", " ")
        .replace("%0d", "\r")
        .replace("%0a", "\n")
}
