//! How the tables are made, and older ones become newer ones while hosts run.
//!
//! *Invariant*: of programs that start at once, one migrates.
//!
//! *Invariant*: nobody waits for long behind a migration that waits itself: it
//! asks for a lock for a second, lets go of all that it has, and comes again.

use std::time::Duration;

use tokio_postgres::Client;

use crate::store::seal::Sealer;

use super::fault::Fault;
use super::schema::{self, MIGRATIONS, State};
use super::server::pause;

/// Names the lock of migrations, among all advisory locks of the database.
const LOCK: i64 = 0x666f_726d_776f_726b;

/// Another program that migrates may take its time.
const BEGIN: &str = "
    BEGIN;
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = '60s';
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// Whoever writes has a look at this table first, and waits, for five seconds at
/// most.
const GATE: &str = "
    SET LOCAL lock_timeout = '1s';
    CREATE TABLE IF NOT EXISTS formwork (
        one            boolean PRIMARY KEY DEFAULT true CHECK (one),
        version        integer NOT NULL,
        needs_at_least integer NOT NULL,
        key            bytea
    );
    LOCK TABLE formwork IN ACCESS EXCLUSIVE MODE;
    INSERT INTO formwork (version, needs_at_least) VALUES (0, 0) ON CONFLICT DO NOTHING";

/// Of the sessions that use the tables, the one with the oldest transaction.
const HOLDER: &str = "
    SELECT l.pid FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.pid <> pg_backend_pid()
      AND l.relation IN (to_regclass('formwork'), to_regclass('operation'), to_regclass('event'))
    ORDER BY a.xact_start LIMIT 1";

/// How long a migration that was in the way of others, or they in its, waits before
/// it is tried again; and how often, which is five minutes.
const PAUSE: Duration = Duration::from_secs(4);
const TRIES: u32 = 60;

/// Makes or changes the tables, and takes note of the key if there is none yet.
/// Gives what the database says of itself then. Waits for who uses the tables, and
/// for another program that is doing the same.
pub(super) async fn prepare(client: &Client, sealer: &Sealer, place: &str) -> Result<State, Fault> {
    let mut left = TRIES;
    loop {
        match one(client, sealer, place).await {
            Ok(state) if next(&state).is_none() => return Ok(state),
            Ok(_) => {}
            Err(fault) if fault.is_held_up() && left > 0 => {
                left -= 1;
                client.batch_execute("ROLLBACK").await?;
                let row = client.query_opt(HOLDER, &[]).await?;
                let holder: Option<i32> = row.and_then(|row| row.try_get(0).ok());
                tracing::warn!(
                    place,
                    holder,
                    "the database is to be migrated, and another session holds its tables; trying again"
                );
                pause(PAUSE).await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// Gives the migration that is to be applied.
fn next(state: &State) -> Option<&'static schema::Migration> {
    let applied = usize::try_from(state.version).ok()?;
    MIGRATIONS.get(applied)
}

/// Applies one migration, if there is one, in a transaction of its own: no table is
/// held while another one is waited for.
async fn one(client: &Client, sealer: &Sealer, place: &str) -> Result<State, Fault> {
    client.batch_execute(BEGIN).await?;
    client
        .query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    let mut state = schema::state(client).await?;
    if let Some(migration) = next(&state) {
        client.batch_execute(GATE).await?;
        let from = state.version;
        if from > 0 {
            tracing::info!(place, from, to = from + 1, "migrating the database");
        }
        client.batch_execute(migration.sql).await?;
        state.version += 1;
        state.needs_at_least = state.needs_at_least.max(migration.needs_at_least);
        let said = "UPDATE formwork SET version = $1, needs_at_least = $2";
        client
            .execute(said, &[&state.version, &state.needs_at_least])
            .await?;
    }
    if state.key.is_none() && !state.is_too_new() {
        let key = sealer.id().as_bytes().to_vec();
        let said = "UPDATE formwork SET key = $1 WHERE key IS NULL";
        client.execute(said, &[&key]).await?;
        state.key = Some(key);
    }
    client.batch_execute("COMMIT").await?;
    Ok(state)
}
