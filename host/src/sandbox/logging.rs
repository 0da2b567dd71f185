//! What a guest says: its log lines, its standard output and its standard error.
//!
//! *Invariant*: what one invocation can add to the log is bounded in bytes, in
//! lines and in the length of a line, and the lines that were dropped and those that
//! were cut are counted in a last line.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::bindings::formwork::handler::logging::{Host, Level};
use super::limit::Limit;
use super::{Limits, wasi::State};
use crate::model::{Action, RequestToken, TypeName, steers};

/// The longest line in the log, in bytes; the rest of a longer one is dropped.
const MAX_LINE: usize = 8 * 1024;

/// How much of the end of standard error is kept to look for a panic message:
/// far more than a message has, so that its first line is within.
const TAIL: usize = 16 * 1024;

/// How much a stream takes at a time.
const WRITE_PERMIT: usize = 64 * 1024;

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Log(Level),
    Stdout,
    Stderr,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    const fn level(self) -> Level {
        match self {
            Self::Log(level) => level,
            Self::Stdout => Level::Info,
            Self::Stderr => Level::Warn,
        }
    }
}

/// Which invocation the lines belong to; none while a component is loaded.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) token: RequestToken,
    pub(super) type_name: TypeName,
    pub(super) action: Action,
    pub(super) invocation: u32,
}

/// Collects what one guest says. Clones share the same collection.
#[derive(Clone)]
pub(super) struct GuestLog(Arc<Mutex<Collected>>);

struct Collected {
    subject: Option<Subject>,
    bytes_left: usize,
    lines_left: usize,
    dropped: usize,
    cut: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    tail: Vec<u8>,
}

