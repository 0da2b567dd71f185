//! What a host does for as long as it uses the database: it says that it is
//! there, and looks at the clock.

use std::time::Duration;

use super::connections::Connection;
use super::fault::Fault;
use super::server::pause;
use super::{Context, Inner};

/// How often. Bounds how far the time of this host is from the server's, by what
/// clocks drift in it.
const EVERY: Duration = Duration::from_secs(10);

const ENTER: &str = "
    INSERT INTO host (id, name, version) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()";

/// Writes down that this host is there.
pub(super) async fn enter(on: &Connection, context: &Context) -> Result<(), Fault> {
    let version = env!("CARGO_PKG_VERSION");
    on.write(ENTER, &[&context.host, &context.name, &version])
        .await?;
    Ok(())
}

/// Keeps this host present for as long as it is polled.
pub(super) async fn keep(inner: &Inner) {
    loop {
        pause(EVERY).await;
        let seen = async {
            let on = inner.readers.take().await?;
            let seen = async {
                inner.time.look(&on).await?;
                enter(&on, &inner.context).await
            };
            let seen = seen.await;
            on.done(seen)
        };
        if let Err(fault) = seen.await {
            tracing::debug!(?fault, "this host could not say that it is there");
        }
    }
}
