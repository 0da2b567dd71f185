//! The fifteen resource tests of the CloudFormation CLI, under its names, with
//! what they assert and when they are skipped.

use serde_json::{Map, Value};

use crate::contract::Rule;
use crate::contract::judge::{Holder, chooses_identifier, hides_write_only, judge};
use crate::contract::stage::{End, Ended, Made, Stage, Step};
use crate::engine::Exchanged;
use crate::model::{
    Action, HandlerErrorCode, JsonObject, PrimaryIdentifier, ProgressEvent, PropertyPath,
};

/// Makes a resource and judges it as the official fixtures do.
async fn created(stage: &mut Stage) -> Step<Made> {
    let made = stage.make().await?;
    holds(stage, &made, Action::Create);
    Ok(made)
}

/// Makes and updates a resource; gives it before and after.
async fn updated(stage: &mut Stage) -> Step<(Made, Made)> {
    let made = created(stage).await?;
    let changed = stage.change(&made).await?;
    holds(stage, &changed, Action::Update);
    Ok((made, changed))
}

/// Makes and deletes a resource.
async fn deleted(stage: &mut Stage) -> Step<Made> {
    let made = created(stage).await?;
    stage.unmake(&made).await?;
    Ok(made)
}

/// Notes where the answer of an operation is not what it was asked for.
fn holds(stage: &mut Stage, made: &Made, action: Action) {
    leaks_nothing(stage, action, Holder::Success, &made.model, made.from);
    let unlike = stage.unlike(&made.input, &made.model);
    if !unlike.is_empty() {
        stage.found(
            Rule::HoldsInput,
            made.from,
            format!(
                "{action} answered a model that differs from its input: {}",
                unlike.join("; ")
            ),
        );
    }
}

fn leaks_nothing(
    stage: &mut Stage,
    action: Action,
    holder: Holder,
    model: &Map<String, Value>,
    from: usize,
) {
    if let Some(breach) = hides_write_only(stage.schema(), action, holder, model) {
        stage.found(breach.rule, from, breach.what);
    }
}

pub(super) async fn create_delete(stage: &mut Stage) -> Step {
    let made = created(stage).await?;
    stage.unmake(&made).await
}

pub(super) async fn create_create(stage: &mut Stage) -> Step {
    can_choose(stage)?;
    let made = created(stage).await?;
    let second = stage.create(&made.input).await?;
    if second.end.is_failed(HandlerErrorCode::AlreadyExists) {
        return Ok(());
    }
    let what = "a second CREATE of the same model, with another token,";
    stage.fail_end(Rule::RefusesExisting, what, &second)
}

/// The official tests leave out what needs an identifier of one's own choice.
fn can_choose(stage: &Stage) -> Step {
    if chooses_identifier(stage.schema()) {
        Ok(())
    } else {
        stage.skip("the handler chooses the primary identifier: it is not create-only")
    }
}

pub(super) async fn create_read(stage: &mut Stage) -> Step {
    let made = created(stage).await?;
    reads_as(stage, &made, "after a CREATE").await
}

/// Reads a resource as the official tests do, by its whole model.
async fn reads_as(stage: &mut Stage, made: &Made, when: &str) -> Step {
    let (read, from) = stage
        .must_read(
            &made.model,
            Rule::CreatedIsReadable,
            &format!("right {when}"),
        )
        .await?;
    leaks_nothing(stage, Action::Read, Holder::Read, &read, from);
    let asked = stage.identifier(&made.model);
    let answered = stage.identifier(&read);
    if answered != asked {
        let shown = |it: Option<_>| {
            it.map_or_else(
                || "none".to_owned(),
                |it: PrimaryIdentifier| format!("`{it}`"),
            )
        };
        let what = format!(
            "READ of {} answered the identifier {}",
            shown(asked),
            shown(answered)
        );
        stage.found(Rule::KeepsIdentifier, from, what);
    }
    let of_answer = stage.unlike(&made.model, &read);
    let of_input = stage.unlike(&made.input, &read);
    for (unlike, what) in [(of_answer, "what was answered"), (of_input, "the input")] {
        if !unlike.is_empty() {
            stage.found(
                Rule::ReadsAsAnswered,
                made.from,
                format!("READ {when} differs from {what}: {}", unlike.join("; ")),
            );
        }
    }
    Ok(())
}

pub(super) async fn create_list(stage: &mut Stage) -> Step {
    let made = created(stage).await?;
    is_listed(stage, &made, "a CREATE").await?;
    stage
        .must_read(&made.model, Rule::CreatedIsReadable, "after it was listed")
        .await?;
    Ok(())
}

async fn is_listed(stage: &mut Stage, made: &Made, when: &str) -> Step {
    let listing = stage.list(None).await?;
    if stage.times_listed(&listing, &made.model) > 0 {
        return Ok(());
    }
    let what = format!(
        "LIST right after {when} does not have the resource, but {} others",
        listing.models.len()
    );
    stage.fail(Rule::CreatedIsListed, listing.from, what)
}

pub(super) fn create_taggable(stage: &mut Stage) -> Step {
    let tagging = stage.schema().tagging();
    if !tagging.declared || !tagging.taggable {
        return stage.skip("the type is not taggable, by its schema");
    }
    let path = tagging.tag_property.clone();
    let input = stage.inputs().create.clone();
    has_tags(stage, &path, &input, "create")
}