impl GuestLog {
    pub(super) fn new(limits: &Limits, subject: Option<Subject>) -> Self {
        Self(Arc::new(Mutex::new(Collected {
            subject,
            bytes_left: limits.log_bytes,
            lines_left: limits.log_lines,
            dropped: 0,
            cut: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            tail: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is left of unfinished lines, and how much was dropped.
    /// Gives the end of standard error.
    pub(super) fn finish(&self) -> String {
        let mut collected = self.lock();
        for (source, line) in [
            (Source::Stdout, std::mem::take(&mut collected.stdout)),
            (Source::Stderr, std::mem::take(&mut collected.stderr)),
        ] {
            collected.line(source, &line);
        }
        if let Some(note) = collected.missing() {
            emit(collected.subject.as_ref(), Source::Log(Level::Warn), &note);
        }
        String::from_utf8_lossy(&collected.tail).trim().to_owned()
    }
}

impl Collected {
    /// Says what is missing from the log.
    fn missing(&self) -> Option<String> {
        let dropped = (self.dropped > 0).then(|| {
            format!(
                "{} lines dropped, over the limits of the log: raise `{}` or `{}` of the type",
                self.dropped,
                Limit::LOG.setting(),
                Limit::LOG_LINES.setting()
            )
        });
        let cut = (self.cut > 0).then(|| {
            format!(
                "lines cut after {MAX_LINE} bytes, the most that one may have: {}",
                self.cut
            )
        });
        match (dropped, cut) {
            (Some(dropped), Some(cut)) => Some(format!("{dropped}; {cut}")),
            (dropped, cut) => dropped.or(cut),
        }
    }

    fn line(&mut self, source: Source, line: &[u8]) {
        let whole = line.len();
        let line = &line[..whole.min(MAX_LINE)];
        if line.is_empty() {
            return;
        }
        if self.lines_left == 0 || line.len() > self.bytes_left {
            self.dropped += 1;
            return;
        }
        self.lines_left -= 1;
        self.bytes_left -= line.len();
        self.cut += usize::from(whole > MAX_LINE);
        emit(
            self.subject.as_ref(),
            source,
            &printable(&String::from_utf8_lossy(line)),
        );
    }

    fn write(&mut self, source: Source, bytes: &[u8]) {
        if source == Source::Stderr {
            self.keep_tail(bytes);
        }
        let mut pending = std::mem::take(match source {
            Source::Stderr => &mut self.stderr,
            Source::Stdout | Source::Log(_) => &mut self.stdout,
        });
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                Some(_) | None => (piece, false),
            };
            // One byte more than a line may have tells that it was cut.
            let room = (MAX_LINE + 1).saturating_sub(pending.len());
            pending.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                self.line(source, &pending);
                pending.clear();
            }
        }
        match source {
            Source::Stderr => self.stderr = pending,
            Source::Stdout | Source::Log(_) => self.stdout = pending,
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }
}

/// Takes the control characters out of `line`: a guest must not steer the
/// terminal of whoever reads the log.
pub(super) fn printable(line: &str) -> Cow<'_, str> {
    let hidden = |c: char| steers(c) && c != '\t' && c != '\n';
    if line.contains(hidden) {
        Cow::Owned(line.replace(hidden, "\u{fffd}"))
    } else {
        Cow::Borrowed(line)
    }
}

fn emit(subject: Option<&Subject>, source: Source, line: &str) {
    macro_rules! event {
        ($level:ident) => {
            match subject {
                Some(subject) => tracing::$level!(
                    target: "formwork::guest",
                    request_token = %subject.token,
                    type_name = %subject.type_name,
                    action = %subject.action,
                    invocation = subject.invocation,
                    source = source.name(),
                    "{line}"
                ),
                None => tracing::$level!(target: "formwork::guest", source = source.name(), "{line}"),
            }
        };
    }
    match source.level() {
        Level::Trace => event!(trace),
        Level::Debug => event!(debug),
        Level::Info => event!(info),
        Level::Warn => event!(warn),
        Level::Error => event!(error),
    }
}

impl Host for State {
    fn log(&mut self, level: Level, message: String) {
        let mut collected = self.log.lock();
        for line in message.lines() {
            collected.line(Source::Log(level), line.as_bytes());
        }
    }
}

/// One of the guest's output streams.
#[derive(Clone)]
pub(super) struct Captured {
    log: GuestLog,
    source: Source,
}

impl Captured {
    pub(super) fn stdout(log: &GuestLog) -> Self {
        Self {
            log: log.clone(),
            source: Source::Stdout,
        }
    }

    pub(super) fn stderr(log: &GuestLog) -> Self {
        Self {
            log: log.clone(),
            source: Source::Stderr,
        }
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only the interfaces of WASI 0.3 ask for this, which are not linked.
        Box::new(MemoryOutputPipe::new(0))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.lock().write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    fn collected(bytes: usize, lines: usize) -> GuestLog {
        let limits = Limits {
            log_bytes: bytes,
            log_lines: lines,
            ..Limits::default()
        };
        GuestLog::new(&limits, None)
    }

    #[test]
    fn what_a_guest_writes_is_bounded() {
        let log = collected(10, 3);
        for _ in 0..3 {
            log.lock().write(Source::Stdout, b"1234\n");
        }
        log.lock().write(Source::Stdout, b"a\nb\n");
        let collected = log.lock();
        assert_eq!(
            (
                collected.bytes_left,
                collected.lines_left,
                collected.dropped
            ),
            (1, 0, 2)
        );
    }

    /// Keeps the lines of guests that an operator would see.
    #[derive(Clone, Default)]
    struct Operator(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Operator {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "formwork::guest"
        }

        fn event(&self, event: &Event<'_>) {
            struct Message(String);

            impl Visit for Message {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    if field.name() == "message" {
                        self.0 = format!("{value:?}");
                    }
                }
            }

            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().expect("nobody panics").push(message.0);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_flood_is_as_many_lines_of_the_operators_log_as_its_limit_and_one_more() {
        const LINES: usize = 100;
        let flood = "a line\n".repeat(10_000);
        let long = "x".repeat(MAX_LINE + 1);
        for (said, begun, last) in [
            (
                vec![flood.as_str()],
                "a line",
                "29900 lines dropped, over the limits of the log: raise `limits.log` or \
                 `limits.log_lines` of the type",
            ),
            (
                vec![long.as_str(), "\n", "y"],
                "xxxx",
                "lines cut after 8192 bytes, the most that one may have: 3",
            ),
            (
                vec![long.as_str(), "\n", flood.as_str()],
                "xxxx",
                "29903 lines dropped, over the limits of the log: raise `limits.log` or \
                 `limits.log_lines` of the type; lines cut after 8192 bytes, the most that one may \
                 have: 1",
            ),
        ] {
            let operator = Operator::default();
            let log = collected(usize::MAX, LINES);
            tracing::subscriber::with_default(operator.clone(), || {
                for source in [Source::Stdout, Source::Stderr] {
                    for said in &said {
                        log.lock().write(source, said.as_bytes());
                    }
                }
                for line in said.concat().lines() {
                    log.lock().line(Source::Log(Level::Error), line.as_bytes());
                }
                log.finish();
            });
            let seen = operator.0.lock().expect("nobody panics");
            assert!(seen.len() <= LINES + 1, "{} lines", seen.len());
            assert!(seen[0].starts_with(begun) && seen[0].len() <= MAX_LINE);
            assert_eq!(seen.last().map(String::as_str), Some(last));
        }
    }

    #[test]
    fn an_endless_line_is_cut_and_the_tail_is_kept() {
        let log = collected(usize::MAX, usize::MAX);
        for _ in 0..100 {
            log.lock().write(Source::Stderr, &[b'x'; 1000]);
        }
        log.lock().write(Source::Stderr, b"the end\n");
        {
            let collected = log.lock();
            assert!(collected.stderr.capacity() <= 4 * MAX_LINE);
            assert!(collected.tail.len() <= TAIL);
        }
        assert!(log.finish().ends_with("xthe end"));
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(printable("a\u{1b}[31mb\tc"), "a\u{fffd}[31mb\tc");
    }
}
