//! Numbers within bounds.

use rand::RngExt as _;
use serde_json::{Number, Value};

use super::rules::Rules;
use super::seed::Random;

/// Whole numbers up to here are exact in every number format.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// How far a number may lie from the bound that it begins at: small numbers are
/// the ones that people use and that handlers can afford.
const SPAN: f64 = 100.0;

/// Draws a number, whole or with a fraction of quarters, which every number
/// format holds exactly.
///
/// # Errors
///
/// The keyword that leaves no number.
pub(super) fn number(
    rules: &Rules<'_>,
    whole: bool,
    random: &mut Random,
) -> Result<Value, &'static str> {
    let mut step = rules.all("multipleOf").filter_map(Value::as_f64).product();
    if rules.all("multipleOf").next().is_none() {
        step = if whole { 1.0 } else { 0.25 };
    }
    if step <= 0.0 {
        return Err("multipleOf");
    }
    let least = bound(rules, "minimum", "exclusiveMinimum", f64::max, 1.0, step);
    let most = bound(rules, "maximum", "exclusiveMaximum", f64::min, -1.0, step);
    let (least, most) = match (least, most) {
        (Some(least), Some(most)) => (least, most),
        // Numbers from one on where nothing is said: a zero counts as missing
        // in some tools.
        (None, Some(most)) => (1.0_f64.min(most), most),
        (Some(least), None) => (least, EXACT),
        (None, None) => (1.0, EXACT),
    };
    let first = (least.max(-EXACT) / step).ceil();
    let last = (most.min(least.max(-EXACT) + SPAN).min(EXACT) / step).floor();
    // A step wider than the span still has its own multiples.
    let last = if last < first {
        (most.min(EXACT) / step).floor().min(first)
    } else {
        last
    };
    if last < first {
        return Err(if rules.all("multipleOf").next().is_some() {
            "multipleOf"
        } else {
            "maximum"
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "both ends are whole and exact"
    )]
    let number = random.random_range(first as i64..=last as i64) as f64 * step;
    json(number, whole).ok_or("type")
}

/// Gives the tighter of an inclusive and an exclusive bound.
fn bound(
    rules: &Rules<'_>,
    inclusive: &'static str,
    exclusive: &'static str,
    tighter: fn(f64, f64) -> f64,
    inwards: f64,
    step: f64,
) -> Option<f64> {
    let pick = |keyword: &'static str| {
        if inwards > 0.0 {
            rules.at_least(keyword)
        } else {
            rules.at_most(keyword)
        }
    };
    let open = pick(exclusive).map(|edge| edge + inwards * step.min(0.25));
    match (pick(inclusive), open) {
        (Some(closed), Some(open)) => Some(tighter(closed, open)),
        (closed, open) => closed.or(open),
    }
}

/// Writes a number without a fraction where it has none.
fn json(number: f64, whole: bool) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and exact")]
        let whole = number as i64;
        return Some(Value::from(whole));
    }
    if whole {
        return None;
    }
    Number::from_f64(number).map(Value::Number)
}
