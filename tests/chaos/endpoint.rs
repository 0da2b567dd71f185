//! One host whose reports go to an endpoint that fails, is slow, answers garbage,
//! answers errors to what it has taken, takes what is sent once twice, refuses, hangs
//! up, and is gone for a while.

use std::time::Duration;

use formwork_tests::chaos::schedule::Dice;
use formwork_tests::cloudformation::Misbehaviour;
use tokio::time::sleep;

use crate::campaign::{self, Extent, Outcome, Stage};
use crate::host::Host;
use crate::place::Place;
use crate::relay::Weather;

pub(crate) const NAME: &str = "endpoint";

/// What becomes of a request that is not answered properly.
const MISBEHAVIOURS: [Misbehaviour; 11] = [
    Misbehaviour::Twice,
    Misbehaviour::Unavailable,
    Misbehaviour::InternalFailure,
    Misbehaviour::Throttle,
    Misbehaviour::TooManyRequests,
    Misbehaviour::CloseBefore,
    Misbehaviour::CloseAfter,
    Misbehaviour::Page,
    Misbehaviour::ErrorPage,
    Misbehaviour::ExpiredToken,
    Misbehaviour::AccessDenied,
];

/// Runs the campaign.
pub(crate) async fn run(
    extent: Extent,
    keep: bool,
    tell: impl Fn(u64, usize),
) -> anyhow::Result<Outcome> {
    let place = Place::new(NAME, extent.seed)?;
    let mut hosts = vec![Host::new(place.configure("host", "data")?)];
    hosts[0].start()?;
    hosts[0].listens().await?;
    let store = place.attach()?;
    let stage = Stage::set(place, extent, vec![hosts[0].address()]).await?;
    let seed = extent.seed;
    stage
        .endpoint
        .misbehave_by(move |number| misbehaviour(seed, number as u64));
    let mut outcome = Outcome {
        losses: Some(Vec::new()),
        ..Outcome::default()
    };
    for (round, mut dice) in extent.rounds(NAME) {
        match dice.between(1..=100) {
            1..=25 => {
                outcome.broke("slow");
                stage.relay.set(Weather::Slow(dice.millis(1..=300)));
            }
            26..=38 => {
                outcome.broke("hangs up");
                stage.relay.set(Weather::HangingUp);
            }
            39..=50 => {
                outcome.broke("gone");
                stage.relay.set(Weather::Gone);
            }
            51..=70 => {
                outcome.broke("cut");
                stage.relay.cut();
            }
            71..=80 => {
                outcome.broke("killed the host");
                hosts[0].kill()?;
                outcome.lost_a_host();
                hosts[0].start()?;
                hosts[0].listens().await?;
            }
            _ => outcome.broke("garbage alone"),
        }
        sleep(dice.millis(100..=1_000)).await;
        stage.relay.set(Weather::Fair);
        sleep(dice.millis(100..=500)).await;
        campaign::unpark(store.as_ref()).await?;
        outcome.rounds = round;
        tell(round, stage.load.operations());
    }
    stage.endpoint.misbehave_by(|_| None);
    sleep(Duration::from_millis(500)).await;
    stage.end(hosts, store, outcome, keep).await
}

/// Says what is done to a request.
fn misbehaviour(seed: u64, number: u64) -> Option<Misbehaviour> {
    let mut dice = Dice::of(seed, "misbehaviour", number);
    match dice.between(1..=1_000) {
        // Each holds up its operation for as long as a call may take.
        1..=5 => Some(Misbehaviour::Silence),
        6..=250 => dice.one_of(&MISBEHAVIOURS).copied(),
        _ => None,
    }
}
