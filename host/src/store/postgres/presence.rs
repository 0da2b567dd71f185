//! What whoever uses the database does for as long as that lasts: it looks at the
//! clock, and a host says that it is there.

use std::time::Duration;

use super::connections::Connection;
use super::fault::Fault;
use super::open::As;
use super::server::pause;
use super::{Context, Inner};

/// How often. Bounds how far the time here is from the server's, by what clocks
/// drift in it.
const EVERY: Duration = Duration::from_secs(10);

const ENTER: &str = "
    INSERT INTO host (id, name, version) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()";

/// Looks at the clock, and writes down that this host is there if it is one.
pub(super) async fn show(inner: &Inner, on: &Connection, who: As) -> Result<(), Fault> {
    inner.time.look(on).await?;
    match who {
        As::Engine => enter(on, &inner.context).await,
        As::Client => Ok(()),
    }
}

async fn enter(on: &Connection, context: &Context) -> Result<(), Fault> {
    let version = env!("CARGO_PKG_VERSION");
    on.write(ENTER, &[&context.host, &context.name, &version])
        .await?;
    Ok(())
}

/// Does so now and then, for as long as it is polled.
pub(super) async fn keep(inner: &Inner, who: As) {
    loop {
        pause(EVERY).await;
        let seen = async {
            let on = inner.readers.take().await?;
            let seen = show(inner, &on, who).await;
            on.done(seen)
        };
        if let Err(fault) = seen.await {
            tracing::debug!(?fault, "the clock of the database could not be looked at");
        }
    }
}
