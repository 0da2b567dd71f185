//! Reports to CloudFormation: whom to tell, and waiting until everything is told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use formwork_cloudformation::CloudFormationReporter;
use formwork_host::clock::{Clock, SystemClock};
use formwork_host::engine::{Engine, Reporter};
use formwork_host::model::{BearerToken, Region, RequestToken};
use formwork_host::operation::{PendingReport, ReportTarget};

use crate::environment::{Environment, Secret};

use super::super::text::{printable, span};
use super::Session;

/// How long the end of an operation waits for its reports to be accepted.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long who asks for nothing but reports waits: longer than the longest
/// pause between two tries.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(super) struct ReportArgs {
    /// Reports each event by RecordHandlerProgress to this CloudFormation endpoint
    ///
    /// Signed with the AWS credentials that the AWS tools would use.
    #[arg(long, value_name = "URL")]
    report_endpoint: Option<String>,

    /// CloudFormation's token for the reports, a secret
    ///
    /// Better in `FORMWORK_BEARER_TOKEN`: arguments are seen by other users.
    // Parsed later: an argument that does not parse is shown with its value.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    bearer_token: Option<Secret>,

    /// The region to sign the reports for, in place of the AWS tools' own
    #[arg(long, value_name = "REGION")]
    report_region: Option<Region>,
}

impl ReportArgs {
    /// Tells whether reports are wanted.
    pub(super) const fn is_asked(&self) -> bool {
        self.report_endpoint.is_some()
            || self.bearer_token.is_some()
            || self.report_region.is_some()
    }

    /// Gives whom to tell, or none if nobody.
    pub(super) fn target(&self, environment: &Environment) -> anyhow::Result<Option<ReportTarget>> {
        if !self.is_asked() {
            return Ok(None);
        }
        let bearer_token: BearerToken = match (&self.bearer_token, &environment.bearer_token) {
            (Some(token), _) => token.0.parse().context("cannot use `--bearer-token`")?,
            (None, Some(token)) => token
                .0
                .parse()
                .context("cannot use FORMWORK_BEARER_TOKEN")?,
            (None, None) => bail!(
                "reports need a bearer token: set FORMWORK_BEARER_TOKEN or give --bearer-token"
            ),
        };
        Ok(Some(ReportTarget {
            bearer_token,
            endpoint: self.report_endpoint.clone(),
            region: self.report_region.clone(),
            credentials: None,
        }))
    }

    /// Makes what sends the reports, with the credentials of the AWS tools.
    /// Where the arguments name no region, `fallback` is the reporter's own.
    pub(super) async fn reporter(
        &self,
        fallback: Option<Region>,
    ) -> anyhow::Result<Arc<dyn Reporter>> {
        let mut builder = CloudFormationReporter::builder();
        if let Some(endpoint) = &self.report_endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(region) = self.report_region.clone().or(fallback) {
            builder = builder.region(region);
        }
        let reporter = builder.build().await.context(
            "cannot report to CloudFormation; see `--report-endpoint` and `--report-region`",
        )?;
        Ok(Arc::new(reporter))
    }
}

/// Waits until all reports of the operations are accepted, or no longer sent,
/// or not accepted within `patience`, and says which are left.
pub(super) async fn drain(
    session: &Session<'_>,
    engine: &Engine,
    operations: &[RequestToken],
    patience: Duration,
) {
    let clock = SystemClock::new();
    let until = clock.now().after(patience);
    let mut said = false;
    loop {
        let next = tokio::select! {
            next = engine.idle() => next,
            () = clock.sleep_until(until) => None,
        };
        let left = left(engine, operations).await;
        let waiting = left
            .iter()
            .any(|report| report.parked.is_none() && !held_back(report, &left));
        match next {
            Some(next) if waiting && next < until => {
                if !said {
                    session.console.say(format_args!(
                        "Waiting for reports to be accepted, at most {}.",
                        span(patience)
                    ));
                    said = true;
                }
                clock.sleep_until(next).await;
            }
            Some(_) | None => return tell(session, &left),
        }
    }
}

/// Says which reports of the operations are left.
pub(super) async fn tell_left(session: &Session<'_>, engine: &Engine, operations: &[RequestToken]) {
    tell(session, &left(engine, operations).await);
}

/// Tells whether an earlier report of the same operation is no longer sent.
fn held_back(report: &PendingReport, left: &[PendingReport]) -> bool {
    left.iter()
        .any(|other| other.event.token == report.event.token && other.parked.is_some())
}

async fn left(engine: &Engine, operations: &[RequestToken]) -> Vec<PendingReport> {
    let mut left = Vec::new();
    for token in operations {
        match engine.store().reports(*token).await {
            Ok(reports) => left.extend(reports),
            Err(error) => tracing::warn!(%error, "cannot tell which reports are left"),
        }
    }
    left
}

fn tell(session: &Session<'_>, left: &[PendingReport]) {
    let Some(first) = left.first() else { return };
    let refused = left.iter().find_map(|report| report.parked.as_deref());
    if let Some(reason) = refused {
        session.console.warn(format_args!(
            "a report is no longer sent: {}",
            printable(reason)
        ));
    }
    let reports = match left.len() {
        1 => "1 report is".to_owned(),
        count => format!("{count} reports are"),
    };
    let Some(data) = &session.args.data else {
        session.console.warn(format_args!(
            "{reports} lost; with `--data DIR` they would be kept"
        ));
        return;
    };
    session.console.warn(format_args!(
        "{reports} not accepted and kept in `{}`; to send again:\n  {}",
        data.display(),
        session.resume_command(first.event.token)
    ));
}
