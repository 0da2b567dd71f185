//! Components, in parts, by their digest.
//!
//! *Invariant*: what is read has its digest.
//!
//! *Invariant*: a component stays while a host has it loaded, also another one:
//! each keeps a list of what it uses, which counts for a day after the host was
//! last seen.

use std::collections::HashSet;
use std::sync::Arc;

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

const HAS_PARTS: &str = "SELECT number FROM component_part WHERE digest = $1 ORDER BY number";

const ADD_PART: &str = "
    INSERT INTO component_part (digest, number, bytes) VALUES ($1, $2, $3)
    ON CONFLICT (digest, number) DO UPDATE SET bytes = excluded.bytes";

const GET: &str = "SELECT size FROM component WHERE digest = $1";

const GET_PART: &str = "SELECT bytes FROM component_part WHERE digest = $1 AND number = $2";

const UNUSE: &str = "DELETE FROM host_component WHERE host = $1 AND NOT digest = ANY ($2)";

const FORGET_HOSTS: &str = "
    WITH gone AS (DELETE FROM host WHERE seen_at < now() - interval '1 day' RETURNING id)
    DELETE FROM host_component WHERE host IN (SELECT id FROM gone)";

const LOCK: &str = "SELECT digest FROM component ORDER BY digest FOR UPDATE";

/// Those that no host uses.
const UNUSED: &str = "
    SELECT digest FROM component c
    WHERE NOT EXISTS (SELECT 1 FROM host_component u WHERE u.digest = c.digest)";

const REFERRED: &str = "SELECT DISTINCT component FROM operation";

const REMOVE: &str = "DELETE FROM component WHERE digest = ANY ($1)";

const REMOVE_PARTS: &str = "DELETE FROM component_part WHERE digest = ANY ($1)";

pub(super) async fn put(on: &Connection, context: &Context, bytes: &[u8]) -> Result<Digest, Fault> {
    let digest = Digest::of(bytes);
    let key: &[u8] = digest.as_bytes();
    let size = row::limit(bytes.len());
    // What is there but damaged is written anew.
    let is_whole = matches!(get(on, digest).await, Ok(Some(_)));
    let used = [key];
    let used = used.as_slice();
    let found = on
        .begin(vec![
            step(KEEP, &[&key, &size]),
            step(USE, &[&context.host, &used]),
            step(HAS_PARTS, &[&key]),
        ])
        .await?;
    let there = found.last().map_or(0, Vec::len);
    if !is_whole || there != bytes.chunks(PART).count() {
        for (number, part) in (0_i32..).zip(bytes.chunks(PART)) {
            on.go_on(&[step(ADD_PART, &[&key, &number, &part])]).await?;
        }
    }
    on.commit(Vec::new()).await?;
    Ok(digest)
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
    Err(Fault::Damaged {
        what: format!("component {digest} has digest {found}; load it again"),
    })
}

/// Takes note of what this host uses, and removes what nobody needs.
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
        // Whoever keeps one waits, or has said already that it uses it.
        step(LOCK, &[]),
    ])
    .await?;
    let found = on.go_on(&[step(UNUSED, &[]), step(REFERRED, &[])]).await?;
    let unused = on.or_undo(unused(&found)).await?;
    let keys: Vec<&[u8]> = unused.iter().map(|it| it.as_bytes().as_slice()).collect();
    let steps: Vec<Step<'_>> = vec![step(REMOVE, &[&keys]), step(REMOVE_PARTS, &[&keys])];
    on.commit(steps).await?;
    Ok(unused)
}

fn unused(found: &[Vec<tokio_postgres::Row>]) -> Result<Vec<Digest>, Fault> {
    let [unused, referred] = found else {
        return Err(Fault::silent());
    };
    let mut kept = HashSet::new();
    for row in referred {
        kept.insert(row.try_get::<_, i64>(0)?);
    }
    let mut digests = Vec::new();
    for row in unused {
        let bytes: &[u8] = row.try_get(0)?;
        let digest = bytes.try_into().ok().map(Digest::from_bytes);
        digests.extend(digest.filter(|it| !kept.contains(&row::component_number(*it))));
    }
    Ok(digests)
}
