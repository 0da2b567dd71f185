//! One host on a disk that is full again and again, and has space again without
//! a restart.
//!
//! Where this user may mount, the disk is a small file system in memory, filled
//! to the last byte. Elsewhere no file of the host may grow beyond a limit,
//! which is as a quota.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use crate::campaign::{Extent, Outcome, Stage};
use crate::host::Host;
use crate::place::Place;

pub(crate) const NAME: &str = "disk";

/// The size of the disk, in MiB.
const SIZE: u64 = 64;

/// Runs the campaign.
pub(crate) async fn run(
    extent: Extent,
    keep: bool,
    tell: impl Fn(u64, usize),
) -> anyhow::Result<Outcome> {
    let place = Place::new(NAME, extent.seed)?;
    fs::create_dir(place.data())?;
    let mut disk = Disk::make(&place.data());
    let mut outcome = Outcome::default();
    outcome.note(disk.told());
    let host = Host::new(place.configure("host", "data")?);
    let mut hosts = vec![match disk {
        Disk::Mounted { .. } => host,
        // Without this the signal would end it, before the write fails.
        Disk::Limited => host.through(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]),
    }];
    hosts[0].start()?;
    hosts[0].listens().await?;
    let store = place.attach()?;
    let stage = Stage::set(place, extent, vec![hosts[0].address()]).await?;
    for (round, mut dice) in extent.rounds(NAME) {
        sleep(dice.millis(100..=1_000)).await;
        disk.fill(&hosts[0])?;
        outcome.broke("full");
        sleep(dice.millis(100..=2_000)).await;
        if dice.chance(15) {
            outcome.broke("killed while it was full");
            hosts[0].kill()?;
            hosts[0].start()?;
            // It may say that the disk is full, and end.
            sleep(dice.millis(0..=1_000)).await;
        }
        disk.empty(&hosts[0])?;
        if hosts[0].ended()?.is_some() {
            hosts[0].start()?;
        }
        hosts[0].listens().await?;
        outcome.rounds = round;
        tell(round, stage.load.operations());
    }
    sleep(Duration::from_millis(500)).await;
    // What is left is on a disk that goes.
    let mut outcome = stage.end(hosts, store, outcome, true).await?;
    let good = outcome.violations.is_empty() && !keep;
    if let Some(left) = outcome.left.take_if(|_| good) {
        disk.unmount()?;
        fs::remove_dir_all(left)?;
    } else {
        disk.leave()?;
    }
    Ok(outcome)
}

/// What a host writes to.
enum Disk {
    /// A file system of its own.
    Mounted { path: PathBuf, here: bool },
    /// Files that must not grow.
    Limited,
}

impl Disk {
    fn make(path: &Path) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE}m"), "chaos"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            let path = path.to_owned();
            return Self::Mounted { path, here: true };
        }
        Self::Limited
    }

    fn told(&self) -> &'static str {
        match self {
            Self::Mounted { .. } => "on a file system in memory",
            Self::Limited => {
                "SKIPPED a full file system, which this user may not mount: the size of files is limited in its place"
            }
        }
    }

    fn filler(path: &Path) -> PathBuf {
        path.join("filler")
    }

    /// Takes all space.
    fn fill(&self, host: &Host) -> anyhow::Result<()> {
        match self {
            Self::Limited => limit(host, "0"),
            Self::Mounted { path, .. } => {
                let mut filler = File::create(Self::filler(path))?;
                let mut size = 1 << 20;
                while size > 0 {
                    match filler.write(&vec![0; size]) {
                        Ok(_) => {}
                        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => size /= 2,
                        Err(error) => return Err(error).context("cannot fill the disk"),
                    }
                }
                Ok(())
            }
        }
    }

    /// Gives it back.
    fn empty(&self, host: &Host) -> anyhow::Result<()> {
        match self {
            Self::Limited => limit(host, "unlimited"),
            Self::Mounted { path, .. } => Ok(fs::remove_file(Self::filler(path))?),
        }
    }

    /// Puts what is on it where it stays.
    fn leave(&mut self) -> anyhow::Result<()> {
        if let Self::Mounted { path, .. } = self {
            let path = path.clone();
            let kept = path.with_extension("kept");
            succeed(Command::new("cp").arg("-r").arg(&path).arg(&kept))?;
            self.unmount()?;
            fs::remove_dir(&path)?;
            fs::rename(kept, path)?;
        }
        Ok(())
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        if let Self::Mounted { path, here } = self
            && std::mem::take(here)
        {
            // The store that was looked at has it open still.
            succeed(Command::new("umount").arg("--lazy").arg(path))?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    /// Where the campaign broke off.
    fn drop(&mut self) {
        let _unmounted = self.unmount();
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("{command:?} failed, {status}");
    }
    Ok(())
}

/// Bounds the size of files that a host may write.
fn limit(host: &Host, bytes: &str) -> anyhow::Result<()> {
    let process = host.id().context("it runs")?.to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    succeed(Command::new("prlimit").args(["--pid", &process, &limit]))
}
