//! JSON objects as text: checked once, parsed only where somebody looks inside.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Holds the text of one JSON object, checked and cheap to clone.
///
/// Resource models, callback contexts and type configurations cross the host as
/// text, since parsing costs more than the call into a sandbox. Whatever
/// [`JsonObject::parse`] lets in, [`JsonObject::to_map`] can parse: the check
/// covers nesting (128 levels) and the range of numbers.
///
/// `Debug` shows the size alone: the text may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonObject(Arc<str>);

/// Says why a text is not one JSON object.
#[derive(Debug, thiserror::Error)]
#[error("not the text of one JSON object")]
pub struct JsonObjectError {
    source: serde_json::Error,
}

impl JsonObject {
    /// Checks `text` and keeps it as it is.
    ///
    /// # Errors
    ///
    /// When `text` is not JSON, not an object, or nested deeper than 128 levels.
    pub fn parse(text: impl Into<Arc<str>>) -> Result<Self, JsonObjectError> {
        let text = text.into();
        serde_json::from_str::<CheckedObject>(&text)
            .map_err(|source| JsonObjectError { source })?;
        Ok(Self(text))
    }

    /// Prints `map` as text.
    ///
    /// # Panics
    ///
    /// Never: a map with string keys prints.
    #[must_use]
    pub fn from_map(map: &Map<String, Value>) -> Self {
        let text = serde_json::to_string(map).expect("a map with string keys prints");
        Self(text.into())
    }

    /// Gives the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the text.
    ///
    /// # Panics
    ///
    /// Never: the text was checked when the object was made.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).expect("the text was checked when the object was made")
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonObject({} bytes)", self.0.len())
    }
}

/// Visits a document just as parsing does, and keeps nothing.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckVisitor)
    }
}

struct CheckVisitor;

impl<'de> Visitor<'de> for CheckVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Checked, A::Error> {
        while members.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

struct CheckedObject;

impl<'de> Deserialize<'de> for CheckedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = CheckedObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<CheckedObject, A::Error> {
                CheckVisitor.visit_map(members).map(|Checked| CheckedObject)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_let_in_can_be_parsed() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126));
        for text in [
            "{}",
            r#"{"a":[1,-2.5e3,true,null,"x",{"b":{}}]}"#,
            deep.as_str(),
        ] {
            let object = JsonObject::parse(text).expect(text);
            assert_eq!(
                Value::Object(object.to_map()),
                serde_json::from_str::<Value>(text).expect(text)
            );
        }
    }

    #[test]
    fn what_cannot_be_parsed_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            "{} x",
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            &deep,
        ] {
            assert!(JsonObject::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let object = JsonObject::parse(r#"{"Password":"hunter2"}"#).expect("an object");
        assert_eq!(format!("{object:?}"), "JsonObject(22 bytes)");
    }
}
