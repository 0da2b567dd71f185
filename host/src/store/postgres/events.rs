//! Events and reports that are written with a transition, and what is erased of
//! them.

use super::columns::Events;
use super::transaction::{Step, step};

const ADD: &str = "
    INSERT INTO event (token, version, record, model)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[])";

const QUEUE: &str = "
    INSERT INTO outbox (token, version, due, head, attempts, ambiguous)
    SELECT i.token, i.version, i.due,
           NOT EXISTS (SELECT 1 FROM outbox o WHERE o.token = i.token), 0, false
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS i (token, version, due)";

/// Erases the models of events that are not to be reported: an older program kept
/// that of each.
pub(super) const ERASE_MODELS: &str = "
    UPDATE event e SET model = NULL
    WHERE e.token = ANY ($1) AND e.model IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.token = e.token AND o.version = e.version)";

/// Deletes reports, `$delete` of `outbox o`, and with them the models of their
/// events, which nothing else needs.
macro_rules! delete_reports {
    ($delete:literal) => {
        concat!(
            "WITH gone AS (",
            $delete,
            " RETURNING o.token, o.version)
             UPDATE event e SET model = NULL FROM gone g
             WHERE e.token = g.token AND e.version = g.version AND e.model IS NOT NULL"
        )
    };
}
pub(super) use delete_reports;

/// Erases whom to report to, of operations that have ended and have no reports.
pub(super) const ERASE_TARGETS: &str = "
    UPDATE sealed s SET target = NULL
    FROM operation p
    WHERE s.token = ANY ($1) AND p.token = s.token AND p.status >= 3 AND s.target IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.token = s.token)";

/// Writes events, and queues those that are to be reported.
pub(super) fn steps<'s>(events: &'s Events<'_>, steps: &mut Vec<Step<'s>>) {
    if !events.token.is_empty() {
        steps.push(step(
            ADD,
            &[
                &events.token,
                &events.version,
                &events.record,
                &events.model,
            ],
        ));
    }
    if !events.reported.is_empty() {
        steps.push(step(
            QUEUE,
            &[
                &events.reported,
                &events.reported_version,
                &events.reported_due,
            ],
        ));
    }
}
