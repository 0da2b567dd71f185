//! Signature Version 4, beside a naive reading of its specification.
//!
//! The first line of an input says what is done with the request that follows, in
//! the shape of HTTP/1.1: `as it is` looks at it alone; `header`, `url`, `session`
//! sign it first, and `header 20 1` changes a bit after that: the one with the
//! value 1 in the byte 20 of the signed request.

mod naive;

use formwork::fuzzing::{KnownKey, identify};
use formwork_host::model::Timestamp;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use naive::Place;

/// 2026-11-22T16:42:29Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_365_749_000);

/// When it was signed.
const DATE: &str = "20261122T164229Z";

const ID: &str = "AKIDAKIDAKIDAKID";

/// The credentials that the server knows: with a session token, and without.
const KEYS: [KnownKey<'static>; 2] = [
    KnownKey {
        id: ID,
        secret: "s3cr3t/s3cr3t+s3cr3t",
        session_token: None,
    },
    KnownKey {
        id: "ASIAASIAASIAASIA",
        secret: "0th3r/0th3r+0th3r",
        session_token: Some("t0ken"),
    },
];

/// Puts a request before the server. Whom it lets in has signed what it sees;
/// who signs by the book is let in.
pub(crate) fn verify(data: &[u8]) {
    let text = data.iter().position(|byte| *byte == b'\n');
    let Some((what, request)) = text.map(|end| (&data[..end], &data[end + 1..])) else {
        return;
    };
    let what = String::from_utf8_lossy(what);
    let mut words = what.split(' ');
    let (key, place) = match words.next() {
        Some("header") => (&KEYS[0], Place::Header),
        Some("url") => (&KEYS[0], Place::Url),
        Some("session") => (&KEYS[1], Place::Header),
        Some(_) | None => return judge(request),
    };
    let Some((head, body)) = parse(request) else {
        return;
    };
    let Some(signed) = naive::sign(&head, body, key, place, DATE) else {
        return;
    };
    let Some((head, body)) = parse(&signed) else {
        return;
    };
    if let Err(why) = identify(&KEYS, &head, body, NOW) {
        panic!("{why}: {}", String::from_utf8_lossy(&signed));
    }
    let at = words.next().and_then(|word| word.parse::<usize>().ok());
    let bits = words.next().and_then(|word| word.parse::<u8>().ok());
    if let (Some(at), Some(bits)) = (at, bits) {
        let mut changed = signed.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= bits;
        }
        judge(&changed);
    }
}

/// Sees that who is let in has signed.
fn judge(request: &[u8]) {
    let Some((head, body)) = parse(request) else {
        return;
    };
    let told = identify(&KEYS, &head, body, NOW);
    match told {
        Ok(id) => {
            let key = KEYS.iter().find(|key| key.id == id);
            let key = key.expect("it is one of the keys");
            assert!(
                naive::is_signed(&head, body, key),
                "{id} has not signed {}",
                String::from_utf8_lossy(request)
            );
        }
        Err(why) => {
            let secret = KEYS.iter().any(|key| why.contains(key.secret));
            assert!(
                !secret && !why.contains("t0ken"),
                "it shows a secret: {why}"
            );
        }
    }
}

/// Reads a request as it stands on the wire, or none if it is none.
fn parse(request: &[u8]) -> Option<(Parts, &[u8])> {
    let mut rest = request;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    };
    let first = line()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    // A server is asked for a path, which hyper hands on as it is.
    let target = &first[space + 1..];
    if !target.starts_with(b"/") {
        return None;
    }
    let uri = Uri::try_from(target).ok()?;
    let mut made = Request::builder().method(method).uri(uri);
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        let colon = header.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&header[..colon]).ok()?;
        let value = HeaderValue::from_bytes(header[colon + 1..].trim_ascii()).ok()?;
        made = made.header(name, value);
    }
    let (head, ()) = made.body(()).ok()?.into_parts();
    Some((head, rest))
}
