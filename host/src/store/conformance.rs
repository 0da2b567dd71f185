//! The suite that every store must pass: each sentence of [`Store`]'s contract
//! is a case.
//!
//! A store's tests call [`suite`] with a [`Harness`], and [`durable_suite`] too
//! if what it holds outlives the process.
//!
//! *Invariant*: a case sees the store through the trait alone.

mod accept;
mod commit;
mod lease;
mod query;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod recovery;
mod report;
mod retention;

pub(super) use accept::*;
pub(super) use commit::*;
pub(super) use lease::*;
pub(super) use query::*;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) use recovery::*;
pub(super) use report::*;
pub(super) use retention::*;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    Answer, Callback, Credentials, Digest, HandlerErrorCode, JsonObject, Mutation,
    PrimaryIdentifier, ProgressEvent, RequestDetails, RequestToken, Scope, Timestamp, TypeName,
};
use crate::operation::{
    Input, NewOperation, Operation, Policy, ReportTarget, Settlement, Transition, Work,
};

pub(super) use super::{
    Accept, AcceptError, Accepted, Backlog, Basis, CommitError, Filter, Held, Horizon,
    IdempotencyKey, Keyed, Queue, Share, Store,
};

/// Opens the same store again and again; for a durable one, as a process would
/// after the last one went away.
#[async_trait]
pub(super) trait Harness: Sync {
    async fn open(&self) -> Arc<dyn Store>;

    /// Tells whether this machine has what the store needs. Who has not, says so.
    fn is_there(&self) -> bool {
        true
    }
}

#[async_trait]
impl<F: Fn() -> Arc<dyn Store> + Sync> Harness for F {
    async fn open(&self) -> Arc<dyn Store> {
        self()
    }
}

/// Writes one test for each case.
macro_rules! suite {
    ($harness:expr) => {
        $crate::store::conformance::suite!(
            $harness;
            an_accepted_operation_is_read_back_whole,
            a_client_token_of_the_same_request_replays,
            a_client_token_of_another_request_is_refused,
            client_tokens_of_two_scopes_do_not_meet,
            a_bearer_token_stands_for_one_request_in_all_scopes,
            a_request_token_that_is_kept_replays,
            a_busy_resource_is_refused_with_its_holder_and_leaves_no_trace,
            equal_identifiers_of_other_scopes_and_types_are_other_resources,
            a_replay_comes_before_busy,
            what_is_accepted_unchanged_has_ended_and_locks_nothing,
            a_lock_is_free_again_when_its_operation_ends,
            a_replay_is_told_without_a_write,
            what_follows_from_an_overtaken_state_is_refused,
            a_basis_that_is_forgotten_holds_nobody_up,
            a_claim_takes_the_oldest_due_first,
            a_claim_is_never_early,
            a_share_has_its_own_type_and_limit,
            all_shares_together_have_a_limit,
            an_operation_is_leased_once,
            a_claim_is_a_committed_lease,
            an_operation_at_its_deadline_is_swept_not_leased,
            many_claimers_never_get_the_same_operation,
            a_sweep_gives_lapsed_leases_and_no_live_ones,
            a_sweep_has_a_limit,
            a_renewed_lease_lapses_later,
            a_lease_that_was_lost_is_not_renewed,
            what_is_upcoming_is_in_order_due_lease_and_deadline,
            what_is_accepted_leased_is_leased_once,
            a_commit_replaces_the_version_before_it,
            the_loser_of_a_race_writes_nothing,
            a_commit_on_nothing_is_a_conflict,
            one_of_many_racing_commits_wins,
            an_identifier_learned_late_is_locked,
            an_identifier_that_is_taken_is_not_committed,
            a_lease_lost_to_another_cannot_be_used,
            what_ended_is_never_claimed_or_swept,
            an_end_erases_work_and_the_last_event_alone_has_its_model,
            write_only_values_are_kept_replaced_and_forgotten,
            an_event_and_its_report_are_there_together,
            only_events_to_report_are_queued,
            without_a_target_nothing_is_queued,
            reports_of_an_operation_come_one_by_one_in_order,
            reports_due_longest_come_first_up_to_the_limit,
            reports_are_leased_before_they_are_delivered,
            a_retry_is_due_later_and_remembers_doubt,
            a_parked_report_holds_back_the_later_ones_until_unparked,
            parked_reports_are_listed_until_they_are_unparked_or_dropped,
            a_superseded_report_is_forgotten_with_all_others,
            an_event_says_when_its_report_was_accepted,
            settling_what_is_not_there_changes_nothing,
            a_model_stays_while_its_report_is_pending,
            what_is_reported_of_a_live_operation_leaves_no_model_behind,
            the_target_is_erased_with_the_last_report_of_what_ended,
            an_operation_that_lost_its_target_has_no_reports,
            a_backlog_counts_what_is_live_and_what_is_unreported,
            what_is_not_there_is_none,
            a_list_is_filtered_and_newest_first,
            a_list_is_read_page_by_page,
            a_list_is_of_one_scope_and_of_some_mutations,
            events_come_in_order_after_a_version,
            a_component_is_kept_by_its_digest,
            what_ended_is_kept_until_its_horizon_and_then_gone_whole,
            what_is_live_is_never_forgotten,
            those_of_longest_ago_are_forgotten_first_up_to_the_limit,
            a_report_to_deliver_holds_its_operation_back,
            a_parked_report_holds_its_operation_back_until_its_horizon,
            a_client_token_that_has_expired_can_be_used_anew,
            a_client_token_is_forgotten_before_its_operation,
            the_keys_of_what_is_forgotten_are_free,
            what_ended_can_be_forgotten_at_once_and_what_is_live_cannot,
            a_component_goes_when_nobody_refers_to_it,
        );
    };
    ($harness:expr; $($case:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            let harness = $harness;
            if $crate::store::conformance::Harness::is_there(&harness) {
                let store = $crate::store::conformance::Harness::open(&harness).await;
                $crate::store::conformance::$case(store).await;
            }
        }
    )*};
}
pub(super) use suite;

