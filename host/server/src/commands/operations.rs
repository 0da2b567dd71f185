//! `formwork operations`: what an engine is doing, and has done.

mod client;
mod reports;
mod source;
mod table;
mod timeline;
mod watch;

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use formwork_host::model::{
    AccountId, Action, Mutation, Region, RequestToken, Timestamp, TypeName,
};
use formwork_host::operation::Status;
use formwork_host::store::{ForgetError, StoreError};

use self::reports::Remedy;
use self::source::{Cancelled, Source, Where};
use super::Exit;
use super::output::{Console, Output};
use crate::environment::Environment;
use crate::operations::Criteria;
use crate::operations::shapes::{OperationDetails, OperationLine};

const EXAMPLES: &str = "\
Examples:
  formwork operations list --data ./state --status in_progress --status pending
  formwork operations list --data ./state --type Acme::Storage::File --newer 2h
  formwork operations list --server http://127.0.0.1:3001
  formwork operations show 0198c0de-0000-7000-8000-000000000000 --data ./state
  formwork operations watch --data ./state
  formwork operations watch --until-ended 0198c0de-0000-7000-8000-000000000000 --data ./state
  formwork operations cancel 0198c0de-0000-7000-8000-000000000000 --data ./state
  formwork operations forget 0198c0de-0000-7000-8000-000000000000 --data ./state
  formwork operations refused --data ./state
  formwork operations resend 0198c0de-0000-7000-8000-000000000000 --data ./state";

/// Shows, watches, cancels and forgets operations, and sends refused reports again
///
/// Those of a data directory or a database, also beside engines that are running in
/// it, or those of a running server.
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
        #[command(flatten)]
        which: Which,
    },
    /// Shows an operation, its chain as a timeline
    ///
    /// An invocation is drawn from the moment at which it began. Where no engine saw
    /// its end, as when its host was lost, it is drawn from when it was due, and its
    /// wait to be begun is part of it.
    #[command(after_long_help = EXAMPLES)]
    Show {
        /// The request token of the operation
        token: RequestToken,
        #[command(flatten)]
        common: Common,
    },
    /// Follows operations live, until Ctrl-C
    ///
    /// On a terminal it is a table, in a pipe a line for each change, which is seen
    /// within a second. Without `--status` it shows those that are live, and how they
    /// end.
    #[command(after_long_help = EXAMPLES)]
    Watch {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        which: Which,
        /// Follows this operation alone, and ends with it
        ///
        /// The exit status is 0 for SUCCESS, and 1 for FAILED and `CANCEL_COMPLETE`.
        #[arg(
            long,
            value_name = "TOKEN",
            conflicts_with_all = ["status", "type_name", "action", "account", "region", "identifier", "newer", "older", "limit"]
        )]
        until_ended: Option<RequestToken>,
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
    /// Lists reports that CloudFormation has refused for good, or that were given up
    ///
    /// One for each operation: it holds back the later ones, and is kept until it is
    /// sent again or dropped, or forgotten with its operation. Takes `--data` only.
    #[command(after_long_help = EXAMPLES)]
    Refused {
        #[command(flatten)]
        common: Common,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Sends the refused report of an operation again, and those that it holds back
    ///
    /// For when what it was refused for is put right, such as a permission, or
    /// CloudFormation can be reached again. Takes `--data` only.
    #[command(after_long_help = EXAMPLES)]
    Resend {
        /// The request token of the operation
        token: RequestToken,
        #[command(flatten)]
        place: Where,
    },
    /// Drops the refused report of an operation that has ended, and those that it
    /// holds back
    ///
    /// The operation stays, and is forgotten at its time; CloudFormation is not told
    /// of its end. Takes `--data` only.
    #[command(after_long_help = EXAMPLES)]
    DropReports {
        /// The request token of the operation
        token: RequestToken,
        #[command(flatten)]
        place: Where,
    },
    /// Forgets an operation that has ended, or that cannot be read
    ///
    /// With its events and its reports, delivered or not. One that cannot be
    /// read keeps its resource busy until it is forgotten; the log names it. Takes
    /// `--data` only.
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
    #[command(flatten)]
    place: Where,
    /// Prints JSON, a line for each operation or event
    #[arg(long)]
    json: bool,
}

/// Which operations.
#[derive(Debug, Args)]
struct Which {
    /// Only those of this status; can be given several times
    #[arg(
        long,
        ignore_case = true,
        value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str))
            .try_map(|name| name.parse::<Status>())
    )]
    status: Vec<Status>,
    /// Only those that do this; can be given several times
    #[arg(
        long,
        ignore_case = true,
        value_parser = PossibleValuesParser::new(Mutation::ALL.map(|it| Action::from(it).as_str()))
            .map(|name| mutation(&name))
    )]
    action: Vec<Mutation>,
    /// Only those of this resource type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<TypeName>,
    /// Only those of this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only those of this region
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
    /// Only those that work on this resource, by its primary identifier
    #[arg(long, value_name = "IDENTIFIER")]
    identifier: Option<String>,
    /// Only those accepted since then: a span such as `2h`, or a moment such as
    /// `2026-11-22T13:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    newer: Option<When>,
    /// Only those accepted before then, likewise
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    older: Option<When>,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// A moment, or a span before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Ago(Duration),
    At(Timestamp),
}

