use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::schema::Parts;

fn plan(properties: &Value) -> Plan {
    let root = json!({
        "type": "object",
        "properties": properties,
        "definitions": {
            "Size": {"type": "integer"},
            "Node": {"type": "object", "properties": {
                "V": {"type": "integer"},
                "Next": {"$ref": "#/definitions/Node"},
            }},
        },
    });
    Plan::new(&Parts::new(&root), "")
}

fn check(properties: &Value, model: Value) -> Result<Value, String> {
    let Value::Object(mut map) = model else {
        panic!("a model is an object")
    };
    plan(properties)
        .coerce(&mut map)
        .map(|()| Value::Object(map))
        .map_err(|e| e.to_string())
}

#[test]
fn texts_become_what_the_schema_wants() {
    let cases = [
        (json!({"type": "integer"}), json!("8"), json!(8)),
        (json!({"type": "number"}), json!("1.5"), json!(1.5)),
        (json!({"type": "boolean"}), json!("true"), json!(true)),
        (json!({"type": "string"}), json!("8"), json!("8")),
        (json!({"type": "string"}), json!(8), json!(8)),
        (
            json!({"type": ["string", "integer"]}),
            json!("8"),
            json!("8"),
        ),
        (
            json!({"type": ["boolean", "integer"]}),
            json!("8"),
            json!(8),
        ),
        (json!({}), json!("8"), json!("8")),
        (json!({"$ref": "#/definitions/Size"}), json!("8"), json!(8)),
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            json!(["1", 2]),
            json!([1, 2]),
        ),
        (
            json!({"type": "object", "patternProperties": {".*": {"type": "boolean"}}}),
            json!({"a": "false"}),
            json!({"a": false}),
        ),
        (
            json!({
                "type": "object",
                "patternProperties": {"^n": {"type": "integer"}, "^b": {"type": "boolean"}},
                "additionalProperties": {"type": "number"},
            }),
            json!({"n": "1", "b": "true", "x": "1.5"}),
            json!({"n": 1, "b": true, "x": 1.5}),
        ),
        (
            json!({"$ref": "#/definitions/Node"}),
            json!({"Next": {"Next": {"V": "1"}}}),
            json!({"Next": {"Next": {"V": 1}}}),
        ),
    ];
    for (schema, before, after) in cases {
        assert_eq!(
            check(&json!({"P": schema.clone()}), json!({"P": before})),
            Ok(json!({"P": after})),
            "{schema}"
        );
    }
}

#[test]
fn of_several_branches_the_one_is_meant_that_the_value_fits() {
    let numbered = json!({"properties": {"Kind": {"type": "string", "enum": ["n"]}, "V": {"type": "integer"}}, "required": ["Kind"]});
    let named = json!({"properties": {"Kind": {"type": "string", "enum": ["t"]}, "V": {"type": "string"}}, "required": ["Kind"]});
    let a = json!({"properties": {"A": {"type": "integer"}}, "required": ["A"]});
    let b = json!({"properties": {"B": {"type": "boolean"}}, "required": ["B"]});
    let cases = [
        (
            json!({"oneOf": [{"type": "boolean"}, {"type": "integer"}]}),
            json!("3"),
            json!(3),
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}),
            json!("3"),
            json!("3"),
        ),
        (
            json!({"anyOf": [{"type": "integer", "maximum": 5}, {"type": "number", "minimum": 6}]}),
            json!("7"),
            json!(7),
        ),
        (
            json!({"oneOf": [numbered, named]}),
            json!({"Kind": "n", "V": "1"}),
            json!({"Kind": "n", "V": 1}),
        ),
        (
            json!({"oneOf": [numbered, named]}),
            json!({"Kind": "t", "V": "1"}),
            json!({"Kind": "t", "V": "1"}),
        ),
        (
            json!({"anyOf": [a, b]}),
            json!({"A": "1", "B": "true"}),
            json!({"A": 1, "B": true}),
        ),
        (
            json!({"allOf": [a, b]}),
            json!({"A": "1", "B": "true"}),
            json!({"A": 1, "B": true}),
        ),
        // None fits, for another reason than the text: that is for the check to tell.
        (
            json!({"oneOf": [{"type": "integer", "maximum": 5}, {"type": "boolean"}]}),
            json!("7"),
            json!(7),
        ),
        (
            json!({"type": "object", "properties": {"C": {"type": "integer"}}, "oneOf": [{"required": ["C"]}, {"required": ["D"]}]}),
            json!({"C": "1"}),
            json!({"C": 1}),
        ),
    ];
    for (schema, before, after) in cases {
        assert_eq!(
            check(&json!({"P": schema.clone()}), json!({"P": before})),
            Ok(json!({"P": after})),
            "{schema}"
        );
    }
}

