//! The tables, and what makes newer ones of older ones.
//!
//! *Invariant*: the one row of `formwork` has the number of migrations that were
//! applied, and the least that a program must know of to use the tables. A
//! program that knows of fewer is refused, also while it runs.

use tokio_postgres::Client;

use super::fault::Fault;

/// A change of the tables. A published one never changes.
pub(super) struct Migration {
    pub(super) sql: &'static str,
    /// The version that a program must know of to use the tables after it: its
    /// own number if older programs would break them, else that of one before it.
    pub(super) needs_at_least: i32,
}

/// The migrations in order.
pub(super) const MIGRATIONS: [Migration; 3] = [
    Migration {
        sql: V1,
        needs_at_least: 1,
    },
    Migration {
        sql: V2,
        needs_at_least: 1,
    },
    Migration {
        sql: V3,
        needs_at_least: 1,
    },
];

/// The version of the tables that this program reads and writes.
pub(super) const SUPPORTED: i32 = 3;

/// Times are milliseconds since the Unix epoch by the server's clock.
///
/// `operation` is what claims read and write, and narrow; it has room for new
/// versions of its rows, and is vacuumed early, since each row is changed several
/// times within seconds. `live` is true until the operation has ended; it is
/// false too for one whose record cannot be read, lest it be claimed for ever.
/// `sealed` is the rest of an operation; what is sealed cannot be compressed.
/// `resource` stands for scope, type and identifier. No account or no region is
/// an empty text. An outbox row is `head` if it is the oldest of its operation.
/// `host` has a row for each program that uses the database.
const V1: &str = "
CREATE TABLE operation (
    token        uuid PRIMARY KEY,
    resource     uuid,
    version      bigint NOT NULL,
    due          bigint NOT NULL,
    deadline     bigint NOT NULL,
    lease_number bigint,
    lease_until  bigint,
    lease_host   uuid,
    ended_at     bigint,
    component    bigint NOT NULL,
    attempt      integer NOT NULL,
    status       smallint NOT NULL,
    mutation     smallint NOT NULL,
    live         boolean NOT NULL,
    account      text NOT NULL,
    region       text NOT NULL,
    type         text NOT NULL,
    identifier   text
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 1
);

CREATE INDEX operation_ready ON operation (type, due, token)
    WHERE live AND lease_until IS NULL;
CREATE INDEX operation_lease ON operation (lease_until, token)
    WHERE live AND lease_until IS NOT NULL;
CREATE INDEX operation_deadline ON operation (deadline, token)
    WHERE live AND lease_until IS NULL;
CREATE INDEX operation_ended ON operation (ended_at, token)
    WHERE ended_at IS NOT NULL;
CREATE INDEX operation_listed ON operation (account, region, status, mutation, token);

CREATE TABLE sealed (
    token   uuid PRIMARY KEY,
    version bigint NOT NULL,
    record  bytea NOT NULL,
    target  bytea
) WITH (
    fillfactor = 60,
    toast_tuple_target = 4080,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 1
);
ALTER TABLE sealed ALTER COLUMN record SET STORAGE EXTERNAL,
                   ALTER COLUMN target SET STORAGE EXTERNAL;

CREATE TABLE event (
    token   uuid NOT NULL,
    version bigint NOT NULL,
    record  bytea NOT NULL,
    model   bytea,
    PRIMARY KEY (token, version)
) WITH (toast_tuple_target = 4080);
ALTER TABLE event ALTER COLUMN record SET STORAGE EXTERNAL,
                  ALTER COLUMN model SET STORAGE EXTERNAL;

CREATE TABLE outbox (
    token       uuid NOT NULL,
    version     bigint NOT NULL,
    due         bigint NOT NULL,
    lease_until bigint,
    lease_host  uuid,
    attempts    integer NOT NULL,
    head        boolean NOT NULL,
    ambiguous   boolean NOT NULL,
    parked      bytea,
    PRIMARY KEY (token, version)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 1
);

CREATE INDEX outbox_due ON outbox (due, token)
    WHERE head AND parked IS NULL;

CREATE TABLE resource_lock (
    resource uuid PRIMARY KEY,
    token    uuid NOT NULL,
    held     boolean NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE client_token (
    account      text NOT NULL,
    region       text NOT NULL,
    client_token text NOT NULL,
    token        uuid NOT NULL,
    fingerprint  bytea NOT NULL,
    used_at      bigint NOT NULL,
    PRIMARY KEY (account, region, client_token)
);
CREATE INDEX client_token_used ON client_token (used_at);

CREATE TABLE bearer_token (
    bearer_token bytea PRIMARY KEY,
    token        uuid NOT NULL,
    fingerprint  bytea NOT NULL
);
CREATE INDEX bearer_token_operation ON bearer_token (token);

CREATE TABLE write_only (
    resource uuid PRIMARY KEY,
    record   bytea NOT NULL
);

CREATE TABLE component (
    digest bytea PRIMARY KEY,
    size   bigint NOT NULL
);

CREATE TABLE component_part (
    digest bytea NOT NULL,
    number integer NOT NULL,
    bytes  bytea NOT NULL,
    PRIMARY KEY (digest, number)
);
ALTER TABLE component_part ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE host (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    version    text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE host_component (
    host   uuid NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (host, digest)
);
";

/// The index holds all that a count of it asks for, so that a million rows are
/// counted without looking any of them up.
///
/// Whoever reads goes on while it is built, and is shut out for the exchange alone.
/// Whether somebody reads for so long that there can be none is asked before.
const V2: &str = "
SAVEPOINT asking;
LOCK TABLE operation IN ACCESS EXCLUSIVE MODE;
ROLLBACK TO SAVEPOINT asking;
CREATE INDEX operation_ready_2 ON operation (type, due, token) INCLUDE (status)
    WHERE live AND lease_until IS NULL;
DROP INDEX operation_ready;
ALTER INDEX operation_ready_2 RENAME TO operation_ready;
";

/// When the report of an event was accepted. Of what an older program has settled, while
/// it runs beside newer ones, there is no moment.
const V3: &str = "
ALTER TABLE event ADD COLUMN delivered_at bigint;
";

/// What the database says of itself.
pub(super) struct State {
    /// How many migrations were applied; 0 if it is empty.
    pub(super) version: i32,
    /// The version that a program must support.
    pub(super) needs_at_least: i32,
    /// The id of the key that it is sealed with, if anything is.
    pub(super) key: Option<Vec<u8>>,
}

impl State {
    /// Tells whether this program may use the tables.
    pub(super) const fn is_too_new(&self) -> bool {
        self.needs_at_least > SUPPORTED
    }
}

/// Reads what the database says of itself.
pub(super) async fn state(client: &Client) -> Result<State, Fault> {
    let empty = State {
        version: 0,
        needs_at_least: 0,
        key: None,
    };
    // By a look into the catalog: what a session remembers of a name may be of
    // before it waited for another program.
    let there = client
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_class c
                            WHERE c.relname = 'formwork' AND pg_table_is_visible(c.oid))",
            &[],
        )
        .await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(empty);
    }
    let row = client
        .query_opt("SELECT version, needs_at_least, key FROM formwork", &[])
        .await?;
    let Some(row) = row else { return Ok(empty) };
    Ok(State {
        version: row.try_get(0)?,
        needs_at_least: row.try_get(1)?,
        key: row.try_get(2)?,
    })
}
