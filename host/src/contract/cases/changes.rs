//! What creates and updates may and may not change.

use serde_json::{Map, Value};

use crate::contract::Rule;
use crate::contract::stage::{End, Stage, Step};
use crate::contract::values::{self, touches};
use crate::model::{Action, HandlerErrorCode, PropertyPath, escaped};

pub(super) async fn no_upsert(stage: &mut Stage) -> Step {
    let desired = stage.unknown_update().await?;
    let name = stage.name_of(&desired);
    let before = stage.listed().await?;
    let ended = stage.update(&desired, None).await?;
    let mut made = Vec::new();
    if stage.schema().handles(Action::Read)
        && let End::Success(model) = stage.read(&name).await?.end
    {
        stage.adopt(model);
        made.push("READ finds it");
    }
    let new = stage.new_since(&before).await?;
    if !new.is_empty() {
        made.push("LIST has one more");
    }
    stage.adopt_new(new, &desired, ended.from).await?;
    if made.is_empty() {
        if let End::Refused(why) = &ended.end {
            return stage.skip(format!("the host's own check refuses it: {why}"));
        }
        if !matches!(ended.end, End::Success(_)) {
            return Ok(());
        }
    }
    stage.keep_made(ended.from);
    let what = format!(
        "UPDATE of what never was {}{}{}",
        ended.end,
        if made.is_empty() { "" } else { "; after it " },
        made.join(" and ")
    );
    stage.fail(Rule::UpdateMakesNothing, ended.from, what)
}

pub(super) async fn create_only(stage: &mut Stage) -> Step {
    let schema = stage.schema();
    // Another identifier would be another resource; a write-only value is
    // nowhere to be compared with.
    let except = |path: &&PropertyPath| {
        let overlaps = |other: &PropertyPath| other.contains(path) || path.contains(other);
        !schema.primary_identifier().iter().any(overlaps)
            && !schema.write_only().iter().any(overlaps)
    };
    let paths: Vec<PropertyPath> = schema
        .create_only()
        .iter()
        .filter(except)
        .cloned()
        .collect();
    if paths.is_empty() {
        return stage.skip("no property but the primary identifier is create-only");
    }
    let made = stage.make().await?;
    let mut tried = false;
    for path in paths {
        let same = stage.as_desired(&made);
        let Some(desired) = stage.another(&same, &path) else {
            continue;
        };
        let ended = stage.update(&desired, Some(&made.model)).await?;
        if let End::Refused(_) = ended.end {
            continue;
        }
        tried = true;
        if !ended.end.is_failed(HandlerErrorCode::NotUpdatable) {
            let what = format!("UPDATE that changes the create-only `{path}`");
            stage.found_end(Rule::KeepsCreateOnly, &what, &ended.end, ended.from);
        }
        if stage.schema().handles(Action::Read)
            && let End::Success(read) = stage.read(&made.model).await?.end
        {
            let unlike = stage.unlike(&made.model, &read);
            if !unlike.is_empty() {
                return stage.fail(
                    Rule::KeepsCreateOnly,
                    ended.from,
                    format!(
                        "UPDATE that changes the create-only `{path}` changed the resource: {}",
                        unlike.join("; ")
                    ),
                );
            }
        }
    }
    if tried {
        Ok(())
    } else {
        stage.skip("the inputs have no value for a create-only property that another could replace")
    }
}

pub(super) async fn replaces_collections(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let before = stage.as_desired(&made);
    let mut desired = before.clone();
    let mut gone = Vec::new();
    for (name, value) in &made.input {
        let Some(fewer) = fewer(stage, name, value) else {
            continue;
        };
        desired.insert(name.clone(), fewer);
        if stage.schema().violations(&desired).is_empty() {
            gone.push(name.clone());
        } else {
            desired.insert(name.clone(), value.clone());
        }
    }
    if gone.is_empty() {
        return stage.skip("the create input has no collection with two members or more");
    }
    let ended = stage.update(&desired, Some(&made.model)).await?;
    let model = match &ended.end {
        End::Success(model) => model,
        // Other members than those of the inputs may mean nothing to a handler.
        End::Failed { .. } | End::Refused(_) => {
            return stage.skip(format!("an update with fewer members {}", ended.end));
        }
        End::Trapped(_) | End::GivenUp(_) | End::Overruled(_) => {
            let what = "UPDATE that leaves members of collections out";
            return stage.fail_end(Rule::EndsWithSuccess, what, &ended);
        }
    };
    let model = if stage.schema().handles(Action::Read) {
        let when = "after an UPDATE that leaves members of collections out";
        stage
            .must_read(model, Rule::CreatedIsReadable, when)
            .await?
            .0
    } else {
        model.clone()
    };
    for name in gone {
        let wanted = Map::from_iter([(name.clone(), desired[&name].clone())]);
        let mut unlike = stage.unlike(&wanted, &model);
        // An object may have more members than asked for; a map may not.
        if let (Some(Value::Object(wanted)), Some(Value::Object(found))) =
            (desired.get(&name), model.get(&name))
        {
            let kept = found.keys().filter(|key| !wanted.contains_key(*key));
            unlike.extend(kept.map(|key| {
                let pointer = format!("/{}/{}", escaped(&name), escaped(key));
                format!("`{pointer}` is still there")
            }));
        }
        if !unlike.is_empty() {
            stage.found(
                Rule::ReplacesCollections,
                ended.from,
                format!(
                    "UPDATE that leaves members of `{}` out did not replace the whole: {}",
                    PropertyPath::of_property(&name),
                    unlike.join("; ")
                ),
            );
        }
    }
    Ok(())
}

