//! The arguments of `formwork run`, and which of them go together.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use formwork_host::model::{AccountId, Action, ClientToken, Region, RequestToken};

use crate::data::Data;

use super::super::{GrantArgs, LimitArgs};
use super::input::{self, Tag};
use super::report;

const USAGE: &str = "\
formwork run [OPTIONS] <ACTION> <COMPONENT>
       formwork run [OPTIONS] --resume [<TOKEN>] --data <DIR>";

const EXAMPLES: &str = "\
Examples:
  Make a file in ./data, from a model on standard input:
    echo '{\"Name\":\"a.txt\",\"Contents\":\"hello\"}' |
      formwork run create file.wasm --model - --grant dir=./data

  Read it, change it, list all, remove it:
    formwork run read file.wasm --identifier a.txt --grant dir=./data:ro
    formwork run update file.wasm --model new.json --grant dir=./data
    formwork run list file.wasm --max-results 10 --grant dir=./data:ro
    formwork run delete file.wasm --identifier a.txt --grant dir=./data

  Keep the operation, so that it survives Ctrl-C and crashes:
    formwork run create archive.wasm --model archive.json --grant dir=./data --data ./state
    formwork run --resume --data ./state --grant dir=./data

  Report to CloudFormation's RecordHandlerProgress, here a local one:
    formwork run create file.wasm --model file.json --grant dir=./data \\
      --report-endpoint http://127.0.0.1:4566 --report-region eu-central-1";

const INTERRUPTION: &str = "\
Ctrl-C:
  With --data, the operation stops between two invocations and can be resumed;
  the command to do so is shown. Without, it is cancelled. A second Ctrl-C
  leaves at once, as a crash would.";

/// Runs one operation, its whole chain, and shows how it goes
///
/// The final model is printed as JSON; for LIST an object with
/// `resourceModels` and, unless it is the last page, `nextToken`.
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_long_help = format!("{EXAMPLES}\n\n{INTERRUPTION}\n\n{}\n\n{}", super::super::EXIT_STATUS, super::super::ENVIRONMENT))]
pub(in crate::commands) struct RunArgs {
    /// What to do: create, read, update, delete or list
    #[arg(
        required_unless_present = "resume",
        conflicts_with = "resume",
        ignore_case = true,
        value_parser = PossibleValuesParser::new(Action::ALL.map(Action::handler_name))
            .try_map(|name| name.parse::<Action>())
    )]
    pub(super) action: Option<Action>,

    /// The handler: a `.wasm` component
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(super) component: Option<PathBuf>,

    /// Fails a success that breaks the handler contract, in place of warning
    #[arg(long)]
    pub(super) strict: bool,

    /// Prints each event, or the answer of READ and LIST, as a line of JSON
    ///
    /// Of the events, only the last is sure to have its model.
    #[arg(long)]
    pub(super) json: bool,

    /// The desired state, a JSON object: a file, or `-` for standard input
    ///
    /// For READ and DELETE the properties that name the resource, for LIST
    /// those that the listed resources shall have.
    #[arg(long, value_name = "FILE", help_heading = "What to ask")]
    pub(super) model: Option<PathBuf>,

    /// For UPDATE: the state before, a JSON object
    ///
    /// Without it the current state is read first, if the handler can READ.
    #[arg(long, value_name = "FILE", help_heading = "What to ask")]
    pub(super) previous: Option<PathBuf>,

    /// The primary identifier, its parts joined by `|`, or a JSON object
    ///
    /// For READ, UPDATE and DELETE. Fills in what the model leaves out.
    #[arg(long, value_name = "ID", help_heading = "What to ask")]
    pub(super) identifier: Option<String>,

    /// For LIST: the token of the page before
    #[arg(long, value_name = "TOKEN", help_heading = "What to ask")]
    pub(super) next_token: Option<String>,

    /// For LIST: how many resources a page should hold at most; a hint
    #[arg(long, value_name = "NUMBER", help_heading = "What to ask")]
    pub(super) max_results: Option<u32>,

    #[command(flatten, next_help_heading = "What the handler gets")]
    pub(super) grants: GrantArgs,

    #[command(flatten, next_help_heading = "What the handler gets")]
    pub(super) limits: LimitArgs,

    /// The account-level configuration of the type, a JSON object
    #[arg(long, value_name = "FILE", help_heading = "What the handler gets")]
    pub(super) type_configuration: Option<PathBuf>,

    /// Tags of the stack: `KEY=VALUE,...`, or a file with a JSON object
    ///
    /// Can be given several times. A value with a comma goes into a file.
    #[arg(long, value_name = "TAGS", help_heading = "What the handler gets", value_parser = input::tags)]
    pub(super) tags: Vec<TagList>,

    /// The region of the resource, such as `eu-central-1`
    #[arg(long, help_heading = "What the handler gets")]
    pub(super) region: Option<Region>,

    /// The account of the resource, 12 digits
    #[arg(long, help_heading = "What the handler gets")]
    pub(super) account: Option<AccountId>,

    /// The idempotency key: the same with the same request is the same operation
    ///
    /// Needs --data, since it is kept there.
    #[arg(
        long,
        value_name = "TOKEN",
        help_heading = "What is kept",
        requires = "data"
    )]
    pub(super) client_token: Option<ClientToken>,

    /// Keeps the operation in this directory, made if it is missing, or in the
    /// PostgreSQL database of this URL
    ///
    /// Other unfinished operations of the same type in it go on meanwhile.
    #[arg(long, value_name = "DIR|URL", help_heading = "What is kept")]
    pub(super) data: Option<Data>,

    /// Goes on with one or all unfinished operations of the data directory
    ///
    /// The component is taken from the directory; grants are given anew. Reports
    /// that were not accepted are sent, those of TOKEN also if they were refused.
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, requires = "data", help_heading = "What is kept")]
    pub(super) resume: Option<Option<RequestToken>>,

    #[command(flatten)]
    pub(super) report: report::ReportArgs,
}

