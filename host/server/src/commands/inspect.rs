//! `formwork inspect`: what a component is, before it is run.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use formwork_host::model::{Mutation, TypeSchema};
use formwork_host::sandbox::{CONTRACT_VERSION, Grants, Handler, Limits};

use crate::environment::Environment;
use crate::grants;

use super::output::{Console, Output};
use super::text::{printable, span};
use super::wire::{ActionLine, Component, Import, Limit};
use super::{Exit, GrantArgs, setup};

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
    let grants = grants::resolve(&args.grants.grants, None)?;
    let bytes = setup::component(&args.component)?;
    let size = bytes.len();
    let sandbox = setup::sandbox(environment, None, setup::FEW, console)?;
    let failed = || format!("cannot inspect `{}`", args.component.display());
    let handler = sandbox.load(bytes).await.with_context(failed)?;
    let schema = TypeSchema::parse(&handler.description().schema).with_context(failed)?;
    if args.schema {
        output.line(schema.text().trim_end_matches('\n'));
        return Ok(Exit::Done);
    }
    let component = describe(&handler, &schema, size, &grants, &Limits::default());
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

fn list(limits: &Limits) -> Vec<Limit> {
    let count = |name, value: usize| Limit {
        name,
        value: value as u128,
        shown: grouped(value),
    };
    let bytes = |name, value: usize| Limit {
        name,
        value: value as u128,
        shown: size(value),
    };
    let time = |name, value: Duration| Limit {
        name,
        value: value.as_millis(),
        shown: span(value),
    };
    vec![
        bytes("memoryBytes", limits.memory_bytes),
        count("tableElements", limits.table_elements),
        count("instances", limits.instances),
        time("cpuMillis", limits.cpu),
        time("mutationWallMillis", limits.mutation_wall),
        time("readWallMillis", limits.read_wall),
        bytes("answerBytes", limits.answer_bytes),
        bytes("transferBytes", limits.transfer_bytes),
        bytes("logBytes", limits.log_bytes),
        count("logLines", limits.log_lines),
        bytes(
            "randomBytes",
            usize::try_from(limits.random_bytes).unwrap_or(usize::MAX),
        ),
        count("handles", limits.handles),
        bytes("httpFieldBytes", limits.http_field_bytes),
        count("httpRequests", limits.http_requests),
        count("httpConcurrency", limits.http_concurrency),
        bytes("httpSentBytes", limits.http_sent_bytes),
        bytes("httpReceivedBytes", limits.http_received_bytes),
        time("httpConnectMillis", limits.http_connect),
        time("httpFirstByteMillis", limits.http_first_byte),
        time("httpBetweenBytesMillis", limits.http_between_bytes),
    ]
}

/// What a limit bounds, in words.
fn limit_words(name: &str) -> &str {
    match name {
        "memoryBytes" => "memory",
        "tableElements" => "table elements",
        "instances" => "core instances",
        "cpuMillis" => "CPU time",
        "mutationWallMillis" => "time of a create, update or delete",
        "readWallMillis" => "time of a read or list",
        "answerBytes" => "answer",
        "transferBytes" => "one call into the host",
        "logBytes" => "log",
        "logLines" => "log lines",
        "randomBytes" => "one call for randomness",
        "handles" => "open handles",
        "httpFieldBytes" => "HTTP fields",
        "httpRequests" => "HTTP requests",
        "httpConcurrency" => "HTTP requests at once",
        "httpSentBytes" => "bodies of HTTP requests",
        "httpReceivedBytes" => "bodies of HTTP responses",
        "httpConnectMillis" => "time to connect for HTTP",
        "httpFirstByteMillis" => "time to the head of a response",
        "httpBetweenBytesMillis" => "time between parts of a response",
        other => other,
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
        "Limits of an invocation",
        component.limits.iter().map(|limit| {
            [
                limit_words(limit.name).to_owned(),
                limit.shown.clone(),
                String::new(),
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
        one.directories.push(DirectoryGrant {
            host_path: "/data".into(),
            writable: true,
        });
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
