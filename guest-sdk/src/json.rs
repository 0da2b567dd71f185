//! JSON at the border: what comes in is parsed once, what goes out is written once.
//!
//! *Invariant*: what goes out is one object; a model holds no null. A value of a
//! write-only property never stands in a message.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::error::{HandlerError, Result};

/// Path of a property: the names from the root of the model, `*` for each
/// member of an array.
pub type PropertyPath = &'static [&'static str];

/// JSON text of one object that the handler may parse as it likes.
///
/// `Debug` does not show the text, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonObject(String);

impl JsonObject {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// Gives the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the object as a `T`.
    ///
    /// # Errors
    ///
    /// Says where and why the object is no `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "JsonObject({} bytes)", self.0.len())
    }
}

/// Reads a `T`, or fails with `InvalidRequest` and the path of what is wrong.
pub(crate) fn parse<T: DeserializeOwned>(
    what: &str,
    text: &str,
    write_only: &[PropertyPath],
) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let first = error.path().iter().next();
        let secret = write_only.iter().any(|path| match first {
            Some(Segment::Map { key }) => path.first() == Some(&key.as_str()),
            Some(Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown) | None => false,
        });
        let place = error.path().to_string();
        // serde quotes the value that it did not like.
        if secret {
            HandlerError::invalid_request(format!("{what}: {place}: the value has a wrong form"))
        } else if place == "." {
            HandlerError::invalid_request(format!("{what}: {}", error.inner()))
        } else {
            HandlerError::invalid_request(format!("{what}: {place}: {}", error.inner()))
        }
    })
}

/// Writes `value` as an object that holds no null at any level.
pub(crate) fn object(what: &str, value: &impl Serialize) -> Result<Map<String, Value>> {
    let mut object = verbatim_object(what, value)?;
    drop_nulls(&mut object);
    Ok(object)
}

/// Writes `value` as an object, nulls and all: what only the handler reads
/// again has to come back as it was.
pub(crate) fn verbatim_object(what: &str, value: &impl Serialize) -> Result<Map<String, Value>> {
    let value = serde_json::to_value(value)
        .map_err(|error| HandlerError::internal_failure(format!("cannot write {what}: {error}")))?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(HandlerError::internal_failure(format!(
                "cannot write {what}: it is not a JSON object; use a struct or a map"
            )))
        }
    }
}

/// Writes a model as it may leave a finished action: without write-only properties.
pub(crate) fn finished_model(
    model: &impl Serialize,
    write_only: &[PropertyPath],
) -> Result<Map<String, Value>> {
    let mut object = object("the model", model)?;
    remove_all(&mut object, write_only);
    Ok(object)
}

pub(crate) fn text(object: Map<String, Value>) -> String {
    Value::Object(object).to_string()
}

pub(crate) fn remove_all(object: &mut Map<String, Value>, paths: &[PropertyPath]) {
    for path in paths {
        if let Some((first, rest)) = path.split_first() {
            remove_from_object(object, first, rest);
        }
    }
}

fn remove_from_object(object: &mut Map<String, Value>, name: &str, rest: &[&str]) {
    match rest.split_first() {
        None => {
            object.shift_remove(name);
        }
        Some((next, rest)) => match object.get_mut(name) {
            Some(Value::Object(inner)) => remove_from_object(inner, next, rest),
            Some(Value::Array(items)) => remove_from_items(items, next, rest),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
        },
    }
}

fn remove_from_items(items: &mut [Value], name: &str, rest: &[&str]) {
    // `/Users/*/Password` and `/Users/Password` both mean each user's password.
    let (name, rest) = match (name, rest.split_first()) {
        ("*", Some((next, rest))) => (*next, rest),
        _ => (name, rest),
    };
    for item in items {
        match item {
            Value::Object(inner) => remove_from_object(inner, name, rest),
            Value::Array(inner) => remove_from_items(inner, name, rest),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn drop_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| keep(value));
}

fn keep(value: &mut Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(items) => {
            items.retain_mut(keep);
            true
        }
        Value::Object(object) => {
            drop_nulls(object);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Model {
        tags: Vec<u8>,
        secret: Option<u8>,
    }

    #[test]
    fn nulls_are_dropped_at_every_level() {
        let value =
            json!({"a": null, "b": {"c": null, "d": [1, null, {"e": null}]}, "f": {"g": null}});
        assert_eq!(
            Value::Object(object("it", &value).unwrap()),
            json!({"b": {"d": [1, {}]}, "f": {}})
        );
    }

    #[test]
    fn what_is_no_object_is_refused_by_name() {
        let error = object("the callback context", &3).unwrap_err();
        assert_eq!(
            error.message(),
            "cannot write the callback context: it is not a JSON object; use a struct or a map"
        );
    }

    #[test]
    fn write_only_properties_go_also_inside_of_objects_and_arrays() {
        let model =
            json!({"P": 1, "L": {"P": 1, "N": 2}, "U": [{"P": 1, "N": 2}], "V": [{"P": 1}]});
        let paths: &[PropertyPath] = &[&["P"], &["L", "P"], &["U", "*", "P"], &["V", "P"]];
        assert_eq!(
            Value::Object(finished_model(&model, paths).unwrap()),
            json!({"L": {"N": 2}, "U": [{"N": 2}], "V": [{}]})
        );
    }

    #[test]
    fn a_parse_failure_names_the_path() {
        let error =
            parse::<Model>("desired state", r#"{"tags":[1,"x"]}"#, &[&["secret"]]).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::InvalidRequest);
        assert_eq!(
            error.message(),
            "desired state: tags[1]: invalid type: string \"x\", expected u8 at line 1 column 14"
        );
    }

    #[test]
    fn a_parse_failure_never_quotes_a_write_only_value() {
        let text = r#"{"tags":[],"secret":"hunter2"}"#;
        let error = parse::<Model>("desired state", text, &[&["secret"]]).unwrap_err();
        assert_eq!(
            error.message(),
            "desired state: secret: the value has a wrong form"
        );
    }
}
