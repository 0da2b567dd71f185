//! Lists: pages of operations, newest token first.
//!
//! *Invariant*: a page of a scope costs the page, whichever statuses and
//! mutations it is of: their stretches of the index are merged, and each is read
//! no further than the page needs.

use std::fmt::Write as _;

use rusqlite::{Connection, ToSql, params};

use crate::model::{RequestToken, TypeName};
use crate::operation::Operation;
use crate::store::Filter;

use super::Context;
use super::fault::Fault;
use super::read;
use crate::store::row;

/// How many stretches are merged at most; SQLite takes up to 500. Beyond, all is
/// looked through: it needs many scopes, and a filter that names none.
const STRETCHES: usize = 200;

/// Behind every token, each of which has 16 bytes.
const LAST: [u8; 17] = [0xff; 17];

pub(super) fn list(
    connection: &Connection,
    context: &Context,
    filter: &Filter,
) -> Result<Vec<Operation>, Fault> {
    let mut found = Vec::new();
    let mut page = filter.clone();
    while page.limit > 0 {
        let tokens = Page::of(connection, &page)?.tokens(connection)?;
        for token in &tokens {
            let read = read::find(connection, context, *token)?;
            found.extend(read.and_then(Result::ok));
        }
        if tokens.len() < page.limit {
            break;
        }
        // What cannot be read took the room of others.
        page.limit = filter.limit - found.len();
        page.before = tokens.last().copied();
    }
    Ok(found)
}

/// A statement that gives the tokens of a page.
pub(super) struct Page {
    pub(super) sql: String,
    pub(super) values: Vec<Box<dyn ToSql>>,
}

impl Page {
    pub(super) fn of(connection: &Connection, filter: &Filter) -> Result<Self, Fault> {
        let before = filter.before.as_ref().map(RequestToken::as_bytes);
        let before = before.map_or(LAST.to_vec(), |token| token.to_vec());
        let name = filter.type_name.as_ref().map(TypeName::as_str);
        let mut page = Self {
            sql: String::new(),
            values: vec![
                Box::new(before),
                Box::new(row::limit(filter.limit)),
                Box::new(name.map(str::to_owned)),
            ],
        };
        let everything = filter.statuses.is_empty() && filter.mutations.is_empty();
        let each = filter.any_status().count() * filter.any_mutation().count();
        let scopes = match &filter.scope {
            Some(scope) => {
                let (account, region) = row::scope_columns(scope);
                Some(vec![(account.to_owned(), region.to_owned())])
            }
            // The order of the table itself is the best.
            None if everything => None,
            None => scopes(connection, STRETCHES / each)?,
        };
        match scopes {
            Some(scopes) => page.merge(filter, scopes),
            None => page.look_through(filter),
        }
        page.sql.push_str(" ORDER BY token DESC LIMIT ?2");
        Ok(page)
    }

    /// Selects from the stretches of the index, one for each scope, status and
    /// mutation.
    fn merge(&mut self, filter: &Filter, scopes: Vec<(String, String)>) {
        for (account, region) in scopes {
            let at = self.values.len();
            let (first, second) = (at + 1, at + 2);
            self.values.push(Box::new(account));
            self.values.push(Box::new(region));
            for status in filter.any_status().map(row::status_number) {
                for mutation in filter.any_mutation().map(row::mutation_number) {
                    if !self.sql.is_empty() {
                        self.sql.push_str(" UNION ALL ");
                    }
                    write!(
                        self.sql,
                        "SELECT token FROM operation INDEXED BY operation_listed
                         WHERE account = ?{first} AND region = ?{second}
                           AND status = {status} AND mutation = {mutation}
                           AND token < ?1 AND (?3 IS NULL OR type = ?3)"
                    )
                    .expect("a string takes all that is written");
                }
            }
        }
        if self.sql.is_empty() {
            // There is no scope, and so there is nothing.
            self.look_through(filter);
        }
    }

    /// Selects from the table.
    fn look_through(&mut self, filter: &Filter) {
        let list = |numbers: Vec<i64>| {
            let texts: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let mut sql = "SELECT token FROM operation
                       WHERE token < ?1 AND (?3 IS NULL OR type = ?3)"
            .to_owned();
        if !filter.statuses.is_empty() {
            let statuses = filter.any_status().map(row::status_number).collect();
            sql = format!("{sql} AND status IN ({})", list(statuses));
        }
        if !filter.mutations.is_empty() {
            let mutations = filter.any_mutation().map(row::mutation_number).collect();
            sql = format!("{sql} AND mutation IN ({})", list(mutations));
        }
        self.sql = sql;
    }

    fn tokens(&self, connection: &Connection) -> Result<Vec<RequestToken>, Fault> {
        let values = self.values.iter().map(AsRef::as_ref);
        let values: Vec<&dyn ToSql> = values.collect();
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(values.as_slice())?;
        let mut tokens = Vec::new();
        while let Some(row) = rows.next()? {
            tokens.push(row::token(row.get_ref(0)?.as_blob()?)?);
        }
        Ok(tokens)
    }
}

/// Gives the scopes that there are operations of, or none if they are more than
/// `most`. Skips from one to the next.
fn scopes(connection: &Connection, most: usize) -> Result<Option<Vec<(String, String)>>, Fault> {
    let mut next = connection.prepare_cached(
        "SELECT account, region FROM operation INDEXED BY operation_listed
         WHERE (account, region) > (?, ?) ORDER BY account, region LIMIT 1",
    )?;
    let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut found: Vec<(String, String)> = connection
        .prepare_cached(
            "SELECT account, region FROM operation INDEXED BY operation_listed
             ORDER BY account, region LIMIT 1",
        )?
        .query_map([], columns)?
        .collect::<rusqlite::Result<_>>()?;
    while let Some((account, region)) = found.last() {
        if found.len() > most {
            return Ok(None);
        }
        let more: Vec<_> = next
            .query_map(params![account, region], columns)?
            .collect::<rusqlite::Result<_>>()?;
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    Ok(Some(found))
}