pub(super) fn update_tag_updatable(stage: &mut Stage) -> Step {
    let tagging = stage.schema().tagging();
    if !tagging.declared || !tagging.taggable || !tagging.tag_updatable {
        return stage.skip("the tags of the type cannot be updated, by its schema");
    }
    let path = tagging.tag_property.clone();
    let Some(input) = stage.inputs().update.clone() else {
        return stage.skip("there is no update input");
    };
    has_tags(stage, &path, &input, "update")
}

fn has_tags(
    stage: &mut Stage,
    path: &PropertyPath,
    input: &Map<String, Value>,
    which: &str,
) -> Step {
    if path.get(input).is_some() {
        return Ok(());
    }
    let what = format!("the {which} input does not have the tag property `{path}`");
    stage.fail(Rule::InputsHaveTags, stage.position(), what)
}

pub(super) async fn delete_read(stage: &mut Stage) -> Step {
    let made = deleted(stage).await?;
    let ended = stage.read(&made.model).await?;
    absent(stage, "READ of a deleted resource", &ended)
}

/// Notes what was asked of a resource that is not there, unless it is `NotFound`.
fn absent(stage: &mut Stage, what: &str, ended: &Ended) -> Step {
    if ended.end.is_failed(HandlerErrorCode::NotFound) {
        return Ok(());
    }
    stage.fail_end(Rule::AbsentIsNotFound, what, ended)
}

pub(super) async fn delete_list(stage: &mut Stage) -> Step {
    let made = deleted(stage).await?;
    let listing = stage.list(None).await?;
    if stage.times_listed(&listing, &made.model) == 0 {
        return Ok(());
    }
    stage.fail(
        Rule::DeletedIsNotListed,
        listing.from,
        "LIST has a resource whose DELETE answered SUCCESS",
    )
}

pub(super) async fn delete_update(stage: &mut Stage) -> Step {
    let made = deleted(stage).await?;
    let desired = stage.update_input(&made)?;
    let ended = stage.update(&desired, Some(&made.model)).await?;
    adopt(stage, &ended);
    absent(stage, "UPDATE of a deleted resource", &ended)
}

pub(super) async fn delete_delete(stage: &mut Stage) -> Step {
    let made = deleted(stage).await?;
    let ended = stage.delete(&made.model).await?;
    absent(stage, "DELETE of a deleted resource", &ended)
}

pub(super) async fn delete_create(stage: &mut Stage) -> Step {
    can_choose(stage)?;
    let made = deleted(stage).await?;
    let ended = stage.create(&made.input).await?;
    if let End::Success(model) = ended.end {
        return stage.unmake(&Made { model, ..made }).await;
    }
    let what = "CREATE of a deleted resource";
    stage.fail_end(Rule::DeletedCanBeMadeAgain, what, &ended)
}

/// The official test of this name makes sure that assertions are switched on;
/// this one, that a wrong answer is found.
pub(super) fn asserts_work(stage: &mut Stage) -> Step {
    let wrong = Map::from_iter([("Wrong".to_owned(), Value::Null)]);
    let wrong = Exchanged::Event(ProgressEvent::Success {
        message: None,
        model: Some(JsonObject::from_map(&wrong)),
    });
    let found: Vec<Rule> = judge(stage.schema(), Action::Create, &wrong)
        .into_iter()
        .map(|breach| breach.rule)
        .collect();
    if found.contains(&Rule::HasNoNulls) && found.contains(&Rule::NamesResource) {
        Ok(())
    } else {
        stage.fail(
            Rule::Answers,
            stage.position(),
            "the tests did not find what is wrong with a wrong answer: do not trust this run",
        )
    }
}

pub(super) async fn update_read(stage: &mut Stage) -> Step {
    let (made, changed) = updated(stage).await?;
    same_identifier(stage, &made, &changed)?;
    reads_as(stage, &changed, "after an UPDATE").await
}

fn same_identifier(stage: &mut Stage, made: &Made, changed: &Made) -> Step {
    if stage.identifier(&changed.model) == stage.identifier(&made.model) {
        return Ok(());
    }
    stage.fail(
        Rule::KeepsIdentifier,
        changed.from,
        "UPDATE answered another primary identifier than CREATE",
    )
}

pub(super) async fn update_list(stage: &mut Stage) -> Step {
    let (made, changed) = updated(stage).await?;
    same_identifier(stage, &made, &changed)?;
    is_listed(stage, &changed, "an UPDATE").await
}

pub(super) async fn update_without_create(stage: &mut Stage) -> Step {
    let desired = stage.unknown_update().await?;
    let ended = stage.update(&desired, None).await?;
    if let End::Failed { code, message } = &ended.end
        && *code == HandlerErrorCode::NotFound
        && message.trim().is_empty()
    {
        return stage.fail(
            Rule::ExplainsFailure,
            ended.from,
            "UPDATE of what never was answered FAILED NotFound with an empty message",
        );
    }
    adopt(stage, &ended);
    absent(stage, "UPDATE of what never was", &ended)
}

/// Takes what an update should not have made, to be deleted.
fn adopt(stage: &mut Stage, ended: &Ended) {
    if matches!(ended.end, End::Success(_) | End::Overruled(_)) {
        stage.keep_made(ended.from);
    }
}
