//! Three hosts on one PostgreSQL. Hosts are killed, and paused until others have
//! their leases; the database is restarted, killed and paused; connections are cut
//! and slow.

use std::time::Duration;

use formwork_tests::chaos::schedule::Dice;
use tokio::time::{Instant, sleep};

use crate::campaign::{Extent, Outcome, Stage};
use crate::database::{self, Server};
use crate::host::Host;
use crate::place::{LEASE, Place};
use crate::relay::{Relay, Weather};

pub(crate) const NAME: &str = "postgres";

/// How many hosts share the database.
const HOSTS: usize = 3;

/// How much longer than a lease a host is paused at least, so that others have all
/// of its own.
const PAUSE: Duration = Duration::from_secs(2);

/// What can be done in a round.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Kill,
    Pause,
    Hiccup,
    Restart,
    Crash,
    Freeze,
    Cut,
    Slow,
}

/// All of it. Each eight rounds meet each of them, in an order that is drawn.
const ALL: [Strike; 8] = [
    Strike::Kill,
    Strike::Pause,
    Strike::Hiccup,
    Strike::Restart,
    Strike::Crash,
    Strike::Freeze,
    Strike::Cut,
    Strike::Slow,
];

/// One of the hosts.
struct Member {
    host: Host,
    relay: Relay,
    /// Until when it is paused.
    paused: Option<Instant>,
}

/// Runs the campaign.
pub(crate) async fn run(
    extent: Extent,
    keep: bool,
    tell: impl Fn(u64, usize),
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let Some(mut server) = Server::start()? else {
        outcome.note("SKIPPED the campaign of PostgreSQL: there is no server to run");
        return Ok(outcome);
    };
    let place = Place::new(NAME, extent.seed)?;
    let mut members = Vec::new();
    for number in 1..=HOSTS {
        let relay = Relay::start(server.address()).await?;
        let url = database::url(relay.address());
        let configuration = place.configure(&format!("host{number}"), &url)?;
        let mut host = Host::new(configuration)
            .with("FORMWORK_DATABASE_KEY", database::KEY)
            .with("FORMWORK_DATABASE_PASSWORD", database::PASSWORD);
        host.start()?;
        members.push(Member {
            host,
            relay,
            paused: None,
        });
    }
    for member in &mut members {
        member.host.listens().await?;
    }
    let addresses = members.iter().map(|member| member.host.address()).collect();
    let stage = Stage::set(place, extent, addresses).await?;
    for (round, mut dice) in extent.rounds(NAME) {
        for member in &mut members {
            member.mend()?;
        }
        let strike = strike(extent.seed, round);
        let which = usize::try_from(dice.between(0..=HOSTS as u64 - 1)).unwrap_or_default();
        let broken = carry_out(strike, &mut members[which], &mut server, &mut dice).await?;
        outcome.broke(broken);
        sleep(dice.millis(200..=2_000)).await;
        outcome.rounds = round;
        tell(round, stage.load.operations());
    }
    for member in &mut members {
        member.relay.set(Weather::Fair);
        if let Some(until) = member.paused {
            tokio::time::sleep_until(until).await;
        }
        member.mend()?;
        member.host.listens().await?;
    }
    let store = server.attach().await?;
    let (hosts, _relays): (Vec<_>, Vec<_>) = members
        .into_iter()
        .map(|member| (member.host, member.relay))
        .unzip();
    stage.end(hosts, store, outcome, keep).await
}

/// Says what is done in a round.
fn strike(seed: u64, round: u64) -> Strike {
    let each = ALL.len() as u64;
    let mut deck = ALL;
    Dice::of(seed, "strikes", (round - 1) / each).shuffle(&mut deck);
    deck[usize::try_from((round - 1) % each).unwrap_or_default()]
}

/// Does it, and says what that was.
async fn carry_out(
    strike: Strike,
    member: &mut Member,
    server: &mut Server,
    dice: &mut Dice,
) -> anyhow::Result<&'static str> {
    Ok(match strike {
        Strike::Kill => {
            member.paused = None;
            member.host.kill()?;
            sleep(dice.millis(0..=3_000)).await;
            member.host.start()?;
            "hosts killed"
        }
        Strike::Pause if member.runs()? => {
            member.host.signal("-STOP")?;
            let span = LEASE + PAUSE + dice.millis(0..=5_000);
            member.paused = Some(Instant::now() + span);
            "paused past the lease"
        }
        Strike::Hiccup if member.runs()? => {
            member.host.signal("-STOP")?;
            sleep(dice.millis(100..=3_000)).await;
            member.host.signal("-CONT")?;
            "paused for a moment"
        }
        Strike::Pause | Strike::Hiccup => "left alone",
        Strike::Restart => {
            server.command("stop")?;
            sleep(dice.millis(0..=2_000)).await;
            server.command("start")?;
            "database restarted"
        }
        Strike::Crash => {
            server.command("kill")?;
            sleep(dice.millis(0..=2_000)).await;
            server.command("start")?;
            "database killed"
        }
        Strike::Freeze => {
            server.command("pause")?;
            sleep(dice.millis(500..=4_000)).await;
            server.command("go")?;
            "database paused"
        }
        Strike::Cut => {
            member.relay.cut();
            "connections cut"
        }
        Strike::Slow => {
            member.relay.set(Weather::Slow(dice.millis(5..=150)));
            "connections slow"
        }
    })
}

impl Member {
    /// Tells whether the process is there and not paused.
    fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.paused.is_none() && self.host.ended()?.is_none())
    }

    /// Lets it go on once its time has come, and starts it again if it has ended
    /// because the database was not there.
    fn mend(&mut self) -> anyhow::Result<()> {
        if self.paused.is_some_and(|until| Instant::now() >= until) {
            self.host.signal("-CONT")?;
            self.paused = None;
        }
        if self.host.ended()?.is_some() {
            self.host.start()?;
        }
        Ok(())
    }
}
