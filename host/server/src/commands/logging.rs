//! The log: lines on standard error.

use std::io;

use anyhow::Context as _;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::output::{Console, harmless_json};
use super::text::printable;
use crate::config::LogFormat;

/// Which lines are written, and how.
pub(super) struct Logging<'a> {
    /// How loud the arguments want it.
    pub(super) verbose: u8,
    /// What the environment or a configuration says of it.
    pub(super) filter: Option<&'a str>,
    pub(super) format: LogFormat,
    /// Whether the command is about one operation, and shows which that is, so
    /// that lines for people need not say it.
    pub(super) one: bool,
}

/// Starts the log.
pub(super) fn start(logging: &Logging<'_>, console: &Console) -> anyhow::Result<()> {
    let Logging { verbose, one, .. } = *logging;
    let filter = match (logging.filter, verbose) {
        (Some(filter), _) => EnvFilter::try_new(filter).with_context(|| {
            format!("FORMWORK_LOG is `{filter}`: it must be a level such as `info`, or a list such as `warn,formwork::guest=debug`")
        })?,
        // A trap's message has what the guest printed last, and the engine says
        // what became of a report.
        (None, 0) => EnvFilter::new("warn,formwork::guest=error,formwork_cloudformation=error"),
        (None, 1) => EnvFilter::new("warn,formwork=info"),
        (None, 2) => EnvFilter::new("info,formwork=debug"),
        (None, _) => EnvFilter::new("debug,formwork=trace"),
    };
    let log = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(Above {
        console: console.clone(),
        format: logging.format,
    });
    let ours = filter_fn(can_be_shown);
    match logging.format {
        LogFormat::Text => {
            let lines = layer
                .fmt_fields(debug_fn(move |writer, field, value| match field.name() {
                    // It may be a guest's, and neither begins a line nor steers a terminal.
                    "message" => write!(writer, "{}", printable(&format!("{value:?}"))),
                    "request_token" | "type_name" | "action" | "component"
                        if one && verbose < 2 =>
                    {
                        Ok(())
                    }
                    name => write!(writer, " {name}={}", printable(&format!("{value:?}"))),
                }))
                .with_ansi(console.has_colours())
                .with_target(verbose > 1)
                .without_time()
                .compact();
            log.with(lines.with_filter(ours)).init();
        }
        LogFormat::Json => {
            let lines = layer
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false);
            log.with(lines.with_filter(ours)).init();
        }
    }
    Ok(())
}

/// Tells whether a line can be shown at all: what libraries say at TRACE has the
/// bytes of requests in it, and with them secrets; and what that of the sandbox says, a
/// guest brings about as often as it likes.
fn can_be_shown(line: &Metadata<'_>) -> bool {
    let target = line.target();
    let is_of_guests = target.starts_with("wasmtime_wasi");
    target.starts_with("formwork") || *line.level() != Level::TRACE && !is_of_guests
}

/// Writes log lines above the live view.
struct Above {
    console: Console,
    format: LogFormat,
}

impl<'a> MakeWriter<'a> for Above {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines(self)
    }
}

/// Takes one formatted line at a time, which is how the log writes.
struct Lines<'a>(&'a Above);

impl io::Write for Lines<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Lines(Above { console, format }) = self;
        match (format, std::str::from_utf8(line)) {
            (LogFormat::Json, Ok(json)) => console.raw(harmless_json(json).as_bytes()),
            (LogFormat::Json | LogFormat::Text, _) => console.raw(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
