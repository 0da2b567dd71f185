//! How much waits to be written, where writes are gathered.

use std::time::Duration;

/// How many writes wait at most. Beyond, whoever asks waits too.
pub(super) const QUEUE: usize = 4_096;

/// How long a write waits for room in the queue before it is given up.
pub(super) const WAIT: Duration = Duration::from_secs(10);
