//! The limits of the HTTP requests of all handlers together.

use super::super::limit::{Limit, LimitSet};

/// Bounds the HTTP requests of all handlers of a sandbox. What finds no place waits as
/// long as for a connection, and is then an error that the guest is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests under way at a time, until their response is read. One handler has half
    /// of them at most, and fewer when others have many; the last sixteenth is for
    /// handlers that have none. Default: 1,024.
    pub requests: usize,
    /// Names that are looked up at a time, each of which may hold a thread until a name
    /// server answers. One handler has a ninth of them at most, and fewer when others
    /// have many; the last sixteenth is for handlers that have none. Default: 128.
    pub lookups: usize,
    /// Connections at a time, also those that are kept unused, for 2 to 4 seconds. One
    /// handler has half of them at most, and fewer when others have many; the last
    /// sixteenth is for handlers that have none. Default: 512.
    pub connections: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            requests: 1_024,
            lookups: 128,
            connections: 512,
        }
    }
}

impl LimitSet for HttpLimits {
    const TABLE: &'static str = "http";

    const ALL: &'static [Limit<Self>] = &[Limit::REQUESTS, Limit::LOOKUPS, Limit::CONNECTIONS];
}

#[expect(missing_docs, reason = "the fields of `HttpLimits` say it")]
impl Limit<HttpLimits> {
    pub const REQUESTS: Self =
        Self::count("requests", "HTTP requests of all handlers", 100_000, |it| {
            &mut it.requests
        });
    /// More would leave no threads to the files of handlers.
    pub const LOOKUPS: Self = Self::count("lookups", "names that are looked up", 256, |it| {
        &mut it.lookups
    });
    pub const CONNECTIONS: Self = Self::count(
        "connections",
        "connections of all handlers",
        100_000,
        |it| &mut it.connections,
    );
}
