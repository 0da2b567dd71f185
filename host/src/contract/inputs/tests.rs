use std::error::Error as _;

use serde_json::json;

use super::*;

fn schema() -> TypeSchema {
    let document = json!({
        "typeName": "Acme::Storage::Archive",
        "description": "An archive.",
        "properties": {
            "Name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 20},
            "Size": {"type": "integer", "minimum": 1},
            "Part": {"type": "object", "properties": {"A": {"type": "string"}}, "additionalProperties": false},
            "Arn": {"type": "string"}
        },
        "required": ["Name"],
        "primaryIdentifier": ["/properties/Name"],
        "createOnlyProperties": ["/properties/Name"],
        "readOnlyProperties": ["/properties/Arn"],
        "additionalProperties": false,
        "handlers": {"create": {"permissions": []}, "read": {"permissions": []}, "update": {"permissions": []}, "delete": {"permissions": []}}
    });
    TypeSchema::parse(&document.to_string()).expect("a resource type schema")
}

fn texts(files: &[(&str, &str)], overrides: Option<&str>) -> InputTexts {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    InputTexts {
        inputs: files.iter().map(own).collect(),
        overrides: overrides.map(|text| ("overrides.json".to_owned(), text.to_owned())),
    }
}

fn decide(files: &[(&str, &str)], overrides: Option<&str>) -> Result<Inputs, InputError> {
    Inputs::decide(&schema(), &texts(files, overrides), 1)
}

