//! What every answer has to keep, judged over all that the tests have seen.

use crate::contract::Rule;
use crate::contract::judge::{Breach, judge_chains, models};
use crate::contract::stage::{Stage, Step, Stop};
use crate::engine::Exchanged;
use crate::model::{Action, ProgressEvent};

pub(super) async fn fits_schema(stage: &mut Stage) -> Step {
    all_keep(stage, &[Rule::FitsSchema], Seen::Model).await
}

pub(super) async fn no_nulls(stage: &mut Stage) -> Step {
    all_keep(stage, &[Rule::HasNoNulls], Seen::Model).await
}

pub(super) async fn write_only(stage: &mut Stage) -> Step {
    if stage.schema().write_only().is_empty() {
        return stage.skip("the schema has no write-only properties");
    }
    all_keep(stage, &[Rule::HidesWriteOnly], Seen::Model).await
}

pub(super) async fn identifier_in_models(stage: &mut Stage) -> Step {
    all_keep(stage, &[Rule::NamesResource], Seen::Model).await
}

pub(super) async fn identifier_in_progress(stage: &mut Stage) -> Step {
    all_keep(
        stage,
        &[Rule::InProgressNamesResource, Rule::KeepsIdentifier],
        Seen::InProgress,
    )
    .await
}

pub(super) async fn failure_has_message(stage: &mut Stage) -> Step {
    all_keep(stage, &[Rule::ExplainsFailure], Seen::Failure).await
}

pub(super) async fn no_traps(stage: &mut Stage) -> Step {
    all_keep(stage, &[Rule::Answers], Seen::Invocation).await
}

pub(super) async fn deadline(stage: &mut Stage) -> Step {
    all_keep(stage, &[Rule::AnswersInTime], Seen::Invocation).await?;
    stage.note_late();
    Ok(())
}

/// What a test has to have seen, or it says nothing.
#[derive(Clone, Copy)]
enum Seen {
    Invocation,
    Model,
    InProgress,
    Failure,
}

impl Seen {
    fn is_in(self, outcome: &Exchanged) -> bool {
        match self {
            Self::Invocation => true,
            Self::Model => !models(outcome).is_empty(),
            Self::InProgress => {
                matches!(outcome, Exchanged::Event(ProgressEvent::InProgress { .. }))
            }
            Self::Failure => matches!(
                outcome,
                Exchanged::Event(ProgressEvent::Failed { .. })
                    | Exchanged::Read(Err(_))
                    | Exchanged::Listed(Err(_))
            ),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Invocation => "the handler was never invoked",
            Self::Model => "no answer had a model",
            Self::InProgress => "no answer was IN_PROGRESS",
            Self::Failure => "no answer was FAILED",
        }
    }
}

/// Notes each breach of the rules among all exchanges so far, once.
async fn all_keep(stage: &mut Stage, rules: &[Rule], seen: Seen) -> Step {
    if stage.position() == 0 {
        live(stage).await?;
    }
    let entries = stage.exchanges();
    let schema = stage.schema();
    let mut breaches: Vec<(usize, Breach)> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let found = entry.breaches(schema).iter();
        let found = found.filter(|breach| rules.contains(&breach.rule));
        breaches.extend(found.map(|breach| (at, breach.clone())));
    }
    if rules.contains(&Rule::KeepsIdentifier) {
        breaches.extend(judge_chains(schema, &entries));
    }
    let mut noted: Vec<Breach> = Vec::new();
    for (at, breach) in &breaches {
        if noted.contains(breach) {
            continue;
        }
        noted.push(breach.clone());
        let times = breaches.iter().filter(|(_, other)| other == breach).count();
        stage.note(breach.clone(), times, &entries[*at..=*at]);
    }
    let is_seen = entries.iter().any(|it| seen.is_in(&it.exchange.outcome));
    if noted.is_empty() && !is_seen {
        return stage.skip(seen.words());
    }
    Ok(())
}

/// Takes a resource through its life, for tests that only look on: what goes
/// wrong in it is for others to say.
async fn live(stage: &mut Stage) -> Step {
    let lived = whole_life(stage).await;
    stage.forgive();
    match lived {
        Err(stop @ Stop::Broken(_)) => Err(stop),
        Ok(()) | Err(Stop::Failed | Stop::Skip(_)) => Ok(()),
    }
}

async fn whole_life(stage: &mut Stage) -> Step {
    if !stage.schema().handles(Action::Create) {
        return Ok(());
    }
    let made = stage.make().await?;
    if stage.schema().handles(Action::Read) {
        stage.read(&made.model).await?;
    }
    if stage.schema().handles(Action::Update) {
        // Without update inputs there is only the rest to see.
        let _ = stage.change(&made).await;
    }
    if stage.schema().handles(Action::List) {
        stage.list(None).await?;
    }
    if stage.schema().handles(Action::Delete) {
        stage.unmake(&made).await?;
        stage.delete(&made.model).await?;
        if stage.schema().handles(Action::Read) {
            stage.read(&made.model).await?;
        }
    }
    Ok(())
}
