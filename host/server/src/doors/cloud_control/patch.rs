//! Updates: a JSON Patch (RFC 6902) onto the state that a READ gives.
//!
//! *Invariant*: all or nothing. An operation of the patch that cannot be
//! applied, or a `test` that fails, and the handler is not invoked.
//!
//! A READ gives no write-only property, so a patch cannot see what is there: to
//! replace one is to add it, and to remove one is to leave it out of the desired
//! state. What was kept of them joins the state after the patch, so that no
//! `copy` shows it and no `test` guesses it.
//!
//! *Invariant*: a patch takes no more memory than the state and it are long: one
//! that copies what it has copied could else fill any machine.

use formwork_host::model::{JsonObject, PropertyPath, TypeSchema, parse_value};
use json_patch::jsonptr::Pointer;
use json_patch::{AddOperation, PatchOperation, patch};
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
        let mut document = parse_value(text).map_err(|error| {
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

    /// Applies the patch to the state of a resource, as a READ gives it. `kept`
    /// holds the write-only properties that were kept of it.
    pub(super) fn apply(
        self,
        schema: &TypeSchema,
        state: &JsonObject,
        kept: Option<&JsonObject>,
    ) -> Result<Patched, Refusal> {
        let before = state.to_map();
        let mut seen = Value::Object(before.clone());
        let all_kept = Value::Object(kept.map(JsonObject::to_map).unwrap_or_default());
        let mut kept = all_kept.clone();
        let mut removes_unseen = false;
        let mut bound = state.as_str().len();
        for (index, operation) in self.0.into_iter().enumerate() {
            bound = bound.saturating_add(growth(&operation, &seen));
            if bound > STATE {
                return Err(invalid(&format!(
                    "operation {index} could make a state of more than {STATE} bytes"
                )));
            }
            forget(&mut kept, &operation);
            let Some(operation) = unseen(schema, &seen, operation) else {
                removes_unseen = true;
                continue;
            };
            if let PatchOperation::Test(test) = &operation
                && let Ok(found) = test.path.resolve(&seen)
                && same(found, &test.value)
            {
                continue;
            }
            patch(&mut seen, &[operation]).map_err(|error| {
                invalid(&format!(
                    "operation {index} cannot be applied at '{}': {}",
                    error.path, error.kind
                ))
            })?;
        }
        let Value::Object(mut seen) = seen else {
            return Err(invalid("the patched state is no JSON object"));
        };
        check(schema, &before, &seen)?;
        let has_effect = removes_unseen || !same_members(&seen, &before) || kept != all_kept;
        if let Value::Object(kept) = kept {
            schema.carry_write_only(&kept, &mut seen);
        }
        // Nesting has a limit that an addition can pass.
        let desired_state = JsonObject::parse(Value::Object(seen).to_string())
            .map_err(|_| invalid("the patched state is nested too deeply"))?;
        Ok(Patched {
            desired_state,
            has_effect,
        })
    }
}

/// What a patch asks for.
pub(super) struct Patched {
    /// The state that the resource shall have, whole.
    pub(super) desired_state: JsonObject,
    /// Whether that is another one than it has.
    pub(super) has_effect: bool,
}

/// Takes what an operation writes over out of the properties that were kept;
/// members of arrays keep the places that they have in the state.
fn forget(kept: &mut Value, operation: &PatchOperation) {
    match operation {
        PatchOperation::Add(add) => forget_at(kept, &add.path, Write::Insert),
        PatchOperation::Copy(copy) => forget_at(kept, &copy.path, Write::Insert),
        PatchOperation::Replace(replace) => forget_at(kept, &replace.path, Write::Replace),
        PatchOperation::Remove(remove) => forget_at(kept, &remove.path, Write::Remove),
        PatchOperation::Move(moved) => {
            forget_at(kept, &moved.from, Write::Remove);
            forget_at(kept, &moved.path, Write::Insert);
        }
        PatchOperation::Test(_) => {}
    }
}

/// What becomes of a member of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Insert,
    Replace,
    Remove,
}

