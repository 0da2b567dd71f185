//! Updates: a JSON Patch (RFC 6902) onto the state that a READ gives.
//!
//! *Invariant*: all or nothing. An operation of the patch that cannot be
//! applied, or a `test` that fails, and the handler is not invoked.
//!
//! *Invariant*: a patch takes no more memory than the state and it are long: one
//! that copies what it has copied could else fill any machine.

use formwork_host::model::{JsonObject, PropertyPath, TypeSchema};
use json_patch::{PatchOperation, patch};
use serde_json::{Map, Value};

use super::refusal::{Exception, Refusal};

/// The largest state that a patch may make, in bytes.
const STATE: usize = 1_024 * 1_024;

/// A patch that was read.
pub(super) struct Patch(Vec<PatchOperation>);

impl Patch {
    /// Reads a patch document. Paths are those of the model, with a leading
    /// slash or without.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let mut document: Value = serde_json::from_str(text).map_err(|error| {
            invalid(&format!(
                "the patch document is no JSON at line {} column {}",
                error.line(),
                error.column()
            ))
        })?;
        let Some(operations) = document.as_array_mut() else {
            return Err(invalid("the patch document is no JSON array"));
        };
        let read = operations.iter_mut().enumerate().map(|(index, operation)| {
            slash(operation);
            // The library's own words would repeat values.
            serde_json::from_value(operation.take()).map_err(|_| {
                invalid(&format!(
                    "operation {index} is none of add, remove, replace, move, copy and test with what it needs"
                ))
            })
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Applies the patch to the state of a resource.
    pub(super) fn apply(self, state: &JsonObject) -> Result<JsonObject, Refusal> {
        let mut patched = Value::Object(state.to_map());
        let mut bound = state.as_str().len();
        for (index, operation) in self.0.into_iter().enumerate() {
            bound = bound.saturating_add(growth(&operation, &patched));
            if bound > STATE {
                return Err(invalid(&format!(
                    "operation {index} could make a state of more than {STATE} bytes"
                )));
            }
            patch(&mut patched, &[operation]).map_err(|error| {
                invalid(&format!(
                    "operation {index} cannot be applied at '{}': {}",
                    error.path, error.kind
                ))
            })?;
        }
        if !patched.is_object() {
            return Err(invalid("the patched state is no JSON object"));
        }
        // Nesting has a limit that an addition can pass.
        JsonObject::parse(patched.to_string())
            .map_err(|_| invalid("the patched state is nested too deeply"))
    }
}

/// Gives the paths of an operation their leading slash.
fn slash(operation: &mut Value) {
    for member in ["path", "from"] {
        if let Some(Value::String(path)) = operation.get_mut(member)
            && !path.is_empty()
            && !path.starts_with('/')
        {
            path.insert(0, '/');
        }
    }
}

/// Gives how many bytes an operation can add to the text of the state at most.
fn growth(operation: &PatchOperation, state: &Value) -> usize {
    /// A comma, a colon and two quotes.
    const AROUND: usize = 4;
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
        PatchOperation::Copy(copy) => (&copy.path, copy.from.resolve(state).ok()),
        PatchOperation::Move(moved) => (&moved.path, None),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return 0,
    };
    let value = value.map_or(0, |value| value.to_string().len());
    AROUND + path.as_str().len() + value
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        format!("Invalid patch update: {why}"),
    )
}

