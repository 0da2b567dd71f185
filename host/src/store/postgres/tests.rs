use super::*;
use crate::store::conformance;

mod hosts;
mod process;
mod running;
mod trouble;

use running::Schema;

conformance::suite!(Schema::new());
conformance::durable_suite!(
    Schema::new();
    what_was_answered_survives,
    locks_and_client_tokens_survive,
);
