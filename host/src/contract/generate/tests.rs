use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema(properties: &Value, rest: &Value) -> TypeSchema {
    let mut document = json!({
        "typeName": "Acme::Storage::Archive",
        "description": "An archive.",
        "properties": properties,
        "primaryIdentifier": ["/properties/Id"],
        "additionalProperties": false,
    });
    if let (Some(document), Some(rest)) = (document.as_object_mut(), rest.as_object()) {
        document.extend(rest.clone());
    }
    TypeSchema::parse(&document.to_string()).expect("a resource type schema")
}

/// Makes models of a type with one required property, and gives its values.
fn values(rule: &Value) -> Vec<Value> {
    let definitions = json!({
        "Node": {
            "type": "object",
            "properties": {"Value": {"type": "integer"}, "Next": {"$ref": "#/definitions/Node"}},
            "required": ["Value"],
            "additionalProperties": false
        },
        "Short": {"type": "string", "maxLength": 4}
    });
    let schema = schema(
        &json!({"Id": {"type": "string"}, "P": rule}),
        &json!({"required": ["P"], "definitions": definitions}),
    );
    let generator = Generator::new(&schema, &[]);
    let mut values = Vec::new();
    for seed in 0..12 {
        for extent in [Extent::Full, Extent::Minimal] {
            let made = generator
                .model(extent, seed)
                .unwrap_or_else(|error| panic!("{rule}: {error}"));
            assert_eq!(schema.violations(&made.model), [], "{rule}");
            assert_eq!(generator.model(extent, seed), Ok(made.clone()), "{rule}");
            values.push(made.model["P"].clone());
        }
    }
    values
}

#[test]
fn every_keyword_is_met() {
    for rule in [
        json!({"type": "string", "minLength": 40, "maxLength": 40}),
        json!({"type": "string", "enum": ["a", "b"]}),
        json!({"type": "integer", "const": 5}),
        json!({"type": "integer", "minimum": -3, "maximum": -3}),
        json!({"type": "integer", "minimum": 1000, "multipleOf": 750}),
        json!({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6}),
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.25}),
        json!({"type": "number", "multipleOf": 0.5, "minimum": 0.3}),
        json!({"type": ["object", "string"]}),
        json!({"type": "array", "minItems": 3, "uniqueItems": true, "items": {"type": "integer"}}),
        json!({"type": "array", "minItems": 2, "uniqueItems": true, "items": {"type": "boolean"}}),
        json!({"type": "array", "contains": {"const": "x"}, "items": {"type": "string"}}),
        json!({"type": "object", "patternProperties": {"^[a-z]{3}$": {"type": "integer"}}, "additionalProperties": false, "minProperties": 2}),
        json!({"type": "object", "propertyNames": {"pattern": "^x-[0-9]+$"}, "minProperties": 3, "additionalProperties": {"type": "boolean"}}),
        json!({"type": "object", "properties": {"A": {"type": "string"}, "B": {"type": "string"}, "C": {"type": "string"}}, "maxProperties": 2, "minProperties": 1}),
        json!({"type": "object", "properties": {"A": {"type": "string"}, "B": {"type": "string"}, "C": {"type": "string"}}, "dependencies": {"A": ["B"], "B": {"required": ["C"]}}, "required": ["A"]}),
        json!({"type": "object", "properties": {"A": {"type": "string"}, "B": {"type": "string"}}, "oneOf": [{"required": ["A"]}, {"required": ["B"]}], "additionalProperties": false}),
        json!({"type": "object", "properties": {"A": {"type": "string"}, "B": {"type": "string"}}, "not": {"required": ["A"]}}),
        json!({"oneOf": [{"type": "object", "properties": {"A": {"type": "string"}}, "required": ["A"], "additionalProperties": false}, {"type": "object", "properties": {"B": {"type": "integer"}}, "required": ["B"], "additionalProperties": false}]}),
        json!({"allOf": [{"type": "integer", "minimum": 3}, {"anyOf": [{"maximum": 3}, {"const": 9}]}]}),
        json!({"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$"}, {"$ref": "#/definitions/Short"}]}),
        json!({"$ref": "#/definitions/Node"}),
        json!({"type": "object", "properties": {"Kind": {"type": "string", "enum": ["A", "B"]}, "Only": {"type": "string"}}, "required": ["Kind"], "if": {"properties": {"Kind": {"const": "A"}}}, "then": {"required": ["Only"]}}),
    ] {
        values(&rule);
    }
}

