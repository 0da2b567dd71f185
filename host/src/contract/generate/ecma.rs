//! ECMA regular expressions in the syntax of `regex-syntax`.

use std::iter::Peekable;
use std::str::Chars;

/// What becomes of a positive look-ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookAhead {
    /// It is left out, as every other look-around is.
    Dropped,
    /// What it looks for stands in its place.
    Spelt,
}

/// Rewrites an ECMA pattern so that `regex-syntax` reads it: without
/// look-arounds and back references, which it does not know, and with escapes
/// for what it alone takes for syntax.
pub(super) fn relaxed(pattern: &str, look_ahead: LookAhead) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match escape(&mut chars) {
                Some(Escape::Literal(c)) => push_literal(&mut out, c),
                Some(Escape::Kept(text)) => out.push_str(&text),
                None => out.push_str("(?:)"),
            },
            '[' => class(&mut chars, &mut out),
            '(' if look_ahead == LookAhead::Spelt && is_look_ahead(chars.clone()) => {
                chars.nth(1);
                out.push_str("(?:");
            }
            '(' if is_look_around(chars.clone()) => {
                skip_group(&mut chars);
                out.push_str("(?:)");
            }
            '{' if !is_count(chars.clone()) => out.push_str(r"\{"),
            c => out.push(c),
        }
    }
    out
}

enum Escape {
    /// Stands for one character.
    Literal(char),
    /// Is the same in both syntaxes.
    Kept(String),
}

/// Reads what follows a backslash; none for a back reference.
fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<Escape> {
    Some(match chars.next() {
        None => Escape::Literal('\\'),
        Some('1'..='9') => {
            while chars.next_if(char::is_ascii_digit).is_some() {}
            return None;
        }
        Some('0') => Escape::Literal('\0'),
        Some('u') if chars.peek() != Some(&'{') => {
            let digits: String = chars.by_ref().take(4).collect();
            // Half of a surrogate pair is no character; the replacement
            // character stands for it, as it would in a decoded text.
            let code = u32::from_str_radix(&digits, 16).unwrap_or(u32::from('u'));
            Escape::Literal(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        Some('c') => {
            let letter = chars.next().unwrap_or('@');
            Escape::Literal(char::from(u8::try_from(letter).unwrap_or(b'@') % 32))
        }
        Some('Z') => Escape::Kept(r"\z".to_owned()),
        Some(c @ ('p' | 'P' | 'x' | 'u')) => {
            let mut text = format!("\\{c}");
            if let Some(brace) = chars.next_if_eq(&'{') {
                text.push(brace);
                for c in chars.by_ref() {
                    text.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            Escape::Kept(text)
        }
        Some(c @ ('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' | 'z')) => {
            Escape::Kept(format!("\\{c}"))
        }
        Some('t') => Escape::Literal('\t'),
        Some('n') => Escape::Literal('\n'),
        Some('r') => Escape::Literal('\r'),
        Some('f') => Escape::Literal('\x0c'),
        Some('v') => Escape::Literal('\x0b'),
        Some(c) => Escape::Literal(c),
    })
}

fn push_literal(out: &mut String, c: char) {
    out.push_str(&regex_syntax::escape(c.encode_utf8(&mut [0; 4])));
}

/// Rewrites a character class; its `[` has been read.
fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let negated = chars.next_if_eq(&'^').is_some();
    if chars.next_if_eq(&']').is_some() {
        // Anything, or nothing at all, which no text matches.
        out.push_str(if negated { r"[\s\S]" } else { r"[^\s\S]" });
        return;
    }
    out.push_str(if negated { "[^" } else { "[" });
    while let Some(first) = class_atom(chars) {
        let mut rest = chars.clone();
        let is_range = rest.next() == Some('-') && !matches!(rest.peek(), Some(']') | None);
        if !is_range {
            push_atom(out, first);
            continue;
        }
        chars.next();
        let Some(last) = class_atom(chars) else { break };
        match (first, last) {
            (Escape::Literal(first), Escape::Literal(last)) => {
                push_literal(out, first);
                if first <= last {
                    out.push('-');
                }
                push_literal(out, last);
            }
            // A set is no end of a range: the hyphen is itself.
            (first, last) => {
                push_atom(out, first);
                out.push_str(r"\-");
                push_atom(out, last);
            }
        }
    }
    out.push(']');
}

/// Reads one member of a class, or none at its end.
fn class_atom(chars: &mut Peekable<Chars<'_>>) -> Option<Escape> {
    match chars.next()? {
        ']' => None,
        '\\' if chars.next_if_eq(&'b').is_some() => Some(Escape::Literal('\x08')),
        '\\' => Some(escape(chars).unwrap_or(Escape::Literal('\0'))),
        c => Some(Escape::Literal(c)),
    }
}

fn push_atom(out: &mut String, atom: Escape) {
    match atom {
        Escape::Literal(c) => push_literal(out, c),
        Escape::Kept(text) => out.push_str(&text),
    }
}

fn is_look_ahead(mut rest: Peekable<Chars<'_>>) -> bool {
    rest.next() == Some('?') && rest.next() == Some('=')
}

fn is_look_around(mut rest: Peekable<Chars<'_>>) -> bool {
    rest.next() == Some('?')
        && match rest.next() {
            Some('=' | '!') => true,
            Some('<') => matches!(rest.next(), Some('=' | '!')),
            Some(_) | None => false,
        }
}

/// Tells whether a brace begins a count such as `{1,3}`; else it is itself.
fn is_count(rest: Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.take_while(|c| *c != '}').collect();
    let mut ends = inside.splitn(2, ',');
    let whole = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    ends.next()
        .is_some_and(|first| !first.is_empty() && whole(first))
        && ends.next().is_none_or(whole)
}

/// Reads to the end of a group whose parenthesis has been read.
fn skip_group(chars: &mut Peekable<Chars<'_>>) {
    let mut depth = 1;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => class(chars, &mut String::new()),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}
