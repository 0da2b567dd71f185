//! Lists: pages of operations, newest token first.
//!
//! *Invariant*: a page of a scope costs the page, whichever statuses and
//! mutations it is of: their stretches of the index are merged, and each is read
//! no further than the page needs.

use uuid::Uuid;

use crate::model::{RequestToken, TypeName};
use crate::operation::Operation;
use crate::store::{Filter, row};

use super::Context;
use super::columns::{small, token, uuid};
use super::connections::Connection;
use super::fault::Fault;
use super::read;

/// How many scopes are merged at most. Beyond, all is looked through: it needs
/// many scopes, and a filter that names none.
const SCOPES: i64 = 64;

/// Gives the scopes that there are operations of; one too many if they are many.
/// Skips from one to the next.
const FIND_SCOPES: &str = "
    WITH RECURSIVE found AS (
        (SELECT account, region FROM operation ORDER BY account, region LIMIT 1)
        UNION ALL
        SELECT n.account, n.region FROM found f
        CROSS JOIN LATERAL (
            SELECT account, region FROM operation o
            WHERE (o.account, o.region) > (f.account, f.region)
            ORDER BY account, region LIMIT 1) AS n
    )
    SELECT account, region FROM found LIMIT $1";

const MERGED: &str = "
    SELECT x.token
    FROM unnest($1::text[], $2::text[]) AS c (account, region)
    CROSS JOIN unnest($3::smallint[]) AS t (status)
    CROSS JOIN unnest($4::smallint[]) AS m (mutation)
    CROSS JOIN LATERAL (
        SELECT o.token FROM operation o
        WHERE o.account = c.account AND o.region = c.region AND o.status = t.status
          AND o.mutation = m.mutation AND o.token < $5
          AND ($6::text IS NULL OR o.type = $6)
        ORDER BY o.token DESC LIMIT $7) AS x
    ORDER BY x.token DESC LIMIT $7";

const LOOKED_THROUGH: &str = "
    SELECT token FROM operation
    WHERE token < $1 AND status = ANY ($2) AND mutation = ANY ($3)
      AND ($4::text IS NULL OR type = $4)
    ORDER BY token DESC LIMIT $5";

pub(super) async fn list(
    on: &Connection,
    context: &Context,
    filter: &Filter,
) -> Result<Vec<Operation>, Fault> {
    let mut found = Vec::new();
    let mut page = filter.clone();
    while page.limit > 0 {
        let tokens = tokens(on, &page).await?;
        found.extend(read::these(on, context, &tokens).await?);
        if tokens.len() < page.limit {
            break;
        }
        // What cannot be read took the room of others.
        page.limit = filter.limit - found.len();
        page.before = tokens.last().copied();
    }
    Ok(found)
}

async fn tokens(on: &Connection, filter: &Filter) -> Result<Vec<RequestToken>, Fault> {
    // No token of ours is the greatest of all, which is no UUID of a version.
    let before = filter.before.map_or(Uuid::max(), uuid);
    let statuses: Vec<i16> = filter
        .any_status()
        .map(|it| small(row::status_number(it)))
        .collect();
    let mutations: Vec<i16> = filter
        .any_mutation()
        .map(|it| small(row::mutation_number(it)))
        .collect();
    let name = filter.type_name.as_ref().map(TypeName::as_str);
    let limit = row::limit(filter.limit);
    let everything = filter.statuses.is_empty() && filter.mutations.is_empty();
    let scopes = match &filter.scope {
        Some(scope) => {
            let (account, region) = row::scope_columns(scope);
            Some((vec![account.to_owned()], vec![region.to_owned()]))
        }
        // The order of the tokens themselves is the best.
        None if everything => None,
        None => scopes(on).await?,
    };
    let rows = match scopes {
        Some((accounts, regions)) => {
            on.query(
                MERGED,
                &[
                    &accounts, &regions, &statuses, &mutations, &before, &name, &limit,
                ],
            )
            .await?
        }
        None => {
            on.query(
                LOOKED_THROUGH,
                &[&before, &statuses, &mutations, &name, &limit],
            )
            .await?
        }
    };
    let mut tokens = Vec::with_capacity(rows.len());
    for row in rows {
        tokens.push(token(row.try_get(0)?));
    }
    Ok(tokens)
}

type Scopes = (Vec<String>, Vec<String>);

/// Gives the scopes that there are operations of, or none if they are too many.
async fn scopes(on: &Connection) -> Result<Option<Scopes>, Fault> {
    let rows = on.query(FIND_SCOPES, &[&(SCOPES + 1)]).await?;
    if row::limit(rows.len()) > SCOPES {
        return Ok(None);
    }
    let mut scopes = Scopes::default();
    for row in rows {
        scopes.0.push(row.try_get(0)?);
        scopes.1.push(row.try_get(1)?);
    }
    Ok(Some(scopes))
}
