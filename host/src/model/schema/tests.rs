use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    json!({
        "typeName": "Acme::Storage::Archive",
        "description": "An archive.",
        "properties": {
            "Name": {"type": "string", "pattern": "^(?!x)[a-z]+$"},
            "Size": {"type": "integer", "minimum": 1},
            "Secret": {"type": "string", "minLength": 3},
            "Id": {"$ref": "#/definitions/Id"},
        },
        "definitions": {"Id": {"type": "integer"}},
        "required": ["Name"],
        "additionalProperties": false,
        "primaryIdentifier": ["/properties/Name", "/properties/Id"],
        "readOnlyProperties": ["/properties/Id"],
        "writeOnlyProperties": ["/properties/Secret"],
        "handlers": {
            "create": {"permissions": [], "timeoutInMinutes": 5},
            "read": {"permissions": []},
        },
    })
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

#[test]
fn a_schema_gives_its_actions_timeouts_and_identifier() {
    let schema = TypeSchema::parse(&document().to_string()).expect("a schema");
    assert_eq!(
        schema.actions().collect::<Vec<_>>(),
        [Action::Create, Action::Read]
    );
    assert_eq!(schema.timeout(Mutation::Create), Duration::from_secs(300));
    assert_eq!(schema.timeout(Mutation::Delete), Duration::from_secs(7200));
    let identifier = schema
        .identifier(&map(&json!({"Name": "a", "Id": 7})))
        .expect("both parts");
    assert_eq!(identifier.to_string(), "a|7");
    assert_eq!(
        schema.identifier_model(&identifier),
        Some(map(&json!({"Name": "a", "Id": 7})))
    );
    for incomplete in [
        json!({"Name": "a"}),
        json!({"Name": "", "Id": 7}),
        json!({"Name": null, "Id": 7}),
    ] {
        assert_eq!(schema.identifier(&map(&incomplete)), None);
    }
}

#[test]
fn a_schema_gives_its_lists_and_the_defaults_of_tagging() {
    let mut document = map(&document());
    let plain = TypeSchema::parse(&Value::Object(document.clone()).to_string()).expect("a schema");
    assert!(plain.tagging().taggable && !plain.tagging().declared);
    assert_eq!(plain.tagging().tag_property.to_string(), "/properties/Tags");
    document.extend(map(&json!({
        "createOnlyProperties": ["/properties/Name"],
        "conditionalCreateOnlyProperties": ["/properties/Size"],
        "deprecatedProperties": ["/properties/Size"],
        "nonPublicProperties": ["/properties/Size"],
        "additionalIdentifiers": [["/properties/Id"], ["/properties/Name"]],
        "propertyTransform": {"/properties/Name": "$lowercase(Name)"},
        "tagging": {"taggable": true, "tagUpdatable": false, "tagProperty": "/properties/Name", "permissions": ["a:b"]},
        "typeConfiguration": {"properties": {"Key": {"type": "string", "minLength": 9}}, "additionalProperties": false},
        "handlers": {"list": {"permissions": ["a:c"], "handlerSchema": {"properties": {"Id": {"type": "integer"}}}}},
    })));
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    let texts = |paths: &[PropertyPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(schema.read_only()), ["/properties/Id"]);
    assert_eq!(texts(schema.write_only()), ["/properties/Secret"]);
    assert_eq!(texts(schema.create_only()), ["/properties/Name"]);
    for paths in [
        schema.conditional_create_only(),
        schema.deprecated(),
        schema.non_public(),
    ] {
        assert_eq!(texts(paths), ["/properties/Size"]);
    }
    assert_eq!(schema.additional_identifiers().len(), 2);
    assert_eq!(schema.property_transforms()[0].1, "$lowercase(Name)");
    let tagging = schema.tagging();
    assert!(tagging.declared && tagging.tag_on_create && !tagging.tag_updatable);
    assert_eq!(tagging.permissions, ["a:b"]);
    let list = schema.handler(Action::List).expect("it lists");
    assert_eq!(list.permissions, ["a:c"]);
    assert_eq!(schema.handler(Action::Create), None);
    assert_eq!(
        schema.list_schema(),
        Some(&json!({"properties": {"Id": {"type": "integer"}}}))
    );
    let violations = schema.configuration_violations(&map(&json!({"Key": "hunter2"})));
    assert_eq!(violations[0].pointer, "/Key");
    assert!(!violations[0].to_string().contains("hunter2"));
    assert_eq!(plain.configuration_violations(&map(&json!({}))), []);
    assert_eq!(
        plain
            .configuration_violations(&map(&json!({"Key": 1})))
            .len(),
        1
    );
}

