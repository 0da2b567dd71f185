//! The chain of an operation as a timeline: what ran, what was waited for, how
//! long each took.
//!
//! A store keeps what was committed. So an invocation of which nobody saw the end is
//! shown from the moment at which it was due, and its wait to be begun is part of it.

use std::time::Duration;

use console::{Style, measure_text_width, truncate_str};
use formwork_host::model::{Callback, Timestamp};
use formwork_host::operation::{Event, EventKind, Operation, Status};

use super::super::text::{printable, span};

/// How wide the bars are, at least and at most.
const BAR: (usize, usize) = (10, 40);

/// How much room what is said has at least, beside a bar.
const WORDS: usize = 30;

/// How wide the bars are where nobody says how wide the terminal is.
const PIPE_BAR: usize = 24;

/// A wait to be begun that is shorter than this has no row of its own.
const NOTICED: Duration = Duration::from_millis(100);

/// What a row of the timeline is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The handler runs, or waits to be begun where nobody saw when it was.
    Run,
    /// Nothing is to be done yet.
    Wait,
    /// Something happened.
    Mark,
}

/// A row: a stretch from one moment to another, counted from the acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    from: Duration,
    until: Duration,
    kind: Kind,
    words: String,
    status: Option<Status>,
}

/// Draws the chain of an operation in `width` columns, or for a program without.
pub(super) fn draw(
    operation: &Operation,
    events: &[Event],
    now: Timestamp,
    width: Option<usize>,
) -> Vec<String> {
    let rows = rows(operation, events, now);
    let whole = rows.iter().map(|row| row.until).max().unwrap_or_default();
    let cells: Vec<[String; 2]> = rows
        .iter()
        .map(|row| {
            let took = match row.kind {
                Kind::Run | Kind::Wait => brief(row.until.saturating_sub(row.from)),
                Kind::Mark => String::new(),
            };
            [format!("+{}", brief(row.from)), took]
        })
        .collect();
    let column = |column: usize| {
        let widths = cells.iter().map(|cells| measure_text_width(&cells[column]));
        widths.max().unwrap_or(0)
    };
    let (at, took) = (column(0), column(1));
    // Two before, two between any two columns.
    let taken = 2 + at + 2 + took + 2;
    let bar = match width {
        None => PIPE_BAR,
        Some(width) => {
            let room = width.saturating_sub(taken + 2 + WORDS);
            if room < BAR.0 { 0 } else { room.min(BAR.1) }
        }
    };
    rows.iter()
        .zip(&cells)
        .map(|(row, [began, lasted])| {
            let mut line = format!("  {began:>at$}  {lasted:>took$}  ");
            if bar > 0 {
                line.push_str(&bar_of(row, whole, bar));
                line.push_str("  ");
            }
            let room = width.map_or(usize::MAX, |width| {
                width.saturating_sub(measure_text_width(&line))
            });
            line.push_str(
                &style(row)
                    .apply_to(truncate_str(&row.words, room, "…"))
                    .to_string(),
            );
            line.trim_end().to_owned()
        })
        .collect()
}

/// Says what became of an event, in a line of its own.
pub(super) fn line(event: &Event) -> String {
    let words = match event.kind {
        EventKind::Accepted => "accepted".to_owned(),
        EventKind::Recorded => "recorded from outside".to_owned(),
        EventKind::CancelAsked => "cancel asked".to_owned(),
        EventKind::Progressed | EventKind::Retried | EventKind::Ended => invocation(event),
    };
    let mut parts = vec![format!("{:<11}", event.status), words];
    parts.extend(said(event));
    parts.extend(next(event));
    parts.join("  ").trim_end().to_owned()
}

fn rows(operation: &Operation, events: &[Event], now: Timestamp) -> Vec<Row> {
    let start = operation.accepted_at;
    let since = |at: Timestamp| at.since(start);
    let mut rows = Vec::new();
    // When the last event was committed, and when there was to be more.
    let (mut last, mut due) = (start, start);
    // The invocation and the attempt that the last retry was about.
    let mut tried = None;
    let wait = |rows: &mut Vec<Row>, from: Timestamp, until: Timestamp, words: &str| {
        if until > from {
            rows.push(Row {
                from: since(from),
                until: since(until),
                kind: Kind::Wait,
                words: words.to_owned(),
                status: None,
            });
        }
    };
    let mut words_of_wait = "waits".to_owned();
    for event in events {
        let mut words = Vec::new();
        let runs = match event.kind {
            EventKind::Accepted => {
                words.push("accepted".to_owned());
                false
            }
            EventKind::Recorded => {
                words.push("recorded from outside".to_owned());
                false
            }
            EventKind::CancelAsked => {
                words.push("cancel asked, the invocation is waited for".to_owned());
                false
            }
            EventKind::Progressed | EventKind::Retried => true,
            // It may end between invocations: cancelled, or at its deadline. Each
            // invocation counts as an attempt once it has a worker.
            EventKind::Ended => {
                event.attempt > 0 && tried != Some((event.invocation, event.attempt))
            }
        };
        if runs {
            words.push(invocation(event));
        }
        words.push(match event.kind {
            EventKind::Accepted | EventKind::CancelAsked => String::new(),
            EventKind::Retried => "failed".to_owned(),
            EventKind::Progressed | EventKind::Recorded | EventKind::Ended => {
                event.status.to_string()
            }
        });
        words.extend(said(event));
        words.extend(reported(event));
        words.retain(|words| !words.is_empty());
        if event.kind == EventKind::CancelAsked {
            rows.push(Row {
                from: since(event.at),
                until: since(event.at),
                kind: Kind::Mark,
                words: words.join("  "),
                status: None,
            });
            continue;
        }
        wait(&mut rows, last, due.min(event.at), &words_of_wait);
        let mut from = event.at;
        if runs {
            let begins = due.max(last).min(event.at);
            from = event
                .began
                .map_or(begins, |began| began.max(begins).min(event.at));
            if from.since(begins) >= NOTICED {
                wait(&mut rows, begins, from, "waits to be begun");
            }
        }
        rows.push(Row {
            from: since(from),
            until: since(event.at),
            kind: if runs { Kind::Run } else { Kind::Mark },
            words: words.join("  "),
            status: Some(match event.kind {
                EventKind::Retried => Status::Failed,
                EventKind::Accepted
                | EventKind::Progressed
                | EventKind::Recorded
                | EventKind::CancelAsked
                | EventKind::Ended => event.status,
            }),
        });
        if event.kind == EventKind::Retried {
            tried = Some((event.invocation, event.attempt));
        }
        words_of_wait = waiting(event).to_owned();
        (last, due) = (event.at, event.due);
    }
    if !operation.status.is_terminal() {
        unfinished(operation, now, &mut rows, last, due, &words_of_wait);
    }
    rows
}

