//! `formwork run --resume`: goes on with what a data directory holds.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use formwork_host::engine::Engine;
use formwork_host::model::{RequestToken, Timestamp};
use formwork_host::operation::{Operation, PendingReport, Status};
use formwork_host::store::{Filter, Store};

use crate::data::Data;
use crate::operations::shapes::OperationLine;

use super::super::output::Output;
use super::super::{Exit, setup};
use super::{Session, args, follow, report, show_model};

/// The statuses of operations that have not ended.
pub(in crate::commands) const UNFINISHED: [Status; 3] = [
    Status::Pending,
    Status::InProgress,
    Status::CancelInProgress,
];

/// How many operations with reports to send are followed.
const REPORTS: usize = 10_000;

/// A moment, in milliseconds, after all that is ever due: the end of 9999.
const LATEST: u64 = 253_402_300_799_999;

/// Goes on with the operation of `token`, or with all unfinished ones.
pub(super) async fn run(
    session: &Session<'_>,
    token: Option<RequestToken>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let data = session
        .args
        .data
        .as_ref()
        .context("--resume needs --data DIR")?;
    args::check_resumed(session.args)?;
    let settings = session.settings()?;
    if data.directory().is_some_and(|path| !path.is_dir()) {
        bail!(
            "there is no data directory `{}`: give the one that the operation was begun with",
            data.display()
        );
    }
    let store = setup::open(data, session.environment).await?;
    let mut unfinished = match token {
        Some(token) => {
            let operation = store.get(token).await?;
            vec![operation.with_context(|| no_operation(token, data))?]
        }
        None => unfinished(store.as_ref()).await?,
    };
    let ended = unfinished.pop_if(|operation| operation.status.is_terminal());
    let reports = left(store.as_ref(), ended.as_ref()).await?;
    if unfinished.is_empty() && reports.is_empty() {
        return Ok(nothing(session, data, ended.as_ref(), output));
    }
    let sandbox = setup::sandbox(
        session.environment,
        Some(data),
        setup::FEW,
        session.args.limits.sandbox(),
        session.console,
    )?;
    sandbox.check_grants(&settings.grants)?;
    let mut builder = Engine::builder(sandbox).store(store);
    let targets: Vec<_> = unfinished
        .iter()
        .filter_map(|operation| operation.reporting.as_ref())
        .chain(reports.iter().map(|report| &report.target))
        .collect();
    if !targets.is_empty() {
        let region = targets.iter().find_map(|target| target.region.clone());
        builder = builder.reporter(session.args.report.reporter(region).await?);
    }
    let engine = builder.start();
    // Newest last, so that of several versions of a type the newest is current.
    let mut seen = BTreeSet::new();
    for operation in unfinished.iter().rev() {
        if seen.insert(operation.component) {
            engine
                .load_kept(operation.component, settings.clone())
                .await
                .with_context(|| format!("cannot go on with operation {}", operation.token))?;
        }
    }
    if unfinished.is_empty() {
        session.console.say("Nothing to resume but reports.");
        if let Some(operation) = &ended {
            engine.retry_reports(operation.token).await?;
        }
        let tokens: BTreeSet<_> = reports.iter().map(|report| report.event.token).collect();
        let tokens: Vec<_> = tokens.into_iter().collect();
        report::drain(session, &engine, &tokens, report::LONG_PATIENCE).await;
        return Ok(exit(session, ended.as_ref(), output));
    }
    let mut handles = Vec::with_capacity(unfinished.len());
    for operation in &unfinished {
        let handle = engine.operation(operation.token).await?;
        handles.push(handle.with_context(|| no_operation(operation.token, data))?);
    }
    follow::run(session, &engine, handles, output).await
}

/// Gives the reports that are left of an operation that has ended, or one of
/// each operation that has any to send.
async fn left(store: &dyn Store, ended: Option<&Operation>) -> anyhow::Result<Vec<PendingReport>> {
    let found = match ended {
        Some(operation) => store.reports(operation.token).await,
        None => {
            store
                .due_reports(Timestamp::from_millis(LATEST), REPORTS)
                .await
        }
    };
    found.context("cannot look for reports")
}

/// Says that there is nothing to resume.
fn nothing(
    session: &Session<'_>,
    data: &Data,
    ended: Option<&Operation>,
    output: &mut Output,
) -> Exit {
    match ended {
        Some(operation) => session.console.say(format_args!(
            "Nothing to resume: operation {} has ended, {}.",
            operation.token, operation.status
        )),
        None => session.console.say(format_args!(
            "Nothing to resume in `{}`: every operation has ended.",
            data.display()
        )),
    }
    exit(session, ended, output)
}

/// Shows how an operation had ended, if one was asked for.
fn exit(session: &Session<'_>, ended: Option<&Operation>, output: &mut Output) -> Exit {
    let Some(operation) = ended else {
        return Exit::Done;
    };
    if session.args.json {
        output.json(&OperationLine::new(operation));
    } else if let Some(model) = &operation.model {
        show_model(model, output);
    }
    if operation.status == Status::Success {
        Exit::Done
    } else {
        Exit::No
    }
}

fn no_operation(token: RequestToken, data: &Data) -> String {
    format!(
        "there is no operation {token} in `{0}`; see `formwork operations list --data {0}`",
        data.display()
    )
}

/// Gives all unfinished operations, newest first.
async fn unfinished(store: &dyn Store) -> anyhow::Result<Vec<Operation>> {
    let mut filter = Filter {
        statuses: UNFINISHED.to_vec(),
        ..Filter::default()
    };
    let mut found = Vec::new();
    loop {
        let page = store.list(&filter).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        filter.before = Some(last.token);
        found.extend(page);
    }
}