#[test]
fn what_a_list_is_asked_with_is_coerced_by_its_own_schema() {
    let asked = json!({"Size": "1", "Since": "2", "Id": "3", "Name": "4"});
    let coerced = |handler_schema: Option<Value>| {
        let mut document = document();
        document["handlers"]["list"] = json!({"permissions": []});
        if let Some(schema) = handler_schema {
            document["handlers"]["list"]["handlerSchema"] = schema;
        }
        let schema = TypeSchema::parse(&document.to_string()).expect("a schema");
        let mut filter = map(&asked);
        let coerced = schema.coerce_filter(&mut filter);
        coerced.map(|()| Value::Object(filter))
    };
    assert_eq!(
        coerced(None),
        Ok(json!({"Size": 1, "Since": "2", "Id": 3, "Name": "4"}))
    );
    let own = json!({"properties": {
        "Size": {"type": "string"},
        "Since": {"type": "integer"},
        "Id": {"$ref": "resource-schema.json#/properties/Id"},
        "Name": {"$ref": "#/properties/Name"},
    }});
    let wanted = json!({"Size": "1", "Since": 2, "Id": 3, "Name": "4"});
    assert_eq!(coerced(Some(own)), Ok(wanted));
    let choice = json!({"properties": {"Since": {"oneOf": [
        {"$ref": "resource-schema.json#/properties/Size"},
        {"type": "boolean"},
    ]}}});
    let wanted = json!({"Size": "1", "Since": 2, "Id": "3", "Name": "4"});
    assert_eq!(coerced(Some(choice)), Ok(wanted));
    let odd = json!({"properties": {"Since": {"type": "boolean"}}});
    let refused = coerced(Some(odd)).expect_err("it is a number");
    assert_eq!(refused.pointer, "/Since");
    // A schema that is part of itself coerces nothing.
    let circle = json!({"properties": {"Since": {"anyOf": [
        {"$ref": "#/definitions/~1handlers~1list~1handlerSchema/properties/Since"},
        {"type": "integer"},
    ]}}});
    assert!(coerced(Some(circle)).is_ok());
}

#[test]
fn a_violation_names_the_place_and_the_rule_and_no_secret() {
    let schema = TypeSchema::parse(&document().to_string()).expect("a schema");
    let violations = schema.violations(&map(
        &json!({"Name": "xa", "Size": 0, "Secret": "q7", "Extra": 1}),
    ));
    let text = violations
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    for part in [
        "/Name",
        "/pattern",
        "/Size",
        "/minimum",
        "/Secret",
        "/minLength",
        "additionalProperties",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("q7"), "{text}");
}

#[test]
fn the_violations_of_a_large_model_are_few_and_short_and_true() {
    let mut document = map(&document());
    document.remove("writeOnlyProperties");
    document.insert(
        "properties".into(),
        json!({
            "Name": {"type": "string"},
            "Id": {"type": "integer"},
            "Lines": {"type": "array", "items": {"type": "string"}},
            "Either": {"anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": {"type": "null"}},
            ]},
            "Many": {"type": "array", "minItems": 15_000, "items": {"type": "integer"}},
        }),
    );
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    let numbers = json!(vec![1; 100_000]);
    let text = "x".repeat(100_000);
    let unknown: Map<String, Value> = (0..100_000).map(|n| (format!("P{n}"), json!(n))).collect();
    for (model, at, count) in [
        (json!({"Name": "a", "Lines": numbers}), "/Lines/0", 20),
        (json!({"Name": "a", "Either": numbers}), "", 1),
        (json!({"Many": numbers, "Name": 1}), "/Name", 1),
        (
            json!({"Many": numbers, "Name": "a", "Lines": [1]}),
            "/Lines/0",
            1,
        ),
        (json!({"Name": [text]}), "/Name", 1),
        (Value::Object(unknown), "", 1),
    ] {
        let violations = schema.violations(&map(&model));
        assert_eq!(violations.len(), count, "{violations:?}");
        assert_eq!(violations[0].pointer, at, "{violations:?}");
        for violation in violations {
            assert!(violation.message.chars().count() <= 301, "{violation}");
        }
    }
}

