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
    wrong.insert("required".into(), json!("Name"));
    assert!(matches!(
        TypeSchema::parse(&Value::Object(wrong).to_string()),
        Err(SchemaError::Properties { .. })
    ));
}
