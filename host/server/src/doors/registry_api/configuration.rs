//! The configurations of types.
//!
//! *Invariant*: a configuration is in no error and no log: it holds secrets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use formwork_host::engine::Engine;
use formwork_host::model::{JsonObject, Timestamp, TypeName};
use formwork_host::registry::{HandlerVersion, TypeSettings};

use crate::access::Permission;

use super::super::query::{Caller, Form, Node, Refusal};
use super::super::{House, why};
use super::name::{Named, Names, type_of};
use super::{ALIAS, CONFIGURATION, Members, registry};

/// The name of a configuration that was given none.
const DEFAULT_ALIAS: &str = "default";

/// The configurations that were set while the server runs.
pub(crate) struct Configurations {
    opened: Timestamp,
    /// Held while a type is loaded again, lest it get the settings from before.
    loading: tokio::sync::Mutex<()>,
    set: Mutex<HashMap<TypeName, Configuration>>,
}

#[derive(Clone)]
struct Configuration {
    alias: String,
    object: JsonObject,
    at: Timestamp,
}

impl Configurations {
    /// Begins with none, for types that were loaded at `opened`.
    pub(crate) fn new(opened: Timestamp) -> Self {
        Self {
            opened,
            loading: tokio::sync::Mutex::default(),
            set: Mutex::default(),
        }
    }

    /// Gives the configuration that a type was given by a call, if it has it now.
    pub(crate) fn set(&self, engine: &Engine, type_name: &TypeName) -> Option<JsonObject> {
        let object = engine.settings(type_name)?.type_configuration.clone()?;
        self.of_call(type_name, &object).map(|set| set.object)
    }

    /// Gives the configuration that a type has now: as it was set, or as it was
    /// loaded with.
    fn of(&self, engine: &Engine, type_name: &TypeName) -> Option<Configuration> {
        let object = engine.settings(type_name)?.type_configuration.clone()?;
        let set = self.of_call(type_name, &object);
        Some(set.unwrap_or_else(|| Configuration {
            alias: DEFAULT_ALIAS.to_owned(),
            object,
            at: self.opened,
        }))
    }

    fn of_call(&self, type_name: &TypeName, object: &JsonObject) -> Option<Configuration> {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let set = set.get(type_name).filter(|set| set.object == *object);
        set.cloned()
    }

    /// Waits until no other part of this server loads a type again, and keeps
    /// the others from it.
    pub(crate) async fn loading(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.loading.lock().await
    }
}

/// Sets the configuration of a type. It is given to the next invocation.
pub(super) async fn set(
    caller: &Caller<'_>,
    names: &Names,
    mut form: Form,
) -> Result<Node, Refusal> {
    let Caller {
        house, identity, ..
    } = caller;
    let mut members = Members::default();
    let named = Named::take(&mut members, &mut form, "TypeArn");
    let text = members.required("configuration", form.take("Configuration"), &CONFIGURATION);
    let alias = members.optional(
        "configurationAlias",
        form.take("ConfigurationAlias"),
        &ALIAS,
    );
    members.end().map_err(Refusal::invalid)?;
    let version = named.find(house)?;
    let type_name = version.schema().type_name().clone();
    if !identity.may(Permission::Configure, &type_name) {
        let what = "SetTypeConfiguration";
        return Err(Refusal::not_permitted(identity, what, &type_name));
    }
    let object = JsonObject::parse(text.unwrap_or_default())
        .map_err(|error| registry(format!("The configuration is {}", why(&error))))?;
    let violations = version.schema().configuration_violations(&object.to_map());
    if !violations.is_empty() {
        let said: Vec<_> = violations.iter().map(ToString::to_string).collect();
        return Err(registry(format!(
            "The configuration does not fit the schema of {type_name}: {}",
            said.join("; ")
        )));
    }
    let alias = alias.unwrap_or_else(|| DEFAULT_ALIAS.to_owned());
    let arn = names.configuration_arn(&type_name, &alias);
    configure(house, &version, object, alias).await?;
    Ok(Node::Members(vec![("ConfigurationArn", Node::Text(arn))]))
}

async fn configure(
    house: &House,
    version: &Arc<HandlerVersion>,
    object: JsonObject,
    alias: String,
) -> Result<(), Refusal> {
    let configurations = &house.configurations;
    let _one_at_a_time = configurations.loading().await;
    let current = house.engine.settings(version.schema().type_name());
    let settings = TypeSettings {
        type_configuration: Some(object.clone()),
        ..current
            .map(|it| TypeSettings::clone(&it))
            .unwrap_or_default()
    };
    let digest = version.handler().digest();
    if let Err(error) = house.engine.load_kept(digest, settings).await {
        tracing::error!(error = why(&error), "a type could not be configured");
        return Err(Refusal::host());
    }
    let configuration = Configuration {
        alias,
        object,
        at: house.clock.now(),
    };
    configurations
        .set
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(version.schema().type_name().clone(), configuration);
    Ok(())
}

