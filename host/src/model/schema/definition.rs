//! What a resource type schema says besides its properties: handlers, tagging,
//! and the lists of property paths.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::{Action, InvalidName, PropertyPath, PropertyPathError, TypeName};
use super::problem::SchemaFault;
use super::reference::escaped;

/// How long an operation may take where the schema says nothing, by the
/// resource type definition schema.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120 * 60);

/// The timeouts that the resource type definition schema allows, in minutes.
const TIMEOUT_MINUTES: std::ops::RangeInclusive<u64> = 2..=2160;

/// What the schema says of one action's handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerDefinition {
    /// The IAM actions that the handler needs, such as `s3:CreateBucket`.
    pub permissions: Vec<String>,
    /// How long an operation may take, all its invocations and the waiting
    /// between them included: `timeoutInMinutes`, 120 minutes by default.
    pub timeout: Duration,
}

/// What the schema says of tags: its `tagging`, with the defaults of the
/// resource type definition schema.
///
/// Where there is no `tagging`, the older keyword `taggable` counts for all
/// four truth values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagging {
    /// Whether resources can have tags. Default: true.
    pub taggable: bool,
    /// Whether a create can set tags. Default: true.
    pub tag_on_create: bool,
    /// Whether an update can change tags. Default: true.
    pub tag_updatable: bool,
    /// Whether CloudFormation's own tags are put on resources. Default: true.
    pub cloudformation_system_tags: bool,
    /// Which property holds the tags. Default: `/properties/Tags`.
    pub tag_property: PropertyPath,
    /// The IAM actions that tagging needs.
    pub permissions: Vec<String>,
    /// Whether the schema has `tagging`; else everything here is a default.
    pub declared: bool,
}

