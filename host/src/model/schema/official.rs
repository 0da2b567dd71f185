//! The check by the official resource type definition schema.
//!
//! The files under `official/` are AWS's own; its README tells where they come
//! from. A keyword that they do not know is a warning, since published schemas
//! use newer ones; a keyword with a wrong value is an error.

use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Registry, ValidationError, Validator};
use serde_json::Value;

use super::problem::{SchemaFault, SchemaOddity, SchemaWarning};
use super::reference::escaped;
use super::{MAX_FAULTS, MAX_WARNINGS};

const RESOURCE: &str = include_str!("official/provider.definition.schema.v1.json");
const BASE: &str = include_str!("official/base.definition.schema.v1.json");
const CONFIGURATION: &str =
    include_str!("official/provider.configuration.definition.schema.v1.json");

/// Where the official schemas call each other.
const BASE_URI: &str =
    "https://schema.cloudformation.us-east-1.amazonaws.com/base.definition.schema.v1.json";
const CONFIGURATION_URI: &str = "https://schema.cloudformation.us-east-1.amazonaws.com/provider.configuration.definition.schema.v1.json";

/// Keywords of draft 7 that the official schema leaves out. They are enforced
/// nonetheless.
const DRAFT_7: [&str; 10] = [
    "$id",
    "additionalItems",
    "contentEncoding",
    "contentMediaType",
    "else",
    "if",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
];

/// Compiles the official schema, once for the process.
fn validator() -> &'static Validator {
    static COMPILED: OnceLock<Validator> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let read = |text| -> Value {
            serde_json::from_str(text).expect("the official schemas are JSON; a test reads them")
        };
        let sound = "the official schemas compile; a test does so";
        let registry = Registry::new()
            .add(BASE_URI, Draft::Draft7.create_resource(read(BASE)))
            .and_then(|builder| {
                builder.add(
                    CONFIGURATION_URI,
                    Draft::Draft7.create_resource(read(CONFIGURATION)),
                )
            })
            .and_then(jsonschema::RegistryBuilder::prepare)
            .expect(sound);
        jsonschema::options()
            .with_draft(Draft::Draft7)
            .with_registry(&registry)
            .build(&read(RESOURCE))
            .expect(sound)
    })
}

/// Checks a schema document, and adds what is wrong and what is odd with it.
///
/// Of a place that a fault is known of already, nothing more is said.
pub(super) fn check(
    document: &Value,
    faults: &mut Vec<SchemaFault>,
    warnings: &mut Vec<SchemaWarning>,
) {
    // Without handlers, a schema describes a type that is never run by it:
    // then what the registry demands of a type that it runs is of no matter.
    let runs = document.get("handlers").is_some();
    for error in validator().iter_errors(document) {
        for finding in findings(&error, runs) {
            match finding {
                Finding::Wrong(fault) => {
                    if faults.len() < MAX_FAULTS
                        && faults.iter().all(|known| known.pointer != fault.pointer)
                    {
                        faults.push(fault);
                    }
                }
                Finding::Odd(warning) => {
                    if warnings.len() < MAX_WARNINGS && !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
            }
        }
    }
}

enum Finding {
    Wrong(SchemaFault),
    Odd(SchemaWarning),
}

fn wrong(pointer: String, rule: impl Into<String>) -> Finding {
    Finding::Wrong(SchemaFault {
        pointer,
        rule: rule.into(),
    })
}

fn odd(pointer: String, oddity: SchemaOddity) -> Finding {
    Finding::Odd(SchemaWarning { pointer, oddity })
}

/// Tells what one error means.
fn findings(error: &ValidationError<'_>, runs: bool) -> Vec<Finding> {
    let pointer = error.instance_path().to_string();
    let rule = error.schema_path().to_string();
    let member = |name: &str| format!("{pointer}/{}", escaped(name));
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| unexpected_member(member(name), name, &rule))
            .collect(),
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            if rule.contains("/definitions/validations/") {
                vec![odd(pointer, SchemaOddity::EnumWithoutType)]
            } else if !runs
                && pointer.is_empty()
                && ["description", "primaryIdentifier"].contains(&name)
            {
                vec![odd(
                    member(name),
                    SchemaOddity::NotRegistrable {
                        lacks: name.to_owned(),
                    },
                )]
            } else {
                vec![wrong(member(name), missing(name))]
            }
        }
        // Compiling the patterns tells the same, and what comes of it.
        ValidationErrorKind::Format { format } if format == "regex" => Vec::new(),
        ValidationErrorKind::PropertyNames { .. } if pointer.ends_with("/patternProperties") => {
            Vec::new()
        }
        // Below the top, an open object is an oddity of published schemas, and
        // JSON Schema says what it means.
        ValidationErrorKind::Constant { .. } | ValidationErrorKind::Type { .. }
            if rule
                .contains("/definitions/properties/allOf/1/properties/additionalProperties/") =>
        {
            vec![odd(pointer, SchemaOddity::OpenObject)]
        }
        ValidationErrorKind::Not { .. } if rule.contains("/definitions/validations/") => {
            vec![wrong(
                pointer,
                "must not have `patternProperties` beside `properties`",
            )]
        }
        ValidationErrorKind::AnyOf { .. } if pointer.ends_with("/type") => vec![wrong(
            pointer,
            "must be `array`, `boolean`, `integer`, `null`, `number`, `object` or `string`, \
             or an array of these",
        )],
        ValidationErrorKind::Constant { expected_value } => {
            vec![wrong(pointer, format!("must be {expected_value}"))]
        }
        // The other kinds name no value that a sentence of ours would say better.
        _ => vec![wrong(pointer, error.masked_with("it").to_string())],
    }
}

/// Says that a keyword is missing, and what to put there.
fn missing(keyword: &str) -> &'static str {
    match keyword {
        "typeName" => "is missing: it must be a text such as `Acme::Storage::Archive`",
        "description" => "is missing: say what the type is",
        "properties" => "is missing: describe at least one property",
        "primaryIdentifier" => "is missing: name the properties that tell resources apart",
        "additionalProperties" => "is missing: it must be `false`",
        "permissions" => "is missing: list the IAM actions that the handler needs, or none",
        _ => "is missing",
    }
}

/// Tells what it means that the official schema does not know a member.
fn unexpected_member(pointer: String, name: &str, rule: &str) -> Finding {
    let named = "must have a name of 1 to 64 letters and digits";
    if rule.ends_with("/properties/handlers/additionalProperties") {
        wrong(
            pointer,
            "is no action: use create, read, update, delete and list",
        )
    } else if rule.ends_with("/properties/properties/additionalProperties") {
        wrong(pointer, named)
    } else if rule.ends_with("/properties/definitions/additionalProperties") {
        odd(pointer, SchemaOddity::DefinitionName)
    } else if DRAFT_7.contains(&name) {
        odd(pointer, SchemaOddity::KeywordNotInDialect)
    } else {
        odd(pointer, SchemaOddity::UnknownKeyword)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_official_schemas_compile_and_name_themselves() {
        for (text, uri) in [(BASE, BASE_URI), (CONFIGURATION, CONFIGURATION_URI)] {
            let schema: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(schema["$id"], uri);
        }
        assert!(!validator().is_valid(&json!({})));
    }
}
