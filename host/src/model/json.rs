//! JSON objects as text: checked once, parsed only where somebody looks inside.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Holds the text of one JSON object, checked and cheap to clone.
///
/// Resource models, callback contexts and type configurations cross the host as
/// text, since parsing costs more than the call into a sandbox. Whatever
/// [`JsonObject::parse`] lets in, [`JsonObject::to_map`] can parse: the check
/// covers nesting (128 levels) and the range of numbers. No object in it has a
/// key twice, and none has a key by which the parser would put text in the place of a
/// value (`$serde_json::private::…`): who reads the text and who parses it see the same
/// values.
///
/// `Debug` shows the size alone: the text may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonObject(Arc<str>);

/// Says why a text is not one JSON object, and where, without repeating any of
/// it: it may hold secrets.
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
    /// When `text` is not JSON, not an object, nested deeper than 128 levels, has a key
    /// twice in one object, or one that is the parser's own.
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

/// Parses JSON of any kind that somebody else has written, as [`JsonObject`] checks it.
///
/// # Errors
///
/// Those of [`JsonObject::parse`], but for what is no object.
pub fn parse_value(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<Checked>(text)?;
    serde_json::from_str(text)
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
        let mut keys = Keys::Few(Vec::new());
        while let Some(Key(key)) = members.next_key()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("duplicate key"));
            }
            members.next_value::<Checked>()?;
        }
        Ok(Checked)
    }
}

/// The keys of one object so far, without their escapes.
enum Keys<'de> {
    /// To compare with a few is faster than to hash.
    Few(Vec<Cow<'de, str>>),
    Many(HashSet<Cow<'de, str>>),
}

impl<'de> Keys<'de> {
    const FEW: usize = 16;

    /// Takes a key, and tells whether it is a new one.
    fn insert(&mut self, key: Cow<'de, str>) -> bool {
        match self {
            Self::Many(keys) => keys.insert(key),
            Self::Few(keys) if keys.contains(&key) => false,
            Self::Few(keys) if keys.len() < Self::FEW => {
                keys.push(key);
                true
            }
            Self::Few(keys) => {
                *self = Self::Many(keys.drain(..).chain([key]).collect());
                true
            }
        }
    }
}

/// With these the keys begin by which the parser makes a value of a text, which it then
/// parses without any bound on nesting; a library may have turned that on.
const OWN_KEYS: &str = "$serde_json::private::";

/// A key of an object, borrowed from the text unless it has escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Key<'de> {
    fn new<E: serde::de::Error>(key: Cow<'de, str>) -> Result<Self, E> {
        if key.starts_with(OWN_KEYS) {
            return Err(E::custom("a key that is the parser's own"));
        }
        Ok(Self(key))
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, key: &'de str) -> Result<Key<'de>, E> {
                Key::new(Cow::Borrowed(key))
            }

            fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key<'de>, E> {
                Key::new(Cow::Owned(key.to_owned()))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
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

            // The library's own refusals repeat the value.

            fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<CheckedObject, E> {
                Err(refusal("a boolean"))
            }

            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<CheckedObject, E> {
                Err(refusal("a number"))
            }

            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<CheckedObject, E> {
                Err(refusal("a number"))
            }

            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<CheckedObject, E> {
                Err(refusal("a number"))
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<CheckedObject, E> {
                Err(refusal("a string"))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<CheckedObject, E> {
                Err(refusal("null"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<CheckedObject, A::Error> {
                Err(refusal("an array"))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<CheckedObject, A::Error> {
                CheckVisitor.visit_map(members).map(|Checked| CheckedObject)
            }
        }

        deserializer.deserialize_any(ObjectVisitor)
    }
}

/// Names the kind of what is no object.
fn refusal<E: serde::de::Error>(kind: &str) -> E {
    E::custom(format_args!("{kind}, expected a JSON object"))
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
    fn no_key_makes_a_value_of_a_text() {
        let raw = r#""$serde_json::private::RawValue":"[[""#;
        let escaped = r#""\u0024serde_json::private::RawValue":"[]""#;
        for text in [
            format!("{{{raw}}}"),
            format!(r#"{{"a":{{{raw}}}}}"#),
            format!(r#"{{"a":[{{{escaped}}}]}}"#),
            r#"{"a":{"b":1,"$serde_json::private::Number":"1"}}"#.to_owned(),
        ] {
            assert!(JsonObject::parse(text.as_str()).is_err(), "{text}");
            assert!(parse_value(&text).is_err(), "{text}");
            assert!(parse_value(&format!("[{text}]")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_in_one_object_is_refused() {
        let many: String = (0..100).map(|n| format!(r#""k{n}":0,"#)).collect();
        for text in [
            r#"{"a":1,"a":2}"#.to_owned(),
            r#"{"a":1,"\u0061":2}"#.to_owned(),
            r#"{"o":[{"b":{"c":1,"d":2,"c":1}}]}"#.to_owned(),
            format!(r#"{{{many}"k3":1}}"#),
            format!(r#"{{{many}"k99":1}}"#),
            format!(r#"{{{many}"\u006b16":1}}"#),
        ] {
            let error = JsonObject::parse(text.as_str()).expect_err(&text);
            let why = error.source.to_string();
            assert!(why.starts_with("duplicate key at line 1"), "{text}: {why}");
        }
        let distinct =
            format!(r#"{{{many}"a":{{"a":{{"A":1}},"k1":2}},"\u0041":[{{"a":1}},{{"a":1}}]}}"#);
        JsonObject::parse(distinct).expect("no key twice");
    }

    #[test]
    fn a_refusal_repeats_no_value() {
        for (text, kind) in [
            (r#""hunter2""#, "a string"),
            (r#""\u0068unter2""#, "a string"),
            ("4242", "a number"),
            ("-4242", "a number"),
            ("42.42", "a number"),
            ("true", "a boolean"),
            ("null", "null"),
            (r#"["hunter2"]"#, "an array"),
            (r#"{"hunter2":1,"hunter2":2}"#, "duplicate key"),
            (r#"{"a":hunter2}"#, "expected value"),
        ] {
            let why = JsonObject::parse(text).expect_err(text).source.to_string();
            assert!(why.starts_with(kind), "{why}");
            assert!(!why.contains("hunter2") && !why.contains("42"), "{why}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let object = JsonObject::parse(r#"{"Password":"hunter2"}"#).expect("an object");
        assert_eq!(format!("{object:?}"), "JsonObject(22 bytes)");
    }
}
