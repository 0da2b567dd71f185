//! What of a guest's standard error may become the message of its trap.
//!
//! *Invariant*: nothing but a panic or an abort message. A trap's message is
//! kept and shown to callers, and whatever else a guest writes may hold secrets:
//! that stays in the log.

use super::logging::printable;

/// The longest message, in bytes; the rest of a longer one is dropped. Enough
/// for a panic message, too little for a novel.
const MAX_MESSAGE: usize = 2 * 1024;

/// Finds the panic or the abort message at the end of standard error, and gives
/// it as one line.
pub(super) fn last_words(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let mut words = panic_message(&lines).or_else(|| abort_message(&lines))?;
    words.truncate(words.floor_char_boundary(MAX_MESSAGE));
    Some(printable(&words).into_owned())
}

/// Gives `panicked at FILE:LINE:COLUMN: MESSAGE` of the last panic, without the
/// name of its thread.
fn panic_message(lines: &[&str]) -> Option<String> {
    // A panic within a panic is printed last, and it is what ended the guest.
    let (first, place) = lines
        .iter()
        .enumerate()
        .rev()
        .find_map(|(index, line)| Some((index, panic_place(line)?)))?;
    let message = lines[first + 1..]
        .iter()
        .copied()
        .take_while(|line| !is_note(line) && *line != "stack backtrace:");
    let words: Vec<&str> = std::iter::once(place).chain(message).collect();
    Some(format!("panicked at {}", words.join(" ")))
}

/// Gives the place, and what follows it, of the line that begins a panic
/// message. The line may begin with what the guest wrote before it.
fn panic_place(line: &str) -> Option<&str> {
    let (_, thread) = line.rsplit_once("thread '")?;
    thread.split_once(" panicked at ").map(|(_, place)| place)
}

/// Gives the last line, if a language's runtime writes it when it gives up.
fn abort_message(lines: &[&str]) -> Option<String> {
    let line = lines.iter().rev().find(|line| !is_note(line))?;
    let bytes = line
        .strip_prefix("memory allocation of ")?
        .strip_suffix(" bytes failed")?;
    bytes
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| (*line).to_owned())
}

/// Tells whether Rust's runtime added the line as a hint.
fn is_note(line: &str) -> bool {
    line.starts_with("note: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_without_its_thread() {
        for (stderr, expected) in [
            (
                "\nthread 'main' (1) panicked at src/lib.rs:7:5:\nout of luck\n\
                 note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
                "panicked at src/lib.rs:7:5: out of luck",
            ),
            (
                "thread '<unnamed>' panicked at src/lib.rs:7:5:\n\
                 assertion `left == right` failed\n  left: 1\n right: 2\n",
                "panicked at src/lib.rs:7:5: assertion `left == right` failed left: 1 right: 2",
            ),
            (
                "thread 'main' panicked at a.rs:1:1:\nfirst\n\
                 thread 'main' panicked at b.rs:2:2:\nsecond\n",
                "panicked at b.rs:2:2: second",
            ),
            (
                "memory allocation of 64 bytes failed\nnote: run with `RUST_BACKTRACE=1`\n",
                "memory allocation of 64 bytes failed",
            ),
        ] {
            assert_eq!(last_words(stderr).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_else_a_guest_wrote_is_not_repeated() {
        for stderr in [
            "password: hunter2\nthread 'main' panicked at a.rs:1:1:\nout of luck\n",
            "password: hunter2, thread 'main' panicked at a.rs:1:1:\nout of luck\n",
            "thread 'main' panicked at a.rs:1:1:\nout of luck\nnote: hint\npassword: hunter2\n",
            "hunter2\nmemory allocation of 64 bytes failed\n",
            "the user panicked at hunter2\n",
            "memory allocation of hunter2 bytes failed\n",
            "ValueError: hunter2\n",
            "",
        ] {
            let words = last_words(stderr).unwrap_or_default();
            assert!(!words.contains("hunter2"), "{stderr}: {words}");
        }
    }

    #[test]
    fn a_long_message_is_cut_and_steers_no_terminal() {
        let stderr = format!(
            "thread 'main' panicked at a.rs:1:1:\n\u{1b}{}",
            "é".repeat(5000)
        );
        let words = last_words(&stderr).expect("a panic");
        assert!(
            words.starts_with("panicked at a.rs:1:1: \u{fffd}é"),
            "{words}"
        );
        assert!(words.len() <= MAX_MESSAGE + 2);
    }
}
