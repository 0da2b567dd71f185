//! What the attribute has to know of a resource type schema, and what it refuses.

use serde_json::{Map, Value};

/// The actions that a schema's `handlers` may name, which are also the names
/// of the trait's functions.
pub(crate) const ACTIONS: [&str; 5] = ["create", "read", "update", "delete", "list"];

/// The part of a schema that the expansion needs.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// The actions that `handlers` names.
    pub(crate) handlers: Vec<&'static str>,
    /// The write-only properties, as names from the root of the model.
    pub(crate) write_only: Vec<Vec<String>>,
}

/// Reads a schema, or says everything that is wrong with it.
pub(crate) fn read(text: &str) -> Result<Schema, Vec<String>> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| vec![format!("the schema is not JSON: {error}")])?;
    let Value::Object(document) = document else {
        return Err(vec!["the schema is not a JSON object".to_owned()]);
    };
    let mut reader = Reader {
        document: &document,
        errors: Vec::new(),
    };
    reader.type_name();
    reader.properties();
    reader.additional_properties();
    let schema = Schema {
        handlers: reader.handlers(),
        write_only: reader.pointers("writeOnlyProperties"),
    };
    reader.primary_identifier();
    for keyword in ["createOnlyProperties", "readOnlyProperties"] {
        reader.pointers(keyword);
    }
    if reader.errors.is_empty() {
        Ok(schema)
    } else {
        Err(reader.errors)
    }
}

struct Reader<'a> {
    document: &'a Map<String, Value>,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, message: impl Into<String>) {
        self.errors.push(message.into());
    }

    fn type_name(&mut self) {
        match self.document.get("typeName") {
            Some(Value::String(name)) if is_type_name(name) => {}
            Some(name) => self.wrong(format!(
                "`typeName` is {name}; it has three parts of 2 to 64 letters and digits, for \
                 example \"Acme::Storage::Archive\""
            )),
            None => self.wrong(
                "`typeName` is missing; name the type, for example \"Acme::Storage::Archive\"",
            ),
        }
    }

    fn properties(&mut self) {
        match self.document.get("properties") {
            Some(Value::Object(properties)) if !properties.is_empty() => {}
            Some(_) => self.wrong("`properties` is not an object with at least one property"),
            None => self.wrong("`properties` is missing; describe at least one property"),
        }
    }

    fn additional_properties(&mut self) {
        if self.document.get("additionalProperties") != Some(&Value::Bool(false)) {
            self.wrong("`additionalProperties` is not false; CloudFormation demands it");
        }
    }

    fn primary_identifier(&mut self) {
        let names_none = match self.document.get("primaryIdentifier") {
            Some(Value::Array(pointers)) => pointers.is_empty(),
            Some(_) => false,
            None => true,
        };
        if names_none {
            self.wrong(
                "`primaryIdentifier` is missing or empty; name the properties that identify a \
                 resource, for example [\"/properties/Name\"]",
            );
        }
        self.pointers("primaryIdentifier");
    }

    fn handlers(&mut self) -> Vec<&'static str> {
        let Some(Value::Object(handlers)) = self.document.get("handlers") else {
            self.wrong("`handlers` is missing; name the actions that the handler implements");
            return Vec::new();
        };
        if handlers.is_empty() {
            self.wrong("`handlers` is empty; name the actions that the handler implements");
        }
        for name in handlers.keys() {
            if !ACTIONS.contains(&name.as_str()) {
                self.wrong(format!(
                    "`handlers` names `{name}`; there are create, read, update, delete and list"
                ));
            }
        }
        ACTIONS
            .into_iter()
            .filter(|action| handlers.contains_key(*action))
            .collect()
    }

    /// Reads a list of `/properties/…` pointers, each to a property that there is.
    fn pointers(&mut self, keyword: &str) -> Vec<Vec<String>> {
        let pointers = match self.document.get(keyword) {
            None => return Vec::new(),
            Some(Value::Array(pointers)) => pointers,
            Some(_) => {
                self.wrong(format!("`{keyword}` is not a list of JSON pointers"));
                return Vec::new();
            }
        };
        let mut paths = Vec::new();
        for pointer in pointers {
            match path(pointer) {
                Some(path) if self.has_property(&path[0]) => paths.push(path),
                Some(path) => self.wrong(format!(
                    "`{keyword}` names the property `{}`, which `properties` does not have",
                    path[0]
                )),
                None => self.wrong(format!(
                    "`{keyword}` holds {pointer}; a pointer looks like \"/properties/Name\""
                )),
            }
        }
        paths
    }

    fn has_property(&self, name: &str) -> bool {
        self.document
            .get("properties")
            .is_none_or(|properties| properties.get(name).is_some())
    }
}

fn is_type_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    parts.len() == 3
        && parts.iter().all(|part| {
            (2..=64).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// Gives the names that a pointer goes through; `properties` between two names
/// belongs to the schema, not to the model, and `items` likewise.
fn path(pointer: &Value) -> Option<Vec<String>> {
    let rest = pointer.as_str()?.strip_prefix("/properties/")?;
    let names: Vec<String> = rest
        .split('/')
        .filter(|name| !matches!(*name, "properties" | "items"))
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    (!names.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(names)
}
