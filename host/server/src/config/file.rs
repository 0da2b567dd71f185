//! `formwork.toml`: which settings there are.
//!
//! Each default stands where the setting is decided; what is not written here is
//! left as it is there. Paths are relative to the folder of the file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formwork_host::engine::Retention;
use formwork_host::model::JsonObject;
use formwork_host::operation::Policy;
use formwork_host::registry::{OnUpgrade, TypeSettings};
use formwork_host::sandbox::LimitSet;
use toml_span::value::ValueInner;

use super::database;
use super::key;
use super::table::Section;
use super::value::{self, Inline};
use super::{
    Config, Log, LogFormat, MOST_INVOCATIONS, Outside, Register, Report, ServedType, Telemetry,
    TlsFiles,
};
use crate::data::Data;
use crate::grants::Grant;

/// The longest that a setting may say: a year.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads the settings of a file in `folder`.
pub(super) fn read(
    root: &mut Section<'_, '_>,
    folder: &Path,
    outside: &Outside<'_>,
) -> Option<Config> {
    let mut config = Config::default();
    set(&mut config.listen, root.take("listen", value::addresses));
    let mut taken = HashSet::new();
    let mut fixed = config.listen.iter().filter(|address| address.port() != 0);
    if let Some(twice) = fixed.find(|address| !taken.insert(**address)) {
        root.wrong(format_args!("`listen` names {twice} twice"));
    }
    let data: Option<Data> = root.take("data", value::parsed);
    config.data = data.map(|data| data.below(folder));
    database::database(root, folder, outside, &mut config.data);
    config.concurrency = root.take("concurrency", value::number(1..=MOST_INVOCATIONS));
    // Longer, and what a lost host was doing is forgotten before it goes on.
    config.lease = root.take(
        "lease",
        value::time(Duration::from_secs(1)..=Duration::from_secs(60 * 60)),
    );
    config.retention = root.table("retention", retention).unwrap_or_default();
    set(&mut config.account, root.take("account", value::parsed));
    set(&mut config.region, root.take("region", value::parsed));
    config.report = root.table("report", report).unwrap_or_default();
    set(
        &mut config.behind_proxy,
        root.take("behind_proxy", value::flag),
    );
    config.tls = root.table("tls", |section| tls(section, folder)).flatten();
    config.keys = root.tables("key", |section| {
        key::key(section, folder, outside, &config.account)
    });
    let mut ids = HashSet::new();
    if let Some(twice) = config.keys.iter().find(|key| !ids.insert(&key.id)) {
        root.wrong(format_args!("two keys have the id `{}`", twice.id));
    }
    config.telemetry = root.table("telemetry", telemetry).unwrap_or_default();
    config.log = root.table("log", log).unwrap_or_default();
    config.register = root
        .table("register", |section| register(section, folder))
        .unwrap_or_default();
    config.limits.load = root.table("load", limits).unwrap_or_default();
    config.limits.http = root.table("http", limits).unwrap_or_default();
    config.types = root.tables("type", |section| served_type(section, folder, outside));
    if config.types.is_empty() && config.register.folders.is_empty() {
        root.wrong(
            "no handler is named: add a table `[[type]]` with `component = \"handler.wasm\"`",
        );
    }
    Some(config)
}

fn tls(section: &mut Section<'_, '_>, folder: &Path) -> Option<TlsFiles> {
    let certificate = section.required("certificate", value::text);
    let key = section.required("key", value::text);
    Some(TlsFiles {
        certificate: folder.join(certificate?),
        key: folder.join(key?),
    })
}

fn retention(section: &mut Section<'_, '_>) -> Retention {
    let mut retention = Retention::default();
    // A minute is how often is looked for what is to be forgotten.
    let times = || value::time(Duration::from_secs(60)..=YEAR);
    set(
        &mut retention.operations,
        section.take("operations", times()),
    );
    set(
        &mut retention.client_tokens,
        section.take("client_tokens", times()),
    );
    retention
}

fn report(section: &mut Section<'_, '_>) -> Report {
    Report {
        endpoint: section.take("endpoint", value::text),
        region: section.take("region", value::parsed),
    }
}

