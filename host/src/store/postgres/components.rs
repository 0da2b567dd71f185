//! Components, in parts, by their digest.
//!
//! *Invariant*: what is read has its digest.
//!
//! *Invariant*: a component stays while a host has it loaded, also another one:
//! each keeps a list of what it uses, which counts for a day after the host was
//! last seen.

use std::sync::Arc;

use uuid::Uuid;

use crate::model::Digest;
use crate::store::row;

use super::Context;
use super::connections::Connection;
use super::fault::Fault;
use super::transaction::{Step, step};

/// The size of a part: one statement carries it in time, also over a slow line.
const PART: usize = 1 << 20;

/// A component that is being removed is waited for, and added anew.
const KEEP: &str = "
    INSERT INTO component (digest, size) VALUES ($1, $2)
    ON CONFLICT (digest) DO UPDATE SET size = excluded.size";

const USE: &str = "
    INSERT INTO host_component (host, digest) SELECT $1, d FROM unnest($2::bytea[]) AS d
    ON CONFLICT DO NOTHING";

/// The server looks at what it has: it need not be sent to be compared.
const PARTS: &str = "SELECT sha256(bytes) FROM component_part WHERE digest = $1 ORDER BY number";

const ADD_PART: &str = "
    INSERT INTO component_part (digest, number, bytes) VALUES ($1, $2, $3)
    ON CONFLICT (digest, number) DO UPDATE SET bytes = excluded.bytes";

const GET: &str = "SELECT size FROM component WHERE digest = $1";

const GET_PART: &str = "SELECT bytes FROM component_part WHERE digest = $1 AND number = $2";

const UNUSE: &str = "DELETE FROM host_component WHERE host = $1 AND NOT digest = ANY ($2)";

const FORGET_HOSTS: &str = "
    WITH gone AS (DELETE FROM host WHERE seen_at < now() - interval '1 day' RETURNING id)
    DELETE FROM host_component WHERE host IN (SELECT id FROM gone)";

/// Those that no host uses, each with what tells whether it is kept again later.
const UNUSED: &str = "
    SELECT digest, xmin::text FROM component c
    WHERE NOT EXISTS (SELECT 1 FROM host_component u WHERE u.digest = c.digest)";

/// Operations in the order of their tokens after $1, with what they refer to.
const REFERRED: &str = "
    SELECT max(token::text COLLATE \"C\")::uuid, array_agg(DISTINCT component) FROM (
        SELECT token, component FROM operation WHERE token > $1 ORDER BY token LIMIT $2) AS page";

/// How many operations are looked at in one statement.
const PAGE: i64 = 20_000;

const LOCK: &str =
    "SELECT digest FROM component WHERE digest = ANY ($1) ORDER BY digest FOR UPDATE";

/// Those of them that nobody has kept again or uses since.
const STILL: &str = "
    SELECT c.digest FROM component c
    JOIN unnest($1::bytea[], $2::text[]) AS i (digest, seen)
      ON c.digest = i.digest AND c.xmin::text = i.seen
    WHERE NOT EXISTS (SELECT 1 FROM host_component u WHERE u.digest = c.digest)";

const REMOVE: &str = "DELETE FROM component WHERE digest = ANY ($1)";

const REMOVE_PARTS: &str = "DELETE FROM component_part WHERE digest = ANY ($1)";

pub(super) async fn put(on: &Connection, context: &Context, bytes: &[u8]) -> Result<Digest, Fault> {
    let digest = Digest::of(bytes);
    let key: &[u8] = digest.as_bytes();
    let size = row::limit(bytes.len());
    let used = [key];
    let used = used.as_slice();
    let found = on
        .begin(vec![
            step(KEEP, &[&key, &size]),
            step(USE, &[&context.host, &used]),
            step(PARTS, &[&key]),
        ])
        .await?;
    let is_whole = on
        .or_undo(is_whole(found.last().map_or(&[], Vec::as_slice), bytes))
        .await?;
    if !is_whole {
        // What is there but damaged is written anew.
        for (number, part) in (0_i32..).zip(bytes.chunks(PART)) {
            on.go_on(&[step(ADD_PART, &[&key, &number, &part])]).await?;
        }
    }
    on.commit(Vec::new()).await?;
    Ok(digest)
}