/// Adds what an operation does now.
fn unfinished(
    operation: &Operation,
    now: Timestamp,
    rows: &mut Vec<Row>,
    last: Timestamp,
    due: Timestamp,
    words_of_wait: &str,
) {
    let since = |at: Timestamp| at.since(operation.accepted_at);
    let running = operation.lease.is_some_and(|lease| lease.until > now);
    if due > last {
        let left = due.since(now);
        let words = if left.is_zero() {
            words_of_wait.to_owned()
        } else {
            format!("{words_of_wait}, {} more", span(left))
        };
        rows.push(Row {
            from: since(last),
            until: since(due.min(now.max(last))),
            kind: Kind::Wait,
            words,
            status: None,
        });
    }
    if now < due {
        return;
    }
    let words = match (operation.lease, running) {
        (Some(_), true) => format!("invocation {} is running", operation.invocation),
        (Some(_), false) => format!(
            "invocation {} was interrupted; it is made again when an engine runs",
            operation.invocation
        ),
        (None, _) => "is due, as soon as an engine runs and has a place".to_owned(),
    };
    rows.push(Row {
        from: since(due.max(last)),
        until: since(now.max(due).max(last)),
        kind: if running { Kind::Run } else { Kind::Wait },
        words,
        status: None,
    });
}

fn invocation(event: &Event) -> String {
    if event.attempt > 1 || event.kind == EventKind::Retried {
        format!("invocation {}, attempt {}", event.invocation, event.attempt)
    } else {
        format!("invocation {}", event.invocation)
    }
}

/// Gives what is said of an event: its code and its message.
fn said(event: &Event) -> Option<String> {
    let message = event.message.as_deref().map(printable);
    let message = message.filter(|message| !message.is_empty());
    match (event.kind, event.code, message) {
        (EventKind::Accepted | EventKind::CancelAsked, ..) => None,
        (_, Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (_, Some(code), None) => Some(code.to_string()),
        (_, None, message) => message,
    }
}

/// Says how soon CloudFormation has accepted the report of an event.
fn reported(event: &Event) -> Option<String> {
    let delivered = event.delivered?;
    Some(format!(
        "(reported after {})",
        brief(delivered.since(event.at))
    ))
}

/// Says what comes after an event.
fn next(event: &Event) -> Option<String> {
    let wait = span(event.due.since(event.at));
    match (event.kind, event.callback) {
        (EventKind::Retried, _) => Some(format!("(again in {wait})")),
        (_, Some(Callback::After(_))) => Some(format!("(next in {wait})")),
        (_, Some(Callback::None)) => Some("(waits to be recorded from outside)".to_owned()),
        (_, None) => None,
    }
}

/// Says what is waited for after an event.
const fn waiting(event: &Event) -> &'static str {
    match (event.kind, event.callback) {
        (EventKind::Retried, _) => "waits to try again",
        (_, Some(Callback::None)) => "waits to be recorded from outside",
        (_, Some(Callback::After(_)) | None) => "waits",
    }
}

/// Draws where a row lies in the whole. A stretch is at least one cell.
fn bar_of(row: &Row, whole: Duration, cells: usize) -> String {
    let at = |moment: Duration| {
        let part = if whole.is_zero() {
            0.0
        } else {
            moment.as_secs_f64() / whole.as_secs_f64()
        };
        // At most the number of cells, which is small.
        ((part * cells as f64).round() as usize).min(cells)
    };
    let from = at(row.from).min(cells - 1);
    let until = at(row.until).max(from + 1);
    let cell = match row.kind {
        Kind::Run => "█",
        Kind::Wait => "░",
        Kind::Mark => "│",
    };
    let drawn = if row.kind == Kind::Mark {
        1
    } else {
        until - from
    };
    let drawn = style(row).apply_to(cell.repeat(drawn)).to_string();
    let width = measure_text_width(&drawn);
    format!(
        "{}{drawn}{}",
        " ".repeat(from),
        " ".repeat(cells - from - width)
    )
}

fn style(row: &Row) -> Style {
    let style = Style::new().for_stdout();
    match (row.kind, row.status) {
        (Kind::Wait, _) => style.dim(),
        (_, Some(Status::Success)) => style.green(),
        (_, Some(Status::Failed | Status::CancelComplete)) => style.red(),
        (_, Some(Status::Pending | Status::InProgress | Status::CancelInProgress) | None) => style,
    }
}

/// Gives a span in few characters.
pub(super) fn brief(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if time < Duration::from_secs(60) {
        format!("{:.2} s", time.as_secs_f64())
    } else {
        span(time)
    }
}

#[cfg(test)]
mod tests;
