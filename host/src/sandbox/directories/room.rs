//! What a granted directory may grow by.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use crate::sandbox::Quota;
use crate::sandbox::notices::Notices;
use crate::sandbox::quota::{Growing, Ledger, Sum, Verdict};

/// A granted directory that may grow, for one invocation.
pub(in crate::sandbox) struct Room {
    /// As it was granted.
    pub(in crate::sandbox) path: PathBuf,
    pub(in crate::sandbox) quota: Quota,
    pub(in crate::sandbox) ledger: Arc<Ledger>,
    pub(in crate::sandbox) notices: Notices,
}

/// What would make a directory larger.
pub(super) enum Growth {
    /// So much.
    By(Sum),
    /// What a file is shorter than that.
    To { file: Arc<File>, end: u64 },
}

impl Growth {
    pub(super) const NONE: Self = Self::By(Sum { bytes: 0, files: 0 });
    pub(super) const FILE: Self = Self::By(Sum { bytes: 0, files: 1 });

    fn sum(&self) -> io::Result<Sum> {
        match self {
            Self::By(sum) => Ok(*sum),
            // The size of an open file is at hand: nothing waits for a disk.
            Self::To { file, end } => Ok(Sum {
                bytes: end.saturating_sub(file.metadata()?.len()),
                files: 0,
            }),
        }
    }
}

impl Room {
    /// Counts growth, and measures the directory where that has to be.
    pub(super) async fn grow(&self, growth: &Growth) -> io::Result<Growing> {
        let mut is_measured = false;
        loop {
            let growing = self.ledger.growing().await;
            match self.ledger.take(self.quota, growth.sum()?) {
                Verdict::Taken => return Ok(growing),
                Verdict::Unmeasured if !is_measured => {
                    drop(growing);
                    self.measure().await?;
                    is_measured = true;
                }
                Verdict::Unmeasured | Verdict::Full => return Err(self.full()),
            }
        }
    }

    async fn measure(&self) -> io::Result<()> {
        let measured = self.ledger.measure(self.quota).await;
        measured.inspect_err(|error| {
            self.notices.tell(format!(
                "nothing can be added to the directory `{}`, since what it holds cannot be \
                 measured: {error}",
                self.path.display()
            ));
        })
    }

    /// Tells the operator that the directory is full, and gives the error of a
    /// full disk.
    fn full(&self) -> io::Error {
        let path = self.path.display();
        let Quota { bytes, files } = self.quota;
        self.notices.tell(format!(
            "the directory `{path}` is full, by its quota of {bytes} bytes in {files} files: grant \
             it with more, such as `dir={path}:bytes={}B,files={}`",
            bytes.saturating_mul(2),
            files.saturating_mul(2)
        ));
        Errno::NOSPC.into()
    }
}
