//! Which outgoing requests a pattern stands for, beside a naive reading of both.
//!
//! The lines of an input: the pattern, the method, the URI.

use formwork_host::sandbox::HttpPattern;
use formwork_host::sandbox::fuzzing::{Verdict, decide, matched};
use http::{Method, Uri};

use crate::lines;

/// A URI or a pattern in its usual spelling, cut at its signs.
struct Cut<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
}

/// Matches a request. What is sent is what the pattern stands for by its letters;
/// a path below a prefix does not lead out of it. What is told of a refusal allows
/// the request.
pub(crate) fn matches(data: &[u8]) {
    let Some([pattern, method, uri]) = lines(data) else {
        return;
    };
    let (Ok(pattern), Ok(method), Ok(uri)) = (
        pattern.parse::<HttpPattern>(),
        Method::from_bytes(method.as_bytes()),
        uri.parse::<Uri>(),
    ) else {
        return;
    };
    let usual = pattern.to_string();
    assert_eq!(
        usual.parse(),
        Ok(pattern.clone()),
        "its usual spelling is the same pattern"
    );
    let Some((matches, sent)) = matched(&pattern, &method, &uri) else {
        return;
    };
    let sent = sent.to_string();
    let (wanted_method, wanted) = match usual.split_once(' ') {
        Some((method, rest)) => (Some(method), rest),
        None => (None, usual.as_str()),
    };
    let (wanted, given) = (cut(wanted), cut(&sent));
    let expected = wanted_method.is_none_or(|wanted| wanted == method.as_str())
        && wanted.scheme == given.scheme
        && (wanted.port == "*" || wanted.port == given.port)
        && host(wanted.host, given.host)
        && path(wanted.path, given.path);
    assert_eq!(matches, expected, "{usual} and {method} {sent}");
    remedied(&pattern, &method, &uri);
}

/// Holds the refusal of a request, where only the pattern is granted and wished for, to
/// what it says would allow it.
fn remedied(pattern: &HttpPattern, method: &Method, uri: &Uri) {
    let mut lists = [vec![pattern.clone()], vec![pattern.clone()]];
    if let Verdict::Lacks(grant, wish) = decide(&lists[0], &lists[1], method, uri) {
        for (list, lacking) in lists.iter_mut().zip([grant, wish]) {
            let written = lacking.map(|lacking| lacking.to_string());
            list.extend(written.map(|text| text.parse::<HttpPattern>().expect("a pattern")));
        }
        let verdict = decide(&lists[0], &lists[1], method, uri);
        assert!(
            matches!(verdict, Verdict::Sent(_)),
            "{method} {uri} under {lists:?}: {verdict:?}"
        );
    }
}

fn cut(text: &str) -> Cut<'_> {
    let (scheme, rest) = text.split_once("://").expect("a scheme");
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    assert!(!authority.contains('@'), "nobody is named: {text}");
    let usual = if scheme == "https" { "443" } else { "80" };
    let bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[bracket..].rfind(':') {
        Some(colon) => (
            &authority[..bracket + colon],
            &authority[bracket + colon + 1..],
        ),
        None => (authority, usual),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Cut {
        scheme,
        host,
        port,
        path,
    }
}

fn host(wanted: &str, given: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => given.len() > suffix.len() && given.ends_with(suffix),
        None => wanted == given,
    }
}

fn path(wanted: &str, given: &str) -> bool {
    let given = if given.is_empty() { "/" } else { given };
    if matches!(wanted, "" | "/") {
        return true;
    }
    let below = given == wanted
        || given
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with('/') || wanted.ends_with('/'));
    below && !leads_out(given)
}

/// Tells whether a path has a segment that leads elsewhere once it is decoded, is
/// still encoded after three times, or is read by servers each in their way.
fn leads_out(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..4 {
        let text = String::from_utf8_lossy(&path);
        let narrow = text
            .replace(['／', '＼', '\\'], "/")
            .replace(['．', '․'], ".");
        let elsewhere = narrow.split('/').any(|segment| {
            let name = segment.split(';').next().unwrap_or_default();
            name.starts_with('.') && name.trim_end_matches(['.', ' ']).is_empty()
        });
        let plain = str::from_utf8(&path).is_ok_and(|text| {
            !text.chars().any(char::is_control) && !text.to_ascii_lowercase().contains("%u")
        });
        if elsewhere || !plain {
            return true;
        }
        let decoded = decoded(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let code = path
            .get(at + 1..at + 3)
            .filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok());
        match (path[at], code) {
            (b'%', Some(code)) => {
                plain.push(code);
                at += 3;
            }
            (other, _) => {
                plain.push(other);
                at += 1;
            }
        }
    }
    plain
}