fn telemetry(section: &mut Section<'_, '_>) -> Telemetry {
    let mut telemetry = Telemetry {
        listen: section.take("listen", |value| value::address(&value::text(value)?)),
        endpoint: section.take("endpoint", value::http_url),
        ..Telemetry::default()
    };
    set(
        &mut telemetry.sample,
        section.take("sample", value::part_of_one),
    );
    telemetry
}

fn log(section: &mut Section<'_, '_>) -> Log {
    Log {
        format: section.take("format", |value| match value::text(value)?.as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("it must be \"text\" or \"json\"".to_owned()),
        }),
        filter: section.take("filter", value::log_filter),
    }
}

fn register(section: &mut Section<'_, '_>, folder: &Path) -> Register {
    let folders: Vec<PathBuf> = section.take("folders", value::list).unwrap_or_default();
    Register {
        folders: folders.iter().map(|named| folder.join(named)).collect(),
    }
}

fn served_type(
    section: &mut Section<'_, '_>,
    folder: &Path,
    outside: &Outside<'_>,
) -> Option<ServedType> {
    let component = section.required("component", value::text);
    let grants: Vec<Grant> = section
        .take_secret("grants", value::list)
        .unwrap_or_default();
    let mut settings = TypeSettings::default();
    set(
        &mut settings.concurrency,
        section.take("concurrency", value::number(1..=MOST_INVOCATIONS)),
    );
    settings.limits = section.table("limits", limits).unwrap_or_default();
    settings.policy = section.table("policy", policy).unwrap_or_default();
    set(
        &mut settings.policy.strict,
        section.take("strict", value::flag),
    );
    set(
        &mut settings.keep_write_only,
        section.take("keep_write_only", value::flag),
    );
    set(
        &mut settings.on_upgrade,
        section.take("on_upgrade", on_upgrade),
    );
    settings.type_configuration =
        section.take_secret("configuration", |value| match value::object(value)? {
            Inline::Here(object) => Ok(object),
            Inline::File(path) => object(outside, &folder.join(path)),
        });
    Some(ServedType {
        component: folder.join(component?),
        grants: grants
            .into_iter()
            .map(|grant| grant.below(folder))
            .collect(),
        settings,
    })
}

fn on_upgrade(value: ValueInner<'_>) -> Result<OnUpgrade, String> {
    match value::text(value)?.as_str() {
        "pinned" => Ok(OnUpgrade::Pinned),
        "latest-compatible" => Ok(OnUpgrade::LatestCompatible),
        "fail" => Ok(OnUpgrade::Fail),
        other => Err(format!(
            "it is `{other}` and must be `pinned`, `latest-compatible` or `fail`"
        )),
    }
}

fn object(outside: &Outside<'_>, path: &Path) -> Result<JsonObject, String> {
    let text = outside.read(path)?;
    JsonObject::parse(text)
        .map_err(|error| format!("the file `{}` is no JSON object: {error}", path.display()))
}

fn limits<S: LimitSet + Default>(section: &mut Section<'_, '_>) -> S {
    let mut limits = S::default();
    for limit in S::ALL {
        section.take(limit.name(), |value| {
            let amount = value::limit(limit)(value)?;
            limit
                .set(&mut limits, amount)
                .map_err(|error| error.to_string())
        });
    }
    limits
}

fn policy(section: &mut Section<'_, '_>) -> Policy {
    let mut policy = Policy::default();
    let counts = || value::number(1..=1_000_000_u32);
    let times = || value::time(Duration::ZERO..=YEAR);
    set(&mut policy.attempts, section.take("attempts", counts()));
    set(&mut policy.backoff, section.take("backoff", times()));
    set(
        &mut policy.backoff_cap,
        section.take("backoff_cap", times()),
    );
    set(
        &mut policy.max_invocations,
        section.take("max_invocations", counts()),
    );
    set(
        &mut policy.zero_delays,
        section.take("zero_delays", value::number(0..=1_000_000)),
    );
    set(
        &mut policy.least_delay,
        section.take("least_delay", times()),
    );
    policy
}

/// Changes a setting that was given.
fn set<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}
