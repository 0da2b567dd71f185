//! The one place that asks what time it is.

use std::time::SystemTime;

/// Gives the host's clock, or the clock of the test driver that runs the handler.
#[cfg(target_family = "wasm")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn now() -> SystemTime {
    native::NOW.get().unwrap_or_else(SystemTime::now)
}

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native {
    use std::cell::Cell;
    use std::time::SystemTime;

    thread_local! {
        /// The manual clock of the test driver that runs on this thread.
        pub(crate) static NOW: Cell<Option<SystemTime>> = const { Cell::new(None) };
    }
}
