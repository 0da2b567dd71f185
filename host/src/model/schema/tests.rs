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
        ("/handlers/make", json!({"handlers": {"make": {}}})),
        (
            "/handlers/create/timeoutInMinutes",
            json!({"handlers": {"create": {"timeoutInMinutes": 1}}}),
        ),
    ];
    for (pointer, change) in cases {
        let mut wrong = map(&document());
        wrong.extend(map(&change));
        match TypeSchema::parse(&Value::Object(wrong).to_string()) {
            Err(SchemaError::Keyword { pointer: found, .. }) => assert_eq!(found, pointer),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    assert!(matches!(
        TypeSchema::parse("[]"),
        Err(SchemaError::NotJson { .. })
    ));
    let mut wrong = map(&document());
    wrong.insert("required".into(), json!("Name"));
    assert!(matches!(
        TypeSchema::parse(&Value::Object(wrong).to_string()),
        Err(SchemaError::Properties { .. })
    ));
}