/// Refuses a change of what an update cannot change.
pub(super) fn check(
    schema: &TypeSchema,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Refusal> {
    for (name, paths) in [
        ("createOnlyProperties", schema.create_only()),
        ("readOnlyProperties", schema.read_only()),
        ("primaryIdentifier", schema.primary_identifier()),
    ] {
        let changed: Vec<_> = paths
            .iter()
            .filter(|path| is_changed(path, before, after))
            .map(ToString::to_string)
            .collect();
        if !changed.is_empty() {
            return Err(Refusal::new(
                Exception::NotUpdatable,
                format!(
                    "Invalid patch update: {name} [{}] cannot be updated",
                    changed.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// Tells whether a property has another value. Properties of array members are
/// compared between arrays of one length: where members come and go, nobody can
/// tell which is which, and the handler must.
fn is_changed(
    path: &PropertyPath,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> bool {
    let one = (path.get(before), path.get(after));
    if one != (None, None) {
        return one.0 != one.1;
    }
    let before: Vec<_> = path.all(before).collect();
    let after: Vec<_> = path.all(after).collect();
    before.len() == after.len() && before != after
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn patched(state: &Value, patch: &Value) -> String {
        let state = JsonObject::parse(state.to_string()).expect("an object");
        let patched = Patch::read(&patch.to_string()).and_then(|patch| patch.apply(&state));
        match patched {
            Ok(state) => state.as_str().to_owned(),
            Err(refusal) => {
                assert_eq!(refusal.exception, Exception::InvalidRequest);
                refusal.message
            }
        }
    }

    fn check_all(cases: &[(Value, Value)], expected: &Expect) {
        let lines: Vec<_> = cases
            .iter()
            .map(|(state, patch)| patched(state, patch) + "\n")
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn all_six_operations_are_applied_with_and_without_the_slash() {
        check_all(
            &[
                (json!({}), json!([])),
                (
                    json!({"A": 1}),
                    json!([{"op": "add", "path": "B", "value": [1]}, {"op": "add", "path": "/B/-", "value": 2}]),
                ),
                (
                    json!({"A": 1}),
                    json!([{"op": "replace", "path": "A", "value": 2}]),
                ),
                (
                    json!({"A": {"B": 1}}),
                    json!([{"op": "remove", "path": "A/B"}]),
                ),
                (
                    json!({"A": 1}),
                    json!([{"op": "move", "from": "A", "path": "B"}, {"op": "copy", "from": "/B", "path": "C"}]),
                ),
                (
                    json!({"A": 1}),
                    json!([{"op": "test", "path": "/A", "value": 1}]),
                ),
                (
                    json!({"a/b": 1}),
                    json!([{"op": "replace", "path": "/a~1b", "value": 2}]),
                ),
            ],
            &expect![[r#"
                {}
                {"A":1,"B":[1,2]}
                {"A":2}
                {"A":{}}
                {"B":1,"C":1}
                {"A":1}
                {"a/b":2}
            "#]],
        );
    }

    #[test]
    fn a_patch_that_cannot_be_applied_says_where_and_repeats_no_value() {
        check_all(
            &[
                (json!({}), json!({})),
                (json!({}), json!([1])),
                (
                    json!({}),
                    json!([{"op": "put", "path": "/A", "value": "s3cr3t"}]),
                ),
                (json!({}), json!([{"op": "add", "path": "/A~", "value": 1}])),
                (
                    json!({}),
                    json!([{"op": "replace", "path": "/A", "value": "s3cr3t"}]),
                ),
                (json!({}), json!([{"op": "remove", "path": "/A"}])),
                (
                    json!({"A": 1}),
                    json!([{"op": "test", "path": "/A", "value": 2}]),
                ),
                (
                    json!({}),
                    json!([{"op": "replace", "path": "", "value": 1}]),
                ),
            ],
            &expect![[r#"
                Invalid patch update: the patch document is no JSON array
                Invalid patch update: operation 0 is none of add, remove, replace, move, copy and test with what it needs
                Invalid patch update: operation 0 is none of add, remove, replace, move, copy and test with what it needs
                Invalid patch update: operation 0 is none of add, remove, replace, move, copy and test with what it needs
                Invalid patch update: operation 0 cannot be applied at '/A': path is invalid
                Invalid patch update: operation 0 cannot be applied at '/A': path is invalid
                Invalid patch update: operation 0 cannot be applied at '/A': value did not match
                Invalid patch update: the patched state is no JSON object
            "#]],
        );
    }

    #[test]
    fn a_patch_cannot_grow_without_bound() {
        let double = json!({"op": "copy", "from": "", "path": "/A"});
        let doubles = Value::Array(vec![double; 1_000]);
        let said = patched(&json!({"A": "0123456789"}), &doubles);
        assert!(said.contains("could make a state of more than"), "{said}");
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        let said = patched(
            &json!({"A": deep.clone()}),
            &json!([{"op": "replace", "path": format!("/A{}", "/0".repeat(90)), "value": deep}]),
        );
        assert_eq!(
            said,
            "Invalid patch update: the patched state is nested too deeply"
        );
    }

    #[test]
    fn what_an_update_cannot_change_is_refused() {
        let schema = json!({
            "typeName": "Acme::Storage::Archive",
            "description": "An archive.",
            "properties": {
                "Name": {"type": "string"}, "Arn": {"type": "string"}, "Id": {"type": "string"},
                "Parts": {"type": "array", "items": {"type": "object", "properties": {"Key": {"type": "string"}}}}
            },
            "primaryIdentifier": ["/properties/Id"],
            "createOnlyProperties": ["/properties/Name", "/properties/Parts/*/Key"],
            "readOnlyProperties": ["/properties/Arn"],
            "additionalProperties": false
        });
        let schema = TypeSchema::parse(&schema.to_string()).expect("a schema");
        let before = json!({"Name": "a", "Arn": "x", "Id": "i", "Parts": [{"Key": "k"}]});
        let mut said = String::new();
        for change in [
            json!({}),
            json!({"Name": "b"}),
            json!({"Name": null}),
            json!({"Arn": "y"}),
            json!({"Id": "j"}),
            json!({"Parts": [{"Key": "l"}]}),
            json!({"Parts": [{"Key": "k"}, {"Key": "l"}]}),
            json!({"Other": 1}),
        ] {
            let mut after = before.clone();
            for (name, value) in change.as_object().expect("an object") {
                after[name] = value.clone();
            }
            let map = |value: &Value| value.as_object().cloned().expect("an object");
            let verdict = check(&schema, &map(&before), &map(&after));
            said += &verdict.map_or_else(|refusal| refusal.message, |()| "good".to_owned());
            said.push('\n');
        }
        expect![[r#"
            good
            Invalid patch update: createOnlyProperties [/properties/Name] cannot be updated
            Invalid patch update: createOnlyProperties [/properties/Name] cannot be updated
            Invalid patch update: readOnlyProperties [/properties/Arn] cannot be updated
            Invalid patch update: primaryIdentifier [/properties/Id] cannot be updated
            Invalid patch update: createOnlyProperties [/properties/Parts/*/Key] cannot be updated
            good
            good
        "#]]
        .assert_eq(&said);
    }
}
