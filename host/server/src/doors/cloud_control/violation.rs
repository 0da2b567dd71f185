//! What is wrong with a desired state, in the words of the validator that AWS
//! runs (everit's, of which it has shown some), such as
//! `#/Size: expected type: Integer, found: String`.

use formwork_host::model::{CoercionError, JsonObject, TypeSchema, Violation};
use serde_json::Value;

use super::refusal::{Exception, Refusal};

/// How many references are followed: more would be a circle.
const REFERENCES: usize = 64;

/// Refuses a state that breaks its schema.
pub(super) fn refused(
    schema: &TypeSchema,
    state: &JsonObject,
    violations: &[Violation],
) -> Refusal {
    let instance = Value::Object(state.to_map());
    let mut said = Vec::new();
    for violation in violations {
        for what in say(schema, &instance, violation) {
            let what = format!("#{}: {what}", violation.pointer);
            // Of some rules there is a violation for each property, and all are
            // said at the first.
            if !said.contains(&what) {
                said.push(what);
            }
        }
    }
    invalid(&said)
}

/// Refuses a state with a text that does not read as what the schema wants.
pub(super) fn uncoercible(error: &CoercionError) -> Refusal {
    invalid(&[format!(
        "#{}: the text does not read as {}",
        error.pointer, error.wanted
    )])
}

/// Refuses a new state that sets what the handler alone sets.
pub(super) fn read_only(path: &str) -> Refusal {
    let pointer = path.strip_prefix("/properties").unwrap_or(path);
    invalid(&[format!(
        "#{pointer}: readOnlyProperties [{path}] cannot be specified"
    )])
}

fn invalid(said: &[String]) -> Refusal {
    Refusal::new(
        Exception::Validation,
        format!("Model validation failed ({})", said.join("\n")),
    )
}

/// Says what breaks one rule; each property that should not be there is said.
fn say(schema: &TypeSchema, instance: &Value, violation: &Violation) -> Vec<String> {
    let (rules, keyword) = violation
        .rule
        .rsplit_once('/')
        .unwrap_or(("", &violation.rule));
    let rules = resolve(schema.document(), rules);
    let found = instance.pointer(&violation.pointer);
    let said = rules
        .zip(found)
        .and_then(|(rules, found)| in_words(schema, rules, keyword, found));
    said.unwrap_or_else(|| vec![violation.message.clone()])
}

fn in_words(
    schema: &TypeSchema,
    rules: &Value,
    keyword: &str,
    found: &Value,
) -> Option<Vec<String>> {
    let rule = rules.get(keyword)?;
    // A value is repeated only where none can be a secret.
    let shown = |found: &Value| {
        if schema.write_only().is_empty() {
            match found {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        } else {
            "the value".to_owned()
        }
    };
    let text = found.as_str();
    let characters = text.map(|text| text.chars().count());
    let items = found.as_array().map(Vec::len);
    let said = match keyword {
        "type" => format!("expected type: {}, found: {}", types(rule), type_of(found)),
        "additionalProperties" => {
            let known = rules.get("properties");
            let strange = found
                .as_object()?
                .keys()
                .filter(|key| known.and_then(|known| known.get(key)).is_none());
            // Which keys the patterns allow, the validator alone can say.
            return rules.get("patternProperties").is_none().then(|| {
                strange
                    .map(|key| format!("extraneous key [{key}] is not permitted"))
                    .collect()
            });
        }
        "required" => {
            let there = found.as_object()?;
            let missing = rule
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .filter(|key| !there.contains_key(*key));
            return Some(
                missing
                    .map(|key| format!("required key [{key}] not found"))
                    .collect(),
            );
        }
        "pattern" => format!(
            "string [{}] does not match pattern {}",
            shown(found),
            rule.as_str()?
        ),
        "enum" => format!("{} is not a valid enum value", shown(found)),
        "minLength" => format!("expected minLength: {rule}, actual: {}", characters?),
        "maxLength" => format!("expected maxLength: {rule}, actual: {}", characters?),
        "minItems" => format!("expected minimum item count: {rule}, found: {}", items?),
        "maxItems" => format!("expected maximum item count: {rule}, found: {}", items?),
        "uniqueItems" => "array items are not unique".to_owned(),
        "minimum" => format!("{} is not greater or equal to {rule}", shown(found)),
        "maximum" => format!("{} is not less or equal to {rule}", shown(found)),
        "exclusiveMinimum" => format!("{} is not greater than {rule}", shown(found)),
        "exclusiveMaximum" => format!("{} is not less than {rule}", shown(found)),
        "multipleOf" => format!("{} is not a multiple of {rule}", shown(found)),
        // Keywords that everit words at length, and those of later drafts.
        _ => return None,
    };
    Some(vec![said])
}

/// Follows a path of keywords through a schema and its references.
fn resolve<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = document;
    let mut references = 0;
    for step in path.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        at = match at {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            Value::Object(members) if step == "$ref" => {
                references += 1;
                let reference = members.get("$ref")?.as_str()?.strip_prefix('#')?;
                document
                    .pointer(reference)
                    .filter(|_| references <= REFERENCES)?
            }
            Value::Object(members) => members.get(&step)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(at)
}

fn types(rule: &Value) -> String {
    let name = |name: &Value| match name.as_str().unwrap_or_default() {
        "object" => "JSONObject",
        "array" => "JSONArray",
        "string" => "String",
        "boolean" => "Boolean",
        "integer" => "Integer",
        "number" => "Number",
        _ => "Null",
    };
    match rule {
        Value::Array(names) => names.iter().map(name).collect::<Vec<_>>().join(" or "),
        other => name(other).to_owned(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Double",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "JSONArray",
        Value::Object(_) => "JSONObject",
    }
}
