//! What was found, for people.

use std::time::Duration;

use console::style;
use formwork_host::contract::{Finding, LeftBehind, Outcome, Record, Report, Verdict};
use formwork_host::engine::Exchanged;
use formwork_host::model::{Call, Callback, JsonObject, ProgressEvent};

use super::super::text::{printable, span};

/// How much of a model is shown; `--json` shows all.
const SHOWN: usize = 600;

/// Gives the line of a test.
pub(super) fn verdict(verdict: &Verdict, sets: bool) -> String {
    let word = match &verdict.outcome {
        Outcome::Passed => style("passed ").green(),
        Outcome::Failed { .. } => style("FAILED ").red().bold(),
        Outcome::Skipped { .. } => style("skipped").dim(),
    };
    let set = if sets {
        format!("{}: ", verdict.set)
    } else {
        String::new()
    };
    let name = verdict.test;
    match &verdict.outcome {
        Outcome::Passed | Outcome::Failed { .. } => {
            format!("{word}  {set}{name:<42} {}", times(verdict))
        }
        Outcome::Skipped { reason } => {
            format!("{word}  {set}{name:<42} {}", style(printable(reason)).dim())
        }
    }
}

fn times(verdict: &Verdict) -> String {
    let mut text = millis(verdict.elapsed);
    if !verdict.simulated.is_zero() {
        text.push_str(&format!(", {} simulated", span(verdict.simulated)));
    }
    text
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Gives each thing that was found once, with the tests that found it.
pub(super) fn failures(report: &Report) -> Vec<String> {
    let mut found: Vec<(&Finding, Vec<&'static str>)> = Vec::new();
    for verdict in &report.verdicts {
        let Outcome::Failed { findings } = &verdict.outcome else {
            continue;
        };
        for finding in findings {
            let known = found
                .iter_mut()
                .find(|(other, _)| other.rule == finding.rule && other.what == finding.what);
            match known {
                Some((_, tests)) if tests.contains(&verdict.test) => {}
                Some((_, tests)) => tests.push(verdict.test),
                None => found.push((finding, vec![verdict.test])),
            }
        }
    }
    found
        .iter()
        .map(|(finding, tests)| failure(finding, tests))
        .collect()
}

fn failure(finding: &Finding, tests: &[&str]) -> String {
    let mut lines = vec![
        String::new(),
        format!("{} {}", style("FAILED").red().bold(), tests.join(", ")),
    ];
    lines.extend(self::finding(finding));
    lines.join("\n")
}

/// Gives the lines of a finding: the rule, what was found, what to change, and the
/// exchanges that show it.
pub(super) fn finding(finding: &Finding) -> Vec<String> {
    let times = if finding.times > 1 {
        format!(" ({} times)", finding.times)
    } else {
        String::new()
    };
    let mut lines = vec![
        labelled(
            "Rule",
            &format!("{}: {}", finding.rule, finding.rule.statement()),
        ),
        labelled("Found", &format!("{}{times}", printable(&finding.what))),
        labelled("Change", finding.rule.remedy()),
    ];
    for record in &finding.exchanges {
        lines.extend(exchange(record));
    }
    lines
}

fn labelled(label: &str, text: &str) -> String {
    format!("  {} {text}", style(format!("{label:<7}")).bold())
}

/// Shows an invocation: what was asked, and what was answered.
fn exchange(record: &Record) -> Vec<String> {
    let invocation = &record.exchange.invocation;
    let mut head = format!(
        "Exchange {}: {} after {}, token {}",
        record.number,
        invocation.call.action(),
        span(record.at),
        invocation.token,
    );
    if invocation.invocation > 1 || invocation.attempt > 1 {
        head.push_str(&format!(
            ", invocation {} attempt {}",
            invocation.invocation, invocation.attempt
        ));
    }
    let mut asked = asked(&invocation.call);
    let details = &invocation.details;
    for (name, tags) in [
        ("desired tags", &details.desired_tags),
        ("previous tags", &details.previous_tags),
    ] {
        if !tags.is_empty() {
            asked.push((name, serde_json::json!(tags).to_string()));
        }
    }
    let mut lines = vec![format!("  {head}")];
    for (name, text) in asked.into_iter().chain(answered(&record.exchange.outcome)) {
        lines.push(format!("    {name:<15} {}", shortened(&printable(&text))));
    }
    lines
}

fn asked(call: &Call) -> Vec<(&'static str, String)> {
    let text = |object: &JsonObject| object.as_str().to_owned();
    match call {
        Call::Create { desired_state, .. } => vec![("desired state", text(desired_state))],
        Call::Read { identifier } => vec![("identifier", text(identifier))],
        Call::Update {
            desired_state,
            previous_state,
            ..
        } => {
            let mut lines = vec![("desired state", text(desired_state))];
            lines.extend(previous_state.iter().map(|it| ("previous state", text(it))));
            lines
        }
        Call::Delete { state, .. } => vec![("state", text(state))],
        Call::List(list) => {
            let mut lines = Vec::new();
            lines.extend(list.filter.iter().map(|it| ("filter", text(it))));
            lines.extend(list.next_token.iter().map(|it| ("next token", it.clone())));
            lines.extend(list.max_results.map(|it| ("max results", it.to_string())));
            lines
        }
    }
}

fn answered(outcome: &Exchanged) -> Vec<(&'static str, String)> {
    match outcome {
        Exchanged::Event(event) => event_lines(event),
        Exchanged::Read(Ok(model)) => vec![
            ("answer", "SUCCESS".to_owned()),
            ("model", model.as_str().to_owned()),
        ],
        Exchanged::Listed(Ok(page)) => {
            let mut lines = vec![(
                "answer",
                match page.models.len() {
                    1 => "SUCCESS with 1 model".to_owned(),
                    count => format!("SUCCESS with {count} models"),
                },
            )];
            lines.extend(
                page.models
                    .iter()
                    .map(|it| ("model", it.as_str().to_owned())),
            );
            lines.extend(page.next_token.iter().map(|it| ("next token", it.clone())));
            lines
        }
        Exchanged::Read(Err(failure)) | Exchanged::Listed(Err(failure)) => {
            vec![(
                "answer",
                format!("FAILED {}: {}", failure.code, failure.message),
            )]
        }
        Exchanged::Trapped(trap) => vec![("answer", format!("none: {trap}"))],
    }
}

fn event_lines(event: &ProgressEvent) -> Vec<(&'static str, String)> {
    let said = |message: &Option<String>| {
        message
            .as_ref()
            .map(|message| format!(": {message}"))
            .unwrap_or_default()
    };
    let (answer, model) = match event {
        ProgressEvent::InProgress {
            callback,
            message,
            model,
            ..
        } => {
            let again = match callback {
                Callback::After(delay) => format!("again after {}", span(*delay)),
                Callback::None => "no callback".to_owned(),
            };
            (format!("IN_PROGRESS, {again}{}", said(message)), model)
        }
        ProgressEvent::Success { message, model } => (format!("SUCCESS{}", said(message)), model),
        ProgressEvent::Failed {
            code,
            message,
            model,
        } => (format!("FAILED {code}: {message}"), model),
    };
    let mut lines = vec![("answer", answer)];
    lines.extend(model.iter().map(|it| ("model", it.as_str().to_owned())));
    lines
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{head}… ({} bytes in all)", text.len())
}

/// Gives the last line.
pub(super) fn sum(report: &Report) -> String {
    let counts = report.counts();
    let simulated: Duration = report.verdicts.iter().map(|it| it.simulated).sum();
    let failed = format!("{} failed", counts.failed);
    format!(
        "\n{}: {} passed, {}, {} skipped in {:.2} s, {} simulated",
        report.type_name,
        counts.passed,
        if counts.failed > 0 {
            style(failed).red().bold()
        } else {
            style(failed)
        },
        counts.skipped,
        report.elapsed.as_secs_f64(),
        span(simulated),
    )
}

/// Says that something is left.
pub(super) fn left_behind(left: &LeftBehind) -> String {
    format!(
        "{} may have left a resource: {}; {}",
        left.test,
        shortened(&printable(left.model.as_str())),
        printable(&left.why)
    )
}
