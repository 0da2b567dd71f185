//! One call of a handler: what it is given, who looks on, and the output rules.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Answer, Call, Invocation, JsonObject, Mutation, RequestDetails, Trap, Warning};
use crate::registry::{HandlerVersion, TypeSettings};
use crate::sandbox::{Environment, Outcome, SandboxError};

use super::Inner;
use super::observer::{Exchange, Exchanged};
use super::telemetry::{Subject, line};
use super::turn::Turn;

/// Adds the type's own configuration where the caller sent none.
pub(super) fn configured(mut details: RequestDetails, settings: &TypeSettings) -> RequestDetails {
    if details.type_configuration.is_none() {
        details
            .type_configuration
            .clone_from(&settings.type_configuration);
    }
    details
}

/// What came of calling a handler for a create, an update or a delete.
pub(super) enum Mutated {
    Answered(Answer),
    Trapped(Trap),
}

impl Inner {
    /// Gives what a guest may use in `turn`, in which it has `wall` to answer.
    pub(super) fn environment(
        &self,
        settings: &TypeSettings,
        turn: &Arc<Turn>,
        wall: Duration,
    ) -> Environment {
        let cut = self.clock.now().after(wall);
        let mut environment = Environment::new(Arc::clone(&self.clock));
        environment.guest_clock = Arc::new(turn.clock(Arc::clone(&self.clock), cut));
        environment.limits = settings.limits;
        environment.grants = Arc::clone(&settings.grants);
        environment
    }

    /// Calls the handler for a create, an update or a delete, and applies the
    /// output rules to what it answers.
    pub(super) async fn mutate(
        &self,
        version: &HandlerVersion,
        settings: &TypeSettings,
        invocation: Arc<Invocation>,
        turn: &Arc<Turn>,
    ) -> Result<Mutated, SandboxError> {
        let environment = self.environment(settings, turn, settings.limits.mutation_wall);
        let outcome = version
            .handler()
            .mutate(Arc::clone(&invocation), &environment)
            .await?;
        let event = match outcome {
            Outcome::Answered(event) => event,
            Outcome::Trapped(trap) => {
                self.show(&invocation, Vec::new(), || Exchanged::Trapped(trap.clone()));
                return Ok(Mutated::Trapped(trap));
            }
        };
        let shown = self.observer.is_some().then(|| event.clone());
        let (mutation, state) = asked(&invocation.call);
        let strict = settings.policy.strict;
        let answer = Answer::translate(version.schema(), mutation, state, event, strict);
        warn(version, invocation.as_ref().into(), &answer.warnings);
        if let Some(event) = shown {
            self.show(&invocation, answer.warnings.clone(), || {
                Exchanged::Event(event)
            });
        }
        Ok(Mutated::Answered(answer))
    }

    /// Shows an invocation to whoever looks on.
    pub(super) fn show(
        &self,
        invocation: &Arc<Invocation>,
        warnings: Vec<Warning>,
        outcome: impl FnOnce() -> Exchanged,
    ) {
        if let Some(observer) = &self.observer {
            observer.invoked(&Exchange {
                invocation: Arc::clone(invocation),
                outcome: outcome(),
                warnings,
            });
        }
    }
}

/// Gives what is done by a call, and the state that it is done with.
fn asked(call: &Call) -> (Mutation, &JsonObject) {
    match call {
        Call::Create { desired_state, .. } => (Mutation::Create, desired_state),
        Call::Update { desired_state, .. } => (Mutation::Update, desired_state),
        Call::Delete { state, .. } => (Mutation::Delete, state),
        Call::Read { .. } | Call::List(_) => {
            unreachable!("the sandbox refuses to mutate by a read or a list")
        }
    }
}

/// Logs which rules an answer broke without being failed for it.
pub(super) fn warn(version: &HandlerVersion, subject: Subject<'_>, warnings: &[Warning]) {
    for warning in warnings {
        line!(
            warn,
            subject,
            component = %version.handler().digest(),
            %warning,
            "the handler broke its contract"
        );
    }
}
