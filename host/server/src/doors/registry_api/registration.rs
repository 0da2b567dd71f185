//! `RegisterType`: a component of a folder becomes the handler of its type while
//! the server runs.
//!
//! A component is named by `SchemaHandlerPackage`, as its path or as a `file://`
//! URL, and has to be in a folder that the configuration names; a path that is
//! not absolute is one below any of them. It is loaded before the call is
//! answered, so that a registration is complete as soon as there is one.
//!
//! *Invariant*: a component that is registered reaches nothing: it has no grants,
//! and has the configuration of the type that it replaces only if the caller may
//! set that. Limits and policy are those of the type that it replaces.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use formwork_host::engine::LoadTypeError;
use formwork_host::model::{Timestamp, TypeName};
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::Grants;
use url::Url;
use uuid::Uuid;

use crate::access::Permission;

use super::super::query::{Caller, Form, Node, Refusal};
use super::super::why;
use super::name::{Names, TypeKind};
use super::{CLIENT_REQUEST_TOKEN, Members, PACKAGE, REGISTRATION_TOKEN, TYPE_NAME, registry};

/// How many registrations are remembered.
const REMEMBERED: usize = 1_000;

/// The largest component that is read, in bytes: the largest that is compiled.
const COMPONENT: u64 = 128 << 20;

/// The registrations of a server, which hold until it ends.
pub(crate) struct Registrations {
    opened: Timestamp,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Where components may be.
    folders: Vec<PathBuf>,
    done: VecDeque<Registration>,
    /// The types whose handler was registered last, and not loaded by the server.
    types: BTreeSet<TypeName>,
}

#[derive(Clone)]
struct Registration {
    token: Uuid,
    client_token: Option<String>,
    type_name: TypeName,
    package: String,
    at: Timestamp,
}

impl Registrations {
    /// Begins with none, on a server that was opened then.
    pub(crate) fn new(opened: Timestamp, folders: Vec<PathBuf>) -> Self {
        let registrations = Self {
            opened,
            inner: Mutex::default(),
        };
        registrations.allow(folders);
        registrations
    }

    /// Takes components out of these folders from now on, and no others.
    pub(crate) fn allow(&self, folders: Vec<PathBuf>) {
        self.inner().folders = folders;
    }

    /// Tells whether the handler of a type is one that was registered.
    pub(crate) fn has(&self, type_name: &TypeName) -> bool {
        self.inner().types.contains(type_name)
    }

    /// Gives the moment when a type was registered, or the server opened.
    pub(super) fn at(&self, type_name: &TypeName) -> Timestamp {
        let inner = self.inner();
        let mut latest = inner.done.iter().rev();
        latest
            .find(|it| it.type_name == *type_name)
            .map_or(self.opened, |it| it.at)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, token: Uuid) -> Option<Registration> {
        let inner = self.inner();
        inner.done.iter().find(|it| it.token == token).cloned()
    }

    fn by_client_token(&self, client_token: &str) -> Option<Registration> {
        let inner = self.inner();
        let is_it = |it: &&Registration| it.client_token.as_deref() == Some(client_token);
        inner.done.iter().find(is_it).cloned()
    }

    fn add(&self, registration: Registration) {
        let mut inner = self.inner();
        inner.types.insert(registration.type_name.clone());
        inner.done.push_back(registration);
        if inner.done.len() > REMEMBERED {
            inner.done.pop_front();
        }
    }
}

/// Loads a component as the handler of a type.
pub(super) async fn register(caller: &Caller<'_>, mut form: Form) -> Result<Node, Refusal> {
    let Caller {
        house, identity, ..
    } = caller;
    let mut members = Members::default();
    let kind = TypeKind::take(&mut members, &mut form);
    let type_name = members.required("typeName", form.take("TypeName"), &TYPE_NAME);
    let package = members.required(
        "schemaHandlerPackage",
        form.take("SchemaHandlerPackage"),
        &PACKAGE,
    );
    let client_token = members.optional(
        "clientRequestToken",
        form.take("ClientRequestToken"),
        &CLIENT_REQUEST_TOKEN,
    );
    members.end().map_err(Refusal::invalid)?;
    let type_name = type_name.and_then(|name| name.parse::<TypeName>().ok());
    let (Some(type_name), Some(package)) = (type_name, package) else {
        unreachable!("what is required is there, or named as missing");
    };
    if !identity.may(Permission::Register, &type_name) {
        return Err(Refusal::not_permitted(identity, "RegisterType", &type_name));
    }
    if kind.is_some_and(|kind| kind != TypeKind::Resource) {
        return Err(registry("Only types of kind RESOURCE can be registered"));
    }
    let _one_at_a_time = house.configurations.loading().await;
    let before = client_token
        .as_deref()
        .and_then(|token| house.registrations.by_client_token(token));
    if let Some(before) = before {
        if before.type_name == type_name && before.package == package {
            return Ok(token_node(before.token));
        }
        return Err(registry(
            "The ClientRequestToken is that of another registration",
        ));
    }
    let folders = house.registrations.inner().folders.clone();
    let named = package.clone();
    let component = tokio::task::spawn_blocking(move || read(&named, &folders))
        .await
        .map_err(|_| Refusal::host())?
        .map_err(|error| registry(why(&error)))?;
    let settings = settings(caller, &type_name)?;
    let loaded = house.engine.load_as(&type_name, component, settings).await;
    let version = loaded.map_err(|error| match error {
        LoadTypeError::Store(_) => {
            tracing::error!(error = why(&error), "a component could not be kept");
            Refusal::host()
        }
        error => registry(format!("`{package}` cannot be loaded: {}", why(&error))),
    })?;
    tracing::info!(
        %type_name,
        component = %version.handler().digest(),
        key_id = identity.key_id(),
        "a handler was registered"
    );
    let registration = Registration {
        token: Uuid::new_v4(),
        client_token,
        type_name,
        package,
        at: house.clock.now(),
    };
    let answer = token_node(registration.token);
    house.registrations.add(registration);
    Ok(answer)
}