fn warnings(inputs: &Inputs) -> Vec<String> {
    inputs.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn files_are_sorted_into_sets_by_their_exact_numbers() {
    let create = r#"{"Name": "a"}"#;
    let inputs = decide(
        &[
            ("README.md", ""),
            ("inputs_01_create.json", create),
            ("inputs_10_create.json", create),
            ("inputs_1_create.json", r#"{"Name": "a", "Size": "8"}"#),
            ("inputs_1_invalid.json", r#"{"Name": "A"}"#),
            ("inputs_1_pre_create.json", create),
            ("inputs_1_update.json", r#"{"Name": "a", "Size": 9}"#),
            ("inputs_2_create.json", create),
        ],
        Some("{}"),
    )
    .expect("inputs");
    assert_eq!(inputs.origin, Origin::Files);
    let numbers: Vec<u32> = inputs.sets.iter().map(|set| set.number).collect();
    assert_eq!(numbers, [1, 2]);
    let first = &inputs.sets[0];
    assert_eq!(first.create["Size"], json!(8));
    assert_eq!(
        first.update.as_ref().map(|update| &update["Size"]),
        Some(&json!(9))
    );
    let rule = first.invalid[0].violation.as_ref().map(|v| v.rule.as_str());
    assert_eq!(rule, Some("/properties/Name/pattern"));
    let warnings = warnings(&inputs).join("\n");
    for named in [
        "`README.md` is not read",
        "`inputs_01_create.json` is not read",
        "`inputs_1_pre_create.json` is not read",
        "`inputs_10_create.json` is not read: the sets end before it, as there is no `inputs_3_create.json`",
        "overrides are not used",
        "updates are not tested with set 2",
    ] {
        assert!(warnings.contains(named), "{named}\n{warnings}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name_and_place() {
    let create = |text| decide(&[("inputs_1_create.json", text)], None);
    let overrides = |text| decide(&[], Some(text));
    for (result, parts) in [
        (
            create("["),
            &["`inputs_1_create.json` must hold one JSON object"][..],
        ),
        (create("[]"), &["one JSON object"]),
        (
            create("{}"),
            &["breaks the schema of Acme::Storage::Archive", "`/required`"],
        ),
        (
            create(r#"{"Name": "a", "Size": "x"}"#),
            &["inputs_1_create.json", "`/Size`", "integer"],
        ),
        (
            create(r#"{"Name": "a", "Size": 0}"#),
            &["inputs_1_create.json", "`/Size`", "minimum"],
        ),
        (
            create(r#"{"Name": "a", "Arn": "x"}"#),
            &["read-only", "/properties/Arn"],
        ),
        (
            create("{\"Name\":\n \"{{ My:Export }}\"}"),
            &[
                "`{{My:Export}}` in line 2",
                "exports of stacks are not available",
            ],
        ),
        (
            decide(&[("inputs_1_update.json", r#"{"Name": "a"}"#)], None),
            &["`inputs_1_create.json` is missing"],
        ),
        (
            overrides(r#"{"DELETE": {}}"#),
            &["`overrides.json`", "`/DELETE`", "use CREATE and UPDATE"],
        ),
        (
            overrides(r#"{"CREATE": 1}"#),
            &["`/CREATE`", "must be an object"],
        ),
        (
            overrides(r#"{"CREATE": {"Name": 1}}"#),
            &["`/CREATE/Name`", "must be a JSON pointer"],
        ),
        (
            overrides(r#"{"CREATE": {"/Name": "A"}}"#),
            &["overrides.json", "`/Name`", "pattern"],
        ),
        (
            overrides(r#"{"CREATE": {"/Name": "{{N}}"}}"#),
            &["{{N}}", "line 1"],
        ),
    ] {
        let error = result.expect_err("wrong");
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        for part in parts {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}

#[test]
fn braces_that_stand_together_are_no_placeholder() {
    assert_eq!(files::placeholder(r#"{"A": {"B": {"C": 1}}}"#), None);
    assert_eq!(
        files::placeholder(r#"{"A": "{{{Name}}}"}"#),
        Some((1, "Name"))
    );
    assert_eq!(files::placeholder(r#"{"A": "{{ {\"a\": 1}}"}"#), None);
}

#[test]
fn without_files_models_are_made_from_the_schema() {
    let inputs = decide(&[], None).expect("inputs");
    assert_eq!(inputs.origin, Origin::Schema { seed: 1 });
    assert_eq!(warnings(&inputs), [""; 0]);
    let set = &inputs.sets[0];
    let schema = schema();
    assert_eq!(
        set.create.keys().collect::<Vec<_>>(),
        ["Name", "Size", "Part"]
    );
    let update = set.update.as_ref().expect("the size can change");
    assert_eq!(update["Name"], set.create["Name"]);
    assert_ne!(update["Size"], set.create["Size"]);
    assert_eq!(schema.violations(update), []);
    assert!(set.invalid.len() > 5);
    for invalid in &set.invalid {
        assert!(!schema.violations(&invalid.model).is_empty());
    }
}

#[test]
fn overrides_are_put_onto_what_was_made() {
    let inputs = decide(
        &[],
        Some(r#"{"CREATE": {"/Name": "mine", "/Part/A": "x", "/No/Where": 1}, "UPDATE": {"/Size": 77}}"#),
    )
    .expect("inputs");
    let set = &inputs.sets[0];
    assert_eq!(
        (&set.create["Name"], &set.create["Part"]["A"]),
        (&json!("mine"), &json!("x"))
    );
    let update = set.update.as_ref().expect("an update");
    assert_eq!(
        (&update["Name"], &update["Size"]),
        (&json!("mine"), &json!(77))
    );
    assert_eq!(warnings(&inputs).len(), 1);
    assert!(warnings(&inputs)[0].contains("`/No/Where` for CREATE"));
}

#[test]
fn a_project_is_read_from_its_directory() {
    let project = tempfile::tempdir().expect("a directory");
    let empty = InputTexts::of_project(project.path()).expect("nothing is there");
    assert_eq!(empty, InputTexts::default());

    let inputs = project.path().join("inputs");
    std::fs::create_dir_all(inputs.join("old")).expect("a directory");
    std::fs::write(inputs.join("inputs_1_create.json"), r#"{"Name": "a"}"#).expect("a file");
    std::fs::write(inputs.join("notes.bin"), [0xff]).expect("a file");
    std::fs::write(project.path().join("overrides.json"), "{}").expect("a file");
    let read = InputTexts::of_project(project.path()).expect("texts");
    assert_eq!(
        read.inputs.into_iter().collect::<Vec<_>>(),
        [
            (
                "inputs_1_create.json".to_owned(),
                r#"{"Name": "a"}"#.to_owned()
            ),
            ("notes.bin".to_owned(), String::new()),
        ]
    );
    assert_eq!(read.overrides.map(|(_, text)| text), Some("{}".to_owned()));

    std::fs::write(inputs.join("inputs_1_update.json"), [0xff]).expect("a file");
    let error = InputTexts::of_project(project.path()).expect_err("not UTF-8");
    assert!(error.to_string().contains("inputs_1_update.json"));
}