fn forget_at(kept: &mut Value, path: &Pointer, write: Write) {
    let hollow = || Value::Object(Map::new());
    let Some((parent, last)) = path.split_back() else {
        *kept = hollow();
        return;
    };
    // What was not kept need not be forgotten.
    let Ok(parent) = parent.resolve_mut(kept) else {
        return;
    };
    match parent {
        Value::Object(members) => {
            members.remove(last.decoded().as_ref());
        }
        Value::Array(items) => {
            let index = match last.encoded() {
                "-" => Some(items.len()),
                text => text.parse::<usize>().ok(),
            };
            match (write, index) {
                (Write::Insert, Some(index)) if index <= items.len() => {
                    items.insert(index, hollow());
                }
                (Write::Replace, Some(index)) if index < items.len() => items[index] = hollow(),
                (Write::Remove, Some(index)) if index < items.len() => {
                    items.remove(index);
                }
                // The patch cannot be applied there, and says so itself.
                (Write::Insert | Write::Replace | Write::Remove, Some(_) | None) => {}
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gives an operation as it is on a state without its write-only properties, or
/// none if that is nothing.
fn unseen(schema: &TypeSchema, state: &Value, operation: PatchOperation) -> Option<PatchOperation> {
    let hidden = |path: &Pointer| {
        path.resolve(state).is_err()
            && schema
                .write_only()
                .iter()
                .any(|property| leads_to(path, property))
    };
    match operation {
        PatchOperation::Replace(replace) if hidden(&replace.path) => {
            Some(PatchOperation::Add(AddOperation {
                path: replace.path,
                value: replace.value,
            }))
        }
        PatchOperation::Remove(remove) if hidden(&remove.path) => None,
        other @ (PatchOperation::Add(_)
        | PatchOperation::Remove(_)
        | PatchOperation::Replace(_)
        | PatchOperation::Move(_)
        | PatchOperation::Copy(_)
        | PatchOperation::Test(_)) => Some(other),
    }
}

/// Tells whether a pointer leads to a property.
fn leads_to(pointer: &Pointer, property: &PropertyPath) -> bool {
    let steps = property.steps();
    pointer.count() == steps.len()
        && pointer
            .tokens()
            .zip(steps)
            .all(|(token, step)| step == "*" || token.decoded() == step.as_str())
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
fn check(
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
        return match one {
            (Some(before), Some(after)) => !same(before, after),
            (a, b) => a != b,
        };
    }
    let before: Vec<_> = path.all(before).collect();
    let after: Vec<_> = path.all(after).collect();
    before.len() == after.len() && !before.iter().zip(&after).all(|(a, b)| same(a, b))
}

/// Tells whether two values are equal as RFC 6902 has it (section 4.6): numbers
/// by their value, so that 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // Whole numbers that a float cannot tell apart differ all the same.
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_members(a, b),
        (a, b) => a == b,
    }
}

fn same_members(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let is_in = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same(a, b));
    a.len() == b.len() && a.iter().all(is_in)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn schema() -> TypeSchema {
        let schema = json!({
            "typeName": "Acme::Storage::Archive",
            "description": "An archive.",
            "properties": {
                "Name": {"type": "string"}, "Arn": {"type": "string"}, "Id": {"type": "string"},
                "Parts": {"type": "array", "items": {"type": "object", "properties": {"Key": {"type": "string"}}}},
                "Secret": {"type": "string"}
            },
            "primaryIdentifier": ["/properties/Id"],
            "createOnlyProperties": ["/properties/Name", "/properties/Parts/*/Key"],
            "readOnlyProperties": ["/properties/Arn"],
            "writeOnlyProperties": ["/properties/Secret", "/properties/Parts/*/Code"],
            "additionalProperties": false
        });
        TypeSchema::parse(&schema.to_string()).expect("a schema")
    }

    fn patched(state: &Value, patch: &Value) -> String {
        patched_with(state, None, patch)
    }

    fn patched_with(state: &Value, kept: Option<&Value>, patch: &Value) -> String {
        let object = |value: &Value| JsonObject::parse(value.to_string()).expect("an object");
        let kept = kept.map(object);
        let patch = Patch::read(&patch.to_string());
        match patch.and_then(|patch| patch.apply(&schema(), &object(state), kept.as_ref())) {
            Ok(patched) => {
                let effect = if patched.has_effect { "" } else { " as before" };
                format!("{}{effect}", patched.desired_state.as_str())
            }
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
    fn numbers_are_compared_by_their_value() {
        let large = i64::MAX;
        for (state, patch, expected) in [
            (
                json!({"Name": 1}),
                json!([{"op": "replace", "path": "/Name", "value": 1.0}]),
                r#"{"Name":1.0} as before"#,
            ),
            (
                json!({"A": [{"B": 2.0}]}),
                json!([{"op": "test", "path": "/A", "value": [{"B": 2}]}]),
                r#"{"A":[{"B":2.0}]} as before"#,
            ),
            (
                json!({"A": large}),
                json!([{"op": "replace", "path": "/A", "value": large - 1}]),
                r#"{"A":9223372036854775806}"#,
            ),
            (
                json!({"A": 1}),
                json!([{"op": "test", "path": "/A", "value": "1"}]),
                "Invalid patch update: operation 0 cannot be applied at '/A': value did not match",
            ),
        ] {
            assert_eq!(patched(&state, &patch), expected, "{patch}");
        }
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
                {} as before
                {"A":1,"B":[1,2]}
                {"A":2}
                {"A":{}}
                {"B":1,"C":1}
                {"A":1} as before
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
    fn write_only_properties_are_replaced_and_removed_unseen() {
        let replace = |path| json!([{"op": "replace", "path": path, "value": "s"}]);
        let remove = |path| json!([{"op": "remove", "path": path}]);
        check_all(
            &[
                (json!({}), replace("/Secret")),
                (json!({"Secret": "r"}), replace("/Secret")),
                (json!({"Parts": [{}]}), replace("/Parts/0/Code")),
                (json!({"Parts": []}), replace("/Parts/0/Code")),
                (json!({}), remove("Secret")),
                (json!({"Secret": "r"}), remove("Secret")),
                (json!({}), remove("Secret/Part")),
                (
                    json!({}),
                    json!([{"op": "copy", "from": "/Secret", "path": "/Name"}]),
                ),
                (
                    json!({}),
                    json!([{"op": "test", "path": "/Secret", "value": "s"}]),
                ),
            ],
            &expect![[r#"
                {"Secret":"s"}
                {"Secret":"s"}
                {"Parts":[{"Code":"s"}]}
                Invalid patch update: operation 0 cannot be applied at '/Parts/0/Code': path is invalid
                {}
                {}
                Invalid patch update: operation 0 cannot be applied at '/Secret/Part': path is invalid
                Invalid patch update: operation 0 cannot be applied at '/Name': "from" path is invalid
                Invalid patch update: operation 0 cannot be applied at '/Secret': path is invalid
            "#]],
        );
    }

    #[test]
    fn kept_properties_join_the_state_where_the_patch_left_them() {
        let state = json!({"Id": "i", "Parts": [{}, {}]});
        let kept = json!({"Secret": "s", "Parts": [{"Code": "0"}, {"Code": "1"}]});
        let mut said = String::new();
        for patch in [
            json!([]),
            json!([{"op": "add", "path": "/Size", "value": 1}]),
            json!([{"op": "add", "path": "/Secret", "value": "t"}]),
            json!([{"op": "remove", "path": "/Secret"}]),
            json!([{"op": "remove", "path": "/Parts"}]),
            json!([{"op": "remove", "path": "/Parts/0"}]),
            json!([{"op": "add", "path": "/Parts/0", "value": {}}]),
            json!([{"op": "add", "path": "/Parts/-", "value": {}}]),
            json!([{"op": "replace", "path": "/Parts/1", "value": {}}]),
            json!([{"op": "move", "from": "/Parts/0", "path": "/Parts/1"}]),
            json!([{"op": "copy", "from": "/Secret", "path": "/Size"}]),
            json!([{"op": "test", "path": "/Secret", "value": "s"}]),
        ] {
            said += &patched_with(&state, Some(&kept), &patch);
            said.push('\n');
        }
        expect![[r#"
            {"Id":"i","Parts":[{"Code":"0"},{"Code":"1"}],"Secret":"s"} as before
            {"Id":"i","Parts":[{"Code":"0"},{"Code":"1"}],"Size":1,"Secret":"s"}
            {"Id":"i","Parts":[{"Code":"0"},{"Code":"1"}],"Secret":"t"}
            {"Id":"i","Parts":[{"Code":"0"},{"Code":"1"}]}
            {"Id":"i","Secret":"s"}
            {"Id":"i","Parts":[{"Code":"1"}],"Secret":"s"}
            {"Id":"i","Parts":[{},{"Code":"0"},{"Code":"1"}],"Secret":"s"}
            {"Id":"i","Parts":[{"Code":"0"},{"Code":"1"},{}],"Secret":"s"}
            {"Id":"i","Parts":[{"Code":"0"},{}],"Secret":"s"}
            {"Id":"i","Parts":[{"Code":"1"},{}],"Secret":"s"}
            Invalid patch update: operation 0 cannot be applied at '/Size': "from" path is invalid
            Invalid patch update: operation 0 cannot be applied at '/Secret': path is invalid
        "#]]
        .assert_eq(&said);
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
        let schema = schema();
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
