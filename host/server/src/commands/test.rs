//! `formwork test`: the contract tests.

mod inputs;
mod json;
mod junit;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use formwork_host::contract::{Report, Suite};
use formwork_host::model::{AccountId, Region, RequestDetails, Scope, TypeSchema};
use formwork_host::registry::TypeSettings;

use crate::environment::Environment;
use crate::grants::{self, Withheld};

use super::interrupts::Interrupts;
use super::output::{Console, Output};
use super::run::{credentials, object};
use super::{Exit, GrantArgs, LimitArgs, setup};

/// How many oddities of a schema are shown.
const SHOWN_WARNINGS: usize = 5;

const EXAMPLES: &str = "\
Examples:
  Test a handler with the inputs of its project, in ./inputs:
    mkdir -p data && formwork test file.wasm --grant dir=./data

  With other inputs, or with models made from the schema:
    formwork test file.wasm --inputs examples/file/inputs --grant dir=./data
    formwork test file.wasm --inputs none --overrides overrides.json --grant dir=./data

  One test, or all of a kind:
    formwork test file.wasm --filter contract_create_read --grant dir=./data
    formwork test file.wasm --filter list --filter tags --grant dir=./data

  For programs:
    formwork test file.wasm --grant dir=./data --json | jq '.tests[] | select(.outcome == \"FAILED\")'
    formwork test file.wasm --grant dir=./data --junit report.xml";

const INPUTS: &str = "\
Inputs:
  The directory of inputs holds one JSON object in each file, named as for the
  CloudFormation CLI: `inputs_1_create.json`, `inputs_1_update.json` and
  `inputs_1_invalid.json`, then `inputs_2_create.json` and so on. The tests are
  made with each set. Without inputs, models are made from the schema, and
  `overrides.json` puts values into them that a schema cannot tell:
    {\"CREATE\": {\"/Name\": \"a\"}, \"UPDATE\": {\"/Size\": 3}}
  An invalid input should fit the schema: what does not is refused before it
  reaches a handler.";

const EXIT_STATUS: &str = "\
Exit status:
  0    every test that says something about this handler passed
  1    a test failed
  2    could not tell: wrong arguments or inputs, a component that cannot be
       loaded, a host that cannot run it
  130  interrupted by Ctrl-C; what the interrupted test made is left";

/// Tests whether a handler keeps the handler contract
///
/// The fifteen resource tests of the CloudFormation CLI run under their
/// official names, `contract_…`; those named `formwork_…` test what the
/// contract says besides. They call the handler as the engine does, with
/// operations in memory and a clock of their own: delays cost no time.
///
/// The tests make, change and delete real resources with what is granted; each
/// deletes what it has made. A failed test names the rule, what the handler
/// did, the exchange that shows it, and what to change. Write-only properties
/// are not shown.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{INPUTS}\n\n{EXIT_STATUS}\n\n{}", super::ENVIRONMENT))]
pub(super) struct TestArgs {
    /// The handler: a `.wasm` component
    #[arg(required_unless_present = "list")]
    component: Option<PathBuf>,

    /// The directory of inputs, or `none` for models made from the schema
    ///
    /// Default: `inputs` in the current directory, else beside the component,
    /// else none.
    #[arg(long, value_name = "DIR", help_heading = "What to test with")]
    inputs: Option<PathBuf>,

    /// Values for models made from the schema; default: `overrides.json`, if
    /// it is there
    #[arg(long, value_name = "FILE", help_heading = "What to test with")]
    overrides: Option<PathBuf>,

    /// What models made from the schema, and other values, are drawn from
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "What to test with"
    )]
    seed: u64,

    /// Makes only tests whose names contain TEXT; can be given several times
    #[arg(long = "filter", value_name = "TEXT")]
    filters: Vec<String>,

    /// Lists the tests, and makes none
    #[arg(long, conflicts_with_all = ["json", "junit"])]
    list: bool,

    /// Prints one JSON document
    #[arg(long)]
    json: bool,

    /// Writes an XML report for build servers, too, as `JUnit` does
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    #[command(flatten, next_help_heading = "What the handler gets")]
    grants: GrantArgs,

    #[command(flatten, next_help_heading = "What the handler gets")]
    limits: LimitArgs,

    /// The account-level configuration of the type, a JSON object
    #[arg(long, value_name = "FILE", help_heading = "What the handler gets")]
    type_configuration: Option<PathBuf>,

    /// The region of the resources, such as `eu-central-1`
    #[arg(long, help_heading = "What the handler gets")]
    region: Option<Region>,

    /// The account of the resources, 12 digits
    #[arg(long, help_heading = "What the handler gets")]
    account: Option<AccountId>,
}