/// Gives a collection with a member less; none for what is no collection that
/// may be updated, or would be empty then.
fn fewer(stage: &Stage, name: &str, value: &Value) -> Option<Value> {
    let schema = stage.schema();
    let fixed = [
        schema.primary_identifier(),
        schema.create_only(),
        schema.conditional_create_only(),
        schema.write_only(),
        schema.deprecated(),
    ];
    let transformed = schema
        .property_transforms()
        .iter()
        .any(|(path, _)| path.steps().first().is_some_and(|step| step == name));
    let identifies = schema
        .additional_identifiers()
        .iter()
        .any(|paths| touches(paths, name));
    if transformed || identifies || fixed.iter().any(|paths| touches(paths, name)) {
        return None;
    }
    match value {
        Value::Array(items) if items.len() > 1 => Some(Value::Array(items[1..].to_vec())),
        Value::Object(map) if map.len() > 1 => {
            let is_map = values::property(schema, name)?.get("properties").is_none();
            let first = map.keys().next()?.clone();
            let mut rest = map.clone();
            rest.remove(&first);
            is_map.then_some(Value::Object(rest))
        }
        Value::Array(_)
        | Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => None,
    }
}

pub(super) async fn delete_create(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    stage.unmake(&made).await?;
    let again = stage.make().await?;
    if stage.schema().handles(Action::Read) {
        let when = "of a resource that was made, deleted and made again";
        stage
            .must_read(&again.model, Rule::DeletedCanBeMadeAgain, when)
            .await?;
    }
    Ok(())
}

pub(super) async fn defaults(stage: &mut Stage) -> Step {
    let schema = stage.schema();
    let except = [
        schema.primary_identifier(),
        schema.read_only(),
        schema.write_only(),
        schema.deprecated(),
    ];
    let defaults: Vec<(String, Value)> = values::defaults(schema)
        .into_iter()
        .filter(|(name, _)| !except.iter().any(|paths| touches(paths, name)))
        .collect();
    let mut input = stage.inputs().create.clone();
    for (name, _) in &defaults {
        if let Some(value) = input.remove(name)
            && !schema.violations(&input).is_empty()
        {
            input.insert(name.clone(), value);
        }
    }
    let defaults: Map<String, Value> = defaults
        .into_iter()
        .filter(|(name, _)| !input.contains_key(name))
        .collect();
    if defaults.is_empty() {
        return stage.skip("no property that can be left out has a default in the schema");
    }
    let made = match stage.make_from(&input).await? {
        Ok(made) => made,
        Err(ended) if input != stage.inputs().create => {
            return stage.skip(format!(
                "a CREATE without the properties with a default {}",
                ended.end
            ));
        }
        Err(ended) => {
            return stage.fail_end(Rule::EndsWithSuccess, "CREATE of the inputs", &ended);
        }
    };
    let (model, from) = stage.current(&made, "right after a CREATE").await?;
    for (name, default) in defaults {
        let wanted = Map::from_iter([(name.clone(), default.clone())]);
        if !stage.unlike(&wanted, &model).is_empty() {
            let found = model
                .get(&name)
                .map_or_else(|| "nothing".to_owned(), ToString::to_string);
            stage.found(
                Rule::ShowsDefaults,
                from,
                format!(
                    "`{}` was left out of the CREATE; the schema's default is {default}, and \
                     the model has {found}",
                    PropertyPath::of_property(&name)
                ),
            );
        }
    }
    Ok(())
}
