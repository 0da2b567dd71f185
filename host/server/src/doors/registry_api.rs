//! The calls of CloudFormation's registry that clients need: Terraform reads the
//! schema of a type, consoles list types, and operators register and configure
//! them.
//!
//! There is one version of each type, private to the account, and one
//! configuration. What is registered or configured by a call holds until the
//! server ends.

mod configuration;
mod name;
mod registration;

use formwork_host::model::{Action, TypeSchema};
use formwork_host::registry::HandlerVersion;
use http::StatusCode;

use super::constraint::{
    ALIAS, ARN, CLIENT_REQUEST_TOKEN, CONFIGURATION, Members, PACKAGE, REGISTRATION_TOKEN,
    REGISTRY_NEXT_TOKEN, TYPE_NAME, TYPE_NAME_PREFIX, TYPE_VERSION_ID,
};
use super::query::{Caller, Form, Node, Refusal};
use super::{House, VERSION_ID};
use name::{Named, Names, TypeKind};

pub(crate) use configuration::Configurations;
pub(crate) use registration::Registrations;

/// A call of the registry that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    BatchDescribeTypeConfigurations,
    DescribeType,
    DescribeTypeRegistration,
    ListTypeVersions,
    ListTypes,
    RegisterType,
    SetTypeConfiguration,
}

impl Call {
    const ALL: [Self; 7] = [
        Self::BatchDescribeTypeConfigurations,
        Self::DescribeType,
        Self::DescribeTypeRegistration,
        Self::ListTypeVersions,
        Self::ListTypes,
        Self::RegisterType,
        Self::SetTypeConfiguration,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BatchDescribeTypeConfigurations => "BatchDescribeTypeConfigurations",
            Self::DescribeType => "DescribeType",
            Self::DescribeTypeRegistration => "DescribeTypeRegistration",
            Self::ListTypeVersions => "ListTypeVersions",
            Self::ListTypes => "ListTypes",
            Self::RegisterType => "RegisterType",
            Self::SetTypeConfiguration => "SetTypeConfiguration",
        }
    }

    pub(super) fn named(action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.name() == action)
    }
}

/// Answers a call.
pub(super) async fn answer(caller: &Caller<'_>, call: Call, form: Form) -> Result<Node, Refusal> {
    let Caller { house, scope, .. } = caller;
    let names = Names::of(scope, &house.settings);
    match call {
        Call::BatchDescribeTypeConfigurations => configuration::describe(caller, &names, form),
        Call::DescribeType => describe(house, &names, form),
        Call::DescribeTypeRegistration => registration::describe(caller, &names, form),
        Call::ListTypeVersions => list_versions(house, &names, form),
        Call::ListTypes => list(house, &names, form),
        Call::RegisterType => registration::register(caller, form).await,
        Call::SetTypeConfiguration => configuration::set(caller, &names, form).await,
    }
}

/// Whether resources of a type can be made and changed, from its handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provisioning {
    NonProvisionable,
    Immutable,
    FullyMutable,
}

