//! The live view of operations: a spinner for each on a terminal, a line for
//! each committed event on a pipe, nothing where events are written as JSON.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console::style;
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{Action, Callback, RequestToken, Timestamp};
use formwork_host::operation::{Event, EventKind, Operation, Status};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output::Console;
use super::text::{printable, span};

/// How often a spinner turns, and at most how late its countdown is.
const TICK: Duration = Duration::from_millis(100);

/// Shows how operations go.
pub(super) struct View {
    console: Console,
    clock: Arc<SystemClock>,
    kind: Kind,
    /// What each operation is called; marked by its token if there are several.
    titles: HashMap<RequestToken, String>,
    several: bool,
}

enum Kind {
    Silent,
    Lines,
    Live(HashMap<RequestToken, Spinner>),
}

struct Spinner {
    bar: ProgressBar,
    /// When something is next to happen; none while the handler is running.
    due: Arc<Mutex<Option<Timestamp>>>,
}

impl View {
    /// Chooses the view: none if `silent`, else by who looks on.
    pub(super) fn new(console: &Console, silent: bool, operations: &[Operation]) -> Self {
        let titles = operations.iter().map(|operation| {
            let title = format!(
                "{} {}",
                Action::from(operation.mutation),
                operation.type_name
            );
            (operation.token, title)
        });
        Self {
            console: console.clone(),
            clock: Arc::new(SystemClock::new()),
            kind: match (silent, console.is_terminal()) {
                (true, _) => Kind::Silent,
                (false, true) => Kind::Live(HashMap::new()),
                (false, false) => Kind::Lines,
            },
            titles: titles.collect(),
            several: operations.len() > 1,
        }
    }

    /// Shows a committed event.
    pub(super) fn show(&mut self, event: &Event) {
        let title = self.titles.get(&event.token).map_or("", String::as_str);
        let mark = if self.several {
            mark(event.token)
        } else {
            String::new()
        };
        let words = words(event, title);
        let next = next(event)
            .map(|next| format!("  ({next})"))
            .unwrap_or_default();
        match &mut self.kind {
            Kind::Silent => {}
            Kind::Lines => self
                .console
                .say(format_args!("{mark}{:<11}  {words}{next}", event.status)),
            Kind::Live(spinners) => {
                let spinner = spinners
                    .entry(event.token)
                    .or_insert_with(|| Spinner::new(&self.console, &self.clock));
                spinner.show(event, format!("{mark}{}  {words}", event.status));
                // What passes by and what stays is told apart by whether
                // somebody will want to read it afterwards.
                let stays = match event.kind {
                    EventKind::Ended => {
                        spinner.bar.finish_and_clear();
                        true
                    }
                    EventKind::Accepted | EventKind::Retried | EventKind::CancelAsked => true,
                    EventKind::Progressed | EventKind::Recorded => false,
                };
                if stays {
                    let status = format!("{:<11}", event.status);
                    let status = match event.status {
                        Status::Success => style(status).green(),
                        Status::Failed | Status::CancelComplete => style(status).red(),
                        Status::Pending | Status::InProgress | Status::CancelInProgress => {
                            style(status)
                        }
                    };
                    self.console
                        .say(format_args!("{mark}{}  {words}{next}", status.for_stderr()));
                }
            }
        }
    }

    /// Takes the spinners away: the rest happens unseen.
    pub(super) fn end(&mut self) {
        if let Kind::Live(spinners) = &self.kind {
            for spinner in spinners.values() {
                spinner.bar.finish_and_clear();
            }
        }
        self.kind = Kind::Silent;
    }
}

impl Spinner {
    fn new(console: &Console, clock: &Arc<SystemClock>) -> Self {
        let due = Arc::new(Mutex::new(None));
        let bar = console.bars().add(ProgressBar::new_spinner());
        let (shown, clock) = (Arc::clone(&due), Arc::clone(clock));
        let countdown = move |_: &ProgressState, out: &mut dyn Write| {
            let due: Option<Timestamp> = *shown.lock().unwrap_or_else(PoisonError::into_inner);
            let left = due
                .map(|due| due.since(clock.now()))
                .filter(|left| !left.is_zero());
            let text = left.map_or_else(
                || "running".to_owned(),
                |left| format!("next in {}", span(left)),
            );
            // The bar writes to a string, which takes everything.
            let _ = out.write_str(&text);
        };
        let style = ProgressStyle::with_template("{spinner} {wide_msg}  {countdown}")
            .expect("the template is valid")
            .with_key("countdown", countdown);
        bar.set_style(style);
        Self { bar, due }
    }

    fn show(&self, event: &Event, message: String) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.due);
        self.bar.set_message(message);
        // It draws from here on, when there is something to show.
        self.bar.enable_steady_tick(TICK);
    }
}

/// Marks the lines of one operation among several: a version 7 UUID is random
/// at its end.
fn mark(token: RequestToken) -> String {
    let token = token.to_string();
    format!("[{}] ", &token[token.len() - 6..])
}

/// Says what happened.
fn words(event: &Event, title: &str) -> String {
    let message = event.message.as_deref().map(printable).unwrap_or_default();
    let invocation = event.invocation;
    match event.kind {
        EventKind::Accepted => format!("{title}, operation {}", event.token),
        EventKind::Progressed if message.is_empty() => format!("invocation {invocation}"),
        EventKind::Progressed => format!("invocation {invocation}  {message}"),
        EventKind::Recorded => format!("recorded from outside  {message}"),
        EventKind::Retried => format!(
            "invocation {invocation}, attempt {} failed: {message}",
            event.attempt
        ),
        EventKind::CancelAsked => format!("invocation {invocation} is running and is waited for"),
        EventKind::Ended => {
            let reason = match (event.code, message.is_empty()) {
                (Some(code), _) => format!("  {code}: {message}"),
                (None, false) => format!("  {message}"),
                (None, true) => String::new(),
            };
            format!("invocation {invocation}{reason}")
        }
    }
}

/// Says what comes next, if that is known.
fn next(event: &Event) -> Option<String> {
    let wait = span(event.due.since(event.at));
    match (event.kind, event.callback) {
        (EventKind::Progressed, Some(Callback::After(_))) => Some(format!("next in {wait}")),
        (EventKind::Progressed | EventKind::Recorded, Some(Callback::None)) => {
            Some(format!("waits to be recorded from outside, at most {wait}"))
        }
        (EventKind::Retried, _) => Some(format!("again in {wait}")),
        (
            EventKind::Accepted
            | EventKind::Progressed
            | EventKind::Recorded
            | EventKind::CancelAsked
            | EventKind::Ended,
            _,
        ) => None,
    }
}
