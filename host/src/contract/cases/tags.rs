//! Tags: those of the stack beside those of the model.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::contract::Rule;
use crate::contract::stage::{End, Made, Stage, Step};
use crate::contract::values::put;
use crate::model::{Action, PropertyPath};

/// Keys of letters alone, large ones too: types forbid much else in theirs.
const KEY: &str = "FormworkTest";
const OTHER_KEY: &str = "FormworkTestOther";

/// What a READ of this test is called.
const WHEN: &str = "of a tagged resource";

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) async fn applied(stage: &mut Stage) -> Step {
    let tagging = stage.schema().tagging().clone();
    if !tagging.declared || !tagging.taggable {
        return stage.skip("the type is not taggable, by its schema");
    }
    if !tagging.tag_on_create {
        return stage.skip("resources cannot be tagged when they are made, by the schema");
    }
    let path = tagging.tag_property;
    if !allowed(stage, &path) {
        return stage.skip(format!(
            "the schema of `{path}` allows no tags with the keys `{KEY}` and `{OTHER_KEY}`"
        ));
    }
    let given = tags(&[(KEY, "created"), (OTHER_KEY, "kept")]);
    let mut details = stage.details();
    details.desired_tags.clone_from(&given);
    let made = stage.make_with(details).await?;
    let (model, from) = stage.current(&made, WHEN).await?;
    judge(
        stage,
        &path,
        &model,
        &given,
        &[],
        ("CREATE", made.from.min(from)),
    );
    if !tagging.tag_updatable || !stage.schema().handles(Action::Update) {
        return Ok(());
    }
    let Ok(desired) = stage.update_input(&made) else {
        return Ok(());
    };
    let changed = tags(&[(KEY, "updated")]);
    let mut details = stage.details();
    details.previous_tags = given;
    details.desired_tags.clone_from(&changed);
    let ended = stage
        .update_with(&desired, Some(&made.model), details)
        .await?;
    let End::Success(model) = &ended.end else {
        let what = "UPDATE with other tags of the stack";
        return stage.fail_end(Rule::AppliesTags, what, &ended);
    };
    let made = Made {
        input: desired,
        model: model.clone(),
        from: ended.from,
    };
    let (model, _) = stage.current(&made, WHEN).await?;
    judge(
        stage,
        &path,
        &model,
        &changed,
        &[OTHER_KEY],
        ("UPDATE", made.from),
    );
    Ok(())
}

/// Tells whether the schema allows the tags of this test beside those of the inputs.
fn allowed(stage: &Stage, path: &PropertyPath) -> bool {
    let input = &stage.inputs().create;
    forms(path.get(input)).into_iter().any(|tags| {
        let mut tagged = input.clone();
        put(&mut tagged, path.steps(), tags);
        stage.schema().violations(&tagged).is_empty()
    })
}

/// Gives the tags of this test in each of the forms that types use, added to
/// those that there are.
fn forms(tags: Option<&Value>) -> Vec<Value> {
    let ours = [(KEY, "created"), (OTHER_KEY, "kept")];
    let mut map = tags.and_then(Value::as_object).cloned().unwrap_or_default();
    map.extend(ours.map(|(key, value)| (key.to_owned(), Value::from(value))));
    let mut forms = vec![Value::Object(map)];
    for (key_name, value_name) in [("Key", "Value"), ("key", "value"), ("TagKey", "TagValue")] {
        let mut items = tags.and_then(Value::as_array).cloned().unwrap_or_default();
        items.extend(ours.map(|(key, value)| json!({key_name: key, value_name: value})));
        forms.push(Value::Array(items));
    }
    forms
}

fn judge(
    stage: &mut Stage,
    path: &PropertyPath,
    model: &Map<String, Value>,
    wanted: &BTreeMap<String, String>,
    gone: &[&str],
    (action, from): (&str, usize),
) {
    let found = path.get(model).map(read_tags).unwrap_or_default();
    for (key, value) in wanted {
        let what = match found.get(key) {
            Some(found) if found == value => continue,
            Some(found) => format!("has `{found}` for it"),
            None => "does not have it".to_owned(),
        };
        stage.found(
            Rule::AppliesTags,
            from,
            format!("{action} was given the tag `{key}={value}` of the stack, and `{path}` {what}"),
        );
    }
    for key in gone.iter().filter(|key| found.contains_key(**key)) {
        stage.found(
            Rule::AppliesTags,
            from,
            format!("{action} was no longer given the tag `{key}` of the stack, and `{path}` still has it"),
        );
    }
}

/// Reads tags in each of the two forms that types use: a map, or a list of
/// objects with a key and a value.
fn read_tags(tags: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match tags {
        Value::Object(map) => map
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| {
                let member = |names: [&str; 3]| names.iter().find_map(|name| text(item.get(name)?));
                Some((
                    member(["Key", "key", "TagKey"])?,
                    member(["Value", "value", "TagValue"]).unwrap_or_default(),
                ))
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_are_read_from_maps_and_from_lists() {
        for form in [
            json!({"a": "1"}),
            json!([{"Key": "a", "Value": "1"}]),
            json!([{"key": "a", "value": "1"}]),
        ] {
            assert_eq!(read_tags(&form), tags(&[("a", "1")]), "{form}");
        }
    }
}
