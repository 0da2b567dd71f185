//! Standard output and standard error.

use std::fmt::Display;
use std::io::{self, Write as _};

use console::Term;
use formwork_host::model::steers;
use indicatif::MultiProgress;
use serde::Serialize;

/// Standard output: results.
///
/// The first failure to write is kept and ends the writing, so that a reader
/// that has gone away stops nothing else.
pub(super) struct Output {
    out: io::Stdout,
    failed: Option<io::Error>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            out: io::stdout(),
            failed: None,
        }
    }

    /// Writes a text and ends the line.
    pub(super) fn line(&mut self, text: impl Display) {
        if self.failed.is_none() {
            let mut out = self.out.lock();
            self.failed = writeln!(out, "{text}").and_then(|()| out.flush()).err();
        }
    }

    /// Writes one line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) {
        let json = serde_json::to_string(value);
        self.line(harmless_json(&json.expect(PRINTS)));
    }

    /// Writes JSON for people.
    pub(super) fn pretty(&mut self, value: &impl Serialize) {
        let json = serde_json::to_string_pretty(value);
        self.line(harmless_json(&json.expect(PRINTS)));
    }

    /// Tells whether nothing can be written any more.
    pub(super) const fn is_closed(&self) -> bool {
        self.failed.is_some()
    }

    /// Tells whether everything was written. A reader that did not want
    /// everything is no failure.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    /// Gives the width of the terminal, or none if a program reads.
    pub(super) fn width() -> Option<usize> {
        let terminal = Term::stdout();
        terminal.is_term().then(|| usize::from(terminal.size().1))
    }
}

/// Standard error: words, and the live view below them.
#[derive(Clone)]
pub(super) struct Console {
    terminal: Term,
    bars: MultiProgress,
}

impl Console {
    pub(super) fn new() -> Self {
        Self {
            terminal: Term::stderr(),
            bars: MultiProgress::new(),
        }
    }

    /// Tells whether a person looks on.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_term()
    }

    /// Tells whether colours are wanted.
    pub(super) fn has_colours(&self) -> bool {
        self.is_terminal() && console::colors_enabled_stderr()
    }

    /// Gives where live views are drawn.
    pub(super) const fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Says something, in a line of its own; it may be coloured.
    pub(super) fn say(&self, words: impl Display) {
        self.raw(format!("{words}\n").as_bytes());
    }

    /// Warns of something.
    pub(super) fn warn(&self, words: impl Display) {
        self.say(format_args!("warning: {}", harmless(words)));
    }

    /// Says why a command was not carried out, with its causes.
    pub(super) fn error(&self, error: &anyhow::Error) {
        self.say(format_args!("error: {}", Causes(error)));
    }

    /// Writes bytes above the live view. Where there is no standard error,
    /// nobody can be told.
    pub(super) fn raw(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            let _ = io::stderr().lock().write_all(bytes);
        });
    }
}

/// Shows an error and, each in a line of its own, its causes. What they tell may come
/// from a guest, and steers no terminal.
pub(super) struct Causes<'a>(pub(super) &'a anyhow::Error);

impl Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = harmless(self.0);
        f.write_str(&said)?;
        for cause in self.0.chain().skip(1) {
            let cause = harmless(cause);
            // Some causes show those below them as well.
            if !said.ends_with(&cause) {
                write!(f, "\n  caused by: {cause}")?;
                said = cause;
            }
        }
        Ok(())
    }
}

const PRINTS: &str = "what is shown has string keys and prints";

/// Escapes what JSON may hold as it is and a terminal would be steered by. It stands in
/// strings alone.
pub(super) fn harmless_json(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        if steers(character) && character != '\n' {
            harmless.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            harmless.push(character);
        }
    }
    harmless
}

/// Gives a text of one line or several without other control characters.
fn harmless(text: impl Display) -> String {
    let steers = |c| steers(c) && c != '\n' && c != '\t';
    text.to_string().replace(steers, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn json_means_the_same_and_steers_no_terminal() {
        let value = json!({ "a\u{9b}2J": ["\u{7f}", "\u{1b}[2J", "\u{202e}ü\n"] });
        for text in [
            value.to_string(),
            serde_json::to_string_pretty(&value).expect("it prints"),
        ] {
            let harmless = harmless_json(&text);
            assert!(
                !harmless.contains(|c| steers(c) && c != '\n'),
                "{harmless:?}"
            );
            assert_eq!(
                serde_json::from_str::<Value>(&harmless).expect("JSON"),
                value
            );
        }
    }

    #[test]
    fn no_cause_steers_the_terminal() {
        let error = Err::<(), _>(anyhow!("line 1:\n\tno \u{9b}31m"))
            .context("cannot read `\u{1b}]0;x\u{7}\r`")
            .expect_err("an error");
        assert_eq!(
            Causes(&error).to_string(),
            "cannot read `\u{fffd}]0;x\u{fffd}\u{fffd}`\n  caused by: line 1:\n\tno \u{fffd}31m"
        );
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("cannot open `x`: no such file")
            .context("cannot read the model")
            .expect_err("an error");
        assert_eq!(
            Causes(&error).to_string(),
            "cannot read the model\n  caused by: cannot open `x`: no such file"
        );
    }
}
