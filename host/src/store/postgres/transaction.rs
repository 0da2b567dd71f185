//! Statements that are sent together, and transactions made of them.
//!
//! A transaction has two halves, each one way to the server and back: it begins,
//! locks and reads; and what is decided on that is written and committed.
//!
//! *Invariant*: a program that a newer one has made too old commits nothing: each
//! write is in a transaction, which looks first, and a change of the tables waits
//! for those that have.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::connections::Connection;
use super::fault::Fault;
use super::schema::SUPPORTED;

/// How long an answer may take; the server itself gives up before.
const ANSWER: Duration = Duration::from_secs(15);

const NEEDS: &str = "SELECT needs_at_least FROM formwork";

pub(super) type Value<'v> = &'v (dyn ToSql + Sync);

/// A statement with its values.
pub(super) struct Step<'v> {
    sql: &'static str,
    values: Vec<Value<'v>>,
}

/// Makes a step.
pub(super) fn step<'v>(sql: &'static str, values: &[Value<'v>]) -> Step<'v> {
    Step {
        sql,
        values: values.to_vec(),
    }
}

/// Gives all statements of a transaction that [`Connection::write`] runs.
pub(super) const fn alone(sql: &'static str) -> [&'static str; 4] {
    ["BEGIN", NEEDS, sql, "COMMIT"]
}

impl Connection {
    /// Prepares statements, which goes one way to the server and back for all.
    pub(super) async fn prepare(&self, all: &[&'static str]) -> Result<(), Fault> {
        within(self.statements(all)).await?;
        Ok(())
    }

    async fn statements(&self, all: &[&'static str]) -> Result<Vec<Statement>, Fault> {
        try_join_all(all.iter().map(|sql| self.statement(sql))).await
    }

    /// Runs one statement that writes, in a transaction of its own.
    pub(super) async fn write(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let found = self.begin(vec![step(sql, values)]).await?;
        self.commit(Vec::new()).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Runs one statement that reads, or one outside of a transaction.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let asking = async {
            let statement = self.statement(sql).await?;
            Ok(self.client().query(&statement, values).await?)
        };
        within(asking).await
    }

    /// Begins a transaction with these steps, and gives what each found.
    pub(super) async fn begin(&self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Fault> {
        let mut all = vec![step("BEGIN", &[]), step(NEEDS, &[])];
        all.extend(steps);
        let begun = self.pipeline(&all).await;
        let mut found = self.or_undo(begun).await?.into_iter().skip(1);
        let needs = found.next().unwrap_or_default();
        let needs: i32 = match needs.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        if needs > SUPPORTED {
            return self.or_undo(Err(Fault::Outdated { needs })).await;
        }
        Ok(found.collect())
    }

    /// Runs steps within a transaction, and gives what each found.
    pub(super) async fn go_on(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Fault> {
        let found = self.pipeline(steps).await;
        self.or_undo(found).await
    }

    /// Ends a transaction with these steps and a commit, and gives what each found.
    pub(super) async fn commit(&self, mut steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Fault> {
        steps.push(step("COMMIT", &[]));
        // A commit after a step that failed undoes the transaction.
        let done = self.pipeline(&steps).await;
        let mut found = done.map_err(Fault::in_commit)?;
        found.pop();
        self.committed();
        Ok(found)
    }

    /// Gives on what came out of a part of a transaction, which is undone if that
    /// is a fault.
    pub(super) async fn or_undo<T>(&self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if !matches!(outcome, Ok(_) | Err(Fault::Lost { .. })) {
            self.undo().await?;
        }
        outcome
    }

    /// Undoes a transaction.
    pub(super) async fn undo(&self) -> Result<(), Fault> {
        self.query("ROLLBACK", &[]).await?;
        Ok(())
    }

    /// Sends all steps at once, in their order, and waits for all answers.
    async fn pipeline(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Fault> {
        let asking = async {
            // All are prepared before the first is sent, which keeps the order.
            let all: Vec<&'static str> = steps.iter().map(|step| step.sql).collect();
            let statements = self.statements(&all).await?;
            let answers = steps
                .iter()
                .zip(&statements)
                .map(|(step, statement)| self.client().query(statement, &step.values));
            let mut found = Vec::with_capacity(steps.len());
            let mut failed = None;
            for answer in join_all(answers).await {
                match answer {
                    Ok(rows) => found.push(rows),
                    // What follows fails for what failed first.
                    Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {}
                    Err(error) => failed = failed.or(Some(Fault::from(error))),
                }
            }
            match failed {
                Some(fault) => Err(fault),
                None if found.len() < steps.len() => Err(Fault::silent()),
                None => Ok(found),
            }
        };
        within(asking).await
    }
}

async fn within<T>(asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(ANSWER, asking)
        .await
        .unwrap_or_else(|_| Err(Fault::silent()))
}