/// Reads keywords, and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    document: &'a Map<String, Value>,
    pub(super) faults: Vec<SchemaFault>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(document: &'a Map<String, Value>) -> Self {
        Self {
            document,
            faults: Vec::new(),
        }
    }

    fn wrong(&mut self, pointer: impl Into<String>, rule: impl Into<String>) {
        self.faults.push(SchemaFault {
            pointer: pointer.into(),
            rule: rule.into(),
        });
    }

    /// Reads the name of the type.
    pub(super) fn type_name(&mut self) -> Option<TypeName> {
        match self.document.get("typeName").and_then(Value::as_str) {
            Some(name) => name
                .parse()
                .map_err(|error: InvalidName| self.wrong("/typeName", error.to_string()))
                .ok(),
            None => {
                self.wrong(
                    "/typeName",
                    "must be a string such as `Acme::Storage::Archive`",
                );
                None
            }
        }
    }

    /// Reads a list of property paths; a missing one is empty.
    pub(super) fn paths(&mut self, name: &str) -> Vec<PropertyPath> {
        match self.document.get(name) {
            Some(value) => self.path_list(&format!("/{name}"), value),
            None => Vec::new(),
        }
    }

    /// Reads the list of identifiers, each a list of paths.
    pub(super) fn additional_identifiers(&mut self) -> Vec<Vec<PropertyPath>> {
        let Some(value) = self.document.get("additionalIdentifiers") else {
            return Vec::new();
        };
        let Some(identifiers) = value.as_array() else {
            self.wrong(
                "/additionalIdentifiers",
                "must be an array of arrays of property paths",
            );
            return Vec::new();
        };
        identifiers
            .iter()
            .enumerate()
            .map(|(index, value)| self.path_list(&format!("/additionalIdentifiers/{index}"), value))
            .collect()
    }

    /// Reads `propertyTransform`: for each path, the `JSONata` expression.
    pub(super) fn property_transforms(&mut self) -> Vec<(PropertyPath, String)> {
        let Some(value) = self.document.get("propertyTransform") else {
            return Vec::new();
        };
        let Some(transforms) = value.as_object() else {
            self.wrong(
                "/propertyTransform",
                "must be an object with a JSONata expression for each property path",
            );
            return Vec::new();
        };
        let mut read = Vec::new();
        for (path, expression) in transforms {
            let at = format!("/propertyTransform/{}", escaped(path));
            let Some(expression) = expression.as_str() else {
                self.wrong(at, "must be the text of a JSONata expression");
                continue;
            };
            // The official schema does not say what the names must be; one
            // that leads nowhere is warned of where all paths are followed.
            if let Ok(path) = path.parse() {
                read.push((path, expression.to_owned()));
            }
        }
        read
    }

    /// Reads the handlers by their names in the schema.
    pub(super) fn handlers(&mut self) -> BTreeMap<&'static str, HandlerDefinition> {
        let Some(value) = self.document.get("handlers") else {
            return BTreeMap::new();
        };
        let Some(named) = value.as_object() else {
            self.wrong(
                "/handlers",
                "must be an object with one member for each action",
            );
            return BTreeMap::new();
        };
        let mut handlers = BTreeMap::new();
        for (name, handler) in named {
            let at = format!("/handlers/{}", escaped(name));
            let action = Action::ALL
                .into_iter()
                .find(|action| action.handler_name() == name);
            let Some(action) = action else {
                self.wrong(
                    at,
                    "is no action: use create, read, update, delete and list",
                );
                continue;
            };
            let timeout = match handler.get("timeoutInMinutes") {
                None => DEFAULT_TIMEOUT,
                Some(value) => match value.as_u64().filter(|m| TIMEOUT_MINUTES.contains(m)) {
                    Some(minutes) => Duration::from_secs(minutes * 60),
                    None => {
                        self.wrong(
                            format!("{at}/timeoutInMinutes"),
                            "must be a whole number from 2 to 2160",
                        );
                        DEFAULT_TIMEOUT
                    }
                },
            };
            let definition = HandlerDefinition {
                permissions: texts(handler.get("permissions")),
                timeout,
            };
            handlers.insert(action.handler_name(), definition);
        }
        handlers
    }

    /// Reads `tagging`, or the older `taggable`.
    pub(super) fn tagging(&mut self) -> Tagging {
        let tagging = self.document.get("tagging");
        let flag = |name: &str| {
            tagging
                .and_then(|tagging| tagging.get(name))
                .or_else(|| match tagging {
                    Some(_) => None,
                    None => self.document.get("taggable"),
                })
                .and_then(Value::as_bool)
                .unwrap_or(true)
        };
        let (taggable, tag_on_create, tag_updatable, cloudformation_system_tags) = (
            flag("taggable"),
            flag("tagOnCreate"),
            flag("tagUpdatable"),
            flag("cloudFormationSystemTags"),
        );
        let tag_property = tagging
            .and_then(|tagging| tagging.get("tagProperty"))
            .and_then(Value::as_str)
            .and_then(|text| self.path("/tagging/tagProperty", text))
            .unwrap_or_else(|| PropertyPath::of_property("Tags"));
        Tagging {
            taggable,
            tag_on_create,
            tag_updatable,
            cloudformation_system_tags,
            tag_property,
            permissions: texts(tagging.and_then(|tagging| tagging.get("permissions"))),
            declared: tagging.is_some(),
        }
    }

    fn path_list(&mut self, at: &str, value: &Value) -> Vec<PropertyPath> {
        let rule = "must be an array of property paths such as `/properties/Name`";
        let Some(items) = value.as_array() else {
            self.wrong(at, rule);
            return Vec::new();
        };
        let mut paths = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = format!("{at}/{index}");
            match item.as_str() {
                Some(text) => paths.extend(self.path(&at, text)),
                None => self.wrong(at, rule),
            }
        }
        paths
    }

    fn path(&mut self, at: &str, text: &str) -> Option<PropertyPath> {
        text.parse()
            .map_err(|error: PropertyPathError| self.wrong(at, error.to_string()))
            .ok()
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
