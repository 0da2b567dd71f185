//! Limits in words, as the command line takes them.

use std::fmt;
use std::str::FromStr;

use formwork_host::sandbox::{Amount, HttpLimits, Limit, LimitSet, Limits, LoadLimits};

use crate::config::{amount, closest};

/// One `--limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitSetting {
    /// As it was given.
    text: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Invocation(Limit<Limits>, Amount),
    Load(Limit<LoadLimits>, Amount),
    Http(Limit<HttpLimits>, Amount),
}

/// The limits that are not of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SandboxLimits {
    /// What may be loaded.
    pub(crate) load: LoadLimits,
    /// What the HTTP requests of all handlers may use.
    pub(crate) http: HttpLimits,
}

/// Says why a limit cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitSettingError {
    #[error("`{text}` has no value: use `NAME=VALUE`, such as `memory=512MiB` or `load.size=1MiB`")]
    NoValue { text: String },
    #[error("there is no limit `{name}`: {meant}")]
    Unknown { name: String, meant: String },
    #[error("`{name}` is `{value}`: {rule}")]
    Value {
        name: String,
        value: String,
        rule: String,
    },
}

impl LimitSetting {
    /// Gives the limits of an invocation that settings say, the last one of each.
    pub(crate) fn invocation(settings: &[Self]) -> Limits {
        let mut limits = Limits::default();
        for setting in settings {
            if let Value::Invocation(limit, amount) = &setting.value {
                put(limit, &mut limits, *amount);
            }
        }
        limits
    }

    /// Gives the limits of all types that settings say, the last one of each.
    pub(crate) fn sandbox(settings: &[Self]) -> SandboxLimits {
        let mut limits = SandboxLimits::default();
        for setting in settings {
            match &setting.value {
                Value::Invocation(..) => {}
                Value::Load(limit, amount) => put(limit, &mut limits.load, *amount),
                Value::Http(limit, amount) => put(limit, &mut limits.http, *amount),
            }
        }
        limits
    }
}

fn put<S: LimitSet>(limit: &Limit<S>, set: &mut S, amount: Amount) {
    limit
        .set(set, amount)
        .expect("a setting is read as what its limit may be");
}

impl FromStr for LimitSetting {
    type Err = LimitSettingError;

    fn from_str(text: &str) -> Result<Self, LimitSettingError> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(LimitSettingError::NoValue {
                text: text.to_owned(),
            });
        };
        let value = match name.split_once('.') {
            Some(("load", of_load)) => {
                let limit = find::<LoadLimits>(name, of_load)?;
                Value::Load(limit, read(&limit, value)?)
            }
            Some(("http", of_all)) => {
                let limit = find::<HttpLimits>(name, of_all)?;
                Value::Http(limit, read(&limit, value)?)
            }
            prefix => {
                let of_type = match prefix {
                    Some(("limits", of_type)) => of_type,
                    Some(_) | None => name,
                };
                let limit = find::<Limits>(name, of_type)?;
                Value::Invocation(limit, read(&limit, value)?)
            }
        };
        Ok(Self {
            text: text.to_owned(),
            value,
        })
    }
}

impl fmt::Display for LimitSetting {
    /// Writes the limit as the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn find<S: LimitSet>(given: &str, name: &str) -> Result<Limit<S>, LimitSettingError> {
    S::named(name).ok_or_else(|| {
        let known: Vec<_> = S::ALL.iter().map(Limit::name).collect();
        LimitSettingError::Unknown {
            name: given.to_owned(),
            meant: match closest(name, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are `{}`", known.join("`, `")),
            },
        }
    })
}

fn read<S: LimitSet>(limit: &Limit<S>, value: &str) -> Result<Amount, LimitSettingError> {
    amount(limit, value).map_err(|rule| LimitSettingError::Value {
        name: limit.setting(),
        value: value.to_owned(),
        rule,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_limit_is_set_by_the_name_of_its_setting() {
        let settings: Vec<LimitSetting> = [
            "memory=1MiB",
            "limits.cpu=250ms",
            "handles=7",
            "memory=2MiB",
            "load.functions=10",
            "load.compile_memory=8GiB",
            "http.lookups=16",
        ]
        .iter()
        .map(|text| text.parse().expect(text))
        .collect();
        let limits = LimitSetting::invocation(&settings);
        assert_eq!(
            limits,
            Limits {
                memory_bytes: 2 << 20,
                cpu: Duration::from_millis(250),
                handles: 7,
                ..Limits::default()
            }
        );
        let SandboxLimits { load, http } = LimitSetting::sandbox(&settings);
        assert_eq!((load.functions, load.compile_memory), (10, 8 << 30));
        assert_eq!(http.lookups, 16);
        assert_eq!(settings[1].to_string(), "limits.cpu=250ms");
    }

    #[test]
    fn a_wrong_limit_is_refused_with_the_rule() {
        for (text, words) in [
            ("memory", "has no value: use `NAME=VALUE`"),
            ("memroy=1MiB", "did you mean `memory`?"),
            ("load.memory=1MiB", "did you mean `memories`?"),
            ("zzz=1", "there are `memory`, `table_elements`"),
            ("memory=512", "`limits.memory` is `512`: it must be a size"),
            ("memory=0B", "it must be from 1 B to 1.0 GiB"),
            ("cpu=1", "it must be a time"),
            ("handles=many", "it must be a whole number"),
            ("handles=0", "it must be from 1 to 1000000"),
            ("load.memories=17", "it must be from 1 to 16"),
            ("http.lookup=1", "did you mean `lookups`?"),
            ("http.lookups=257", "it must be from 1 to 256"),
        ] {
            let refusal = text.parse::<LimitSetting>().expect_err(text).to_string();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
