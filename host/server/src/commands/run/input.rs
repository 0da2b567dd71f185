//! What is asked: models from files, identifiers, tags.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use formwork_host::model::{Action, JsonObject, PrimaryIdentifier, TypeSchema};
use serde_json::{Map, Value};

use super::RunArgs;

/// The key and the value of a tag.
pub(super) type Tag = (String, String);

/// The states that the arguments give.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) model: Option<JsonObject>,
    pub(super) previous: Option<JsonObject>,
    pub(super) identifier: Option<String>,
}

impl Asked {
    /// Reads the files that the arguments name.
    pub(super) fn read(args: &RunArgs) -> anyhow::Result<Self> {
        let object = |what, path: &Option<PathBuf>| {
            path.as_deref().map(|path| object(what, path)).transpose()
        };
        Ok(Self {
            model: object("model", &args.model)?,
            previous: object("previous state", &args.previous)?,
            identifier: args.identifier.clone(),
        })
    }

    /// Gives the desired state, or the properties that name the resource.
    pub(super) fn state(&self, schema: &TypeSchema, action: Action) -> anyhow::Result<JsonObject> {
        let named = self
            .identifier
            .as_deref()
            .map(|text| identifier(schema, text))
            .transpose()?;
        match (&self.model, named) {
            (Some(model), None) => Ok(model.clone()),
            (Some(model), Some(named)) => {
                let mut map = model.to_map();
                fill(&mut map, named)?;
                Ok(JsonObject::from_map(&map))
            }
            (None, Some(named)) if matches!(action, Action::Read | Action::Delete) => {
                Ok(JsonObject::from_map(&named))
            }
            (None, _) => Err(match action {
                Action::Create | Action::Update => {
                    anyhow!(
                        "{action} needs the desired state: give `--model FILE`, or `--model -` for standard input"
                    )
                }
                Action::Read | Action::Delete | Action::List => anyhow!(
                    "{action} needs the name of a resource: give `--identifier {}`, or `--model FILE`",
                    identifier_form(schema)
                ),
            }),
        }
    }
}

/// Gives how an identifier of the type is written: `Name|Region`.
fn identifier_form(schema: &TypeSchema) -> String {
    let names: Vec<String> = schema
        .primary_identifier()
        .iter()
        .map(|path| {
            path.to_string()
                .trim_start_matches("/properties/")
                .to_owned()
        })
        .collect();
    names.join("|")
}

/// Reads a JSON object from a file, or from standard input if the path is `-`.
pub(in crate::commands) fn object(what: &str, path: &Path) -> anyhow::Result<JsonObject> {
    let stdin = path == Path::new("-");
    let place = if stdin {
        "standard input".to_owned()
    } else {
        format!("`{}`", path.display())
    };
    let text = if stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("cannot read the {what} from {place}"))?;
    // Some editors put a byte order mark before everything.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim().is_empty() {
        bail!(
            "there is no {what} in {place}: it is empty; give a JSON object such as {{\"Name\":\"a\"}}"
        );
    }
    JsonObject::parse(text).with_context(|| format!("cannot use the {what} in {place}"))
}

/// Reads an identifier: parts joined by `|`, or a JSON object.
fn identifier(schema: &TypeSchema, text: &str) -> anyhow::Result<Map<String, Value>> {
    if text.trim_start().starts_with('{') {
        let object = JsonObject::parse(text).context("cannot use the value of `--identifier`")?;
        return Ok(object.to_map());
    }
    let parts: Vec<String> = match schema.primary_identifier() {
        // The only part may have a `|` of its own.
        [_] => vec![text.to_owned()],
        _ => text.split('|').map(str::to_owned).collect(),
    };
    PrimaryIdentifier::new(parts)
        .and_then(|identifier| schema.identifier_model(&identifier))
        .ok_or_else(|| {
            anyhow!(
                "`{text}` is no primary identifier of `{}`: it must be `{}`, no part empty and \
                 each of its property's type, or a JSON object of these properties",
                schema.type_name(),
                identifier_form(schema),
            )
        })
}

/// Takes over from `named` what `model` leaves out, also within objects.
///
/// A model that names another resource is refused: nobody can say which is meant.
fn fill(model: &mut Map<String, Value>, named: Map<String, Value>) -> anyhow::Result<()> {
    for (name, value) in named {
        match (model.get_mut(&name), value) {
            (None, value) => {
                model.insert(name, value);
            }
            (Some(Value::Object(there)), Value::Object(inner)) => fill(there, inner)?,
            (Some(there), value) if *there == value => {}
            (Some(there), value) => bail!(
                "the model and `--identifier` name different resources: `{name}` is {there} in the model and {value} in `--identifier`; leave one of them out"
            ),
        }
    }
    Ok(())
}

