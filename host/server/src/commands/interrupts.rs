//! What asks a command to end.

use anyhow::Context as _;

/// Ctrl-C, and SIGTERM and SIGHUP where there are such.
///
/// Once it listens, neither ends the process any more.
pub(super) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    End,
    #[cfg_attr(windows, expect(dead_code, reason = "there is no such signal"))]
    HangUp,
}

impl Interrupts {
    #[cfg(unix)]
    pub(super) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    #[cfg(windows)]
    pub(super) fn listen() -> anyhow::Result<Self> {
        let interrupt = tokio::signal::windows::ctrl_c().context("cannot listen for Ctrl-C")?;
        Ok(Self { interrupt })
    }

    /// Waits for the next one, and tells it from a SIGHUP, which asks some
    /// commands for something else.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses none.
    pub(super) async fn next_or_hang_up(&mut self) -> Interrupt {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::End,
            _ = self.terminate.recv() => Interrupt::End,
            _ = self.hang_up.recv() => Interrupt::HangUp,
        }
        #[cfg(windows)]
        {
            self.interrupt.recv().await;
            Interrupt::End
        }
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses none.
    pub(super) async fn next(&mut self) {
        let (Interrupt::End | Interrupt::HangUp) = self.next_or_hang_up().await;
    }
}
