//! What can be wrong with a schema, and with a model by its schema.

use std::fmt;

use super::super::JsonObjectError;

/// Says why a document is no resource type schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not one JSON object.
    #[error("the resource type schema is not the text of one JSON object")]
    NotJson {
        /// Where and why parsing stopped.
        source: JsonObjectError,
    },
    /// Keywords are missing or have wrong values.
    #[error("the resource type schema is wrong {}", list(faults))]
    Wrong {
        /// Every place, the first 20; at least one.
        faults: Vec<SchemaFault>,
    },
    /// The properties are no valid JSON Schema.
    #[error(
        "the properties of the resource type schema are no valid JSON Schema (draft 7): {reason}"
    )]
    Properties {
        /// What the validator says.
        reason: String,
    },
}

/// One place where a schema breaks the resource type definition schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at `{pointer}`: {rule}")]
pub struct SchemaFault {
    /// Where, as a JSON pointer; empty for the schema itself.
    pub pointer: String,
    /// What must be there.
    pub rule: String,
}

fn list(faults: &[SchemaFault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// One place where a schema is odd, though a handler can be run by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaWarning {
    /// Where, as a JSON pointer; empty for the schema itself.
    pub pointer: String,
    /// What is odd there.
    pub oddity: SchemaOddity,
}

/// What is odd about a place in a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaOddity {
    /// A path that leads to no property.
    NoSuchProperty {
        /// The path, as the schema has it.
        path: String,
    },
}

impl fmt::Display for SchemaWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", place(&self.pointer, "the schema"))?;
        match &self.oddity {
            SchemaOddity::NoSuchProperty { path } => write!(
                f,
                "`{path}` leads to no property, so it has no effect; correct the path"
            ),
        }
    }
}

/// One place where a model breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} breaks `{rule}`: {message}", place(pointer, "the model"))]
pub struct Violation {
    /// Where in the model, as a JSON pointer; empty for the model itself.
    pub pointer: String,
    /// Which keyword of the schema, as a JSON pointer into it.
    pub rule: String,
    /// What is wrong there. Values of write-only properties are not shown.
    pub message: String,
}

/// Names a place; the empty pointer is the whole.
fn place(pointer: &str, whole: &str) -> String {
    if pointer.is_empty() {
        whole.to_owned()
    } else {
        format!("`{pointer}`")
    }
}
