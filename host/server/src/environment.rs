//! Environment variables. Nothing else reads them.
//!
//! *Invariant*: no program that this one starts inherits a variable whose name begins
//! with `FORMWORK_`, such as a `credential_process` of the AWS tools.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;

use formwork_host::model::Credentials;

/// How the names of variables begin that are for this program alone.
const OWN: &str = "FORMWORK_";

/// The variables of that name, which were taken out of the environment.
static TAKEN: OnceLock<BTreeMap<OsString, OsString>> = OnceLock::new();

/// What the environment says. A variable that is empty counts as not set.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `FORMWORK_BEARER_TOKEN`: the capability for reporting, kept out of the
    /// list of processes.
    pub(crate) bearer_token: Option<Secret>,
    /// Whether `FORMWORK_CORE_DUMPS` is `keep`.
    pub(crate) keeps_core_dumps: bool,
    /// `FORMWORK_LOG`: which log lines are shown.
    pub(crate) log: Option<String>,
    /// Whether traces are sent, if the environment says it: they are where
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a
    /// receiver, and are not where `OTEL_SDK_DISABLED` is `true` or
    /// `OTEL_TRACES_EXPORTER` is `none`.
    pub(crate) traces: Option<bool>,
    /// The same of metrics.
    pub(crate) metrics: Option<bool>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`: the
    /// caller's credentials, if both keys are there.
    pub(crate) credentials: Option<Credentials>,
    /// `FORMWORK_DATABASE_KEY`: the key that seals what is kept in a database.
    pub(crate) database_key: Option<Secret>,
    /// `FORMWORK_DATABASE_KEY_FILE`: a file that holds it.
    pub(crate) database_key_file: Option<PathBuf>,
    /// The files, and folders of files, that hold secrets of the operator: that of the
    /// database's key, and those of the AWS tools.
    pub(crate) secret_files: Vec<PathBuf>,
    /// `FORMWORK_DATABASE_PASSWORD`: the password of the database.
    pub(crate) database_password: Option<Secret>,
    /// `HOSTNAME`: what operators call this machine.
    pub(crate) host_name: Option<String>,
    /// `FORMWORK_CACHE_DIR`.
    cache_dir: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    xdg_cache_home: Option<PathBuf>,
    /// `HOME`.
    home: Option<PathBuf>,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Environment {
    /// Reads the environment of this process, and takes out of it what is for this
    /// program alone: variables whose names begin with `FORMWORK_`.
    ///
    /// # Safety
    ///
    /// No other thread may read or write the environment meanwhile: call it before
    /// there is one.
    #[must_use]
    pub unsafe fn take() -> Self {
        TAKEN.get_or_init(|| {
            let all = env::vars_os();
            let own = all.filter(|(name, _)| name.to_string_lossy().starts_with(OWN));
            let own: BTreeMap<_, _> = own.collect();
            for name in own.keys() {
                // SAFETY: the caller has seen to it that no other thread is at it.
                unsafe { env::remove_var(name) };
            }
            own
        });
        Self::from(variable)
    }

    /// Gives the value of a variable that the configuration names, if it is set.
    pub(crate) fn secret(name: &str) -> Option<Secret> {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(Secret(value.to_string_lossy().into_owned()))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        let path = |name: &str| set(name).map(PathBuf::from);
        let is_sent = |signal: &str| {
            let names = [
                "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
                format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"),
            ];
            let says = |name: &str, word: &str| {
                text(name).is_some_and(|said| said.eq_ignore_ascii_case(word))
            };
            if says("OTEL_SDK_DISABLED", "true") || says(&format!("OTEL_{signal}_EXPORTER"), "none")
            {
                return Some(false);
            }
            names.iter().any(|name| set(name).is_some()).then_some(true)
        };
        Self {
            bearer_token: text("FORMWORK_BEARER_TOKEN").map(Secret),
            keeps_core_dumps: text("FORMWORK_CORE_DUMPS").is_some_and(|said| said == "keep"),
            log: text("FORMWORK_LOG"),
            traces: is_sent("TRACES"),
            metrics: is_sent("METRICS"),
            credentials: text("AWS_ACCESS_KEY_ID")
                .zip(text("AWS_SECRET_ACCESS_KEY"))
                .map(|(access_key_id, secret_access_key)| Credentials {
                    access_key_id,
                    secret_access_key,
                    session_token: text("AWS_SESSION_TOKEN"),
                }),
            database_key: text("FORMWORK_DATABASE_KEY").map(Secret),
            database_key_file: path("FORMWORK_DATABASE_KEY_FILE"),
            secret_files: [
                "FORMWORK_DATABASE_KEY_FILE",
                "AWS_CONFIG_FILE",
                "AWS_SHARED_CREDENTIALS_FILE",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            ]
            .into_iter()
            .filter_map(path)
            .chain(path("HOME").map(|home| home.join(".aws")))
            .collect(),
            database_password: text("FORMWORK_DATABASE_PASSWORD").map(Secret),
            host_name: text("HOSTNAME"),
            cache_dir: path("FORMWORK_CACHE_DIR"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            home: path("HOME"),
        }
    }

    /// Gives the directory for compiled components: `FORMWORK_CACHE_DIR`, else
    /// the user's own, or none if there is no way to tell.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        self.forced_cache_dir().or_else(|| {
            // A relative path is to be ignored, by the XDG Base Directory rules.
            let xdg = self
                .xdg_cache_home
                .clone()
                .filter(|path| path.is_absolute());
            let cache = xdg.or_else(|| Some(self.home.as_ref()?.join(".cache")))?;
            Some(cache.join("formwork"))
        })
    }

    /// Gives `FORMWORK_CACHE_DIR`.
    pub(crate) fn forced_cache_dir(&self) -> Option<PathBuf> {
        self.cache_dir.clone()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is where the environment is read"
)]
fn variable(name: &str) -> Option<OsString> {
    let taken = TAKEN.get().and_then(|taken| taken.get(OsStr::new(name)));
    taken.cloned().or_else(|| env::var_os(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::from(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(value))
        })
    }

    #[test]
    fn the_most_telling_variable_names_the_cache_directory() {
        let all = [
            ("FORMWORK_CACHE_DIR", "/f"),
            ("XDG_CACHE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        for (variables, expected) in [
            (&all[..], Some("/f")),
            (&all[1..], Some("/x/formwork")),
            (&all[2..], Some("/h/.cache/formwork")),
            (&[][..], None),
            (
                &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")][..],
                Some("/h/.cache/formwork"),
            ),
            (
                &[("FORMWORK_CACHE_DIR", ""), ("HOME", "/h")][..],
                Some("/h/.cache/formwork"),
            ),
        ] {
            assert_eq!(
                environment(variables).cache_dir(),
                expected.map(PathBuf::from),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn the_files_that_hold_secrets_are_known() {
        let environment = environment(&[
            ("AWS_SHARED_CREDENTIALS_FILE", "/etc/aws/credentials"),
            ("AWS_CONFIG_FILE", ""),
            ("FORMWORK_DATABASE_KEY_FILE", "/run/key"),
            ("HOME", "/h"),
        ]);
        let expected = ["/run/key", "/etc/aws/credentials", "/h/.aws"];
        assert_eq!(environment.secret_files, expected.map(PathBuf::from));
    }

    #[test]
    fn secrets_are_not_shown() {
        let environment = environment(&[
            ("FORMWORK_BEARER_TOKEN", "hunter2"),
            ("AWS_ACCESS_KEY_ID", "hunter2"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ]);
        assert!(environment.credentials.is_some());
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