#[test]
fn a_text_that_does_not_fit_is_refused_with_its_place() {
    for text in ["x", "1.5", " 1", "0x1", "", "1e999"] {
        assert_eq!(
            check(
                &json!({"A": {"type": "array", "items": {"type": "integer"}}}),
                json!({"A": [1, text]})
            ),
            Err("the text at `/A/1` does not read as an integer of at most 64 bits".to_owned()),
            "{text}"
        );
    }
    let either = json!({"a/b": {"oneOf": [{"type": "boolean"}, {"type": "integer"}]}});
    assert_eq!(
        check(&either, json!({"a/b": "x"})),
        Err(
            "the text at `/a~1b` does not read as any of the kinds that the schema allows there"
                .to_owned()
        )
    );
}

#[test]
fn branches_within_branches_come_to_an_end() {
    // Each level has two branches that both lead on, so trying all of them
    // would take 2^60 steps.
    let root = json!({
        "type": "object",
        "properties": {"P": {"$ref": "#/definitions/Fork"}},
        "definitions": {"Fork": {
            "type": "object",
            "oneOf": [
                {"properties": {"Next": {"$ref": "#/definitions/Fork"}, "V": {"type": "integer"}}, "required": ["X"]},
                {"properties": {"Next": {"$ref": "#/definitions/Fork"}, "V": {"type": "integer"}}, "required": ["Y"]},
            ],
        }},
    });
    let model = (0..60).fold(json!({"V": "1"}), |below, _| json!({"Next": below}));
    let mut model = Map::from_iter([("P".to_owned(), model)]);
    assert_eq!(Plan::new(&Parts::new(&root), "").coerce(&mut model), Ok(()));
}

/// A value that fits the schema below, with all kinds of primitives in it.
fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_filter_map("JSON has no such number", |f| {
            f.is_finite().then(|| json!(f))
        }),
    ];
    (
        any::<i64>(),
        number,
        any::<bool>(),
        ".{0,8}",
        proptest::collection::vec(any::<bool>(), 0..4),
        proptest::collection::btree_map("[a-z]{1,4}", any::<i32>(), 0..4),
        prop_oneof![
            any::<i16>().prop_map(|n| json!({"Kind": "n", "V": n})),
            any::<bool>().prop_map(|b| json!({"Kind": "b", "V": b})),
            "[0-9]{1,3}".prop_map(|t| json!({"Kind": "t", "V": t})),
        ],
    )
        .prop_map(|(integer, number, boolean, text, list, map, choice)| {
            json!({
                "Integer": integer, "Number": number, "Boolean": boolean, "Text": text,
                "List": list, "Map": map, "Choice": choice,
            })
        })
}

proptest! {
    #[test]
    fn coercion_undoes_the_turning_into_texts(model in value()) {
        let branch = |kind: &str, of: &str| json!({
            "properties": {"Kind": {"type": "string", "enum": [kind]}, "V": {"type": of}},
            "required": ["Kind", "V"],
        });
        let plan = plan(&json!({
            "Integer": {"$ref": "#/definitions/Size"},
            "Number": {"type": "number"},
            "Boolean": {"type": "boolean"},
            "Text": {"type": "string"},
            "List": {"type": "array", "items": {"type": "boolean"}},
            "Map": {"type": "object", "patternProperties": {"^[a-z]+$": {"type": "integer"}}},
            "Choice": {"oneOf": [branch("n", "integer"), branch("b", "boolean"), branch("t", "string")]},
        }));
        let Value::Object(before) = model else { unreachable!("it is an object") };
        let mut texts = before.clone();
        stringify(&mut texts);
        prop_assert!(texts["Integer"].is_string() && texts["Choice"]["V"].is_string());
        prop_assert_eq!(plan.coerce(&mut texts), Ok(()));
        prop_assert_eq!(texts, before);
    }
}