#[test]
fn a_wrong_schema_is_refused_with_the_place() {
    let cases = [
        ("/typeName", json!({"typeName": "A"})),
        ("/properties", json!({"properties": 1})),
        ("/primaryIdentifier", json!({"primaryIdentifier": []})),
        (
            "/primaryIdentifier/0",
            json!({"primaryIdentifier": ["Name"]}),
        ),
        (
            "/writeOnlyProperties",
            json!({"writeOnlyProperties": "/properties/A"}),
        ),
        (
            "/handlers/make",
            json!({"handlers": {"make": {"permissions": []}}}),
        ),
        ("/description", json!({"description": 1})),
        (
            "/additionalProperties",
            json!({"additionalProperties": true}),
        ),
        (
            "/properties/Size/minimum",
            json!({"properties": {"Size": {"type": "integer", "minimum": "1"}}}),
        ),
        (
            "/properties/Size/type",
            json!({"properties": {"Size": {"type": "int"}}}),
        ),
        (
            "/properties/Na-me",
            json!({"properties": {"Na-me": {"type": "string"}}}),
        ),
        (
            "/properties/Map",
            json!({"properties": {"Map": {"properties": {"A": {}}, "patternProperties": {}}}}),
        ),
        (
            "/replacementStrategy",
            json!({"replacementStrategy": "delete_first"}),
        ),
        (
            "/tagging/taggable",
            json!({"tagging": {"tagOnCreate": false}}),
        ),
        (
            "/handlers/create/permissions",
            json!({"handlers": {"create": {}}}),
        ),
        (
            "/typeConfiguration/properties",
            json!({"typeConfiguration": {"additionalProperties": false}}),
        ),
        ("/required", json!({"required": "Name"})),
        (
            "/handlers/create/timeoutInMinutes",
            json!({"handlers": {"create": {"permissions": [], "timeoutInMinutes": 1}}}),
        ),
    ];
    for (pointer, change) in cases {
        let mut wrong = map(&document());
        wrong.extend(map(&change));
        match TypeSchema::parse(&Value::Object(wrong).to_string()) {
            Err(SchemaError::Wrong { faults }) => {
                let found: Vec<_> = faults.iter().map(|fault| &*fault.pointer).collect();
                assert_eq!(found, [pointer], "{faults:?}");
            }
            other => panic!("{pointer}: {other:?}"),
        }
    }
    assert!(matches!(
        TypeSchema::parse("[]"),
        Err(SchemaError::NotJson { .. })
    ));
    let mut wrong = map(&document());
    wrong.insert(
        "properties".into(),
        json!({"Name": {"$ref": "#/definitions/None"}}),
    );
    assert!(matches!(
        TypeSchema::parse(&Value::Object(wrong).to_string()),
        Err(SchemaError::Properties { .. })
    ));
}

