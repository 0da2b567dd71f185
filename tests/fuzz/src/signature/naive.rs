//! Signature Version 4 as its specification reads, with nothing else in mind.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::collections::BTreeMap;
use std::fmt::Write as _;

use formwork::fuzzing::KnownKey;
use hmac::{Hmac, Mac as _};
use http::request::Parts;
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Where a signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Url,
}

/// Signs a request, and gives it as it stands on the wire; none if it has no
/// host, a part of a signature already, or what is no UTF-8.
pub(super) fn sign(
    head: &Parts,
    body: &[u8],
    key: &KnownKey<'_>,
    place: Place,
    date: &str,
) -> Option<Vec<u8>> {
    let query = head.uri.query();
    let reserved = |name: &str| name.to_ascii_lowercase().starts_with("x-amz-");
    let in_query = pairs(query.unwrap_or_default())
        .iter()
        .any(|(name, _)| reserved(&String::from_utf8_lossy(name)));
    let in_headers = head.headers.keys().any(|name| {
        matches!(
            name.as_str(),
            "x-amz-date" | "x-amz-security-token" | "x-amz-content-sha256" | "authorization"
        )
    });
    let hosts = head.headers.get_all("host").iter().count();
    let text = head.headers.values().all(|value| value.to_str().is_ok());
    let text = text
        && pairs(query.unwrap_or_default())
            .iter()
            .all(|(name, value)| {
                // A server may take this sign for what was no UTF-8.
                let is_text =
                    |part: &[u8]| str::from_utf8(part).is_ok_and(|it| !it.contains('\u{fffd}'));
                is_text(name) && is_text(value)
            });
    if in_query || in_headers || hosts != 1 || !text {
        return None;
    }
    let mut headers: Vec<(String, String)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    if place == Place::Header {
        headers.push(("x-amz-date".to_owned(), date.to_owned()));
        if let Some(token) = key.session_token {
            headers.push(("x-amz-security-token".to_owned(), token.to_owned()));
        }
    }
    let signed: BTreeMap<&str, ()> = headers
        .iter()
        .map(|(name, _)| (name.as_str(), ()))
        .collect();
    let signed: Vec<&str> = signed.into_keys().collect();
    let scope = format!("{}/eu-west-1/lambda/aws4_request", &date[..8]);
    let credential = format!("{}/{scope}", key.id);
    let mut target = head.uri.path().to_owned();
    let mut query = query.map(str::to_owned);
    if place == Place::Url {
        let parameters = format!(
            "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={date}&X-Amz-Expires=60&X-Amz-SignedHeaders={}",
            encoded(credential.as_bytes(), false),
            encoded(signed.join(";").as_bytes(), false),
        );
        query = Some(match query {
            Some(query) if !query.is_empty() => format!("{query}&{parameters}"),
            Some(_) | None => parameters,
        });
    }
    let canonical = canonical(
        head.method.as_str(),
        &target,
        query.as_deref().unwrap_or_default(),
        &headers,
        &signed,
        body,
    );
    let signature = signature(key.secret, date, &scope, &canonical);
    match place {
        Place::Header => headers.push((
            "authorization".to_owned(),
            format!(
                "{ALGORITHM} Credential={credential}, SignedHeaders={}, Signature={signature}",
                signed.join(";")
            ),
        )),
        Place::Url => {
            query = query.map(|query| format!("{query}&X-Amz-Signature={signature}"));
        }
    }
    if let Some(query) = query {
        write!(target, "?{query}").expect("a string takes all");
    }
    let mut wire = format!("{} {target}\n", head.method);
    for (name, value) in headers {
        writeln!(wire, "{name}: {value}").expect("a string takes all");
    }
    wire.push('\n');
    Some([wire.as_bytes(), body].concat())
}

/// Tells whether a request is signed by the key, to the letter.
pub(super) fn is_signed(head: &Parts, body: &[u8], key: &KnownKey<'_>) -> bool {
    verified(head, body, key).is_some()
}

