//! Which version of a handler goes on with an operation when its type has been
//! loaded anew.

use crate::model::{PropertyPath, TypeSchema};

use super::HandlerVersion;

/// Which version goes on with an operation that began with an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUpgrade {
    /// The one with which it began.
    #[default]
    Pinned,
    /// The current one if it is compatible ([`HandlerVersion::can_go_on_from`])
    /// with the one with which it began, else that one.
    LatestCompatible,
    /// None: the operation fails at its next invocation.
    Fail,
}

/// Why a version cannot go on with what another one began.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the new version has {what} `{after}`, and the one before it `{before}`")]
pub struct Incompatible {
    what: &'static str,
    before: String,
    after: String,
}

impl HandlerVersion {
    /// Tells whether this version can go on with operations that another one
    /// began: if it is of the same type, names its resources by the same
    /// properties, and has the same create-only, read-only and write-only
    /// properties, in whichever order. Both speak a version of the contract that
    /// this host speaks, or they were not loaded.
    ///
    /// What it makes of the callback context of the other one is its own affair.
    ///
    /// # Errors
    ///
    /// The first that differs.
    pub fn can_go_on_from(&self, before: &Self) -> Result<(), Incompatible> {
        compatible(before.schema(), self.schema())
    }
}

/// Which properties a schema says something of.
type Said = (&'static str, fn(&TypeSchema) -> &[PropertyPath]);

fn compatible(before: &TypeSchema, after: &TypeSchema) -> Result<(), Incompatible> {
    let same = |what, before: String, after: String| {
        if before == after {
            return Ok(());
        }
        Err(Incompatible {
            what,
            before,
            after,
        })
    };
    same(
        "the type name",
        before.type_name().to_string(),
        after.type_name().to_string(),
    )?;
    // In this order they make the identifier.
    let named = |schema: &TypeSchema| list(schema.primary_identifier());
    same("the primary identifier", named(before), named(after))?;
    let sets: [Said; 3] = [
        ("the create-only properties", TypeSchema::create_only),
        ("the read-only properties", TypeSchema::read_only),
        ("the write-only properties", TypeSchema::write_only),
    ];
    for (what, of) in sets {
        let sorted = |schema| {
            let mut paths: Vec<String> = of(schema).iter().map(ToString::to_string).collect();
            paths.sort_unstable();
            paths.join(", ")
        };
        same(what, sorted(before), sorted(after))?;
    }
    Ok(())
}

fn list(paths: &[PropertyPath]) -> String {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(name: &str, rest: &str) -> TypeSchema {
        let text = format!(
            r#"{{"typeName":"Acme::Test::{name}","description":"d","additionalProperties":false,
                "properties":{{"A":{{"type":"string"}},"B":{{"type":"string"}},"C":{{"type":"string"}}}},
                {rest}}}"#
        );
        TypeSchema::parse(&text).expect("a schema")
    }

    #[test]
    fn a_version_goes_on_if_it_means_the_same_resource() {
        let before = schema(
            "Thing",
            r#""primaryIdentifier":["/properties/A","/properties/B"],
               "createOnlyProperties":["/properties/A","/properties/B"],
               "writeOnlyProperties":["/properties/C"]"#,
        );
        let same = schema(
            "Thing",
            r#""primaryIdentifier":["/properties/A","/properties/B"],
               "createOnlyProperties":["/properties/B","/properties/A"],
               "writeOnlyProperties":["/properties/C"]"#,
        );
        assert_eq!(compatible(&before, &same), Ok(()));
        for (name, rest, what) in [
            (
                "Other",
                r#""primaryIdentifier":["/properties/A","/properties/B"],
                   "createOnlyProperties":["/properties/A","/properties/B"],
                   "writeOnlyProperties":["/properties/C"]"#,
                "the type name",
            ),
            (
                "Thing",
                r#""primaryIdentifier":["/properties/B","/properties/A"],
                   "createOnlyProperties":["/properties/A","/properties/B"],
                   "writeOnlyProperties":["/properties/C"]"#,
                "the primary identifier",
            ),
            (
                "Thing",
                r#""primaryIdentifier":["/properties/A","/properties/B"],
                   "createOnlyProperties":["/properties/A"],
                   "writeOnlyProperties":["/properties/C"]"#,
                "the create-only properties",
            ),
            (
                "Thing",
                r#""primaryIdentifier":["/properties/A","/properties/B"],
                   "createOnlyProperties":["/properties/A","/properties/B"],
                   "readOnlyProperties":["/properties/C"]"#,
                "the read-only properties",
            ),
            (
                "Thing",
                r#""primaryIdentifier":["/properties/A","/properties/B"],
                   "createOnlyProperties":["/properties/A","/properties/B"]"#,
                "the write-only properties",
            ),
        ] {
            let differs = compatible(&before, &schema(name, rest)).expect_err(what);
            assert_eq!(differs.what, what);
        }
    }
}
