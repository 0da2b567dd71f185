//! Where the parts of a schema lie: pointers, references, and the schemas that
//! a schema is made of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// How many references are followed in a row: a chain that is longer, or goes
/// round in a circle, leads nowhere.
const MAX_REFERENCES: usize = 64;

/// Keywords whose value is one schema.
const ONE: [&str; 9] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
];

/// Keywords whose value is an array of schemas.
const LIST: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Keywords whose value is an object of schemas under names of their own.
const NAMED: [&str; 4] = [
    "properties",
    "patternProperties",
    "definitions",
    "dependencies",
];

/// Keywords whose schemas apply to the very value that the schema is for.
const IN_PLACE: [&str; 8] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependencies",
];

/// Writes a name as a step of a JSON pointer.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Follows the references of `schema`, which lies at `pointer` in `root`, and
/// gives the schema that they lead to and where it lies.
///
/// By draft 7, keywords beside a `$ref` have no effect.
pub(in crate::model) fn resolve<'a>(
    root: &'a Value,
    mut schema: &'a Value,
    mut pointer: String,
) -> (&'a Value, String) {
    for _ in 0..MAX_REFERENCES {
        let target = reference(schema)
            .and_then(|pointer| Some((target(root, pointer)?, pointer.to_owned())));
        match target {
            Some(target) => (schema, pointer) = target,
            None => break,
        }
    }
    (schema, pointer)
}

/// Gives what a pointer leads to. As the fragment of a URI it may be encoded.
fn target<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    root.pointer(&percent_decode_str(pointer).decode_utf8().ok()?)
}

/// Gives the pointer of a `$ref` within the document.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix('#')
}

/// Calls `found` with each schema directly within `schema`, the keyword that it
/// stands under, and where it lies.
fn each_child<'a>(
    schema: &'a Value,
    pointer: &str,
    mut found: impl FnMut(&'static str, &'a Value, String),
) {
    for keyword in ONE {
        if let Some(child) = schema.get(keyword).filter(|child| child.is_object()) {
            found(keyword, child, format!("{pointer}/{keyword}"));
        }
    }
    for keyword in LIST {
        let branches = schema.get(keyword).and_then(Value::as_array);
        for (index, child) in branches.into_iter().flatten().enumerate() {
            found(keyword, child, format!("{pointer}/{keyword}/{index}"));
        }
    }
    for keyword in NAMED {
        let members = schema.get(keyword).and_then(Value::as_object);
        for (name, child) in members.into_iter().flatten() {
            let at = format!("{pointer}/{keyword}/{}", escaped(name));
            found(keyword, child, at);
        }
    }
}

/// Gives every schema within `root`, `root` itself included, with its pointer.
pub(super) fn schemas(root: &Value) -> Vec<(String, &Value)> {
    let mut all = vec![(String::new(), root)];
    let mut next = 0;
    while let Some((pointer, schema)) = all.get(next).cloned() {
        each_child(schema, &pointer, |_, child, at| all.push((at, child)));
        next += 1;
    }
    all
}

/// Finds the references that lead back to where they stand without a step into
/// the value, and gives the pointers of the schemas that hold them. A check by
/// such a schema would never end.
pub(super) fn endless(root: &Value) -> Vec<String> {
    let mut found = Vec::new();
    // What references lead to, and whether all that it refers to was followed.
    let mut known: HashMap<*const Value, bool> = HashMap::new();
    for (_, schema) in schemas(root) {
        let mut path: Vec<(*const Value, Vec<(String, &str)>)> = Vec::new();
        let mut next = reference(schema);
        loop {
            if let Some(pointer) = next.take()
                && let Some(target) = target(root, pointer)
                && let Entry::Vacant(entry) = known.entry(std::ptr::from_ref(target))
            {
                path.push((*entry.key(), references_in_place(target, pointer)));
                entry.insert(false);
            }
            // Depth first, without recursion: a chain of references can be
            // longer than the stack.
            let Some((address, references)) = path.last_mut() else {
                break;
            };
            let Some((holder, pointer)) = references.pop() else {
                known.insert(*address, true);
                path.pop();
                continue;
            };
            let target = target(root, pointer).map(std::ptr::from_ref);
            if target.and_then(|target| known.get(&target)) == Some(&false) {
                found.push(holder);
            } else {
                next = Some(pointer);
            }
        }
    }
    found
}

/// How many schemas apply to one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Breadth {
    /// One after the other.
    pub(super) count: usize,
    /// One within the other, by references.
    pub(super) depth: usize,
}

/// Gives how many schemas apply to one value at most, with those that they refer to;
/// there must be no circles.
pub(super) fn breadth(root: &Value) -> Breadth {
    /// A schema whose references are counted, one after the other.
    struct Open<'a> {
        address: *const Value,
        breadth: Breadth,
        references: Vec<&'a str>,
    }
    let open = |schema| {
        let (breadth, references) = in_place(schema);
        Open {
            address: std::ptr::from_ref(schema),
            breadth,
            references,
        }
    };
    let mut known: HashMap<*const Value, Breadth> = HashMap::new();
    let mut most = Breadth::default();
    for (_, schema) in schemas(root) {
        // Depth first, without recursion: a chain of references can be longer than the
        // stack.
        let mut path = vec![open(schema)];
        while let Some(last) = path.last_mut() {
            let Some(pointer) = last.references.pop() else {
                let (address, breadth) = (last.address, last.breadth);
                known.insert(address, breadth);
                most.count = most.count.max(breadth.count);
                most.depth = most.depth.max(breadth.depth);
                path.pop();
                if let Some(holder) = path.last_mut() {
                    holder.breadth.add(breadth);
                }
                continue;
            };
            let Some(target) = target(root, pointer) else {
                continue;
            };
            match known.get(&std::ptr::from_ref(target)) {
                Some(breadth) => last.breadth.add(*breadth),
                None => path.push(open(target)),
            }
        }
    }
    most
}

impl Breadth {
    /// Adds that of a schema that is referred to.
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.depth = self.depth.max(other.depth.saturating_add(1));
    }
}

/// Counts the schemas within `schema` that apply to the very value that it is for, and
/// gives what they refer to.
fn in_place(schema: &Value) -> (Breadth, Vec<&str>) {
    let mut breadth = Breadth { count: 0, depth: 1 };
    let mut references = Vec::new();
    let mut due = vec![schema];
    while let Some(schema) = due.pop() {
        breadth.count = breadth.count.saturating_add(1);
        if let Some(target) = reference(schema) {
            references.push(target);
            continue;
        }
        each_child(schema, "", |keyword, child, _| {
            if IN_PLACE.contains(&keyword) {
                due.push(child);
            }
        });
    }
    (breadth, references)
}

/// Gives the references that apply to the very value that `schema`, at
/// `pointer`, is for, each with the pointer of its holder.
fn references_in_place<'a>(schema: &'a Value, pointer: &str) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    let mut due = vec![(pointer.to_owned(), schema)];
    while let Some((pointer, schema)) = due.pop() {
        if let Some(target) = reference(schema) {
            found.push((pointer, target));
            // By draft 7, keywords beside a `$ref` have no effect.
            continue;
        }
        each_child(schema, &pointer, |keyword, child, at| {
            if IN_PLACE.contains(&keyword) {
                due.push((at, child));
            }
        });
    }
    found
}
