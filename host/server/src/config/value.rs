//! Values of settings: each is read, or refused with its rule.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use formwork_host::model::JsonObject;
use formwork_host::sandbox::{Amount, Limit, LimitSet};
use jiff::SignedDuration;
use serde_json::{Map, Number, Value as Json};
use toml_span::value::{Table, ValueInner};
use tracing_subscriber::EnvFilter;
use url::Url;

/// Reads a text.
pub(super) fn text(value: ValueInner<'_>) -> Result<String, String> {
    match value {
        ValueInner::String(text) if text.is_empty() => Err("it must not be empty".to_owned()),
        ValueInner::String(text) => Ok(text.into_owned()),
        other => Err(wanted("a text in quotes", &other)),
    }
}

/// Reads a text that has a meaning of its own.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: ValueInner<'_>) -> Result<T, String> {
    text(value)?
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

/// Reads a list of such texts.
pub(super) fn list<T: FromStr<Err: Display>>(value: ValueInner<'_>) -> Result<Vec<T>, String> {
    match value {
        ValueInner::Array(values) => values
            .into_iter()
            .map(|mut value| parsed(value.take()))
            .collect(),
        other => Err(wanted("a list of texts, such as [\"a\", \"b\"]", &other)),
    }
}

/// Reads one address to listen on, or a list of them.
pub(super) fn addresses(value: ValueInner<'_>) -> Result<Vec<SocketAddr>, String> {
    let texts = match value {
        ValueInner::Array(values) if values.is_empty() => {
            return Err("it must name an address".to_owned());
        }
        ValueInner::Array(values) => values
            .into_iter()
            .map(|mut value| text(value.take()))
            .collect::<Result<_, _>>()?,
        other => vec![text(other)?],
    };
    texts.iter().map(|text| address(text)).collect()
}

/// Reads where to listen.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    };
    address.ok_or_else(|| "it must be an address and a port, such as `127.0.0.1:3001`".to_owned())
}

/// Reads the URL of an HTTP server.
pub(super) fn http_url(value: ValueInner<'_>) -> Result<String, String> {
    let text = text(value)?;
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match Url::parse(&text) {
        Ok(url) if is_http(&url) => Ok(text),
        Ok(_) | Err(_) => {
            Err("it must be a URL with a host, such as \"http://127.0.0.1:4318\"".to_owned())
        }
    }
}

/// Reads which lines of the log are written.
pub(super) fn log_filter(value: ValueInner<'_>) -> Result<String, String> {
    let text = text(value)?;
    EnvFilter::try_new(&text).map(|_| text).map_err(|_| {
        "it must be a level such as \"info\", or a list such as \"warn,formwork::guest=debug\""
            .to_owned()
    })
}

/// Reads a number from 0 to 1.
pub(super) fn part_of_one(value: ValueInner<'_>) -> Result<f64, String> {
    let number = match value {
        ValueInner::Float(number) => number,
        ValueInner::Integer(number @ (0 | 1)) => number as f64,
        ValueInner::Integer(_) => return Err("it must be from 0 to 1".to_owned()),
        other => return Err(wanted("a number from 0 to 1", &other)),
    };
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err("it must be from 0 to 1".to_owned())
    }
}

/// Reads yes or no.
pub(super) fn flag(value: ValueInner<'_>) -> Result<bool, String> {
    match value {
        ValueInner::Boolean(flag) => Ok(flag),
        other => Err(wanted("true or false", &other)),
    }
}

/// Gives the reader of a number within bounds.
pub(super) fn number<T>(
    bounds: RangeInclusive<T>,
) -> impl FnOnce(ValueInner<'_>) -> Result<T, String>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |value| {
        let number = match value {
            ValueInner::Integer(number) => T::try_from(number).ok(),
            other => return Err(wanted("a whole number", &other)),
        };
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("it must be from {} to {}", bounds.start(), bounds.end()))
    }
}

/// Gives the reader of a span of time, such as `"30s"`, within bounds.
pub(super) fn time(
    bounds: RangeInclusive<Duration>,
) -> impl FnOnce(ValueInner<'_>) -> Result<Duration, String> {
    move |value| match value {
        ValueInner::String(text) => parse_time(&text, &bounds),
        other => Err(wanted(&in_quotes(TIME), &other)),
    }
}

/// What a span of time is, and a size.
const TIME: [&str; 2] = [
    "a time",
    "with its unit, such as \"30s\", \"500ms\" or \"1h 30m\"",
];
const SIZE: [&str; 2] = ["a size", "with its unit, such as \"256MiB\" or \"64KiB\""];

fn in_quotes([what, how]: [&str; 2]) -> String {
    format!("{what} in quotes {how}")
}

