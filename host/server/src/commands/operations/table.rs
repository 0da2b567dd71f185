//! How operations are laid out for people.

use console::{measure_text_width, truncate_str};
use formwork_host::model::{Action, Timestamp};
use formwork_host::operation::{Event, EventKind, Operation};
use serde_json::Value;

use super::super::output::harmless_json;
use super::super::text::{printable, span, time};
use super::timeline;
use crate::operations::{Details, Report};

const HEADINGS: [&str; 6] = [
    "TOKEN",
    "STATUS",
    "ACTION",
    "TYPE",
    "IDENTIFIER",
    "ACCEPTED",
];

/// The columns that may be cut on a narrow terminal, and to how much at least.
const FLEXIBLE: [(usize, usize); 2] = [(3, 12), (4, 6)];

/// How many columns there are at least; the last ones are left out first.
const LEAST_COLUMNS: usize = 5;

/// Lays out a table in `width` columns, or as wide as it needs without.
///
/// Where it cannot be made narrow enough, each operation takes several lines.
pub(super) fn list(operations: &[Operation], width: Option<usize>) -> String {
    let rows: Vec<[String; 6]> = operations.iter().map(row).collect();
    layout(&rows, width.unwrap_or(usize::MAX))
}

fn layout(rows: &[[String; 6]], width: usize) -> String {
    (LEAST_COLUMNS..=HEADINGS.len())
        .rev()
        .find_map(|columns| fit(&widths(rows)[..columns], width))
        .map_or_else(|| stacked(rows, width), |widths| table(rows, &widths))
}

fn widths(rows: &[[String; 6]]) -> [usize; 6] {
    std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| measure_text_width(&row[column]));
        cells.max().unwrap_or(0).max(HEADINGS[column].len())
    })
}

/// Cuts columns until they fit into `width`, or gives none.
fn fit(widths: &[usize], width: usize) -> Option<Vec<usize>> {
    let mut widths = widths.to_vec();
    let mut surplus = (widths.iter().sum::<usize>() + 2 * (widths.len() - 1)).saturating_sub(width);
    for (column, least) in FLEXIBLE {
        let cut = surplus.min(widths[column].saturating_sub(least));
        widths[column] -= cut;
        surplus -= cut;
    }
    (surplus == 0).then_some(widths)
}

fn table(rows: &[[String; 6]], widths: &[usize]) -> String {
    let line = |cells: [&str; 6]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| {
            let cut = truncate_str(cell, *width, "…");
            format!(
                "{cut}{}",
                " ".repeat(width.saturating_sub(measure_text_width(&cut)))
            )
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(HEADINGS)];
    lines.extend(
        rows.iter()
            .map(|row| line(row.each_ref().map(String::as_str))),
    );
    lines.join("\n")
}

fn stacked(rows: &[[String; 6]], width: usize) -> String {
    let record = |[token, status, action, type_name, identifier, accepted]: &[String; 6]| {
        let lines = [
            token.clone(),
            format!("  {status}  {action}"),
            format!("  {type_name}"),
            format!("  {identifier}"),
            format!("  {accepted}"),
        ];
        let lines = lines.iter().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| truncate_str(line, width, "…").into_owned())
            .collect::<Vec<_>>()
            .join("\n")
    };
    rows.iter().map(record).collect::<Vec<_>>().join("\n")
}

fn row(operation: &Operation) -> [String; 6] {
    [
        operation.token.to_string(),
        operation.status.to_string(),
        Action::from(operation.mutation).to_string(),
        operation.type_name.to_string(),
        operation
            .identifier
            .as_ref()
            .map(|name| printable(&name.to_string()))
            .unwrap_or_default(),
        time(operation.accepted_at),
    ]
}

