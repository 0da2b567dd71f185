//! What all campaigns are made of: callers, hosts, an endpoint, and the end, at
//! which everything is looked at.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::Timestamp;
use formwork_host::store::Store;
use formwork_tests::chaos::check::{Violation, violations};
use formwork_tests::chaos::evidence::Evidence;
use formwork_tests::chaos::schedule::Dice;
use formwork_tests::cloudformation::CloudFormation;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::host::Host;
use crate::load::{Doors, Load};
use crate::place::{self, Place};
use crate::records::Records;
use crate::relay::Relay;

/// How long operations and reports may take to end once nothing is broken any
/// more: longer than the longest pause between two sends of a report.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a campaign lasts, and what it is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) seed: u64,
    /// How often something is broken.
    pub(crate) rounds: u64,
    /// After how long no more is broken, whatever rounds are left.
    pub(crate) until: Option<Instant>,
    /// How many callers there are at once.
    pub(crate) callers: u64,
}

impl Extent {
    /// Gives the rounds, each with its number and dice, until time is up.
    pub(crate) fn rounds(self, campaign: &str) -> impl Iterator<Item = (u64, Dice)> {
        let in_time = move || self.until.is_none_or(|until| Instant::now() < until);
        (1..=self.rounds)
            .take_while(move |_| in_time())
            .map(move |round| (round, Dice::of(self.seed, campaign, round)))
    }
}

/// What became of a campaign.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) rounds: u64,
    /// What was broken, each with its number.
    pub(crate) broken: Vec<(&'static str, u64)>,
    pub(crate) operations: usize,
    pub(crate) invocations: usize,
    pub(crate) reports: usize,
    /// When hosts were lost, where nothing else can cost an operation its lease.
    pub(crate) losses: Option<Vec<u64>>,
    /// What there is to know besides.
    pub(crate) notes: Vec<&'static str>,
    /// What is wrong, with the whole history of the operation.
    pub(crate) violations: Vec<(Violation, String)>,
    /// Where there is something to look at.
    pub(crate) left: Option<PathBuf>,
}

impl Outcome {
    /// Keeps something to tell.
    pub(crate) fn note(&mut self, what: &'static str) {
        self.notes.push(what);
    }

    /// Takes note that a host has just been killed, the only reason here for which an
    /// attempt fails.
    pub(crate) fn lost_a_host(&mut self) {
        let now = SystemClock::new().now().as_millis();
        self.losses.get_or_insert_default().push(now);
    }

    /// Counts something that was broken.
    pub(crate) fn broke(&mut self, what: &'static str) {
        match self.broken.iter_mut().find(|(name, _)| *name == what) {
            Some((_, times)) => *times += 1,
            None => self.broken.push((what, 1)),
        }
    }
}

/// Where hosts listen, whenever they do.
pub(crate) type Addresses = Vec<watch::Receiver<Option<SocketAddr>>>;

/// The callers and the endpoint of a campaign.
pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) endpoint: Arc<CloudFormation>,
    /// Through which hosts reach the endpoint.
    pub(crate) relay: Relay,
    pub(crate) load: Load,
    records: Records,
}

impl Stage {
    /// Has callers call the hosts, which need not run yet.
    pub(crate) async fn set(
        place: Place,
        extent: Extent,
        hosts: Addresses,
    ) -> anyhow::Result<Self> {
        let endpoint = Arc::new(CloudFormation::start().await);
        let url = endpoint.endpoint();
        let address = url.trim_start_matches("http://").parse()?;
        let relay = Relay::start(address).await?;
        let doors = Doors {
            hosts,
            endpoint: Arc::clone(&endpoint),
            endpoint_url: format!("http://{}", relay.address()),
        };
        let records = Records::watch(place.records());
        let load = Load::start(extent.seed, extent.callers, doors);
        Ok(Self {
            records,
            place,
            endpoint,
            relay,
            load,
        })
    }

    /// Lets everything come to its end, and looks at it. All hosts run, and
    /// nothing is broken any more.
    pub(crate) async fn end(
        mut self,
        mut hosts: Vec<Host>,
        store: Arc<dyn Store>,
        mut outcome: Outcome,
        keep: bool,
    ) -> anyhow::Result<Outcome> {
        self.load.end(PATIENCE).await;
        let until = Instant::now() + PATIENCE;
        while unreported(store.as_ref()).await? && Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
        }
        self.load.look_again().await?;
        for host in &mut hosts {
            let status = host.stop().await?;
            if !status.success() {
                bail!(
                    "a host did not stop gently, {status}: see {}",
                    self.place.path().display()
                );
            }
        }
        let evidence = Evidence {
            asked: self.load.asked(),
            invocations: self.place.invocations(&self.records)?,
            reports: place::reports(&self.endpoint.requests())?,
            histories: place::histories(store.as_ref()).await?,
            losses: outcome.losses.take(),
        };
        outcome.operations = evidence.asked.len();
        outcome.invocations = evidence.invocations.len();
        outcome.reports = evidence.reports.len();
        outcome.violations = violations(&evidence)
            .into_iter()
            .map(|violation| {
                let history = evidence.tell(&violation.key);
                (violation, history)
            })
            .collect();
        if outcome.violations.is_empty() && !keep {
            self.place.remove()?;
        } else {
            self.place
                .leave(&evidence, &outcome.violations)
                .context("cannot leave the ledger")?;
            outcome.left = Some(self.place.path().to_owned());
        }
        Ok(outcome)
    }
}

/// Tells whether any report is still to be delivered.
async fn unreported(store: &dyn Store) -> anyhow::Result<bool> {
    if store
        .next_report(Timestamp::from_millis(0))
        .await?
        .is_some()
    {
        return Ok(true);
    }
    unpark(store).await
}

/// Has reports that the endpoint has refused sent again, as an operator would.
/// Tells whether there were any.
pub(crate) async fn unpark(store: &dyn Store) -> anyhow::Result<bool> {
    let parked = store.parked_reports(usize::MAX).await?;
    for report in &parked {
        let now = SystemClock::new().now();
        let token = match report {
            Ok(report) => report.event.token,
            Err((token, _)) => *token,
        };
        store.unpark(token, now).await?;
    }
    Ok(!parked.is_empty())
}
