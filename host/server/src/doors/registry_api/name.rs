//! How the registry names types: by name, and by ARN.

use std::sync::Arc;

use formwork_host::model::{AccountId, Region, Scope, TypeName};
use formwork_host::registry::HandlerVersion;
use http::StatusCode;

use super::super::query::{Form, Refusal};
use super::super::{House, Settings, VERSION_ID};
use super::{ARN, Members, TYPE_NAME};

/// What the registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeKind {
    Resource,
    Module,
    Hook,
}

impl TypeKind {
    const ALL: [Self; 3] = [Self::Resource, Self::Module, Self::Hook];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "RESOURCE",
            Self::Module => "MODULE",
            Self::Hook => "HOOK",
        }
    }

    pub(super) fn take(members: &mut Members, form: &mut Form) -> Option<Self> {
        members.value("type", form.take("Type"), &Self::ALL, Self::as_str)
    }
}

/// The names that types have in an account and a region.
pub(super) struct Names {
    region: Region,
    account: AccountId,
}

impl Names {
    pub(super) fn of(scope: &Scope, settings: &Settings) -> Self {
        Self {
            region: scope.region.as_ref().unwrap_or(&settings.region).clone(),
            account: scope.account.as_ref().unwrap_or(&settings.account).clone(),
        }
    }

    fn arn(&self, what: &str, type_name: &TypeName) -> String {
        format!(
            "arn:{}:cloudformation:{}:{}:{what}/resource/{}",
            self.region.partition(),
            self.region,
            self.account,
            type_name.as_str().replace("::", "-")
        )
    }

    pub(super) fn type_arn(&self, type_name: &TypeName) -> String {
        self.arn("type", type_name)
    }

    pub(super) fn version_arn(&self, type_name: &TypeName) -> String {
        format!("{}/{VERSION_ID}", self.type_arn(type_name))
    }

    pub(super) fn configuration_arn(&self, type_name: &TypeName, alias: &str) -> String {
        format!("{}/{alias}", self.arn("type-configuration", type_name))
    }
}

/// How a request names a type.
pub(super) struct Named {
    type_name: Option<TypeName>,
    kind: Option<TypeKind>,
    /// As the caller has it.
    text: Option<String>,
}

impl Named {
    /// Takes the parameters that name a type; `arn` is the one for its ARN.
    pub(super) fn take(members: &mut Members, form: &mut Form, arn: &str) -> Self {
        let kind = TypeKind::take(members, form);
        let name = members.optional("typeName", form.take("TypeName"), &TYPE_NAME);
        let arn = members.optional("arn", form.take(arn), &ARN);
        let type_name = match (&name, &arn) {
            (Some(name), _) => name.parse().ok(),
            (None, Some(arn)) => type_of(arn),
            (None, None) => None,
        };
        Self {
            type_name,
            kind,
            text: name.or(arn),
        }
    }

    /// Finds the type.
    pub(super) fn find(&self, house: &House) -> Result<Arc<HandlerVersion>, Refusal> {
        if self.text.is_none() {
            return Err(Refusal::invalid(
                "A type is named by `Arn`, or by `TypeName` and `Type`",
            ));
        }
        let is_resource = self.kind.is_none_or(|kind| kind == TypeKind::Resource);
        self.type_name
            .as_ref()
            .filter(|_| is_resource)
            .and_then(|type_name| house.engine.version(type_name))
            .ok_or_else(|| self.unknown())
    }

    /// Says that there is no such type, in AWS's words.
    pub(super) fn unknown(&self) -> Refusal {
        let text = self.text.as_deref().unwrap_or_default();
        Refusal::new(
            StatusCode::NOT_FOUND,
            "TypeNotFoundException",
            format!("The type '{text}' cannot be found."),
        )
    }
}

/// Gives the type of the ARN of a type, of its version or of its configuration.
pub(super) fn type_of(arn: &str) -> Option<TypeName> {
    let mut parts = arn.splitn(6, ':');
    let [
        Some("arn"),
        Some(_),
        Some("cloudformation"),
        Some(_),
        Some(_),
        Some(name),
    ] = std::array::from_fn(|_| parts.next())
    else {
        return None;
    };
    let (what, name) = name.split_once("/resource/")?;
    let (name, _) = name.split_once('/').unwrap_or((name, ""));
    ["type", "type-configuration"]
        .contains(&what)
        .then(|| name.replace('-', "::").parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arns_of_a_type_name_it() {
        let names = Names::of(&Scope::default(), &Settings::default());
        let type_name: TypeName = "Acme::Storage::Archive".parse().expect("a name");
        let arns = [
            names.type_arn(&type_name),
            names.version_arn(&type_name),
            names.configuration_arn(&type_name, "default"),
        ];
        for arn in arns {
            assert_eq!(type_of(&arn).as_ref(), Some(&type_name), "{arn}");
        }
        for other in [
            "",
            "arn:aws:s3:::bucket",
            "arn:aws:cloudformation:us-east-1:000000000000:type/hook/Acme-Storage-Archive",
            "arn:aws:cloudformation:us-east-1:000000000000:stack/resource/Acme-Storage-Archive",
        ] {
            assert_eq!(type_of(other), None, "{other}");
        }
    }
}
