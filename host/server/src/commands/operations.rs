//! `formwork operations`: what an engine is doing, and has done.

mod table;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{RequestToken, TypeName};
use formwork_host::operation::{CancelReason, Input, Operation, Policy, Refusal, Status};
use formwork_host::store::{CommitError, Filter, ForgetError, Store, StoreError};

use crate::data::Data;
use crate::environment::Environment;

use super::output::{Console, Output};
use super::wire::{OperationDetails, OperationLine};
use super::{Exit, setup};

const EXAMPLES: &str = "\
Examples:
  formwork operations list --data ./state --status in_progress --status pending
  formwork operations show 0198c0de-0000-7000-8000-000000000000 --data ./state
  formwork operations cancel 0198c0de-0000-7000-8000-000000000000 --data ./state
  formwork operations forget 0198c0de-0000-7000-8000-000000000000 --data ./state";

/// Shows, cancels and forgets the operations of a data directory
///
/// Works beside an engine that is running in the directory.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_STATUS))]
pub(super) struct OperationsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists operations, newest first
    #[command(after_long_help = EXAMPLES)]
    List {
        #[command(flatten)]
        common: Common,
        /// Only those of this status; can be given several times
        #[arg(
            long,
            ignore_case = true,
            value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str))
                .try_map(|name| name.parse::<Status>())
        )]
        status: Vec<Status>,
        /// Only those of this resource type
        #[arg(long = "type", value_name = "TYPE")]
        type_name: Option<TypeName>,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Shows an operation and its chain
    #[command(after_long_help = EXAMPLES)]
    Show {
        /// The request token of the operation
        token: RequestToken,
        #[command(flatten)]
        common: Common,
    },
    /// Cancels an operation
    ///
    /// At once between invocations, else when the running one has answered; a
    /// terminal answer still wins.
    #[command(after_long_help = EXAMPLES)]
    Cancel {
        /// The request token of the operation
        token: RequestToken,
        #[command(flatten)]
        common: Common,
    },
    /// Forgets an operation that has ended, or that cannot be read
    ///
    /// With its events and its reports, delivered or not. One that cannot be
    /// read keeps its resource busy until it is forgotten; the log names it.
    #[command(after_long_help = EXAMPLES)]
    Forget {
        /// The request token of the operation
        token: RequestToken,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The data directory or the URL of the database, as given to `formwork run`
    #[arg(long, value_name = "DIR|URL")]
    data: Data,
    /// Prints a line of JSON for each operation
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &OperationsArgs,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List {
            common,
            status,
            type_name,
            limit,
        } => {
            let filter = Filter {
                statuses: status.clone(),
                type_name: type_name.clone(),
                limit: usize::try_from(*limit).unwrap_or(usize::MAX),
                ..Filter::default()
            };
            list(common, &filter, environment, console, output).await
        }
        Command::Show { token, common } => show(common, *token, environment, output).await,
        Command::Cancel { token, common } => {
            cancel(common, *token, environment, console, output).await
        }
        Command::Forget { token, common } => {
            forget(common, *token, environment, console, output).await
        }
    }
}

impl Common {
    async fn find(&self, store: &Arc<dyn Store>, token: RequestToken) -> anyhow::Result<Operation> {
        let found = store.get(token).await?;
        found.ok_or_else(|| self.missing(token))
    }

    fn missing(&self, token: RequestToken) -> anyhow::Error {
        anyhow!(
            "there is no operation {token} in `{0}`; see `formwork operations list --data {0}`",
            self.data.display()
        )
    }
}

async fn list(
    common: &Common,
    filter: &Filter,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let store = setup::attach(&common.data, environment).await?;
    let operations = store
        .list(filter)
        .await
        .context("cannot list the operations")?;
    if common.json {
        for operation in &operations {
            output.json(&OperationLine::new(operation));
        }
        return Ok(Exit::Done);
    }
    if operations.is_empty() {
        console.say(format_args!(
            "No such operations in `{}`.",
            common.data.display()
        ));
        return Ok(Exit::Done);
    }
    output.line(table::list(&operations, Output::width()));
    if operations.len() == filter.limit {
        console.say(format_args!(
            "There may be more than these {}; see `--limit`.",
            filter.limit
        ));
    }
    Ok(Exit::Done)
}

async fn show(
    common: &Common,
    token: RequestToken,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let store = setup::attach(&common.data, environment).await?;
    let operation = common.find(&store, token).await?;
    let events = store
        .events(token, 0)
        .await
        .context("cannot read the events of the operation")?;
    let reports = store
        .reports(token)
        .await
        .context("cannot read the reports of the operation")?;
    if common.json {
        output.json(&OperationDetails::new(&operation, &events, &reports));
    } else {
        let now = SystemClock::new().now();
        output.line(table::details(&operation, &events, &reports, now));
    }
    Ok(Exit::Done)
}

async fn cancel(
    common: &Common,
    token: RequestToken,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let store = setup::attach(&common.data, environment).await?;
    let clock = SystemClock::new();
    let operation = loop {
        let operation = common.find(&store, token).await?;
        let asked = Input::CancelAsked(CancelReason::Caller);
        let transition = match operation.apply(asked, clock.now(), &Policy::default()) {
            Ok(transition) => transition,
            Err(Refusal::AlreadyCancelling) => break operation,
            Err(refusal) => {
                console.say(format_args!(
                    "Operation {token} stays as it is, {}: {refusal}.",
                    operation.status
                ));
                return Ok(Exit::No);
            }
        };
        let changed = transition.operation.clone();
        match store.commit(transition).await {
            Ok(()) => break changed,
            Err(CommitError::Conflict { expected: _ }) => {}
            Err(error) => return Err(error).context("cannot cancel the operation"),
        }
    };
    if common.json {
        output.json(&OperationLine::new(&operation));
    }
    console.say(match operation.status {
        Status::CancelInProgress => {
            format!("Operation {token} is cancelled when its running invocation has answered.")
        }
        Status::Pending
        | Status::InProgress
        | Status::Success
        | Status::Failed
        | Status::CancelComplete => {
            format!("Operation {token} is cancelled.")
        }
    });
    Ok(Exit::Done)
}

async fn forget(
    common: &Common,
    token: RequestToken,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let store = setup::attach(&common.data, environment).await?;
    let operation = match store.get(token).await {
        Ok(operation) => operation,
        Err(StoreError::Corrupt { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    match store.forget(token).await {
        Ok(()) => {}
        Err(ForgetError::Live { .. }) => {
            console.say(format_args!(
                "Operation {token} stays: it has not ended. See `formwork operations cancel`."
            ));
            return Ok(Exit::No);
        }
        Err(ForgetError::Unknown { .. }) => return Err(common.missing(token)),
        Err(error) => return Err(error).context("cannot forget the operation"),
    }
    if let Some(operation) = operation.filter(|_| common.json) {
        output.json(&OperationLine::new(&operation));
    }
    console.say(format_args!("Operation {token} is forgotten."));
    Ok(Exit::Done)
}