/// How many configurations are described in one answer: each can have 200 KiB.
const DESCRIBED: usize = 100;

/// Gives the configurations that the request names, each or why not. They may
/// hold secrets, so whoever may see one is whoever may set it.
pub(super) fn describe(
    caller: &Caller<'_>,
    names: &Names,
    mut form: Form,
) -> Result<Node, Refusal> {
    let Caller {
        house, identity, ..
    } = caller;
    let identifiers = form.take_members("TypeConfigurationIdentifiers");
    if identifiers.is_empty() {
        let mut members = Members::default();
        members.required("typeConfigurationIdentifiers", None, &CONFIGURATION);
        return members
            .end()
            .map_err(Refusal::invalid)
            .map(|()| Node::List(Vec::new()));
    }
    if identifiers.len() > DESCRIBED {
        return Err(Refusal::invalid(format!(
            "1 validation error detected: Value at 'typeConfigurationIdentifiers' failed to satisfy constraint: Member must have length less than or equal to {DESCRIBED}"
        )));
    }
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for mut identifier in identifiers {
        let echo = echo(&identifier);
        match find(house, &mut identifier)? {
            Ok((type_name, _)) if !identity.may(Permission::Configure, &type_name) => {
                let what = "BatchDescribeTypeConfigurations";
                return Err(Refusal::not_permitted(identity, what, &type_name));
            }
            Ok((type_name, configuration)) => {
                found.push(Node::Members(vec![
                    (
                        "Arn",
                        Node::Text(names.configuration_arn(&type_name, &configuration.alias)),
                    ),
                    ("Alias", Node::Text(configuration.alias)),
                    ("Configuration", Node::text(configuration.object.as_str())),
                    ("LastUpdated", Node::moment(configuration.at)),
                    ("TypeArn", Node::Text(names.type_arn(&type_name))),
                    ("TypeName", Node::text(type_name.as_str())),
                    ("IsDefaultConfiguration", Node::text("true")),
                ]));
            }
            Err((code, message)) => errors.push(Node::Members(vec![
                ("ErrorCode", Node::text(code)),
                ("ErrorMessage", Node::Text(message)),
                ("TypeConfigurationIdentifier", echo),
            ])),
        }
    }
    Ok(Node::Members(vec![
        ("Errors", Node::List(errors)),
        ("UnprocessedTypeConfigurations", Node::List(Vec::new())),
        ("TypeConfigurations", Node::List(found)),
    ]))
}

type Found = Result<(TypeName, Configuration), (&'static str, String)>;

fn find(house: &House, identifier: &mut Form) -> Result<Found, Refusal> {
    let mut members = Members::default();
    let by_arn = identifier.take("TypeConfigurationArn");
    let alias = members.optional(
        "typeConfigurationAlias",
        identifier.take("TypeConfigurationAlias"),
        &ALIAS,
    );
    let named = Named::take(&mut members, identifier, "TypeArn");
    members.end().map_err(Refusal::invalid)?;
    let (type_name, alias) = match &by_arn {
        Some(arn) => {
            let alias = arn.rsplit_once('/').map(|(_, alias)| alias.to_owned());
            (type_of(arn), alias)
        }
        None => {
            let version = named.find(house).ok();
            (version.map(|it| it.schema().type_name().clone()), alias)
        }
    };
    let loaded = type_name.filter(|name| house.engine.version(name).is_some());
    let Some(type_name) = loaded else {
        return Ok(Err((
            "TypeNotFoundException",
            "The type cannot be found.".to_owned(),
        )));
    };
    let configuration = house
        .configurations
        .of(&house.engine, &type_name)
        .filter(|it| alias.is_none_or(|alias| alias == it.alias));
    Ok(configuration
        .map(|configuration| (type_name.clone(), configuration))
        .ok_or_else(|| {
            (
                "TypeConfigurationNotFoundException",
                format!("The type {type_name} has no such configuration."),
            )
        }))
}

/// Gives an identifier back as it came.
fn echo(identifier: &Form) -> Node {
    let names = [
        "Type",
        "TypeArn",
        "TypeConfigurationAlias",
        "TypeConfigurationArn",
        "TypeName",
    ];
    let given = names
        .into_iter()
        .filter_map(|name| Some((name, Node::text(identifier.get(name)?))));
    Node::Members(given.collect())
}