/// Lays out all that is known of an operation, its chain as a timeline, in `width`
/// columns, or as wide as it needs without.
pub(super) fn details(details: &Details, now: Timestamp, width: Option<usize>) -> String {
    let Details {
        operation,
        events,
        reports,
    } = details;
    let ended = operation.status.is_terminal();
    let facts = [
        ("Operation", Some(operation.token.to_string())),
        ("Type", Some(operation.type_name.to_string())),
        ("Action", Some(Action::from(operation.mutation).to_string())),
        ("Status", Some(operation.status.to_string())),
        ("Error", operation.code.map(|code| code.to_string())),
        ("Message", operation.message.as_deref().map(printable)),
        (
            "Identifier",
            operation
                .identifier
                .as_ref()
                .map(|name| printable(&name.to_string())),
        ),
        (
            "Region",
            operation.scope.region.as_ref().map(ToString::to_string),
        ),
        (
            "Account",
            operation.scope.account.as_ref().map(ToString::to_string),
        ),
        ("Component", Some(operation.component.to_string())),
        ("Accepted", Some(time(operation.accepted_at))),
        ("Deadline", (!ended).then(|| time(operation.deadline))),
        ("Due", (!ended).then(|| due(operation, now))),
        ("Ended", operation.ended_at.map(time)),
    ];
    let mut lines: Vec<String> = facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name:<10}  {value}")))
        .collect();
    if let Some(model) = &operation.model {
        let model = serde_json::to_string_pretty(&Value::Object(model.to_map()))
            .expect("a JSON object prints");
        lines.push("\nModel".to_owned());
        let model = harmless_json(&model);
        lines.extend(model.lines().map(|line| format!("  {line}")));
    }
    lines.push(format!("\nChain, {}", chain(operation, events, now)));
    lines.extend(timeline::draw(operation, events, now, width));
    if !reports.is_empty() {
        lines.push("\nReports not accepted yet".to_owned());
        lines.extend(reports.iter().map(|report| report_line(report, now)));
    }
    lines.join("\n")
}

fn due(operation: &Operation, now: Timestamp) -> String {
    match operation.lease {
        Some(lease) if lease.until > now => "an invocation is running".to_owned(),
        Some(_) => "an invocation was interrupted; it is made again when an engine runs".to_owned(),
        None => wait(operation.due, now),
    }
}

fn wait(due: Timestamp, now: Timestamp) -> String {
    if due > now {
        format!("{}, in {}", time(due), span(due.since(now)))
    } else {
        format!("{}, as soon as an engine runs", time(due))
    }
}

/// Says how long a chain is.
fn chain(operation: &Operation, events: &[Event], now: Timestamp) -> String {
    let until = operation.ended_at.unwrap_or(now);
    let took = timeline::brief(until.since(operation.accepted_at));
    let retries = events.iter().filter(|it| it.kind == EventKind::Retried);
    let count = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let invocations = events.iter().filter(|it| it.attempt > 0);
    let invocations = invocations.map(|it| it.invocation).max().unwrap_or(0);
    let invocations = usize::try_from(invocations).unwrap_or(usize::MAX);
    let parts = [
        Some(if operation.status.is_terminal() {
            took
        } else {
            format!("{took} so far")
        }),
        count(invocations, "invocation", "invocations"),
        count(retries.count(), "retry", "retries"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn report_line(report: &Report, now: Timestamp) -> String {
    let state = match &report.refused {
        Some(reason) => format!("no longer sent: {}", printable(reason)),
        None => format!(
            "{} attempts, next {}",
            report.attempts,
            wait(report.due, now)
        ),
    };
    format!(
        "  version {}  {:<11}  {state}",
        report.version, report.status
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[String; 6]> {
        let row = |status: &str, identifier: &str| {
            [
                "01a2036a-4c86-7565-8bae-b7f4ee73ea85",
                status,
                "CREATE",
                "Formwork::Examples::Archive",
                identifier,
                "2026-11-22T13:20:27.782Z",
            ]
            .map(str::to_owned)
        };
        vec![
            row("IN_PROGRESS", "ar-add0f5e7a115bbb0"),
            row("SUCCESS", "日本語の名前です"),
        ]
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let rows = rows();
        for width in 36..160 {
            let layout = layout(&rows, width);
            for line in layout.lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
            assert!(
                layout.contains("01a2036a-4c86-7565-8bae-b7f4ee73ea85"),
                "{width}"
            );
        }
    }

    #[test]
    fn columns_are_aligned_also_where_characters_are_wide() {
        let rows = rows();
        expect_test::expect![[r#"
            TOKEN                                 STATUS       ACTION  TYPE                         IDENTIFIER           ACCEPTED
            01a2036a-4c86-7565-8bae-b7f4ee73ea85  IN_PROGRESS  CREATE  Formwork::Examples::Archive  ar-add0f5e7a115bbb0  2026-11-22T13:20:27.782Z
            01a2036a-4c86-7565-8bae-b7f4ee73ea85  SUCCESS      CREATE  Formwork::Examples::Archive  日本語の名前です     2026-11-22T13:20:27.782Z"#]]
        .assert_eq(&layout(&rows, usize::MAX));
    }
}
