//! Which handler a function name means.

use formwork_host::model::TypeName;

/// The name that the tools give to the function of a resource type, and that
/// of its test entry point.
const ONE: [&str; 2] = ["TypeFunction", "TestEntrypoint"];

/// Finds the type that a function name means among those that are served.
///
/// A name is `TypeFunction` or `TestEntrypoint` where one type is served, or the
/// type's own name, or that with `-` in place of `::`, which Lambda's rules for
/// names allow. It may stand at the end of an ARN, as Lambda takes it too, and
/// be followed by a qualifier, which means nothing here.
pub(super) fn find<'a>(name: &str, served: &'a [TypeName]) -> Option<&'a TypeName> {
    let name = name.split_once("function:").map_or(name, |(_, name)| name);
    exactly(name, served).or_else(|| {
        let (name, _qualifier) = name.rsplit_once(':')?;
        exactly(name, served)
    })
}

fn exactly<'a>(name: &str, served: &'a [TypeName]) -> Option<&'a TypeName> {
    match served {
        [only] if ONE.contains(&name) => Some(only),
        _ => served
            .iter()
            .find(|served| served.as_str() == name || served.as_str().replace("::", "-") == name),
    }
}

/// Says which names are served.
pub(super) fn known(served: &[TypeName]) -> String {
    let mut names: Vec<&str> = served.iter().map(TypeName::as_str).collect();
    if served.len() == 1 {
        names.push(ONE[0]);
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_as_its_type_or_in_an_arn() {
        let served: Vec<TypeName> = ["Acme::Storage::Archive", "Acme::Storage::File"]
            .map(|name| name.parse().expect("a type name"))
            .into();
        let arn = "arn:aws:lambda:us-east-1:123456789012:function";
        for (name, one, two) in [
            ("TypeFunction", true, false),
            ("TestEntrypoint", true, false),
            ("TypeFunction:7", true, false),
            ("Acme::Storage::Archive", true, true),
            ("Acme-Storage-Archive", true, true),
            ("Acme::Storage::Archive:$LATEST", true, true),
            (&format!("{arn}:TypeFunction"), true, false),
            (&format!("{arn}:Acme-Storage-Archive:3"), true, true),
            (&format!("{arn}:Acme::Storage::Archive"), true, true),
            ("123456789012:function:Acme-Storage-Archive", true, true),
            ("Acme::Storage::Nothing", false, false),
            ("acme::storage::archive", false, false),
            ("typefunction", false, false),
            ("", false, false),
            (":", false, false),
            ("function:", false, false),
        ] {
            let archive = Some(&served[0]);
            assert_eq!(find(name, &served[..1]), archive.filter(|_| one), "{name}");
            assert_eq!(find(name, &served), archive.filter(|_| two), "{name}");
        }
    }
}