/// Tells whether these are the digests of a component's parts.
fn is_whole(parts: &[tokio_postgres::Row], bytes: &[u8]) -> Result<bool, Fault> {
    let mut expected = bytes.chunks(PART).map(Digest::of);
    for part in parts {
        let found: &[u8] = part.try_get(0)?;
        if expected.next().is_none_or(|it| it.as_bytes() != found) {
            return Ok(false);
        }
    }
    Ok(expected.next().is_none())
}

pub(super) async fn get(on: &Connection, digest: Digest) -> Result<Option<Arc<[u8]>>, Fault> {
    let key: &[u8] = digest.as_bytes();
    let rows = on.query(GET, &[&key]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let size = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
    let mut bytes = Vec::new();
    let parts = size.div_ceil(PART);
    for number in (0_i32..).take(parts) {
        let part = on.query(GET_PART, &[&key, &number]).await?;
        let Some(part) = part.first() else { break };
        bytes.extend_from_slice(part.try_get(0)?);
    }
    let found = Digest::of(&bytes);
    if found == digest {
        return Ok(Some(bytes.into()));
    }
    // Was it removed meanwhile?
    if on.query(GET, &[&key]).await?.is_empty() {
        return Ok(None);
    }
    let what = format!("component {digest} has digest {found}; load it again");
    Err(row::Damaged::new(what).into())
}

/// Takes note of what this host uses, and removes what nobody needs.
///
/// Nothing is locked while it is looked for who refers to what. A component that
/// was loaded meanwhile, and so can be referred to, was kept again.
pub(super) async fn prune(
    on: &Connection,
    context: &Context,
    used: &[Digest],
) -> Result<Vec<Digest>, Fault> {
    let used: Vec<&[u8]> = used.iter().map(|it| it.as_bytes().as_slice()).collect();
    on.begin(vec![
        step(UNUSE, &[&context.host, &used]),
        step(USE, &[&context.host, &used]),
        step(FORGET_HOSTS, &[]),
    ])
    .await?;
    on.commit(Vec::new()).await?;
    let mut unused = Vec::new();
    for row in on.query(UNUSED, &[]).await? {
        unused.push(Unused {
            digest: digest(row.try_get(0)?)?,
            seen: row.try_get(1)?,
        });
    }
    let unused = unreferred(on, unused).await?;
    if unused.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<&[u8]> = unused
        .iter()
        .map(|it| it.digest.as_bytes().as_slice())
        .collect();
    let seen: Vec<&str> = unused.iter().map(|it| it.seen.as_str()).collect();
    // Whoever keeps one waits, or has said already that it uses it.
    on.begin(vec![step(LOCK, &[&keys])]).await?;
    let still = on.go_on(&[step(STILL, &[&keys, &seen])]).await?;
    let still = on
        .or_undo(digests(still.first().map_or(&[], Vec::as_slice)))
        .await?;
    let keys: Vec<&[u8]> = still.iter().map(|it| it.as_bytes().as_slice()).collect();
    let steps: Vec<Step<'_>> = vec![step(REMOVE, &[&keys]), step(REMOVE_PARTS, &[&keys])];
    on.commit(steps).await?;
    Ok(still)
}

/// A component that no host uses.
struct Unused {
    digest: Digest,
    seen: String,
}

/// Gives those that no operation refers to. Looks at the operations a page at a
/// time, until none of the components is left or no operation is.
async fn unreferred(on: &Connection, mut unused: Vec<Unused>) -> Result<Vec<Unused>, Fault> {
    let mut after = Uuid::nil();
    while !unused.is_empty() {
        let page = on.query(REFERRED, &[&after, &PAGE]).await?;
        let Some(row) = page.first() else { break };
        let Some(last) = row.try_get::<_, Option<Uuid>>(0)? else {
            break;
        };
        let referred: Vec<i64> = row.try_get(1)?;
        unused.retain(|it| !referred.contains(&row::component_number(it.digest)));
        after = last;
    }
    Ok(unused)
}

fn digests(rows: &[tokio_postgres::Row]) -> Result<Vec<Digest>, Fault> {
    rows.iter().map(|row| digest(row.try_get(0)?)).collect()
}

fn digest(bytes: &[u8]) -> Result<Digest, Fault> {
    let bytes = bytes.try_into();
    let bytes = bytes.map_err(|_| row::Damaged::new("the digest of a component".to_owned()))?;
    Ok(Digest::from_bytes(bytes))
}