/// The moment at which all cases begin.
pub(super) const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(super) const LEASE: Duration = Duration::from_secs(30);

/// Two hours: the time that an operation of the fixtures has.
pub(super) const TIME: Duration = Duration::from_secs(7200);

/// Gives the moment so many seconds after [`T0`].
pub(super) fn at(seconds: u64) -> Timestamp {
    T0.after(Duration::from_secs(seconds))
}

pub(super) fn thing() -> TypeName {
    "Acme::Test::Thing".parse().expect("a type name")
}

pub(super) fn other_thing() -> TypeName {
    "Acme::Test::Other".parse().expect("a type name")
}

pub(super) fn id(name: &str) -> Option<PrimaryIdentifier> {
    PrimaryIdentifier::new(vec![name.to_owned(), "b|c".to_owned()])
}

pub(super) fn object(text: &str) -> JsonObject {
    JsonObject::parse(text).expect("an object")
}

pub(super) fn scope(account: &str) -> Scope {
    Scope {
        account: Some(account.parse().expect("an account")),
        region: Some("eu-central-1".parse().expect("a region")),
    }
}

/// A create that nobody is told of, due at [`T0`].
pub(super) fn create() -> NewOperation {
    NewOperation {
        scope: scope("123456789012"),
        type_name: thing(),
        mutation: Mutation::Create,
        component: Digest::of(b"component"),
        deadline: T0.after(TIME),
        work: Work {
            desired_state: object(r#"{"Name":"a","Password":"canary-desired"}"#),
            previous_state: None,
            callback_context: None,
            details: RequestDetails::default(),
            fault: None,
        },
        identifier: None,
        reporting: None,
    }
}

/// A create with everything that an operation can have.
pub(super) fn full() -> NewOperation {
    let tags = |name: &str| [(name.to_owned(), "canary-tag".to_owned())].into();
    NewOperation {
        mutation: Mutation::Update,
        work: Work {
            desired_state: object(r#"{"Name":"a","Password":"canary-desired"}"#),
            previous_state: Some(object(r#"{"Password":"canary-previous"}"#)),
            callback_context: Some(object(r#"{"step":"canary-context"}"#)),
            details: RequestDetails {
                stack_id: Some("stack".to_owned()),
                logical_resource_id: Some("Logical".to_owned()),
                desired_tags: tags("desired"),
                previous_tags: tags("previous"),
                system_tags: tags("system"),
                previous_system_tags: tags("previous-system"),
                type_configuration: Some(object(r#"{"key":"canary-configuration"}"#)),
                credentials: Some(credentials()),
                snapshot_requested: Some(true),
                rollback: Some(false),
                driftable: Some(true),
                features: Some(object(r#"{"f":1}"#)),
                update_policy: Some(object(r#"{"u":1}"#)),
                creation_policy: Some(object(r#"{"c":1}"#)),
            },
            fault: None,
        },
        identifier: id("name"),
        reporting: Some(target()),
        ..create()
    }
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "canary-access".to_owned(),
        secret_access_key: "canary-secret".to_owned(),
        session_token: Some("canary-session".to_owned()),
    }
}

pub(super) fn target() -> ReportTarget {
    ReportTarget {
        bearer_token: "canary-bearer".parse().expect("a bearer token"),
        endpoint: Some("https://cloudformation.example".to_owned()),
        region: Some("eu-west-1".parse().expect("a region")),
        credentials: Some(credentials()),
    }
}

/// A create whose progress is reported.
pub(super) fn reported() -> NewOperation {
    NewOperation {
        reporting: Some(target()),
        ..create()
    }
}

fn new(operation: NewOperation, now: Timestamp) -> Transition {
    Operation::accept(RequestToken::random(), operation, now)
}

async fn try_accept(store: &dyn Store, transition: Transition) -> Result<Accepted, AcceptError> {
    let accept = Accept {
        transition,
        key: None,
        basis: None,
        tokens_expired: Horizon::NEVER.client_tokens,
    };
    store.accept(accept).await
}

/// Accepts an operation at [`T0`].
pub(super) async fn accept(store: &dyn Store, operation: NewOperation) -> Operation {
    accept_at(store, operation, T0).await
}

pub(super) async fn accept_at(
    store: &dyn Store,
    operation: NewOperation,
    now: Timestamp,
) -> Operation {
    let transition = new(operation, now);
    let operation = transition.operation.clone();
    let accepted = try_accept(store, transition).await.expect("accepted");
    assert!(matches!(accepted, Accepted::New), "{accepted:?}");
    operation
}

fn share(type_name: TypeName, limit: usize) -> Share {
    Share { type_name, limit }
}

/// Claims all that is due of the usual type.
pub(super) async fn claim(store: &dyn Store, now: Timestamp) -> Vec<Operation> {
    let shares = [share(thing(), usize::MAX)];
    store
        .claim(&shares, usize::MAX, now, LEASE)
        .await
        .expect("claimed")
}

/// Claims the one operation that is due.
pub(super) async fn claim_one(store: &dyn Store, now: Timestamp) -> Operation {
    let mut claimed = claim(store, now).await;
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

pub(super) fn decide(operation: &Operation, input: Input, now: Timestamp) -> Transition {
    let policy = Policy::default();
    operation.apply(input, now, &policy).expect("applies")
}

/// Applies and commits.
pub(super) async fn advance(
    store: &dyn Store,
    operation: &Operation,
    input: Input,
    now: Timestamp,
) -> Operation {
    let transition = decide(operation, input, now);
    let next = transition.operation.clone();
    store.commit(transition).await.expect("committed");
    next
}

fn answered(event: ProgressEvent, identifier: Option<PrimaryIdentifier>) -> Input {
    Input::Answered(Answer {
        event,
        next_state: None,
        identifier,
        filled_in: false,
        warnings: Vec::new(),
    })
}

/// Ends three operations.
pub(super) async fn end_three(store: &dyn Store) {
    for _ in 0..3 {
        accept(store, create()).await;
    }
    for leased in claim(store, T0).await {
        advance(store, &leased, success(None), at(1)).await;
    }
}

/// Forgets what [`end_three`] has ended, which takes a write for each.
pub(super) async fn forget_three_one_by_one(store: &dyn Store) {
    let horizon = Horizon {
        ended: at(9),
        ..Horizon::NEVER
    };
    for expected in [1, 1, 1, 0] {
        let pruned = store.prune(&horizon, 64).await.expect("pruned");
        assert_eq!(pruned, expected);
    }
}

/// An answer in progress, with a callback after so many seconds.
pub(super) fn progress(seconds: u64, identifier: Option<PrimaryIdentifier>) -> Input {
    let event = ProgressEvent::InProgress {
        callback: Callback::After(Duration::from_secs(seconds)),
        callback_context: Some(object(r#"{"step":"canary-context"}"#)),
        message: Some("creating".to_owned()),
        model: Some(object(r#"{"Name":"a","Value":"canary-progress"}"#)),
    };
    answered(event, identifier)
}

/// An answer that ends the operation well.
pub(super) fn success(identifier: Option<PrimaryIdentifier>) -> Input {
    let event = ProgressEvent::Success {
        message: None,
        model: Some(object(r#"{"Name":"a","Value":"canary-success"}"#)),
    };
    answered(event, identifier)
}

/// An answer that ends the operation badly.
pub(super) fn failure() -> Input {
    let event = ProgressEvent::Failed {
        code: HandlerErrorCode::AccessDenied,
        message: "no".to_owned(),
        model: None,
    };
    answered(event, None)
}

async fn get(store: &dyn Store, operation: &Operation) -> Operation {
    let found = store.get(operation.token).await.expect("readable");
    found.expect("the operation is kept")
}

fn tokens(operations: &[Operation]) -> Vec<RequestToken> {
    operations.iter().map(|operation| operation.token).collect()
}