fn verified(head: &Parts, body: &[u8], key: &KnownKey<'_>) -> Option<()> {
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        })
        .collect();
    let header = |name: &str| {
        let found = headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.clone())
    };
    let query = head.uri.query().unwrap_or_default();
    let (parts, date, query) = match header("authorization") {
        Some(authorization) => {
            let parts = authorization
                .trim()
                .strip_prefix(ALGORITHM)?
                .strip_prefix(' ')?;
            let part = |name: &str| {
                let mut parts = parts.split(',').map(str::trim);
                let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
                found.map(str::to_owned)
            };
            let names = ["Credential", "SignedHeaders", "Signature"];
            (names.map(part), header("x-amz-date")?, query.to_owned())
        }
        None => {
            let all = pairs(query);
            let part = |name: &str| {
                let found = all.iter().find(|(it, _)| it == name.as_bytes());
                found.and_then(|(_, value)| String::from_utf8(value.clone()).ok())
            };
            let names = ["X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature"];
            let unsigned = query.split('&').filter(|pair| {
                pairs(pair)
                    .first()
                    .is_none_or(|(name, _)| name != b"X-Amz-Signature")
            });
            let unsigned = unsigned.collect::<Vec<_>>().join("&");
            (names.map(part), part("X-Amz-Date")?, unsigned)
        }
    };
    let [Some(credential), Some(signed), Some(given)] = parts else {
        return None;
    };
    let scope = credential.strip_prefix(key.id)?.strip_prefix('/')?;
    if scope.get(..8) != date.get(..8) {
        return None;
    }
    let signed: Vec<&str> = signed.split(';').collect();
    let sorted = signed.windows(2).all(|two| two[0] < two[1]);
    let there = signed.iter().all(|name| header(name).is_some());
    let all = headers.iter().all(|(name, _)| {
        !(name == "host" || name.starts_with("x-amz-")) || signed.contains(&name.as_str())
    });
    if !(sorted && there && all && signed.contains(&"host")) {
        return None;
    }
    let canonical = canonical(
        head.method.as_str(),
        head.uri.path(),
        &query,
        &headers,
        &signed,
        body,
    );
    (signature(key.secret, &date, scope, &canonical) == given).then_some(())
}

fn canonical(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(String, String)],
    signed: &[&str],
    body: &[u8],
) -> String {
    let mut parameters: Vec<(String, String)> = pairs(query)
        .iter()
        .map(|(name, value)| (encoded(name, false), encoded(value, false)))
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut lines = String::new();
    for name in signed {
        let values: Vec<String> = headers
            .iter()
            .filter(|(it, _)| it == name)
            .map(|(_, value)| {
                value
                    .split(' ')
                    .filter(|word| !word.is_empty())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        writeln!(lines, "{name}:{}", values.join(",")).expect("a string takes all");
    }
    format!(
        "{method}\n{}\n{}\n{lines}\n{}\n{}",
        encoded(normal(path).as_bytes(), true),
        parameters.join("&"),
        signed.join(";"),
        hex(&Sha256::digest(body)),
    )
}

/// Takes `.`, `..` and empty segments out of a path (RFC 3986, section 6).
fn normal(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let slash = if !kept.is_empty() && matches!(last, "" | "." | "..") {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", kept.join("/"))
}

/// Splits a query into names and values, decoded.
fn pairs(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                plain.push(code);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (other, _) => plain.push(*other),
        }
        at += 1;
    }
    plain
}

/// Percent-encodes all but the unreserved letters, and the slashes of a path.
fn encoded(bytes: &[u8], path: bool) -> String {
    let mut text = String::new();
    for byte in bytes {
        let plain =
            byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) || (path && *byte == b'/');
        if plain {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes all");
        }
    }
    text
}

fn signature(secret: &str, date: &str, scope: &str, canonical: &str) -> String {
    let text = format!(
        "{ALGORITHM}\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let first = format!("AWS4{secret}").into_bytes();
    let key = scope.split('/').fold(first, |key, word| keyed(&key, word));
    hex(&keyed(&key, &text))
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
