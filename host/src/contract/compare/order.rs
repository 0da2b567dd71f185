//! Whether the order of a list means something.

use serde_json::Value;

use crate::contract::generate::resolve;

/// How deep `allOf`, `anyOf` and `oneOf` may be nested in one place.
const DEEPEST: usize = 16;

/// Every schema that may apply at one place, whichever branches hold.
#[derive(Clone, Debug)]
pub(super) struct Schemas<'a> {
    root: &'a Value,
    all: Vec<&'a Value>,
}

impl<'a> Schemas<'a> {
    /// Begins at the model itself.
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            all: Vec::new(),
        }
        .with([root])
    }

    /// Goes to a member of an object.
    pub(super) fn member(&self, name: &str) -> Self {
        self.with(self.all.iter().flat_map(|schema| {
            let declared = schema.get("properties").and_then(|all| all.get(name));
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            // A member that is declared has that one schema; others have any of
            // the rest, of which published schemas give one.
            let others = patterns
                .into_iter()
                .flat_map(|all| all.values())
                .chain(schema.get("additionalProperties"))
                .filter(move |_| declared.is_none());
            declared.into_iter().chain(others)
        }))
    }

    /// Goes to the members of an array.
    pub(super) fn item(&self) -> Self {
        self.with(self.all.iter().filter_map(|schema| schema.get("items")))
    }

    /// Tells whether members of the list here keep their order, as they do
    /// unless `insertionOrder` is `false`.
    pub(super) fn are_ordered(&self) -> bool {
        let disordered = Some(&Value::Bool(false));
        self.all
            .iter()
            .all(|schema| schema.get("insertionOrder") != disordered)
    }

    fn with(&self, schemas: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut all = Vec::new();
        for schema in schemas {
            gather(self.root, schema, 0, &mut all);
        }
        Self {
            root: self.root,
            all,
        }
    }
}

fn gather<'a>(root: &'a Value, schema: &'a Value, depth: usize, all: &mut Vec<&'a Value>) {
    // Beside a reference, validation ignores everything; `insertionOrder` is no
    // matter of validation.
    all.push(schema);
    let (target, _) = resolve(root, schema);
    if !std::ptr::eq(target, schema) {
        all.push(target);
    }
    if depth >= DEEPEST {
        return;
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let branches = target.get(keyword).and_then(Value::as_array);
        for branch in branches.into_iter().flatten() {
            gather(root, branch, depth + 1, all);
        }
    }
}