/// Tells of a registration.
pub(super) fn describe(
    caller: &Caller<'_>,
    names: &Names,
    mut form: Form,
) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let token = members.required(
        "registrationToken",
        form.take("RegistrationToken"),
        &REGISTRATION_TOKEN,
    );
    members.end().map_err(Refusal::invalid)?;
    let registration = token
        .and_then(|token| token.parse().ok())
        .and_then(|token| caller.house.registrations.find(token))
        .ok_or_else(|| registry("The registration token is not one of this server"))?;
    let type_name = &registration.type_name;
    Ok(Node::Members(vec![
        ("ProgressStatus", Node::text("COMPLETE")),
        (
            "Description",
            Node::text(format!(
                "{type_name} is served by `{}`",
                registration.package
            )),
        ),
        ("TypeArn", Node::Text(names.type_arn(type_name))),
        ("TypeVersionArn", Node::Text(names.version_arn(type_name))),
    ]))
}

fn token_node(token: Uuid) -> Node {
    Node::Members(vec![("RegistrationToken", Node::text(token.to_string()))])
}

/// Gives what is decided about a type that is registered.
///
/// Without its grants, a handler finds none of the resources that it made, and
/// whoever manages them takes them for gone: so those of a type with grants stay
/// with the handler that its operator named.
fn settings(caller: &Caller<'_>, type_name: &TypeName) -> Result<TypeSettings, Refusal> {
    let before = caller.house.engine.settings(type_name);
    let mut settings = before.map_or_else(TypeSettings::default, |it| (*it).clone());
    if *settings.grants != Grants::default() {
        return Err(registry(format!(
            "{type_name} has grants, which no handler gets that is registered: change its component where the configuration names it"
        )));
    }
    if !caller.identity.may(Permission::Configure, type_name) {
        settings.type_configuration = None;
    }
    Ok(settings)
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
enum PackageError {
    #[error(
        "No component can be registered: the configuration names no folder for them; name one in `folders` of `[register]`"
    )]
    NoFolders,
    #[error(
        "`{package}` is no component of this server: give the path or the `file://` URL of a file in a folder that the configuration names for components"
    )]
    Elsewhere { package: String },
    #[error("`{package}` has more than {COMPONENT} bytes")]
    TooLarge { package: String },
    #[error("`{package}` cannot be read")]
    Unreadable { package: String, source: io::Error },
}

/// Reads a component that is in one of the folders. Whether a file outside of
/// them exists is not told.
fn read(package: &str, folders: &[PathBuf]) -> Result<Arc<[u8]>, PackageError> {
    if folders.is_empty() {
        return Err(PackageError::NoFolders);
    }
    let elsewhere = || PackageError::Elsewhere {
        package: package.to_owned(),
    };
    let named = match Url::parse(package) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().map_err(|()| elsewhere())?,
        Ok(_) => return Err(elsewhere()),
        Err(_) => PathBuf::from(package),
    };
    let path = folders
        .iter()
        .find_map(|folder| within(folder, &named))
        .ok_or_else(elsewhere)?;
    let unreadable = |source| PackageError::Unreadable {
        package: package.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(COMPONENT + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > COMPONENT {
        return Err(PackageError::TooLarge {
            package: package.to_owned(),
        });
    }
    Ok(bytes.into())
}

/// Gives the path of a file if it is in a folder, whatever links lead to it.
fn within(folder: &Path, named: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(named).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_read_only_out_of_the_folders() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |name: &str| place.path().join(name);
        for folder in ["handlers/deep", "handlers-of-others"] {
            fs::create_dir_all(at(folder)).expect("a directory");
        }
        for file in [
            "handlers/a.wasm",
            "handlers/deep/b.wasm",
            "handlers-of-others/c.wasm",
        ] {
            fs::write(at(file), file).expect("a file");
        }
        std::os::unix::fs::symlink(at("handlers-of-others/c.wasm"), at("handlers/link.wasm"))
            .expect("a link");
        let folders = [at("missing"), at("handlers")];
        let text = |name: &str| at(name).display().to_string();
        for (package, found) in [
            ("a.wasm", true),
            ("./deep/../a.wasm", true),
            ("deep/b.wasm", true),
            (&text("handlers/a.wasm"), true),
            (&format!("file://{}", text("handlers/a.wasm")), true),
            (&format!("file://{}", text("handlers/%61.wasm")), true),
            ("", false),
            ("deep", false),
            ("missing.wasm", false),
            ("link.wasm", false),
            ("../handlers-of-others/c.wasm", false),
            (&text("handlers-of-others/c.wasm"), false),
            (&format!("file://host{}", text("handlers/a.wasm")), false),
            ("s3://handlers/a.wasm", false),
            ("https://handlers/a.wasm", false),
            ("/etc/passwd", false),
            ("a.wasm\0", false),
        ] {
            let read = read(package, &folders);
            assert_eq!(read.is_ok(), found, "{package}: {read:?}");
        }
        assert!(matches!(read("a.wasm", &[]), Err(PackageError::NoFolders)));
    }
}
