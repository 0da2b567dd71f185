//! Columns that came later, filled from what is sealed.

use rusqlite::{Connection, params};

use super::Context;
use super::fault::Fault;
use super::read;
use super::row;

/// Fills what is null in rows of older versions.
///
/// A row that cannot be read stays as it is: it is met, and said, when it is used.
pub(super) fn fill(connection: &Connection, context: &Context) -> Result<(), Fault> {
    let tokens: Vec<Vec<u8>> = connection
        .prepare("SELECT token FROM operation WHERE mutation IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare("UPDATE operation SET mutation = ? WHERE token = ?")?;
    for token in tokens {
        match read::get(connection, context, row::token(&token)?) {
            Ok(Some(operation)) => {
                update.execute(params![row::mutation_number(operation.mutation), token])?;
            }
            Ok(None) | Err(Fault::Damaged { .. }) => {}
            Err(fault @ Fault::Sql(_)) => return Err(fault),
        }
    }
    Ok(())
}
