//! Attacks on outgoing HTTP. They speak `wasi:http` itself, which takes what no
//! client of a language would send.
//!
//! `request METHOD SCHEME AUTHORITY PATH [WORD…]`, where a word is `body=BYTES`,
//! `trailer=NAME`, or a header field `NAME=VALUE`. In all of them `%20`, `%0d` and
//! `%0a` stand for their characters.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

/// How much is read of an answer.
const READ: u64 = 4096;

pub(crate) fn attack(verb: &str, argument: &str) -> Option<String> {
    (verb == "request").then(|| request(argument).unwrap_or_else(|error| format!("error: {error}")))
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