/// The tags of one `--tags`.
type TagList = Vec<Tag>;

/// Refuses arguments that mean nothing for the action.
pub(super) fn check(args: &RunArgs, action: Action) -> anyhow::Result<()> {
    let changes = [Action::Create, Action::Update, Action::Delete];
    let named = [Action::Read, Action::Update, Action::Delete];
    for (given, name, actions) in [
        (args.previous.is_some(), "--previous", &[Action::Update][..]),
        (args.identifier.is_some(), "--identifier", &named[..]),
        (
            args.next_token.is_some(),
            "--next-token",
            &[Action::List][..],
        ),
        (
            args.max_results.is_some(),
            "--max-results",
            &[Action::List][..],
        ),
        (args.client_token.is_some(), "--client-token", &changes[..]),
        (args.report.is_asked(), "--report-endpoint", &changes[..]),
    ] {
        if given && !actions.contains(&action) {
            let actions: Vec<_> = actions.iter().map(ToString::to_string).collect();
            bail!(
                "`{name}` means nothing for {action}: it is for {}",
                actions.join(", ")
            );
        }
    }
    Ok(())
}

/// Refuses arguments that a resumed operation has already.
pub(super) fn check_resumed(args: &RunArgs) -> anyhow::Result<()> {
    for (given, name) in [
        (args.model.is_some(), "--model"),
        (args.previous.is_some(), "--previous"),
        (args.identifier.is_some(), "--identifier"),
        (args.next_token.is_some(), "--next-token"),
        (args.max_results.is_some(), "--max-results"),
        (args.type_configuration.is_some(), "--type-configuration"),
        (!args.tags.is_empty(), "--tags"),
        (args.region.is_some(), "--region"),
        (args.account.is_some(), "--account"),
        (args.client_token.is_some(), "--client-token"),
    ] {
        if given {
            bail!(
                "`{name}` means nothing with --resume: the operation goes on with what it was begun with"
            );
        }
    }
    Ok(())
}
