use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema() -> TypeSchema {
    let document = json!({
        "typeName": "Acme::Storage::Archive",
        "description": "An archive.",
        "properties": {
            "Id": {"type": "string"},
            "Secret": {"type": "string"},
            "Size": {"type": "number"},
            "Flag": {"type": "boolean"},
            "Policy": {"type": "string"},
            "List": {"type": "array", "items": {"type": "integer"}},
            "Bag": {"type": "array", "insertionOrder": false, "items": {"$ref": "#/definitions/Part"}},
            "Part": {"$ref": "#/definitions/Part"},
            "Either": {"oneOf": [{"type": "string"}, {"type": "array", "insertionOrder": false, "items": {}}]},
            "Map": {"type": "object", "patternProperties": {".*": {"type": "array", "insertionOrder": false}}}
        },
        "definitions": {
            "Part": {
                "type": "object",
                "properties": {
                    "Name": {"type": "string"},
                    "Secret": {"type": "string"},
                    "Rule": {"type": "string"},
                    "Bag": {"type": "array", "insertionOrder": false, "items": {"type": "integer"}},
                    "List": {"type": "array", "items": {"type": "integer"}}
                }
            }
        },
        "primaryIdentifier": ["/properties/Id"],
        "readOnlyProperties": ["/properties/Id"],
        "writeOnlyProperties": ["/properties/Secret", "/properties/Bag/*/Secret", "/properties/Part/Secret"],
        "propertyTransform": {"/properties/Policy": "$uppercase(Policy)", "/properties/Bag/*/Rule": "Rule"},
        "additionalProperties": false
    });
    TypeSchema::parse(&document.to_string()).expect("a resource type schema")
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// Compares, and gives the pointers of what differs and of what is not judged.
fn pointers(input: Value, output: Value) -> (Vec<String>, Vec<String>) {
    let comparison = compare(&schema(), &map(input), &map(output));
    let pointers = |all: Vec<Difference>| all.into_iter().map(|one| one.pointer).collect();
    (
        pointers(comparison.differences),
        pointers(comparison.not_judged),
    )
}

#[test]
fn an_output_holds_its_input_or_says_where_it_does_not() {
    for (input, output, differing) in [
        (json!({}), json!({"Size": 1}), &[][..]),
        (json!({"Size": 1}), json!({"Size": 1.0}), &[]),
        (json!({"Size": 1}), json!({"Size": "1"}), &["/Size"]),
        (json!({"Size": 1}), json!({"Size": true}), &["/Size"]),
        (json!({"Size": 1}), json!({}), &["/Size"]),
        (json!({"Size": null}), json!({}), &["/Size"]),
        (json!({"Size": null}), json!({"Size": null}), &[]),
        (json!({"Flag": false}), json!({"Flag": 0}), &["/Flag"]),
        (json!({"Id": "a"}), json!({"Id": "b"}), &[]),
        (json!({"Secret": "a"}), json!({}), &[]),
        (json!({"Part": {"Secret": "a"}}), json!({}), &[]),
        (json!({"Part": {}}), json!({}), &["/Part"]),
        (
            json!({"Part": {"Secret": "a", "Name": "n"}}),
            json!({"Part": {"Name": "n", "Bag": [1]}}),
            &[],
        ),
        (
            json!({"Part": {"Name": "a"}}),
            json!({"Part": "a"}),
            &["/Part"],
        ),
        (
            json!({"List": [1, 2]}),
            json!({"List": [2, 1]}),
            &["/List/0", "/List/1"],
        ),
        (json!({"List": [1]}), json!({"List": [1, 2]}), &["/List"]),
        (
            json!({"Part": {"Bag": [1, 2]}}),
            json!({"Part": {"Bag": [2, 1]}}),
            &[],
        ),
        (
            json!({"Part": {"Bag": [1, 1, 2]}}),
            json!({"Part": {"Bag": [1, 2, 2]}}),
            &["/Part/Bag/1"],
        ),
        (json!({"Either": [1, 2]}), json!({"Either": [2, 1]}), &[]),
        (
            json!({"Map": {"a": [1, 2]}}),
            json!({"Map": {"a": [2, 1]}}),
            &[],
        ),
    ] {
        let (found, not_judged) = pointers(input.clone(), output.clone());
        assert_eq!(found, differing, "{input} {output}");
        assert!(not_judged.is_empty());
    }
}

#[test]
fn members_without_an_order_are_compared_to_their_depth() {
    let input = json!({"Bag": [{"Name": "a", "List": [1, 2]}, {"Name": "b", "Bag": [1, 2], "Secret": "s"}]});
    let same =
        json!({"Bag": [{"Name": "b", "Bag": [2, 1]}, {"Name": "a", "List": [1, 2], "Bag": [7]}]});
    assert_eq!(pointers(input.clone(), same), (vec![], vec![]));
    let other = json!({"Bag": [{"Name": "b", "Bag": [2, 1]}, {"Name": "a", "List": [2, 1]}]});
    assert_eq!(pointers(input, other), (vec!["/Bag/0".to_owned()], vec![]));
    // The first member that was sent fits both; it must leave the other its own.
    let wide = json!({"Bag": [{"Name": "a"}, {"Name": "a", "Bag": [1]}]});
    let narrow = json!({"Bag": [{"Name": "a", "Bag": [1]}, {"Name": "a"}]});
    assert_eq!(pointers(wide, narrow), (vec![], vec![]));
}

#[test]
fn what_has_a_transform_is_not_judged_unless_it_is_gone() {
    let policy = |text: &str| json!({"Policy": text});
    assert_eq!(
        pointers(policy("a"), policy("A")),
        (vec![], vec!["/Policy".to_owned()])
    );
    assert_eq!(pointers(policy("a"), policy("a")), (vec![], vec![]));
    assert_eq!(
        pointers(policy("a"), json!({})),
        (vec!["/Policy".to_owned()], vec![])
    );
    let bag = |rule: &str| json!({"Bag": [{"Name": "n", "Rule": rule}]});
    assert_eq!(
        pointers(bag("a"), bag("A")),
        (vec![], vec!["/Bag/0/Rule".to_owned()])
    );
}

#[test]
fn no_difference_shows_a_write_only_value() {
    let input = json!({"Part": {"Secret": "s3cr3t", "Name": "a"}, "Bag": [{"Secret": "s3cr3t", "Name": "b"}]});
    let output = json!({"Part": {"Secret": "s3cr3t", "Name": "c"}, "Bag": [{"Secret": "s3cr3t", "Name": "d"}], "Secret": "s3cr3t"});
    let comparison = compare(&schema(), &map(input), &map(output));
    assert_eq!(comparison.differences.len(), 2);
    assert!(!format!("{comparison:?}").contains("s3cr3t"));
}

/// Draws a member of a list without an order.
fn part() -> impl Strategy<Value = Value> {
    (
        "[ab]{1,2}",
        proptest::collection::vec(0..3, 0..3),
        proptest::collection::vec(0..3, 0..3),
    )
        .prop_map(|(name, bag, list)| json!({"Name": name, "Bag": bag, "List": list}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_additions_do_not_matter_where_they_should_not(
        (sent, came) in proptest::collection::vec(part(), 0..5)
            .prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle())),
        added: u8,
    ) {
        let came: Vec<Value> = came
            .into_iter()
            .map(|mut part| {
                part["Rule"] = json!(added);
                if let Some(bag) = part["Bag"].as_array_mut() {
                    bag.reverse();
                }
                part
            })
            .collect();
        let (differences, _) = pointers(json!({"Bag": sent}), json!({"Bag": came, "Size": added}));
        prop_assert!(differences.is_empty());
    }

    #[test]
    fn a_member_that_changed_is_always_noticed(
        parts in proptest::collection::vec(part(), 1..5),
        index: prop::sample::Index,
    ) {
        let mut came = parts.clone();
        came[index.index(parts.len())]["Name"] = json!("other");
        let (differences, _) = pointers(json!({"Bag": parts}), json!({"Bag": came}));
        prop_assert_eq!(differences.len(), 1);
    }
}