impl Provisioning {
    const ALL: [Self; 3] = [Self::NonProvisionable, Self::Immutable, Self::FullyMutable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::NonProvisionable => "NON_PROVISIONABLE",
            Self::Immutable => "IMMUTABLE",
            Self::FullyMutable => "FULLY_MUTABLE",
        }
    }

    fn of(schema: &TypeSchema) -> Self {
        let made = [Action::Create, Action::Read, Action::Delete];
        if !made.into_iter().all(|action| schema.handles(action)) {
            Self::NonProvisionable
        } else if schema.handles(Action::Update) {
            Self::FullyMutable
        } else {
            Self::Immutable
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deprecated {
    Live,
    Deprecated,
}

impl Deprecated {
    const ALL: [Self; 2] = [Self::Live, Self::Deprecated];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Public,
    Private,
}

impl Visibility {
    const ALL: [Self; 2] = [Self::Public, Self::Private];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Private => "PRIVATE",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Registered,
    Activated,
    ThirdParty,
    AwsTypes,
}

impl Category {
    const ALL: [Self; 4] = [
        Self::Registered,
        Self::Activated,
        Self::ThirdParty,
        Self::AwsTypes,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "REGISTERED",
            Self::Activated => "ACTIVATED",
            Self::ThirdParty => "THIRD_PARTY",
            Self::AwsTypes => "AWS_TYPES",
        }
    }
}

fn describe(house: &House, names: &Names, mut form: Form) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let named = Named::take(&mut members, &mut form, "Arn");
    let version_id = members.optional("versionId", form.take("VersionId"), &TYPE_VERSION_ID);
    members.end().map_err(Refusal::invalid)?;
    let version = named.find(house)?;
    if version_id.is_some_and(|id| id != VERSION_ID) {
        return Err(named.unknown());
    }
    let schema = version.schema();
    let document = schema.document();
    let text = |name: &str| Some(document.get(name)?.as_str()?.to_owned());
    let configuration = schema.type_configuration().map(ToString::to_string);
    let at = house.registrations.at(schema.type_name());
    let fields = [
        ("Arn", Some(names.type_arn(schema.type_name()))),
        ("Type", Some("RESOURCE".to_owned())),
        ("TypeName", Some(schema.type_name().to_string())),
        ("DefaultVersionId", Some(VERSION_ID.to_owned())),
        ("IsDefaultVersion", Some("true".to_owned())),
        ("TypeTestsStatus", Some("NOT_TESTED".to_owned())),
        ("Description", text("description")),
        ("Schema", Some(schema.text().to_owned())),
        (
            "ProvisioningType",
            Some(Provisioning::of(schema).as_str().to_owned()),
        ),
        (
            "DeprecatedStatus",
            Some(Deprecated::Live.as_str().to_owned()),
        ),
        ("Visibility", Some(Visibility::Private.as_str().to_owned())),
        ("SourceUrl", text("sourceUrl")),
        ("DocumentationUrl", text("documentationUrl")),
        ("ConfigurationSchema", configuration),
    ];
    let mut fields: Vec<_> = fields
        .into_iter()
        .filter_map(|(name, text)| Some((name, Node::Text(text?))))
        .collect();
    fields.push(("RequiredActivatedTypes", Node::List(Vec::new())));
    fields.push(("TimeCreated", Node::moment(at)));
    fields.push(("LastUpdated", Node::moment(at)));
    Ok(Node::Members(fields))
}

fn list(house: &House, names: &Names, mut form: Form) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let visibility = members.value(
        "visibility",
        form.take("Visibility"),
        &Visibility::ALL,
        Visibility::as_str,
    );
    let provisioning = members.value(
        "provisioningType",
        form.take("ProvisioningType"),
        &Provisioning::ALL,
        Provisioning::as_str,
    );
    let deprecated = deprecated(&mut members, &mut form);
    let kind = TypeKind::take(&mut members, &mut form);
    let category = members.value(
        "filters.category",
        form.take("Filters.Category"),
        &Category::ALL,
        Category::as_str,
    );
    let publisher = form.take("Filters.PublisherId");
    let prefix = members.optional(
        "filters.typeNamePrefix",
        form.take("Filters.TypeNamePrefix"),
        &TYPE_NAME_PREFIX,
    );
    let paging = Paging::take(&mut members, &mut form)?;
    members.end().map_err(Refusal::invalid)?;
    // All types here are private, live resources that nobody has published.
    let any = visibility != Some(Visibility::Public)
        && deprecated != Some(Deprecated::Deprecated)
        && kind.is_none_or(|kind| kind == TypeKind::Resource)
        && category.is_none_or(|category| category == Category::Registered)
        && publisher.is_none();
    let mut types: Vec<_> = house
        .engine
        .types()
        .iter()
        .filter(|_| any)
        .filter(|name| {
            let prefix = prefix.as_deref().unwrap_or_default();
            name.as_str().starts_with(prefix)
        })
        .filter_map(|name| house.engine.version(name))
        .filter(|version| {
            let own = Provisioning::of(version.schema());
            provisioning.is_none_or(|wanted| wanted == own)
        })
        .collect();
    types.sort_by(|a, b| a.schema().type_name().cmp(b.schema().type_name()));
    let (types, next_token) =
        paging.page(types, |version| version.schema().type_name().to_string());
    let summaries = types.iter().map(|version| summary(house, names, version));
    let mut fields = vec![("TypeSummaries", Node::List(summaries.collect()))];
    fields.extend(next_token.map(|token| ("NextToken", Node::Text(token))));
    Ok(Node::Members(fields))
}

