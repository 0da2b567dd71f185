//! The loop that delivers committed reports.
//!
//! *Invariant*: a report is sent by who has its lease, and by nobody who was stopped
//! until that had lapsed: others may have sent it, and those after it, by then. What
//! remains possible is that a host is stopped between its look at the clock and the
//! network, or with its whole machine, whose clock stands still meanwhile; then an
//! old report can arrive again after a later one, and is known by its token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::RequestToken;
use crate::operation::{CancelReason, Delivery, Input, PendingReport, Settlement};
use crate::store::StoreError;

use super::backoff::Backoff;
use super::causes::Causes;
use super::outage::Outage;
use super::pulse::Loop;
use super::tasks::Tasks;
use super::telemetry::{Happening, Stopwatch, line};
use super::{Inner, Mode, Reporter};

/// How many reports are delivered at once, each of another operation.
const CONCURRENCY: usize = 32;

/// How long a delivery is left to the engine that makes it, which gives up by then.
const LEASE: Duration = Duration::from_secs(30);

/// Look this often even without news.
const SCAN: Duration = Duration::from_secs(1);

/// Runs until the mode says otherwise; at once if there is no reporter.
pub(super) async fn run(inner: Arc<Inner>, mode: watch::Receiver<Mode>) {
    tokio::select! {
        () = super::stopped(mode.clone()) => {}
        () = work(&inner, mode) => inner.pulse.stopped(Loop::Outbox),
    }
}

async fn work(inner: &Arc<Inner>, mut mode: watch::Receiver<Mode>) {
    let Some(reporter) = inner.reporter.clone() else {
        return;
    };
    // At most one delivery for each operation.
    let mut sending = Tasks::new();
    let mut outage = Outage::default();
    while *mode.borrow_and_update() == Mode::Run {
        let news = inner.pulse.look(Loop::Outbox);
        let now = inner.clock.now();
        let (began, next) = match begin(inner, &reporter, &mut sending).await {
            Ok(began) => (began, inner.store.next_report(now).await),
            Err(error) => (0, Err(error)),
        };
        let next = outage.note(next).flatten();
        if began == 0 && sending.is_empty() && !outage.lasts() {
            inner.pulse.nothing(Loop::Outbox, news, next);
        }
        let scan = now.after(SCAN);
        let wake = next.map_or(scan, |next| next.min(scan));
        tokio::select! {
            _ = mode.changed() => {}
            () = sending.ended() => {}
            () = inner.pulse.news(Loop::Outbox), if !outage.lasts() => {}
            () = inner.clock.sleep_until(wake) => {}
        }
    }
    while !sending.is_empty() {
        sending.ended().await;
    }
}

async fn begin(
    inner: &Arc<Inner>,
    reporter: &Arc<dyn Reporter>,
    sending: &mut Tasks<RequestToken>,
) -> Result<usize, StoreError> {
    let room = CONCURRENCY - sending.len();
    if room == 0 {
        return Ok(0);
    }
    let under_way: Vec<RequestToken> = sending.labels().copied().collect();
    let now = inner.clock.now();
    let lapses = inner.clock.uptime() + LEASE;
    let claimed = inner.store.claim_reports(now, room, LEASE, &under_way);
    let mut began = 0;
    for report in claimed.await? {
        let token = report.event.token;
        sending.begin(
            token,
            deliver(Arc::clone(inner), Arc::clone(reporter), report, lapses),
        );
        began += 1;
    }
    Ok(began)
}

/// Writes what became of a delivery, as soon as the store can: it is not made
/// again for as long as this process remembers it.
async fn note(inner: &Inner, report: &PendingReport, settlement: Settlement) {
    let (token, version) = (report.event.token, report.event.version);
    let mut backoff = Backoff::new();
    while let Err(error) = inner.store.settle(token, version, settlement.clone()).await {
        line!(error, report, error = %Causes(&error), version, "a delivery could not be noted; trying again");
        backoff.pause(inner.clock.as_ref()).await;
    }
}

/// Sends a report whose lease lapses at that uptime.
async fn deliver(
    inner: Arc<Inner>,
    reporter: Arc<dyn Reporter>,
    report: PendingReport,
    lapses: Duration,
) {
    let watch = Stopwatch::start(inner.clock.as_ref());
    let left = lapses.saturating_sub(inner.clock.uptime());
    if left.is_zero() {
        line!(
            warn,
            &report,
            version = report.event.version,
            "a report is not sent: its turn came when its lease had lapsed"
        );
        inner.pulse.work(Loop::Outbox);
        return;
    }
    let delivery = tokio::select! {
        biased;
        delivery = reporter.deliver(&report) => delivery,
        () = inner.clock.sleep(left) => Delivery::Ambiguous {
            reason: format!("no answer within {LEASE:?}"),
        },
    };
    let span = watch.span();
    let settlement = report.settle(delivery, inner.clock.now());
    let (token, version) = (report.event.token, report.event.version);
    match &settlement {
        Settlement::Delivered { .. } => line!(debug, &report, version, "reported"),
        Settlement::Superseded => {
            line!(
                warn,
                &report,
                version,
                "CloudFormation holds another status; cancelling"
            );
        }
        Settlement::Retry { reason, .. } => {
            line!(
                warn,
                &report,
                version,
                reason,
                "a report was not accepted; trying again"
            );
        }
        Settlement::Parked { reason } => {
            line!(
                error,
                &report,
                version,
                reason,
                "a report is not sent until an operator says so"
            );
        }
    }
    let superseded = settlement == Settlement::Superseded;
    note(&inner, &report, settlement.clone()).await;
    inner.tell(|| Happening::Reported {
        report: &report,
        settlement: &settlement,
        span,
    });
    if superseded && !report.event.status.is_terminal() {
        let cancelled = inner
            .change(token, |_| {
                Some(Input::CancelAsked(CancelReason::Superseded))
            })
            .await;
        if let Err(error) = cancelled {
            line!(info, &report, error = %Causes(&error), "a superseded operation was not cancelled");
        }
    }
    inner.pulse.work(Loop::Outbox);
}
