//! Columns that came later, filled from what is sealed.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::Context;
use super::fault::Fault;
use super::read;
use crate::store::row;

/// Fills what is missing in rows of older versions.
///
/// A row that cannot be read stays as it is: it is met, and said, when it is used.
pub(super) fn fill(connection: &Connection, context: &Context) -> Result<(), Fault> {
    let tokens: Vec<Vec<u8>> = connection
        .prepare("SELECT token FROM operation WHERE component IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare(
        "UPDATE operation SET mutation = ?, ended_at = ?, component = ? WHERE token = ?",
    )?;
    let mut accepted_at = HashMap::new();
    for token in tokens {
        let operation = match read::get(connection, context, row::token(&token)?) {
            Ok(Some(operation)) => operation,
            Ok(None) | Err(Fault::Damaged { .. }) => continue,
            Err(fault @ Fault::Sql(_)) => return Err(fault),
        };
        update.execute(params![
            row::mutation_number(operation.mutation),
            operation.ended_at.map(|at| row::number(at.as_millis())),
            row::component_number(operation.component),
            token,
        ])?;
        accepted_at.insert(token, row::number(operation.accepted_at.as_millis()));
    }
    connection.execute(
        "UPDATE operation SET ended_at = deadline WHERE live = 0 AND ended_at IS NULL",
        [],
    )?;
    client_tokens(connection, &accepted_at)?;
    Ok(())
}

/// Writes down when each client token was first used: when its operation was
/// accepted.
fn client_tokens(
    connection: &Connection,
    accepted_at: &HashMap<Vec<u8>, i64>,
) -> rusqlite::Result<()> {
    let keys: Vec<(String, String, String, Vec<u8>)> = connection
        .prepare("SELECT account, region, client_token, token FROM client_token WHERE used_at = 0")?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare(
        "UPDATE client_token SET used_at = ?
         WHERE account = ? AND region = ? AND client_token = ?",
    )?;
    for (account, region, client_token, token) in keys {
        if let Some(used_at) = accepted_at.get(&token) {
            update.execute(params![used_at, account, region, client_token])?;
        }
    }
    Ok(())
}
