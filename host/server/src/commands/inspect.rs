//! `formwork inspect`: what a component is, before it is run.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use formwork_host::model::{Mutation, TypeSchema};
use formwork_host::sandbox::{
    Amount, CONTRACT_VERSION, Grants, Handler, Limit, LimitSet, Limits, LoadLimits, Survey,
};

use crate::environment::Environment;
use crate::grants::{self, Withheld};

use super::output::{Console, Output};
use super::text::{printable, span};
use super::wire::{ActionLine, Component, Import, LimitLine};
use super::{Exit, GrantArgs, LimitArgs, setup};

const EXAMPLES: &str = "\
Examples:
  formwork inspect file.wasm
  formwork inspect file.wasm --schema > schema.json
  formwork inspect file.wasm --grant dir=./data --json | jq .imports";

/// Shows what a component is: its type, actions, imports beside what is
/// granted, limits and digest
///
/// The component is loaded and asked to describe itself, with nothing granted;
/// no action is run.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", super::EXIT_STATUS, super::ENVIRONMENT))]
pub(super) struct InspectArgs {
    /// The handler: a `.wasm` component
    component: PathBuf,

    #[command(flatten)]
    grants: GrantArgs,

    #[command(flatten)]
    limits: LimitArgs,

    /// Prints the resource type schema alone, as it is in the component
    #[arg(long, conflicts_with = "json")]
    schema: bool,

    /// Prints one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &InspectArgs,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let withheld = Withheld::new(environment, None);
    let grants = grants::resolve(&args.grants.grants, &withheld)?;
    let bytes = setup::component(&args.component)?;
    let size = bytes.len();
    let sandbox = setup::sandbox(
        environment,
        None,
        setup::FEW,
        args.limits.sandbox(),
        console,
    )?;
    let failed = || format!("cannot inspect `{}`", args.component.display());
    let limits = args.limits.invocation();
    let handler = sandbox
        .load_within(bytes, &limits)
        .await
        .with_context(failed)?;
    let schema = TypeSchema::parse(&handler.description().schema).with_context(failed)?;
    if args.schema {
        output.line(schema.text().trim_end_matches('\n'));
        return Ok(Exit::Done);
    }
    let load = args.limits.sandbox().load;
    let component = describe(&handler, &schema, size, &grants, &limits, &load);
    if args.json {
        output.json(&component);
    } else {
        output.line(table(&component));
    }
    Ok(Exit::Done)
}

fn describe(
    handler: &Handler,
    schema: &TypeSchema,
    bytes: usize,
    grants: &Grants,
    limits: &Limits,
    load: &LoadLimits,
) -> Component {
    let timeout = |action| {
        Mutation::ALL
            .into_iter()
            .find(|mutation| formwork_host::model::Action::from(*mutation) == action)
            .map_or(limits.read_wall, |mutation| schema.timeout(mutation))
    };
    Component {
        type_name: schema.type_name().to_string(),
        digest: handler.digest().to_string(),
        bytes,
        contract: CONTRACT_VERSION,
        primary_identifier: schema
            .primary_identifier()
            .iter()
            .map(ToString::to_string)
            .collect(),
        actions: schema
            .actions()
            .map(|action| ActionLine {
                action: action.as_str(),
                timeout_seconds: timeout(action).as_secs(),
            })
            .collect(),
        imports: handler
            .imports()
            .iter()
            .map(|name| import(name, grants))
            .collect(),
        outgoing_hosts: handler.description().outgoing_hosts.clone(),
        load_limits: list_load(load, handler.survey()),
        limits: list(limits),
        schema_warnings: schema.warnings().iter().map(ToString::to_string).collect(),
    }
}

/// Tells what a guest finds behind an interface that it imports.
fn import(name: &str, grants: &Grants) -> Import {
    let interface = name.split('@').next().unwrap_or(name);
    let directories = grants.directories.len();
    let (access, note) = match interface {
        "wasi:cli/environment" => ("empty", "no variables, no arguments".to_owned()),
        "wasi:cli/stdin" => ("empty", "closed".to_owned()),
        "wasi:cli/stdout" | "wasi:cli/stderr" => ("granted", "goes to the log".to_owned()),
        "formwork:handler/logging" => ("granted", "goes to the log".to_owned()),
        _ if interface.starts_with("wasi:cli/terminal-") => ("empty", "no terminal".to_owned()),
        _ if interface.starts_with("wasi:filesystem/") && directories == 0 => (
            "empty",
            "no directories; `--grant dir=PATH` gives one".to_owned(),
        ),
        _ if interface.starts_with("wasi:filesystem/") => {
            let plural = if directories == 1 {
                "directory"
            } else {
                "directories"
            };
            ("granted", format!("{directories} {plural}"))
        }
        _ if interface.starts_with("wasi:sockets/") => ("refused", "never granted".to_owned()),
        _ if interface.starts_with("wasi:http/") && grants.http.requests.is_empty() => (
            "refused",
            "each request; `--grant http=PATTERN` allows some".to_owned(),
        ),
        _ if interface.starts_with("wasi:http/") => {
            let patterns: Vec<_> = grants
                .http
                .requests
                .iter()
                .map(ToString::to_string)
                .collect();
            ("granted", patterns.join(", "))
        }
        _ => ("granted", String::new()),
    };
    Import {
        name: name.to_owned(),
        access,
        note,
    }
}

/// Lists the limits of an invocation.
fn list(limits: &Limits) -> Vec<LimitLine> {
    Limits::ALL
        .iter()
        .map(|limit| line(limit, limit.get(*limits), None))
        .collect()
}