pub(super) async fn run(
    args: &TestArgs,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let Some(path) = args.component.as_deref().filter(|_| !args.list) else {
        list(args, output)?;
        return Ok(Exit::Done);
    };
    let settings = args.settings(environment)?;
    let details = args.details(&settings, environment)?;
    let component = setup::component(path)?;
    let sandbox = setup::sandbox(
        environment,
        None,
        setup::FEW,
        args.limits.sandbox(),
        console,
    )?;
    sandbox.check_grants(&settings.grants)?;
    let suite = Suite::load(sandbox, component, settings)
        .await
        .with_context(|| format!("cannot test `{}`", path.display()))?
        .scope(args.scope())
        .details(details)
        .filters(args.filters.clone())
        .seed(args.seed);
    if suite.chosen().next().is_none() {
        bail!(
            "no test has a name with `{}` in it; `formwork test --list` shows the names",
            args.filters.join("` or `")
        );
    }
    warn_of_schema(suite.schema(), console);
    let inputs = inputs::find(args, path, suite.schema(), console)?;
    let junit = args.junit.as_deref().map(junit::open).transpose()?;
    let lines = !args.json;
    let report = suite.run(&inputs.sets, |verdict| {
        if lines {
            output.line(show::verdict(verdict, inputs.sets.len() > 1));
        }
    });
    let mut interrupts = Interrupts::listen()?;
    let report = tokio::select! {
        report = report => report?,
        () = interrupts.next() => {
            console.warn("interrupted: what the test that ran has made is left");
            return Ok(Exit::Interrupted);
        }
    };
    let exit = conclude(args, &report, &inputs, console, output);
    if let Some(junit) = junit {
        junit.write(&report)?;
    }
    exit
}

/// Says what is odd about the schema, in short.
fn warn_of_schema(schema: &TypeSchema, console: &Console) {
    let warnings = schema.warnings();
    for warning in warnings.iter().take(SHOWN_WARNINGS) {
        console.warn(format_args!("odd about the schema: {warning}"));
    }
    if let Some(more) = warnings.len().checked_sub(SHOWN_WARNINGS)
        && more > 0
    {
        console.warn(format_args!("… {more} more: `formwork inspect` shows all"));
    }
}

/// Shows what was found, and gives the verdict on all.
fn conclude(
    args: &TestArgs,
    report: &Report,
    inputs: &inputs::Found,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    if args.json {
        output.json(&json::Document::new(report, inputs, args.seed));
    } else {
        for failure in show::failures(report) {
            output.line(failure);
        }
        output.line(show::sum(report));
    }
    for left in &report.left_behind {
        console.warn(show::left_behind(left));
    }
    let counts = report.counts();
    if counts.failed > 0 {
        if args.grants.grants.is_empty() && !args.json {
            console.say(
                "The handler was granted nothing; if it needs files, give `--grant dir=PATH`, and for \
                 HTTP `--grant http=PATTERN`.",
            );
        }
        return Ok(Exit::No);
    }
    if counts.passed == 0 {
        bail!("every test was skipped, so nothing is known of this handler");
    }
    Ok(Exit::Done)
}

fn list(args: &TestArgs, output: &mut Output) -> anyhow::Result<()> {
    let chosen: Vec<_> = Suite::tests()
        .filter(|test| test.is_chosen_by(&args.filters))
        .collect();
    if chosen.is_empty() {
        bail!(
            "no test has a name with `{}` in it",
            args.filters.join("` or `")
        );
    }
    for test in chosen {
        output.line(format_args!("{:<42} {}", test.name, test.about));
    }
    Ok(())
}

impl TestArgs {
    fn settings(&self, environment: &Environment) -> anyhow::Result<TypeSettings> {
        let withheld = Withheld::new(environment, None);
        let configuration = self.type_configuration.as_deref();
        Ok(TypeSettings {
            grants: Arc::new(grants::resolve(&self.grants.grants, &withheld)?),
            type_configuration: configuration
                .map(|path| object("type configuration", path))
                .transpose()?,
            limits: self.limits.invocation(),
            ..TypeSettings::default()
        })
    }

    fn details(
        &self,
        settings: &TypeSettings,
        environment: &Environment,
    ) -> anyhow::Result<RequestDetails> {
        Ok(RequestDetails {
            credentials: credentials(&settings.grants, environment)?,
            ..RequestDetails::default()
        })
    }

    fn scope(&self) -> Scope {
        Scope {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }
}
