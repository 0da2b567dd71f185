//! Reports that are no longer sent, since CloudFormation has refused them for good or
//! could not be reached for days: which there are, and what is done about them.

use anyhow::{Context as _, bail};
use formwork_host::model::{RequestToken, Timestamp};
use formwork_host::operation::PendingReport;
use formwork_host::store::{ReportAt, Store};

use super::super::Exit;
use super::super::output::{Console, Output};
use super::super::text::printable;
use super::source::Source;
use crate::operations::shapes::{RefusedReport, UnreadableReport};

/// What is to be done about the refused reports of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Send them once more.
    Resend,
    /// Forget them, with those that they hold back.
    Drop,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It is done, to so many reports.
    Done(usize),
    /// There is no such operation.
    Missing,
    /// Nothing is changed.
    No(&'static str),
}

/// Lists them, at most `limit`.
pub(super) async fn list(
    source: &Source,
    json: bool,
    limit: u32,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let (store, _) = in_a_store(source)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let reports = store.parked_reports(most).await;
    let reports = reports.context("cannot list the reports")?;
    for report in &reports {
        match report {
            Ok(report) if json => output.json(&RefusedReport::new(report)),
            Err(at) if json => output.json(&UnreadableReport::new(*at)),
            report => output.line(line(report)),
        }
    }
    if reports.is_empty() && !json {
        console.say(format_args!(
            "No report was refused or given up in {source}."
        ));
    }
    if reports.len() == most {
        console.say(format_args!(
            "There may be more than these {limit}; see `--limit`."
        ));
    }
    Ok(Exit::Done)
}

/// Does something about those of an operation.
pub(super) async fn remedy(
    source: &Source,
    token: RequestToken,
    remedy: Remedy,
    console: &Console,
) -> anyhow::Result<Exit> {
    let (store, now) = in_a_store(source)?;
    let outcome = apply(store, token, remedy, now).await;
    let count = match outcome.context("cannot change the reports")? {
        Outcome::Done(count) => count,
        Outcome::Missing => return Err(source.missing(token)),
        Outcome::No(why) => {
            console.say(format_args!(
                "The reports of operation {token} stay as they are: {why}."
            ));
            return Ok(Exit::No);
        }
    };
    let reports = if count == 1 { "report" } else { "reports" };
    console.say(match remedy {
        Remedy::Resend => format!(
            "{count} {reports} of operation {token} will be sent again as soon as an engine runs, \
             and then those held back."
        ),
        Remedy::Drop => format!("{count} {reports} of operation {token} will not be sent."),
    });
    Ok(Exit::Done)
}

fn in_a_store(source: &Source) -> anyhow::Result<(&dyn Store, Timestamp)> {
    match source {
        Source::Store { store, .. } => Ok((store.as_ref(), source.now())),
        Source::Server(_) => bail!(
            "a server does not tell of refused reports; on its machine, give `--data DIR`, or the \
             URL of its database"
        ),
    }
}

async fn apply(
    store: &dyn Store,
    token: RequestToken,
    remedy: Remedy,
    now: Timestamp,
) -> anyhow::Result<Outcome> {
    let Some(operation) = store.get(token).await? else {
        return Ok(Outcome::Missing);
    };
    let count = match remedy {
        Remedy::Resend => {
            // What cannot be read cannot be sent either.
            store.reports(token).await?;
            store.unpark(token, now).await?
        }
        Remedy::Drop if !operation.status.is_terminal() => {
            return Ok(Outcome::No(
                "it has not ended, and what is reported of it later would not follow from what \
                 CloudFormation was told",
            ));
        }
        Remedy::Drop => store.drop_parked(token).await?,
    };
    Ok(match count {
        0 => Outcome::No("none of them was refused or given up"),
        count => Outcome::Done(count),
    })
}

fn line(report: &Result<PendingReport, ReportAt>) -> String {
    match report {
        Ok(report) => format!(
            "{}  {:<11}  {}  no longer sent: {}",
            report.event.token,
            report.event.status,
            report.type_name,
            report.parked.as_deref().map(printable).unwrap_or_default()
        ),
        Err((token, version)) => format!(
            "{token}  version {version} cannot be read: once the operation has ended, \
             `drop-reports` or `forget` gives it up"
        ),
    }
}

#[cfg(test)]
mod tests;