impl When {
    fn parse(text: &str) -> Result<Self, String> {
        let span = text.parse::<jiff::Span>().ok().and_then(|span| {
            // A day has 24 hours: nobody asks for the day on which clocks change.
            let relative = jiff::SpanRelativeTo::days_are_24_hours();
            Duration::try_from(span.to_duration(relative).ok()?).ok()
        });
        if let Some(span) = span {
            return Ok(Self::Ago(span));
        }
        let moment = text.parse::<jiff::Timestamp>().ok();
        let millis = moment.and_then(|it| u64::try_from(it.as_millisecond()).ok());
        millis
            .map(|millis| Self::At(Timestamp::from_millis(millis)))
            .ok_or_else(|| {
                "it must be a span with its unit, such as `30m`, `2h` or `1d`, or a moment, such as \
                 `2026-11-22T13:00:00Z`"
                    .to_owned()
            })
    }

    fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now.before(span),
            Self::At(moment) => moment,
        }
    }
}

fn mutation(name: &str) -> Mutation {
    let mut all = Mutation::ALL.into_iter();
    all.find(|it| Action::from(*it).as_str().eq_ignore_ascii_case(name))
        .expect("only the names of mutations are taken")
}

impl Which {
    fn criteria(&self, now: Timestamp) -> Criteria {
        Criteria {
            statuses: self.status.clone(),
            mutations: self.action.clone(),
            type_name: self.type_name.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
            identifier: self.identifier.clone(),
            from: self.newer.map(|when| when.moment(now)),
            until: self.older.map(|when| when.moment(now)),
        }
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }
}

pub(super) async fn run(
    args: &OperationsArgs,
    environment: &Environment,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let open = async |common: &Common| common.place.open(environment).await;
    match &args.command {
        Command::List { common, which } => {
            list(&open(common).await?, common.json, which, console, output).await
        }
        Command::Show { token, common } => {
            show(&open(common).await?, common.json, *token, output).await
        }
        Command::Watch {
            common,
            which,
            until_ended,
        } => {
            let source = open(common).await?;
            match until_ended {
                Some(token) => watch::one(&source, *token, common.json, output).await,
                None => {
                    let criteria = which.criteria(source.now());
                    let limit = which.limit();
                    watch::all(&source, &criteria, limit, common.json, console, output).await
                }
            }
        }
        Command::Cancel { token, common } => {
            cancel(&open(common).await?, common.json, *token, console, output).await
        }
        Command::Refused { common, limit } => {
            reports::list(&open(common).await?, common.json, *limit, console, output).await
        }
        Command::Resend { token, place } => {
            let source = place.open(environment).await?;
            reports::remedy(&source, *token, Remedy::Resend, console).await
        }
        Command::DropReports { token, place } => {
            let source = place.open(environment).await?;
            reports::remedy(&source, *token, Remedy::Drop, console).await
        }
        Command::Forget { token, common } => {
            forget(&open(common).await?, common.json, *token, console, output).await
        }
    }
}

async fn list(
    source: &Source,
    json: bool,
    which: &Which,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let criteria = which.criteria(source.now());
    let operations = source.list(&criteria, which.limit()).await?;
    if json {
        for operation in &operations {
            output.json(&OperationLine::new(operation));
        }
        return Ok(Exit::Done);
    }
    if operations.is_empty() {
        console.say(format_args!("No such operations in {source}."));
        return Ok(Exit::Done);
    }
    output.line(table::list(&operations, Output::width()));
    if operations.len() == which.limit() {
        console.say(format_args!(
            "There may be more than these {}; see `--limit`.",
            which.limit
        ));
    }
    Ok(Exit::Done)
}

async fn show(
    source: &Source,
    json: bool,
    token: RequestToken,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let details = source.get(token).await?;
    if json {
        output.json(&OperationDetails::new(&details));
    } else {
        output.line(table::details(&details, source.now(), Output::width()));
    }
    Ok(Exit::Done)
}

async fn cancel(
    source: &Source,
    json: bool,
    token: RequestToken,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let operation = match source.cancel(token).await? {
        Cancelled::Yes(operation) => operation,
        Cancelled::No { status, why } => {
            console.say(format_args!(
                "Operation {token} stays as it is, {status}: {why}."
            ));
            return Ok(Exit::No);
        }
    };
    if json {
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
    source: &Source,
    json: bool,
    token: RequestToken,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let Source::Store { store, .. } = source else {
        bail!(
            "a server forgets what has ended by itself, and nothing on request; on its machine, \
             give `--data DIR`"
        );
    };
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
        Err(ForgetError::Unknown { .. }) => return Err(source.missing(token)),
        Err(error) => return Err(error).context("cannot forget the operation"),
    }
    if let Some(operation) = operation.filter(|_| json) {
        output.json(&OperationLine::new(&operation));
    }
    console.say(format_args!("Operation {token} is forgotten."));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests;