/// Lists what may be loaded, beside what the component has of it.
fn list_load(limits: &LoadLimits, survey: &Survey) -> Vec<LimitLine> {
    let found = |limit: &Limit<LoadLimits>| {
        survey
            .counts()
            .find(|(counted, _)| counted == limit)
            .map(|(_, found)| found)
    };
    LoadLimits::ALL
        .iter()
        .map(|limit| line(limit, limit.get(*limits), found(limit)))
        .collect()
}

fn line<S: LimitSet>(limit: &Limit<S>, most: Amount, found: Option<usize>) -> LimitLine {
    let (unit, value) = match most {
        Amount::Bytes(bytes) => ("bytes", bytes as u128),
        Amount::Count(count) => ("count", count as u128),
        Amount::Time(time) => ("milliseconds", time.as_millis()),
    };
    let shown = |value: usize| match most {
        Amount::Bytes(_) => size(value),
        Amount::Count(_) | Amount::Time(_) => grouped(value),
    };
    LimitLine {
        setting: limit.setting(),
        unit,
        value,
        found,
        what: limit.what(),
        shown: match most {
            Amount::Bytes(most) | Amount::Count(most) => shown(most),
            Amount::Time(time) => short(time),
        },
        found_shown: found.map(shown),
    }
}

/// Writes a limit of time, which may be less than a second.
fn short(time: Duration) -> String {
    if time.subsec_nanos() == 0 {
        span(time)
    } else {
        format!("{time:?}")
    }
}

fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || format!("{} bytes", grouped(bytes)),
            |(unit, name)| format!("{} {name}", bytes / unit),
        )
}

/// Writes a number with a comma at each thousand.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lays out what a component is for people.
fn table(component: &Component) -> String {
    let identifier: Vec<_> = component
        .primary_identifier
        .iter()
        .map(|path| printable(path))
        .collect();
    let mut lines = vec![
        format!("Type        {}", component.type_name),
        format!("Digest      {}", component.digest),
        format!("Size        {} bytes", grouped(component.bytes)),
        format!("Contract    formwork:handler@{}", component.contract),
        format!("Identifier  {}", identifier.join(" and ")),
    ];
    section(
        &mut lines,
        "Actions",
        component.actions.iter().map(|line| {
            [
                line.action.to_owned(),
                format!(
                    "at most {}",
                    span(Duration::from_secs(line.timeout_seconds))
                ),
                String::new(),
            ]
        }),
    );
    section(
        &mut lines,
        "Imports",
        component.imports.iter().map(|import| {
            [
                printable(&import.name),
                import.access.to_owned(),
                import.note.clone(),
            ]
        }),
    );
    section(
        &mut lines,
        "Wishes to reach (it may where a grant allows it too)",
        component
            .outgoing_hosts
            .iter()
            .map(|host| [printable(host), String::new(), String::new()]),
    );
    section(
        &mut lines,
        "What it consists of, and what may be loaded",
        component.load_limits.iter().map(|limit| {
            let most = format!("of {}", limit.shown);
            [
                limit.what.to_owned(),
                match &limit.found_shown {
                    Some(found) => format!("{found} {most}"),
                    None => limit.shown.clone(),
                },
                format!("`{}`", limit.setting),
            ]
        }),
    );
    section(
        &mut lines,
        "Limits of an invocation",
        component.limits.iter().map(|limit| {
            [
                limit.what.to_owned(),
                limit.shown.clone(),
                format!("`{}`", limit.setting),
            ]
        }),
    );
    if !component.schema_warnings.is_empty() {
        lines.push("\nOdd about the schema".to_owned());
        let warnings = component.schema_warnings.iter();
        lines.extend(warnings.map(|warning| format!("  {}", printable(warning))));
    }
    lines.join("\n")
}

/// Adds a titled section with aligned columns, if it has any rows.
fn section(lines: &mut Vec<String>, title: &str, rows: impl Iterator<Item = [String; 3]>) {
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    if rows.is_empty() {
        return;
    }
    lines.push(format!("\n{title}"));
    for [name, value, note] in &rows {
        lines.push(
            format!("  {name:<first$}  {value:<second$}  {note}")
                .trim_end()
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use formwork_host::sandbox::DirectoryGrant;

    use super::*;

    #[test]
    fn an_import_stands_beside_what_is_granted() {
        let nothing = Grants::default();
        let mut one = Grants::default();
        one.directories.push(DirectoryGrant::read_write("/data"));
        let mut http = Grants::default();
        let pattern = "https://example.com".parse();
        http.http.requests.push(pattern.expect("a pattern"));
        for (name, grants, access) in [
            ("wasi:filesystem/types@0.2.6", &nothing, "empty"),
            ("wasi:filesystem/types@0.2.6", &one, "granted"),
            ("wasi:cli/environment@0.2.0", &one, "empty"),
            ("wasi:sockets/tcp@0.2.0", &one, "refused"),
            ("wasi:http/outgoing-handler@0.2.0", &one, "refused"),
            ("wasi:http/outgoing-handler@0.2.0", &http, "granted"),
            ("wasi:clocks/wall-clock@0.2.0", &nothing, "granted"),
            ("formwork:handler/logging@0.1.0", &nothing, "granted"),
        ] {
            assert_eq!(import(name, grants).access, access, "{name}");
        }
    }

    #[test]
    fn numbers_read_easily() {
        for (bytes, text) in [
            (256 << 20, "256 MiB"),
            (1_500, "1,500 bytes"),
            (0, "0 bytes"),
            (1_234_567, "1,234,567 bytes"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
