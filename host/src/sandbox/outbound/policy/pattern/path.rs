//! What servers may make of a path.

use std::borrow::Cow;

/// How often a path is decoded to look for a way out of a prefix.
const DECODINGS: usize = 4;

/// Tells whether a server that decodes `path`, maybe several times, could find
/// a segment in it that leads elsewhere, or what servers decode each in their way.
pub(in crate::sandbox::outbound::policy) fn leaves(path: &str) -> bool {
    let mut path = Cow::Borrowed(path.as_bytes());
    for _ in 0..DECODINGS {
        let Ok(text) = std::str::from_utf8(&path) else {
            return true;
        };
        let is_odd = text.contains(char::is_control) || text.contains("%u") || text.contains("%U");
        if is_odd || segments(text).any(leads_elsewhere) {
            return true;
        }
        let decoded = decode(&path);
        if *decoded == *path {
            return false;
        }
        path = Cow::Owned(decoded);
    }
    true
}

/// Splits a path as servers of any system may, which take wide letters for the usual
/// ones too.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '\\', '\u{ff0f}', '\u{ff3c}'])
}

/// Tells whether a segment may be read as `.` or `..`: some servers take what follows a
/// semicolon for a parameter, and some leave dots and spaces at the end out.
fn leads_elsewhere(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let is_dot = |letter| matches!(letter, '.' | '\u{ff0e}' | '\u{2024}');
    name.starts_with(is_dot) && name.chars().all(|it| is_dot(it) || it == ' ')
}

/// Decodes what is encoded by `%` and two digits, once.
pub(in crate::sandbox::outbound::policy) fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                (Some(_) | None, _) => first,
            },
            (_, _) => first,
        };
        decoded.push(byte);
    }
    decoded
}
