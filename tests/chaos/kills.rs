//! One host on SQLite, killed at any moment: while it starts, while it recovers,
//! while it works.

use std::time::Duration;

use tokio::time::sleep;

use crate::campaign::{Extent, Outcome, Stage};
use crate::host::Host;
use crate::place::Place;

pub(crate) const NAME: &str = "sqlite";

/// Runs the campaign.
pub(crate) async fn run(
    extent: Extent,
    keep: bool,
    tell: impl Fn(u64, usize),
) -> anyhow::Result<Outcome> {
    let place = Place::new(NAME, extent.seed)?;
    let host = Host::new(place.configure("host", "data")?);
    let mut hosts = vec![host];
    let stage = Stage::set(place, extent, vec![hosts[0].address()]).await?;
    let mut outcome = Outcome {
        losses: Some(Vec::new()),
        ..Outcome::default()
    };
    for (round, mut dice) in extent.rounds(NAME) {
        let host = &mut hosts[0];
        host.start()?;
        let early = dice.chance(20);
        let after = dice.millis(if early { 0..=300 } else { 0..=1_500 });
        if early {
            outcome.broke("killed while it started");
        } else {
            host.listens().await?;
            outcome.broke("killed");
        }
        sleep(after).await;
        host.kill()?;
        outcome.lost_a_host();
        outcome.rounds = round;
        tell(round, stage.load.operations());
        // Callers are to meet a host that is not there, too.
        sleep(dice.millis(0..=100)).await;
    }
    hosts[0].start()?;
    hosts[0].listens().await?;
    // Beside a host that has come through it all.
    let store = stage.place.attach()?;
    sleep(Duration::from_millis(500)).await;
    stage.end(hosts, store, outcome, keep).await
}