fn parse_time(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let time = text
        .parse()
        .ok()
        .and_then(|time: SignedDuration| Duration::try_from(time).ok())
        .ok_or_else(|| format!("it must be {}", in_quotes(TIME)))?;
    if bounds.contains(&time) {
        Ok(time)
    } else {
        Err(format!(
            "it must be from {:?} to {:?}",
            bounds.start(),
            bounds.end()
        ))
    }
}

/// Gives the reader of a size, such as `"256MiB"`, within bounds in bytes.
fn size(bounds: RangeInclusive<u64>) -> impl FnOnce(ValueInner<'_>) -> Result<usize, String> {
    move |value| match value {
        ValueInner::String(text) => parse_size(&text, &bounds),
        other => Err(wanted(&in_quotes(SIZE), &other)),
    }
}

fn parse_size(text: &str, bounds: &RangeInclusive<u64>) -> Result<usize, String> {
    // A number without a unit would be bytes, which nobody means.
    let size = text
        .parse()
        .ok()
        .filter(|_| text.ends_with(['b', 'B']))
        .map(|size: ByteSize| size.as_u64())
        .ok_or_else(|| format!("it must be {}", in_quotes(SIZE)))?;
    usize::try_from(size)
        .ok()
        .filter(|_| bounds.contains(&size))
        .ok_or_else(|| {
            format!(
                "it must be from {} to {}",
                ByteSize::b(*bounds.start()).display().iec(),
                ByteSize::b(*bounds.end()).display().iec()
            )
        })
}

/// Gives the reader of a limit's value.
pub(super) fn limit<S: LimitSet>(
    limit: &Limit<S>,
) -> impl FnOnce(ValueInner<'_>) -> Result<Amount, String> {
    let (_, most) = limit.range();
    move |value| match most {
        Amount::Bytes(most) => size(1..=most as u64)(value).map(Amount::Bytes),
        Amount::Count(most) => number(1..=most)(value).map(Amount::Count),
        Amount::Time(most) => time(Duration::from_millis(1)..=most)(value).map(Amount::Time),
    }
}

/// Reads the text of a size, within bounds in bytes.
pub(crate) fn size_text(text: &str, bounds: RangeInclusive<u64>) -> Result<usize, String> {
    parse_size(text, &bounds).map_err(|rule| rule.replace(" in quotes", ""))
}

/// Reads the text of a limit's value.
pub(crate) fn amount<S: LimitSet>(limit: &Limit<S>, text: &str) -> Result<Amount, String> {
    let value = match limit.range().1 {
        Amount::Count(_) => match text.parse() {
            Ok(number) => ValueInner::Integer(number),
            Err(_) => return Err("it must be a whole number".to_owned()),
        },
        Amount::Bytes(_) | Amount::Time(_) => ValueInner::String(text.into()),
    };
    self::limit(limit)(value).map_err(|rule| rule.replace(" in quotes", ""))
}

/// What a setting says in place, or the file that says it.
pub(super) enum Inline<T> {
    Here(T),
    File(PathBuf),
}

/// Reads a table as JSON, or the path of a file with JSON in it.
pub(super) fn object(value: ValueInner<'_>) -> Result<Inline<JsonObject>, String> {
    match value {
        ValueInner::String(path) => Ok(Inline::File(PathBuf::from(path.into_owned()))),
        ValueInner::Table(table) => Ok(Inline::Here(JsonObject::from_map(&members(table)?))),
        other => Err(wanted("a table, or the path of a JSON file", &other)),
    }
}

fn members(table: Table<'_>) -> Result<Map<String, Json>, String> {
    table
        .into_iter()
        .map(|(key, mut value)| Ok((key.name.into_owned(), json(value.take())?)))
        .collect()
}

fn json(value: ValueInner<'_>) -> Result<Json, String> {
    Ok(match value {
        ValueInner::String(text) => Json::String(text.into_owned()),
        ValueInner::Integer(number) => Json::from(number),
        ValueInner::Float(number) => Number::from_f64(number)
            .map(Json::Number)
            .ok_or("JSON has no infinity and no `nan`")?,
        ValueInner::Boolean(flag) => Json::Bool(flag),
        ValueInner::Array(values) => values
            .into_iter()
            .map(|mut value| json(value.take()))
            .collect::<Result<_, _>>()?,
        ValueInner::Table(table) => Json::Object(members(table)?),
    })
}

fn wanted(what: &str, found: &ValueInner<'_>) -> String {
    format!("it must be {what}, not {}", kind(found))
}

fn kind(value: &ValueInner<'_>) -> &'static str {
    match value {
        ValueInner::String(_) => "a text",
        ValueInner::Integer(_) => "a whole number",
        ValueInner::Float(_) => "a number",
        ValueInner::Boolean(_) => "true or false",
        ValueInner::Array(_) => "a list",
        ValueInner::Table(_) => "a table",
    }
}
