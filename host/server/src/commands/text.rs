//! How things read for people: times, spans, and what a guest says.

use std::fmt::Display;
use std::time::Duration;

use formwork_host::model::steers;

pub(super) use crate::operations::shapes::time;

/// Gives a span with its two largest units, whole seconds rounded up: `2 min 5 s`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut left = seconds;
    let mut shown = Vec::new();
    for (unit, size) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            shown.push(format!("{count} {unit}"));
        }
    }
    shown.truncate(2);
    if shown.is_empty() {
        "0 s".to_owned()
    } else {
        shown.join(" ")
    }
}

/// Gives a text in one line and without control characters: what a guest says
/// must not steer the terminal.
pub(super) fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(steers, "\u{fffd}")
}

/// Gives a word of a shell command line, quoted where it must be.
pub(super) fn quoted(word: impl Display) -> String {
    let word = word.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.2, "1 s"),
            (59.5, "1 min"),
            (125.0, "2 min 5 s"),
            (7_200.0, "2 h"),
            (93_784.0, "1 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn a_guest_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\n  b\t\u{1b}[2Jc\u{9b}"),
            "a b \u{fffd}[2Jc\u{fffd}"
        );
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for (word, shown) in [
            ("dir=./a:ro", "dir=./a:ro"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("a|b", "'a|b'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