#[test]
fn patterns_with_look_arounds_are_met() {
    for pattern in [
        r"^(?!aws:)[a-zA-Z+-=._:/]+$",
        r"^(?=.{40,128}$)arn.*",
        r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[a-zA-Z\d\S]{8,64}$",
        r"^(?=^[a-z0-9-]+$).{3,64}$",
        r"^(?!tg-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+$",
        r"^[0-9a-z\.\-]*(?<!\.)$",
        r"^(?!\s*$).+",
        r"^(?=^.{8,64}$)((?=.*\d)(?=.*[A-Z])(?=.*[a-z])|(?=.*[^A-Za-z0-9\s])(?=.*[A-Z])(?=.*[a-z]))^",
        r"^[\w-]+_[0-9-a]\{x[[&&~~a]$",
        r"^a\{%\/[ -~]$",
    ] {
        for value in values(&json!({"type": "string", "pattern": pattern})) {
            assert!(
                value.as_str().is_some_and(|text| !text.is_empty()),
                "{pattern}"
            );
        }
    }
}

#[test]
fn ecma_syntax_is_read_where_it_differs() {
    for (pattern, text) in [
        ("[^]", r"[\s\S]"),
        ("[]", r"[^\s\S]"),
        ("[[a&&b]", r"[\[a\&\&b]"),
        (r"[\w-a]", r"[\w\-a]"),
        (r"[\uD800\uDBFF-\uDC00]", "[\u{fffd}\u{fffd}-\u{fffd}]"),
        ("a{1,2}b{x}", r"a{1,2}b\{x}"),
        (r"(a)\1(?<!b[)])(?!(c))d", "(a)(?:)(?:)(?:)d"),
    ] {
        assert_eq!(ecma::relaxed(pattern, ecma::LookAhead::Dropped), text);
        regex_syntax::parse(text).expect(text);
    }
    assert_eq!(
        ecma::relaxed("(?=a(?!b))c", ecma::LookAhead::Spelt),
        "(?:a(?:))c"
    );
}

#[test]
fn texts_have_the_form_that_a_format_names() {
    for (format, part) in [
        ("date-time", "T"),
        ("date", "-"),
        ("time", ":"),
        ("email", "@"),
        ("uri", "://"),
        ("ipv4", "192.0.2."),
        ("ipv6", "::"),
        ("hostname", ".example.com"),
        ("uuid", "-4"),
        ("arn", "arn:aws:"),
        ("json", "{"),
        ("AWS::IAM::Role.Arn", "arn:aws:iam::"),
        ("AWS::EC2::Subnet.Id", "subnet-"),
    ] {
        for value in values(&json!({"type": "string", "format": format})) {
            assert!(
                value.as_str().is_some_and(|text| text.contains(part)),
                "{format}: {value}"
            );
        }
    }
}

#[test]
fn what_is_recursive_ends_and_what_is_open_is_a_text() {
    for value in values(&json!({"$ref": "#/definitions/Node"})) {
        assert!(value.to_string().matches("Next").count() <= 2, "{value}");
    }
    assert!(values(&json!({})).iter().all(Value::is_string));
}

#[test]
fn what_is_left_out_is_left_out_at_every_depth() {
    let schema = schema(
        &json!({
            "Id": {"type": "string"},
            "Name": {"type": "string"},
            "Rules": {"type": "array", "items": {"type": "object", "properties": {"Id": {"type": "string"}, "Text": {"type": "string"}}}}
        }),
        &json!({"readOnlyProperties": ["/properties/Id", "/properties/Rules/*/Id"]}),
    );
    let generator = Generator::new(&schema, schema.read_only());
    for seed in 0..8 {
        let made = generator.model(Extent::Full, seed).expect("a model");
        assert!(schema.read_only_in(&made.model).next().is_none());
        let rule = &made.model["Rules"][0];
        assert_eq!((rule.get("Id"), rule.get("Text").is_some()), (None, true));
        let minimal = generator.model(Extent::Minimal, seed).expect("a model");
        assert!(minimal.model.is_empty());
    }
}

#[test]
fn a_schema_without_models_is_refused_with_place_and_keyword() {
    for (rule, pointer, keyword) in [
        (
            json!({"type": "string", "pattern": "^a$", "minLength": 2}),
            "/P",
            "pattern",
        ),
        (
            json!({"type": "integer", "minimum": 3, "maximum": 2}),
            "/P",
            "maximum",
        ),
        (json!({"type": "string", "enum": [1]}), "/P", "enum"),
        (
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": true}),
            "/P",
            "uniqueItems",
        ),
    ] {
        let properties = json!({"Id": {"type": "string"}, "P": rule});
        let required = schema(&properties, &json!({"required": ["P"]}));
        let error = Generator::new(&required, &[])
            .model(Extent::Minimal, 1)
            .expect_err("nothing complies");
        assert_eq!(
            (&*error.pointer, &*error.keyword),
            (pointer, keyword),
            "{rule}"
        );

        let optional = schema(&properties, &json!({}));
        let made = Generator::new(&optional, &[])
            .model(Extent::Full, 1)
            .expect("without the property, a model complies");
        let left_out = LeftOut {
            pointer: pointer.to_owned(),
            keyword: keyword.to_owned(),
        };
        assert_eq!(made.left_out, [left_out], "{rule}");
    }
}

