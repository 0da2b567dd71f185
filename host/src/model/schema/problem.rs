//! What can be wrong with a schema, and with a model by its schema.

use std::fmt;

use super::super::{JsonObjectError, steers};

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
#[error("at `{}`: {}", in_one_line(pointer), in_one_line(rule))]
pub struct SchemaFault {
    /// Where, as a JSON pointer; empty for the schema itself.
    pub pointer: String,
    /// What must be there.
    pub rule: String,
}

/// Gives words of a schema without what would begin a line or steer a terminal.
fn in_one_line(words: &str) -> String {
    words.replace(steers, "\u{fffd}")
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
    /// A keyword that the resource type definition schema does not know.
    UnknownKeyword,
    /// A keyword of JSON Schema that the dialect of resource types leaves out.
    KeywordNotInDialect,
    /// An `additionalProperties` that is not false, below the top.
    OpenObject,
    /// An `enum` or `const` without a `type`.
    EnumWithoutType,
    /// The name of a definition that is not 1 to 64 letters and digits.
    DefinitionName,
    /// A keyword that the registry demands is missing from a schema without
    /// handlers.
    NotRegistrable {
        /// The keyword.
        lacks: String,
    },
    /// A reference that makes a schema part of itself.
    Circle,
    /// A regular expression that does not compile.
    PatternNotEnforced {
        /// The expression.
        pattern: String,
    },
}

impl fmt::Display for SchemaWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", place(&self.pointer, "the schema"), self.oddity)
    }
}

impl fmt::Display for SchemaOddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchProperty { path } => {
                return write!(
                    f,
                    "`{path}` leads to no property, so it has no effect; correct the path"
                );
            }
            Self::NotRegistrable { lacks } => {
                return write!(
                    f,
                    "`{lacks}` is missing, which the registry demands; add it and `handlers` \
                     before the type is run"
                );
            }
            Self::PatternNotEnforced { pattern } => {
                return write!(
                    f,
                    "`{pattern}` is no regular expression that can be run (ECMA 262), so it is \
                     not enforced; correct it"
                );
            }
            Self::Circle => {
                "the reference leads back to its own place, so nothing is enforced there; say \
                 what the values are"
            }
            Self::UnknownKeyword => {
                "the resource type definition schema does not know this keyword, so it has no \
                 effect; correct its spelling or leave it out"
            }
            Self::KeywordNotInDialect => {
                "the dialect of resource types leaves this keyword of JSON Schema out; it is \
                 enforced here, but the registry refuses it"
            }
            Self::OpenObject => {
                "it is enforced as JSON Schema has it, but the registry takes only `false`; \
                 describe maps with `patternProperties`"
            }
            Self::EnumWithoutType => {
                "`enum` and `const` need a `type` beside them, by which texts are coerced; add it"
            }
            Self::DefinitionName => {
                "the registry takes only names of 1 to 64 letters and digits; rename the definition"
            }
        })
    }
}

/// One place where a model breaks its schema. A text of more than 300 characters
/// is cut there, and ends in `…`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} breaks {}: {message}",
    place(pointer, "the model"),
    place(rule, "the schema")
)]
pub struct Violation {
    /// Where in the model, as a JSON pointer; empty for the model itself.
    pub pointer: String,
    /// Which keyword of the schema, as a JSON pointer into it; empty for the
    /// schema as a whole.
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