#[test]
fn a_fault_says_where_and_by_which_rule() {
    let error =
        TypeSchema::parse(r#"{"typeName": "A", "handlers": {"create": {"permissions": {}}}}"#)
            .expect_err("nearly everything is missing");
    assert_eq!(
        error.to_string(),
        "the resource type schema is wrong at `/typeName`: `A` is no resource type name: it \
         must be three parts of 2 to 64 letters and digits, joined by `::`; at `/properties`: \
         is missing: describe at least one property; at `/description`: is missing: say what \
         the type is; at `/primaryIdentifier`: is missing: name the properties that tell \
         resources apart; at `/additionalProperties`: is missing: it must be `false`; at \
         `/handlers/create/permissions`: it is not of type \"array\""
    );
}

/// Parses the document with `changes`, and gives its warnings.
fn warnings(changes: &Value) -> Vec<String> {
    let mut document = map(&document());
    document.extend(map(changes));
    TypeSchema::parse(&Value::Object(document).to_string())
        .expect("a schema")
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_is_odd_is_a_warning_with_its_place() {
    let cases = [
        (json!({}), vec![]),
        (
            json!({"lifecycle": {}}),
            vec!["`/lifecycle`: the resource type definition schema does not know"],
        ),
        (
            json!({"definitions": {"Id": {"type": "integer", "enumCaseInsensitive": []}}}),
            vec!["`/definitions/Id/enumCaseInsensitive`: the resource type definition"],
        ),
        (
            json!({"definitions": {"Id": {"type": "integer", "not": {"const": 1, "type": "integer"}}}}),
            vec!["`/definitions/Id/not`: the dialect of resource types leaves"],
        ),
        (
            json!({"definitions": {"Id": {"enum": [1]}, "A.B": {}, "Open": {"type": "object", "additionalProperties": true}}}),
            vec![
                "`/definitions/A.B`: the registry takes only names",
                "`/definitions/Id`: `enum` and `const` need",
                "`/definitions/Open/additionalProperties`: it is enforced",
            ],
        ),
        (
            json!({"tagging": {"taggable": true}, "deprecatedProperties": ["/properties/Old"]}),
            vec!["`/deprecatedProperties/0`: `/properties/Old` leads to no property"],
        ),
        (
            json!({"propertyTransform": {"Name": "$lowercase(Name)"}}),
            vec!["`/propertyTransform/Name`: `Name` leads to no property"],
        ),
        (
            json!({"nonPublicDefinitions": ["/definitions/Id", "/definitions/No"]}),
            vec!["`/nonPublicDefinitions/1`: `/definitions/No` leads to no property"],
        ),
    ];
    for (changes, expected) in cases {
        let mut found = warnings(&changes);
        found.sort();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}

#[test]
fn a_path_is_followed_through_whatever_a_schema_is_made_of() {
    let properties = json!({
        "Name": {"type": "string"},
        "Id": {"$ref": "#/definitions/Id"},
        "Tree": {"$ref": "#/definitions/Tree"},
        "Map": {"type": "object", "patternProperties": {"^[a-z]+$": {"properties": {"A": {}}}}},
        "Some": {"oneOf": [{"properties": {"A": {}}}, {"anyOf": [{"allOf": [{"properties": {"B": {}}}]}]}]},
    });
    let definitions = json!({
        "Id": {"type": "integer"},
        "Tree": {"type": "array", "items": {"properties": {
            "Leaf": {"type": "string"},
            "Below": {"$ref": "#/definitions/Tree"},
        }}},
    });
    for (path, leads) in [
        ("/properties/Tree/*/Below/*/Leaf", true),
        ("/properties/Tree/Below/Leaf", true),
        ("/properties/Tree/*/Bough", false),
        ("/properties/Map/*/A", true),
        ("/properties/Map/abc/A", true),
        ("/properties/Map/ABC/A", false),
        ("/properties/Some/A", true),
        ("/properties/Some/B", true),
        ("/properties/Some/C", false),
        ("/properties/Name/*", false),
    ] {
        let found = warnings(&json!({
            "properties": properties,
            "definitions": definitions,
            "writeOnlyProperties": ["/properties/Name"],
            "deprecatedProperties": [path],
        }));
        let found: Vec<_> = found.iter().filter(|text| text.contains(path)).collect();
        assert_eq!(found.is_empty(), leads, "{path} {found:?}");
    }
}

#[test]
fn a_schema_without_handlers_only_describes() {
    let mut document = map(&document());
    for keyword in ["handlers", "description", "primaryIdentifier"] {
        document.remove(keyword);
    }
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    assert_eq!(schema.actions().count(), 0);
    assert_eq!(schema.identifier(&map(&json!({"Name": "a"}))), None);
    assert_eq!(schema.warnings().len(), 2);
}

#[test]
fn a_pattern_looks_around_and_one_that_cannot_be_run_is_not_enforced() {
    let mut document = map(&document());
    document.insert(
        "properties".into(),
        json!({
            "Name": {"type": "string", "pattern": "^(?!aws:)\\w+(?<!-)$"},
            "Id": {"type": "string", "pattern": "(?s).+"},
            "Map": {"type": "object", "patternProperties": {"[": {"type": "integer"}}, "additionalProperties": false},
        }),
    );
    document.remove("writeOnlyProperties");
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    let warned: Vec<_> = schema.warnings().iter().map(|w| &*w.pointer).collect();
    assert_eq!(
        warned,
        [
            "/properties/Id/pattern",
            "/properties/Map/patternProperties/["
        ]
    );
    let violated = |model: Value| {
        let places = schema
            .violations(&map(&model))
            .into_iter()
            .map(|v| v.pointer);
        places.collect::<Vec<_>>()
    };
    assert_eq!(
        violated(json!({"Name": "a", "Id": "", "Map": {"any": 1}})),
        [""; 0]
    );
    assert_eq!(
        violated(json!({"Name": "aws:a", "Map": {"any": "x"}})),
        ["/Name", "/Map/any"]
    );
}

#[test]
fn a_text_that_a_pattern_cannot_be_done_with_is_a_violation() {
    let mut document = map(&document());
    document.insert(
        "properties".into(),
        json!({
            "Name": {"type": "string", "pattern": "^(?=(a+)+$)(b|a)+$"},
            "Id": {"type": "integer"},
        }),
    );
    document.remove("writeOnlyProperties");
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    assert_eq!(schema.violations(&map(&json!({"Name": "aaaa"}))), []);
    let endless = format!("{}!", "a".repeat(64));
    let violations = schema.violations(&map(&json!({"Name": endless})));
    assert_eq!(violations[0].pointer, "/Name");
}

#[test]
fn a_schema_that_is_made_of_itself_is_checked_and_coerced_to_an_end() {
    let mut document = map(&document());
    document.extend(map(&json!({
        "properties": {
            "Name": {"$ref": "#/definitions/Loop"},
            "Id": {"$ref": "#/definitions/Ping"},
            "Tree": {"$ref": "#/definitions/Tree"},
        },
        "definitions": {
            "Loop": {"$ref": "#/definitions/Loop"},
            "Ping": {"anyOf": [{"type": "integer"}, {"$ref": "#/definitions/Pong"}]},
            "Pong": {"allOf": [{"$ref": "#/definitions/Ping"}]},
            "Tree": {"type": "array", "items": {"$ref": "#/definitions/Tree"}},
        },
    })));
    document.remove("writeOnlyProperties");
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    let warned: Vec<_> = schema.warnings().iter().map(|w| &*w.pointer).collect();
    assert_eq!(
        warned,
        ["/definitions/Loop/$ref", "/definitions/Pong/allOf/0/$ref"]
    );
    let mut model = map(&json!({"Name": "a", "Id": "7", "Tree": [[[]]]}));
    schema.coerce(&mut model).expect("it coerces");
    assert_eq!(schema.violations(&model), []);
}

#[test]
fn a_long_chain_of_references_needs_no_deep_stack() {
    let mut document = map(&document());
    let definitions: Map<String, Value> = (0..20_000)
        .map(|n| {
            let next = format!("#/definitions/D{}", n + 1);
            (
                format!("D{n}"),
                json!({"type": "array", "items": {"$ref": next}}),
            )
        })
        .chain([
            ("D20000".to_owned(), json!({"type": "integer"})),
            ("Id".to_owned(), json!({"$ref": "#/definitions/D0"})),
        ])
        .collect();
    document.insert("definitions".into(), Value::Object(definitions));
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    let mut model = map(&json!({"Name": "a", "Id": [["x"]]}));
    schema.coerce(&mut model).expect("it coerces");
    assert_eq!(schema.violations(&model).len(), 1);
}

#[test]
fn an_array_is_a_list_a_multiset_or_a_set() {
    let mut document = map(&document());
    document.insert(
        "properties".into(),
        json!({
            "Name": {"type": "string"},
            "Id": {"$ref": "#/definitions/Id"},
            "L": {"type": "array", "items": {"type": "array", "insertionOrder": false}},
            "O": {"type": "array", "uniqueItems": true},
            "S": {"$ref": "#/definitions/S"},
        }),
    );
    document.insert(
        "definitions".into(),
        json!({
            "Id": {"type": "integer"},
            "S": {"type": "array", "uniqueItems": true, "insertionOrder": false},
        }),
    );
    let schema = TypeSchema::parse(&Value::Object(document).to_string()).expect("a schema");
    for (path, collection) in [
        ("/properties/L", Some(Collection::List)),
        ("/properties/L/*", Some(Collection::Multiset)),
        ("/properties/O", Some(Collection::OrderedSet)),
        ("/properties/S", Some(Collection::Set)),
        ("/properties/Name", None),
    ] {
        let path: PropertyPath = path.parse().expect("a path");
        assert_eq!(schema.collection(&path), collection, "{path}");
    }
}
