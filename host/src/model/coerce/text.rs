//! Texts as truth values and numbers, exactly.

use serde_json::{Number, Value};

/// What a text is to be read as: the first of these that it reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    boolean: bool,
    number: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Any,
}

impl Wanted {
    /// Reads the value of `type`; none if a text may stay one.
    pub(super) fn of_type(value: Option<&Value>) -> Option<Self> {
        let names: Vec<&str> = match value? {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        if names.contains(&"string") {
            return None;
        }
        let wanted = Self {
            boolean: names.contains(&"boolean"),
            number: if names.contains(&"number") {
                Some(Kind::Any)
            } else {
                names.contains(&"integer").then_some(Kind::Integer)
            },
        };
        (wanted.boolean || wanted.number.is_some()).then_some(wanted)
    }

    /// Reads `text`, or says what it should be.
    pub(super) fn read(self, text: &str) -> Result<Value, &'static str> {
        let boolean = || self.boolean.then(|| read_boolean(text)).flatten();
        let number = || match self.number? {
            Kind::Integer => read_integer(text),
            Kind::Any => read_number(text),
        };
        boolean()
            .or_else(number)
            .ok_or(match (self.boolean, self.number) {
                (true, None) => "a boolean (`true` or `false`)",
                (true, Some(_)) => "a boolean or a number",
                (false, Some(Kind::Integer)) => "an integer of at most 64 bits",
                (false, Some(Kind::Any) | None) => {
                    "a number that a 64-bit integer or a double holds exactly"
                }
            })
    }
}

/// Reads a truth value in any case, as the official wrappers for Python and
/// TypeScript do.
fn read_boolean(text: &str) -> Option<Value> {
    if text.eq_ignore_ascii_case("true") {
        Some(Value::Bool(true))
    } else if text.eq_ignore_ascii_case("false") {
        Some(Value::Bool(false))
    } else {
        None
    }
}

/// Reads an integer of 64 bits, signed or unsigned, however it is written
/// (`100`, `1e2`, `100.0`), and gives it without fraction: typed handlers could
/// not read `100.0`.
fn read_integer(text: &str) -> Option<Value> {
    parse(text)?;
    let decimal = Decimal::of(text)?;
    // 20 digits are those of the largest unsigned integer.
    let zeros = usize::try_from(decimal.exponent)
        .ok()
        .filter(|n| *n <= 20)?;
    let digits = format!("{}{}", decimal.digits, "0".repeat(zeros));
    let sign = if decimal.negative { "-" } else { "" };
    if digits.is_empty() {
        return Some(Value::from(0));
    }
    let text = format!("{sign}{digits}");
    text.parse::<i64>()
        .map(Value::from)
        .or_else(|_| text.parse::<u64>().map(Value::from))
        .ok()
}

/// Reads a number, unless the nearest double is another one.
fn read_number(text: &str) -> Option<Value> {
    let number = parse(text)?;
    let exact = number.is_i64()
        || number.is_u64()
        || Decimal::of(text)? == Decimal::of(&number.to_string())?;
    exact.then_some(Value::Number(number))
}

/// Parses by JSON's own grammar, so that ` 1`, `+1`, `01`, `0x1`, `inf` and
/// `NaN` are refused.
fn parse(text: &str) -> Option<Number> {
    let bytes = text.as_bytes();
    // The parser skips white space around a value.
    let bare = |byte: Option<&u8>| byte.is_some_and(|b| !b.is_ascii_whitespace());
    (bare(bytes.first()) && bare(bytes.last()))
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

/// A decimal number: digits without zeros at either end, times a power of ten.
/// Zero has no digits and no sign.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Takes a text of JSON's number grammar apart.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let trailing = all.len() - digits.len();
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let shift = i64::try_from(trailing).ok()? - i64::try_from(fraction.len()).ok()?;
        Some(Self {
            negative,
            digits: digits.to_owned(),
            exponent: exponent.parse::<i64>().ok()?.checked_add(shift)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn wanted(name: &str) -> Wanted {
        Wanted::of_type(Some(&json!(name))).expect(name)
    }

    #[test]
    fn a_text_is_read_exactly_or_refused() {
        let cases = [
            ("boolean", "true", Some(json!(true))),
            ("boolean", "False", Some(json!(false))),
            ("boolean", "1", None),
            ("boolean", " true", None),
            ("integer", "8", Some(json!(8))),
            ("integer", "-9223372036854775808", Some(json!(i64::MIN))),
            ("integer", "18446744073709551615", Some(json!(u64::MAX))),
            ("integer", "18446744073709551616", None),
            ("integer", "-0", Some(json!(0))),
            ("integer", "1.0", Some(json!(1))),
            ("integer", "1e2", Some(json!(100))),
            (
                "integer",
                "9007199254740993.0",
                Some(json!(9_007_199_254_740_993_i64)),
            ),
            ("integer", "1.5", None),
            ("integer", "1e30", None),
            ("integer", "1e-1", None),
            ("integer", "0e99999999999999999999", Some(json!(0))),
            ("number", "8", Some(json!(8))),
            ("number", "8.0", Some(json!(8.0))),
            ("number", "1.5", Some(json!(1.5))),
            ("number", "0.10", Some(json!(0.1))),
            ("number", "1e22", Some(json!(1e22))),
            ("number", "-0", Some(json!(-0.0))),
            ("number", "0.1000000000000000055", None),
            ("number", "12345678901234567890123", None),
            ("number", "1e999", None),
            ("number", "1e-400", None),
        ];
        for (name, text, value) in cases {
            assert_eq!(wanted(name).read(text).ok(), value, "{name} {text}");
        }
        for name in ["integer", "number", "boolean"] {
            for text in [
                "", "x", "+1", " 1", "1 ", "1\n", "01", "0x1", "NaN", "inf", "1,5",
            ] {
                assert!(wanted(name).read(text).is_err(), "{name} {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back_from_its_text(
            signed: i64,
            unsigned: u64,
            double in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
        ) {
            for value in [json!(signed), json!(unsigned)] {
                prop_assert_eq!(wanted("integer").read(&value.to_string()), Ok(value.clone()));
                prop_assert_eq!(wanted("number").read(&value.to_string()), Ok(value));
            }
            let value = json!(double);
            prop_assert_eq!(wanted("number").read(&value.to_string()), Ok(value));
        }
    }
}