#[test]
fn a_changed_model_keeps_what_may_not_change() {
    let schema = schema(
        &json!({
            "Id": {"type": "string"},
            "Fixed": {"type": "string"},
            "Size": {"type": "integer"},
            "Only": {"type": "string", "enum": ["one"]},
            "Part": {"type": "object", "properties": {"Fixed": {"type": "string"}, "Free": {"type": "string"}}}
        }),
        &json!({"createOnlyProperties": ["/properties/Id", "/properties/Fixed", "/properties/Part/Fixed"]}),
    );
    let generator = Generator::new(&schema, &[]);
    let made = generator.model(Extent::Full, 3).expect("a model").model;
    let changed = generator
        .changed(&made, schema.create_only(), 4)
        .expect("the size can change");
    assert_eq!(changed.pointers, ["/Size"]);
    let mut expected = made.clone();
    expected.insert("Size".to_owned(), changed.model["Size"].clone());
    assert_eq!(changed.model, expected);
    assert_ne!(changed.model, made);

    let path = |text: &str| text.parse::<PropertyPath>().expect(text);
    let other = generator
        .another(&made, &path("/properties/Part/Fixed"), 5)
        .expect("another text");
    assert_ne!(other["Part"]["Fixed"], made["Part"]["Fixed"]);
    assert_eq!(other["Part"]["Free"], made["Part"]["Free"]);
    assert_eq!(generator.another(&made, &path("/properties/Only"), 5), None);
}

#[test]
fn an_invalid_model_breaks_the_rule_that_it_names_and_no_other() {
    let schema = schema(
        &json!({
            "Id": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 20},
            "Size": {"type": "integer", "minimum": 2, "maximum": 9},
            "Step": {"type": "number", "multipleOf": 5},
            "Kind": {"type": "string", "enum": ["a", "b"]},
            "When": {"type": "string", "format": "date-time"},
            "Tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string"}},
            "Set": {"type": "array", "uniqueItems": true, "items": {"type": "string"}},
            "Part": {"type": "object", "properties": {"A": {"type": "string"}, "B": {"type": "string"}}, "required": ["A"], "dependencies": {"A": ["B"]}, "additionalProperties": false}
        }),
        &json!({"required": ["Id"]}),
    );
    let generator = Generator::new(&schema, &[]);
    let model = generator.model(Extent::Full, 1).expect("a model").model;
    let mut broken: Vec<String> = generator
        .invalid(&model)
        .map(|invalid| {
            let violations = schema.violations(&invalid.model);
            assert_eq!(violations.len(), 1, "{violations:?}");
            assert_eq!(violations[0].rule, invalid.rule);
            format!("{} {}", invalid.pointer, keyword(&violations[0]))
        })
        .collect();
    broken.sort();
    let expected = [
        " additionalProperties",
        " required",
        "/Id maxLength",
        "/Id minLength",
        "/Id pattern",
        "/Id type",
        "/Kind enum",
        "/Part additionalProperties",
        "/Part dependencies",
        "/Part required",
        "/Part type",
        "/Part/A type",
        "/Part/B type",
        "/Set type",
        "/Set uniqueItems",
        "/Set/0 type",
        "/Size maximum",
        "/Size minimum",
        "/Size type",
        "/Step multipleOf",
        "/Step type",
        "/Tags maxItems",
        "/Tags minItems",
        "/Tags type",
        "/Tags/0 type",
        "/When type",
    ];
    assert_eq!(broken, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bounds_that_leave_a_value_are_met(
        least in -1000_i64..1000,
        room in 0_i64..1000,
        step in 1_i64..20,
        length in 0_usize..60,
        longer in 0_usize..20,
        seed: u64,
    ) {
        let schema = schema(
            &json!({
                "Id": {"type": "string"},
                "Size": {"type": "integer", "minimum": least, "maximum": least + room + step, "multipleOf": step},
                "Ratio": {"type": "number", "exclusiveMinimum": least, "maximum": least + room + 1},
                "Text": {"type": "string", "minLength": length, "maxLength": length + longer},
                "Name": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$", "minLength": length.max(1), "maxLength": length.max(1) + longer},
            }),
            &json!({"required": ["Size", "Ratio", "Text", "Name"]}),
        );
        let made = Generator::new(&schema, &[]).model(Extent::Full, seed);
        let made = made.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(schema.violations(&made.model).is_empty());
    }
}
