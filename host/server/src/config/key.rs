//! Tables `[[key]]`: who may call, and what each may do.

use std::path::Path;

use formwork_host::model::AccountId;
use glob::Pattern;
use toml_span::value::ValueInner;

use super::Outside;
use super::table::{Section, closest};
use super::value;
use crate::access::{Key, Permission, Rule};
use crate::environment::Secret;

/// The keys that say where a secret is, of one secret.
pub(super) struct Names {
    pub(super) here: &'static str,
    pub(super) file: &'static str,
    pub(super) environment: &'static str,
}

const SECRET: Names = Names {
    here: "secret",
    file: "secret_file",
    environment: "secret_environment",
};

const SESSION_TOKEN: Names = Names {
    here: "session_token",
    file: "session_token_file",
    environment: "session_token_environment",
};

/// Reads a key, which belongs to `account` if it says nothing else.
pub(super) fn key(
    section: &mut Section<'_, '_>,
    folder: &Path,
    outside: &Outside<'_>,
    account: &AccountId,
) -> Option<Key> {
    let id = section.required("id", id);
    let (secret, given) = secret(section, &SECRET, folder, outside);
    if given == 0 {
        section
            .wrong("a key needs its secret: give `secret_file`, `secret_environment` or `secret`");
    }
    let (session_token, _) = self::secret(section, &SESSION_TOKEN, folder, outside);
    let own = section.take("account", value::parsed);
    let allow = if section.has("allow") {
        section.tables("allow", |section| Some(rule(section)))
    } else {
        vec![Rule::usual()]
    };
    Some(Key {
        id: id?,
        secret: secret?,
        session_token,
        account: own.unwrap_or_else(|| account.clone()),
        allow,
    })
}

/// Reads an access key id, by the rule of IAM.
fn id(value: ValueInner<'_>) -> Result<String, String> {
    let id = value::text(value)?;
    let fits = (16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits {
        Ok(id)
    } else {
        Err("it must have 16 to 128 letters and digits, such as AKIAIOSFODNN7EXAMPLE".to_owned())
    }
}

/// Reads a secret, and gives how many settings say it.
pub(super) fn secret(
    section: &mut Section<'_, '_>,
    names: &Names,
    folder: &Path,
    outside: &Outside<'_>,
) -> (Option<Secret>, usize) {
    let given = [names.here, names.file, names.environment]
        .into_iter()
        .filter(|name| section.has(name))
        .count();
    let here = section.take_secret(names.here, |it| value::text(it).map(Secret));
    let file = section.take(names.file, |it| {
        let path = folder.join(value::text(it)?);
        let text = outside.read(&path)?;
        match text.trim() {
            "" => Err(format!("the file `{}` is empty", path.display())),
            secret => Ok(Secret(secret.to_owned())),
        }
    });
    let environment = section.take(names.environment, |it| {
        let name = value::text(it)?;
        (outside.variable)(&name)
            .ok_or_else(|| format!("the environment variable `{name}` is not set"))
    });
    if given > 1 {
        section.wrong(format_args!(
            "`{}`, `{}` and `{}` say the same: give one of them",
            names.here, names.file, names.environment
        ));
    }
    (here.or(file).or(environment), given)
}

fn rule(section: &mut Section<'_, '_>) -> Rule {
    let mut rule = Rule::usual();
    if let Some(types) = section.take("types", value::list::<Pattern>) {
        rule.types = types;
    }
    if let Some(actions) = section.take("actions", permissions) {
        rule.permissions = actions;
    }
    rule
}

fn permissions(value: ValueInner<'_>) -> Result<Vec<Permission>, String> {
    let names: Vec<String> = value::list(value)?;
    let known = Permission::ALL.map(|(name, _)| name);
    names
        .iter()
        .map(|name| {
            Permission::ALL
                .into_iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, permission)| permission)
                .ok_or_else(|| match closest(name, &known) {
                    Some(meant) => format!("there is no `{name}`; did you mean `{meant}`?"),
                    None => format!("there is no `{name}`; there are {}", known.join(", ")),
                })
        })
        .collect()
}