/// Reads tags: `KEY=VALUE,...`, or the name of a file with a JSON object.
pub(super) fn tags(text: &str) -> anyhow::Result<Vec<Tag>> {
    if text.contains('=') {
        return text
            .split(',')
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                Some(_) | None => bail!("`{pair}` is no tag: it must be KEY=VALUE, KEY not empty; a value with a comma goes into a file"),
            })
            .collect();
    }
    if !Path::new(text).is_file() {
        bail!("`{text}` is neither KEY=VALUE nor a file that is there");
    }
    // The outermost printer would show the first line alone: an argument that
    // does not parse has no chain of causes.
    let object = object("tags", Path::new(text)).map_err(|error| anyhow!("{error:#}"))?;
    let tags: BTreeMap<String, String> = serde_json::from_str(object.as_str())
        .map_err(|error| anyhow!("the tags in `{text}` must be a JSON object of texts, such as {{\"team\":\"a\"}}: {error}"))?;
    Ok(tags.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(identifier: &str) -> TypeSchema {
        let text = format!(
            r#"{{"typeName":"Acme::Test::Thing","description":"A thing.",
                "additionalProperties":false,"primaryIdentifier":{identifier},
                "properties":{{"Name":{{"type":"string"}},"Size":{{"type":"integer"}},
                "In":{{"type":"object","properties":{{"Id":{{"type":"string"}}}}}}}}}}"#
        );
        TypeSchema::parse(&text).expect("a schema")
    }

    fn asked(model: Option<&str>, identifier: Option<&str>) -> Asked {
        Asked {
            model: model.map(|text| JsonObject::parse(text).expect("an object")),
            previous: None,
            identifier: identifier.map(str::to_owned),
        }
    }

    #[test]
    fn an_identifier_names_a_resource_and_fills_in_the_model() {
        let one = r#"["/properties/Name"]"#;
        let two = r#"["/properties/Size","/properties/In/Id"]"#;
        for (paths, action, model, identifier, state) in [
            (one, Action::Read, None, Some("a|b"), r#"{"Name":"a|b"}"#),
            (
                two,
                Action::Delete,
                None,
                Some("3|x"),
                r#"{"Size":3,"In":{"Id":"x"}}"#,
            ),
            (
                one,
                Action::Read,
                None,
                Some(r#" {"Name":"a"}"#),
                r#"{"Name":"a"}"#,
            ),
            (
                one,
                Action::Update,
                Some(r#"{"Size":1}"#),
                Some("a"),
                r#"{"Size":1,"Name":"a"}"#,
            ),
            (
                one,
                Action::Update,
                Some(r#"{"Name":"a"}"#),
                Some("a"),
                r#"{"Name":"a"}"#,
            ),
            (
                two,
                Action::Update,
                Some(r#"{"In":{"A":1}}"#),
                Some("3|x"),
                r#"{"In":{"A":1,"Id":"x"},"Size":3}"#,
            ),
            (one, Action::Create, Some("{}"), None, "{}"),
        ] {
            let found = asked(model, identifier)
                .state(&schema(paths), action)
                .expect(state);
            assert_eq!(found.as_str(), state);
        }
    }

    #[test]
    fn a_model_and_an_identifier_that_name_different_resources_are_refused() {
        let refusal = asked(Some(r#"{"Name":"b"}"#), Some("a"))
            .state(&schema(r#"["/properties/Name"]"#), Action::Delete)
            .expect_err("nobody can say which is meant");
        assert!(refusal.to_string().contains("different resources"));
    }

    #[test]
    fn what_names_no_resource_is_refused_with_the_rule() {
        let two = r#"["/properties/Size","/properties/In/Id"]"#;
        for (action, identifier, words) in [
            (Action::Read, Some("3"), "must be `Size|In/Id`"),
            (Action::Read, Some("3|x|y"), "must be `Size|In/Id`"),
            (Action::Read, Some("3|"), "no part empty"),
            (Action::Read, Some("three|x"), "each of its property's type"),
            (Action::Read, Some("{"), "--identifier"),
            (Action::Read, None, "give `--identifier Size|In/Id`"),
            (Action::Create, None, "CREATE needs the desired state"),
            (
                Action::Update,
                Some("3|x"),
                "UPDATE needs the desired state",
            ),
        ] {
            let refusal = asked(None, identifier)
                .state(&schema(two), action)
                .expect_err(words);
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
    }

    #[test]
    fn tags_are_pairs_or_a_file() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            tags("a=1,b=x=y,c=").expect("tags"),
            [pair("a", "1"), pair("b", "x=y"), pair("c", "")]
        );
        let base = tempfile::tempdir().expect("a directory");
        let file = |text: &str| {
            let path = base.path().join(format!("{}.json", text.len()));
            fs::write(&path, text).expect("a file");
            path.to_str().expect("UTF-8").to_owned()
        };
        assert_eq!(
            tags(&file("\u{feff}{\"a\":\"1,2\"}")).expect("tags"),
            [pair("a", "1,2")]
        );
        for (text, words) in [
            ("a=1,b".to_owned(), "`b` is no tag"),
            ("=1".to_owned(), "`=1` is no tag"),
            ("none.json".to_owned(), "neither KEY=VALUE nor a file"),
            (file(r#"{"a":1}"#), "a JSON object of texts"),
            (file("["), "line 1 column"),
        ] {
            let refusal = tags(&text).expect_err(words).to_string();
            assert!(refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn a_wrong_model_is_refused_with_its_place() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("model.json");
        for (text, words) in [
            ("", "it is empty"),
            ("[1]", "expected a JSON object at line 1"),
            ("{\n  \"a\": x\n}", "line 2 column"),
        ] {
            fs::write(&path, text).expect("a file");
            let refusal = format!("{:#}", object("model", &path).expect_err(words));
            assert!(
                refusal.contains("model.json") && refusal.contains(words),
                "{refusal}"
            );
        }
    }
}
