//! Finding a resource by its identifiers and nothing else.

use serde_json::{Map, Value};

use crate::contract::Rule;
use crate::contract::stage::{End, Made, Stage, Step, take_over};
use crate::contract::values::put;
use crate::model::{Action, HandlerErrorCode, PropertyPath};

pub(super) async fn read_alone(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let name = stage.name_of(&made.model);
    let when = "by the primary identifier alone";
    let (read, from) = stage
        .must_read(&name, Rule::TakesIdentifierAlone, when)
        .await?;
    let unlike = stage.unlike(&made.model, &read);
    if unlike.is_empty() {
        return Ok(());
    }
    stage.fail(
        Rule::TakesIdentifierAlone,
        from,
        format!(
            "READ {when} does not give the resource that was made: {}",
            unlike.join("; ")
        ),
    )
}

pub(super) async fn update_alone(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let Some(mut desired) = stage.inputs().update.clone() else {
        return stage.skip("there is no update input");
    };
    let identifier = stage.schema().primary_identifier();
    take_over(&mut desired, identifier, &made.model);
    let ended = stage.update(&desired, Some(&made.model)).await?;
    let what = "UPDATE without read-only values other than the primary identifier";
    let End::Success(model) = &ended.end else {
        stage.must_change(&made).await?;
        return stage.fail_end(Rule::TakesIdentifierAlone, what, &ended);
    };
    let unlike = stage.unlike(&desired, model);
    if unlike.is_empty() {
        return Ok(());
    }
    stage.must_change(&made).await?;
    stage.fail(
        Rule::TakesIdentifierAlone,
        ended.from,
        format!(
            "{what} answered a model that differs from its input: {}",
            unlike.join("; ")
        ),
    )
}

pub(super) async fn delete_alone(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let name = stage.name_of(&made.model);
    delete_by(
        stage,
        &made,
        &name,
        Rule::TakesIdentifierAlone,
        "the primary identifier alone",
    )
    .await
}

async fn delete_by(
    stage: &mut Stage,
    made: &Made,
    name: &Map<String, Value>,
    rule: Rule,
    by: &str,
) -> Step {
    let ended = stage.delete(name).await?;
    let End::Success(_) = ended.end else {
        return stage.fail_end(rule, &format!("DELETE by {by}"), &ended);
    };
    if stage.schema().handles(Action::Read) {
        let name = stage.name_of(&made.model);
        let read = stage.read(&name).await?;
        if !read.end.is_failed(HandlerErrorCode::NotFound) {
            stage.adopt(made.model.clone());
            let what = format!("DELETE by {by} answered SUCCESS, and a READ after it");
            return stage.fail_end(rule, &what, &read);
        }
    }
    Ok(())
}

/// A name of a resource by one of its additional identifiers.
struct Alias {
    words: String,
    paths: Vec<PropertyPath>,
    name: Map<String, Value>,
}

/// Gives the additional identifiers that a resource has a value for, or skips.
fn aliases(stage: &Stage, made: &Made) -> Step<Vec<Alias>> {
    let declared = stage.schema().additional_identifiers();
    if declared.is_empty() {
        return stage.skip("the schema has no additional identifiers");
    }
    let aliases: Vec<Alias> = declared
        .iter()
        .filter_map(|paths| {
            let mut name = Map::new();
            let mut words = Vec::new();
            for path in paths {
                put(&mut name, path.steps(), path.get(&made.model)?.clone());
                words.push(format!("`{path}`"));
            }
            Some(Alias {
                words: format!("the additional identifier {}", words.join(" and ")),
                paths: paths.clone(),
                name,
            })
        })
        .collect();
    if aliases.is_empty() {
        return stage.skip("the resource of the inputs has no additional identifier");
    }
    Ok(aliases)
}

pub(super) async fn read_additional(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    for alias in aliases(stage, &made)? {
        let ended = stage.read(&alias.name).await?;
        match ended.end {
            End::Success(model) if stage.identifier(&model) == stage.identifier(&made.model) => {}
            End::Success(_) => stage.found(
                Rule::TakesAdditionalIdentifier,
                ended.from,
                format!("READ by {} answered another resource", alias.words),
            ),
            end => {
                let what = format!("READ by {}", alias.words);
                stage.found_end(Rule::TakesAdditionalIdentifier, &what, &end, ended.from);
            }
        }
    }
    Ok(())
}

pub(super) async fn update_additional(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let Some(input) = stage.inputs().update.clone() else {
        return stage.skip("there is no update input");
    };
    let mut refused = None;
    let aliases = aliases(stage, &made)?;
    let all = aliases.len();
    let mut skipped = 0;
    for alias in aliases {
        let mut desired = input.clone();
        for path in stage.schema().primary_identifier() {
            path.remove(&mut desired);
        }
        take_over(&mut desired, &alias.paths, &alias.name);
        let ended = stage.update(&desired, Some(&made.model)).await?;
        match ended.end {
            End::Success(model) if stage.identifier(&model) == stage.identifier(&made.model) => {}
            End::Success(_) => stage.found(
                Rule::TakesAdditionalIdentifier,
                ended.from,
                format!("UPDATE by {} answered another resource", alias.words),
            ),
            End::Refused(why) => {
                skipped += 1;
                refused = Some(why);
            }
            end => {
                let what = format!("UPDATE by {}", alias.words);
                stage.found_end(Rule::TakesAdditionalIdentifier, &what, &end, ended.from);
            }
        }
    }
    match refused {
        Some(why) if skipped == all => stage.skip(format!(
            "an update without the primary identifier does not fit the schema: {why}"
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn delete_additional(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let mut made = Some(made);
    let count = stage.schema().additional_identifiers().len().max(1);
    for at in 0..count {
        let made = match made.take() {
            Some(made) => made,
            None => stage.make().await?,
        };
        let aliases = aliases(stage, &made)?;
        if let Some(alias) = aliases.get(at) {
            let rule = Rule::TakesAdditionalIdentifier;
            delete_by(stage, &made, &alias.name, rule, &alias.words).await?;
        }
    }
    Ok(())
}

pub(super) async fn unknown(stage: &mut Stage) -> Step {
    if !stage.schema().handles(Action::Read) && !stage.schema().handles(Action::Delete) {
        return stage.skip("the schema names neither a read nor a delete handler");
    }
    let name = stage.unknown_name().await?;
    for (action, words) in [
        (Action::Read, "READ of what never was"),
        (Action::Delete, "DELETE of what never was"),
    ] {
        if !stage.schema().handles(action) {
            continue;
        }
        let ended = if action == Action::Read {
            stage.read(&name).await?
        } else {
            stage.delete(&name).await?
        };
        if !ended.end.is_failed(HandlerErrorCode::NotFound) {
            stage.found_end(Rule::AbsentIsNotFound, words, &ended.end, ended.from);
        }
    }
    Ok(())
}