fn summary(house: &House, names: &Names, version: &HandlerVersion) -> Node {
    let schema = version.schema();
    let mut fields = vec![
        ("Type", Node::text("RESOURCE")),
        ("TypeName", Node::text(schema.type_name().as_str())),
        ("DefaultVersionId", Node::text(VERSION_ID)),
        ("TypeArn", Node::Text(names.type_arn(schema.type_name()))),
        (
            "LastUpdated",
            Node::moment(house.registrations.at(schema.type_name())),
        ),
    ];
    fields.extend(description(schema));
    Node::Members(fields)
}

fn description(schema: &TypeSchema) -> Option<(&'static str, Node)> {
    let text = schema.document().get("description")?.as_str()?;
    Some(("Description", Node::text(text)))
}

fn list_versions(house: &House, names: &Names, mut form: Form) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let named = Named::take(&mut members, &mut form, "Arn");
    let deprecated = deprecated(&mut members, &mut form);
    let paging = Paging::take(&mut members, &mut form)?;
    members.end().map_err(Refusal::invalid)?;
    let version = named.find(house)?;
    let schema = version.schema();
    let type_name = schema.type_name();
    let mut fields = vec![
        ("Type", Node::text("RESOURCE")),
        ("TypeName", Node::text(type_name.as_str())),
        ("VersionId", Node::text(VERSION_ID)),
        ("IsDefaultVersion", Node::text("true")),
        ("Arn", Node::Text(names.version_arn(type_name))),
        (
            "TimeCreated",
            Node::moment(house.registrations.at(type_name)),
        ),
    ];
    fields.extend(description(schema));
    let live = deprecated != Some(Deprecated::Deprecated);
    let all = live.then_some(fields).into_iter().collect();
    let (versions, _) = paging.page(all, |_| VERSION_ID.to_owned());
    let versions = versions.into_iter().map(Node::Members).collect();
    Ok(Node::Members(vec![(
        "TypeVersionSummaries",
        Node::List(versions),
    )]))
}

fn deprecated(members: &mut Members, form: &mut Form) -> Option<Deprecated> {
    members.value(
        "deprecatedStatus",
        form.take("DeprecatedStatus"),
        &Deprecated::ALL,
        Deprecated::as_str,
    )
}

/// Which page is wanted. A token is the key of the last entry of the page before.
struct Paging {
    most: usize,
    after: Option<String>,
}

impl Paging {
    fn take(members: &mut Members, form: &mut Form) -> Result<Self, Refusal> {
        let most = form.take("MaxResults").map(|text| text.parse::<i64>());
        let most = most.transpose().map_err(|_| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "MalformedInput",
                "`MaxResults` must be a whole number",
            )
        })?;
        let most = members.number("maxResults", most, 1, 100).unwrap_or(100);
        Ok(Self {
            most: most as usize,
            after: members.optional("nextToken", form.take("NextToken"), &REGISTRY_NEXT_TOKEN),
        })
    }

    /// Gives the page out of all entries, which are in the order of their keys,
    /// and the token of the next one.
    fn page<T>(&self, all: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let after = |entry: &T| self.after.as_ref().is_none_or(|after| key(entry) > *after);
        let mut page: Vec<T> = all.into_iter().filter(after).collect();
        let more = page.len() > self.most;
        page.truncate(self.most);
        let next = page.last().filter(|_| more).map(key);
        (page, next)
    }
}

fn registry(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "CFNRegistryException", message)
}
