//! Checks that end: how long looking at a value may take.
//!
//! What a check by a JSON Schema takes depends on the schema as much as on the value,
//! and both can come from somebody who means harm: subschemas that multiply, regular
//! expressions that turn back. The validator has no bound of its own, so it is given
//! values that count how often they are looked at, and break a check off whose time on
//! the processor is over. One match of a regular expression is not broken off: where it may
//! take long, it is made where it holds nobody up.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, SerdeJson, unique};
use jsonschema::{JsonType, ValidationError};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Number, Value};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// So much of a processor a check may take at once; one that takes longer begins anew
/// where it holds no other task up. Nearly all take less.
const AT_ONCE: Duration = Duration::from_millis(3);

/// So much it may take there.
const WHETHER: Duration = Duration::from_secs(1);

/// So much may be taken to find all that is wrong: what is found takes memory.
const WHAT: Duration = Duration::from_millis(200);

/// So much of the stack it may take, in bytes: threads have 2 MiB. Values in values and
/// schemas in schemas both add to it.
const STACK: usize = 768 * 1024;

/// How large the regular expressions are, and how long the texts, of which one match is
/// nothing to wait for, in bytes.
const LIGHT: usize = 64 * 1024;
const SHORT: usize = 2 * 1024;

/// After so many looks the clock is asked, and where the stack is.
const LOOKS: u32 = 256;

/// A look at a text counts as so many, since a regular expression may follow.
const TEXT: u32 = 16;

#[cfg(not(panic = "unwind"))]
compile_error!(
    "a check that takes too long is ended by unwinding: build with `panic = \"unwind\"`"
);

/// A JSON Schema, compiled.
pub(in crate::model) struct Validator {
    compiled: jsonschema::Validator<Counted>,
    /// Whether each match of its regular expressions is quick, on a text that is short.
    is_light: bool,
}

/// The schema takes too long to be checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Endless;

impl Validator {
    /// Takes what `build` compiles within a bound on the size of regular expressions, or
    /// else without.
    pub(super) fn new<E>(
        build: impl Fn(Option<usize>) -> Result<jsonschema::Validator<Counted>, E>,
    ) -> Result<Self, E> {
        let light = build(Some(LIGHT));
        let is_light = light.is_ok();
        let compiled = light.or_else(|_| build(None))?;
        Ok(Self { compiled, is_light })
    }

    /// Tells whether a value fits; one that takes too long to tell does not.
    pub(in crate::model) fn is_valid(&self, value: &Value) -> bool {
        self.fits(value).unwrap_or(false)
    }

    /// Tells whether a value fits.
    pub(super) fn fits(&self, value: &Value) -> Result<bool, Endless> {
        bounded(WHETHER, self.is_light, || {
            self.compiled.is_valid(Counting(value))
        })
    }

    /// Gives what is wrong with a value, all of it.
    pub(super) fn errors<'v>(
        &'v self,
        value: &'v Value,
    ) -> Result<impl Iterator<Item = ValidationError<'v>>, Endless> {
        bounded(WHAT, self.is_light, || {
            self.compiled.iter_errors(Counting(value))
        })
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").finish_non_exhaustive()
    }
}

/// Makes several checks that have, all together, the time of one.
pub(in crate::model) fn as_one<T>(checks: impl Fn() -> T) -> Result<T, Endless> {
    bounded(WHETHER, true, checks)
}

fn bounded<T>(most: Duration, is_light: bool, check: impl Fn() -> T) -> Result<T, Endless> {
    if let Some(bounds) = BOUNDS.get() {
        // It is one of several, and ends with them.
        if bounds.is_at_once && !is_light {
            end();
        }
        return Ok(check());
    }
    if is_light && let Ok(checked) = within(AT_ONCE, true, &check) {
        return Ok(checked);
    }
    apart(|| within(most, false, &check))
}

/// Works on where that holds no other task up, if there is such a place.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    let has_threads = |it: Handle| it.runtime_flavor() == RuntimeFlavor::MultiThread;
    if Handle::try_current().is_ok_and(has_threads) {
        block_in_place(work)
    } else {
        work()
    }
}

thread_local! {
    /// The looks until the clock is asked next.
    static LEFT: Cell<u32> = const { Cell::new(LOOKS) };
    static BOUNDS: Cell<Option<Bounds>> = const { Cell::new(None) };
}

/// Where the check of a thread is over.
#[derive(Clone, Copy)]
struct Bounds {
    /// By the clock of the thread.
    end: Duration,
    /// Whether it goes on elsewhere then.
    is_at_once: bool,
    /// Where the stack was when it began, by an address.
    stack: usize,
}

impl Bounds {
    fn are_passed(self) -> bool {
        computed() >= self.end || self.stack.abs_diff(stack()) > STACK
    }
}

/// Tells about where the stack is.
#[inline(never)]
fn stack() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

/// Checks for so long at most.
fn within<T>(limit: Duration, is_at_once: bool, check: impl FnOnce() -> T) -> Result<T, Endless> {
    BOUNDS.set(Some(Bounds {
        is_at_once,
        end: computed().saturating_add(limit),
        stack: stack(),
    }));
    // Whatever it has made so far is dropped, and the schema is only read.
    let checked = catch_unwind(AssertUnwindSafe(check));
    BOUNDS.set(None);
    checked.map_err(|cause| match cause.downcast::<Endless>() {
        Ok(endless) => *endless,
        Err(cause) => resume_unwind(cause),
    })
}

fn look(looks: u32) {
    match LEFT.get().checked_sub(looks) {
        Some(left) => LEFT.set(left),
        None => {
            LEFT.set(LOOKS);
            if BOUNDS.get().is_some_and(Bounds::are_passed) {
                end();
            }
        }
    }
}

/// Breaks the check off. It is no panic, which would be told: nothing is broken.
fn end() -> ! {
    resume_unwind(Box::new(Endless))
}

fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The values that count, as a representation of JSON.
pub(super) struct Counted;

/// A value that counts how often it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Counting<T>(T);

impl Json for Counted {
    type Node<'a> = Counting<&'a Value>;
    type PreparedKey = String;
    type StringBuffer = Value;

    const KEYS_PER_LOOKUP: usize = SerdeJson::KEYS_PER_LOOKUP;

    fn prepare_key(key: &str) -> String {
        SerdeJson::prepare_key(key)
    }

    fn with_string_node<T>(
        buffer: &mut Value,
        string: &str,
        check: impl FnOnce(Counting<&Value>) -> T,
    ) -> T {
        SerdeJson::with_string_node(buffer, string, |node| check(Counting(node)))
    }
}

impl<'a> Node<'a, Counted> for Counting<&'a Value> {
    type Object = Counting<&'a Map<String, Value>>;
    type Array = Counting<&'a [Value]>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Self::Object> {
        look(1);
        self.0.as_object().map(Counting)
    }

    fn as_array(&self) -> Option<Self::Array> {
        look(1);
        self.0.as_array().map(|items| Counting(items.as_slice()))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        look(if text.is_some() { TEXT } else { 1 });
        let is_long = text.is_some_and(|text| text.len() > SHORT);
        if is_long && BOUNDS.get().is_some_and(|bounds| bounds.is_at_once) {
            end();
        }
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        look(1);
        self.0.as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        look(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        look(1);
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        look(1);
        Node::<SerdeJson>::json_type(&self.0)
    }

    fn string_length(&self) -> Option<u64> {
        look(TEXT);
        Node::<SerdeJson>::string_length(&self.0)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        look(TEXT);
        Node::<SerdeJson>::equals_value(&self.0, expected)
    }

    fn to_value(&self) -> Cow<'a, Value> {
        look(1);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        look(1);
        Node::<SerdeJson>::identity(&self.0)
    }
}

impl<'a> Object<'a, Counted> for Counting<&'a Map<String, Value>> {
    type Node = Counting<&'a Value>;
    type MemberName = &'a str;
    type MembersIter = Counting<serde_json::map::Iter<'a>>;

    fn len(&self) -> usize {
        look(1);
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Self::Node> {
        look(1);
        self.0.get(key.as_str()).map(Counting)
    }

    fn members(&self) -> Self::MembersIter {
        Counting(self.0.iter())
    }
}

impl<'a> Iterator for Counting<serde_json::map::Iter<'a>> {
    type Item = (&'a str, Counting<&'a Value>);

    fn next(&mut self) -> Option<Self::Item> {
        // A name may be held against regular expressions too.
        look(TEXT);
        let (name, value) = self.0.next()?;
        Some((name.as_str(), Counting(value)))
    }
}

impl<'a> Array<'a, Counted> for Counting<&'a [Value]> {
    type Node = Counting<&'a Value>;
    type ElementsIter = Counting<std::slice::Iter<'a, Value>>;

    fn len(&self) -> usize {
        look(1);
        self.0.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        Counting(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        look(TEXT);
        unique::is_unique(self.0)
    }
}

impl<'a> Iterator for Counting<std::slice::Iter<'a, Value>> {
    type Item = Counting<&'a Value>;

    fn next(&mut self) -> Option<Self::Item> {
        look(1);
        self.0.next().map(Counting)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::{compile, violations};
    use super::*;

    fn compiled(mut schema: Value) -> Result<Validator, String> {
        compile(&mut schema, "", &mut Vec::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_check_that_takes_too_long_is_broken_off() {
        // Each turns back just less often on each text than an expression may.
        let slow = |number| format!("^(?:(?:a(?=a|b|$)|a(?!c))*b|a+)$|x{{{number}}}");
        let patterns: Vec<_> = (1..50).map(|it| json!({ "pattern": slow(it) })).collect();
        let schema = json!({ "properties": { "P": { "items": { "allOf": patterns } } } });
        let validator = compiled(schema).expect("a schema");
        let model = |count| json!({ "P": vec!["a".repeat(13); count] });
        assert_eq!(validator.fits(&model(1)), Ok(true));
        let endless = model(9_000);
        assert_eq!(validator.fits(&endless), Err(Endless));
        let Value::Object(endless) = endless else {
            unreachable!("it is one")
        };
        let found = violations(&validator, &endless, false);
        assert!(found[0].message.contains("takes too long"), "{found:?}");
        // The next check of the thread has its own time.
        assert_eq!(validator.fits(&model(1)), Ok(true));
    }

    #[test]
    fn what_is_wrong_is_not_searched_for_without_end() {
        let wide = vec![json!({ "minLength": 9 }); 5_000];
        let schema = json!({ "properties": { "P": { "items": { "allOf": wide } } } });
        let validator = compiled(schema).expect("a schema");
        let Value::Object(model) = json!({ "P": vec!["a"; 9_000] }) else {
            unreachable!("it is one")
        };
        let found = violations(&validator, &model, false);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("more ways than"), "{found:?}");
    }

    #[test]
    fn schemas_that_multiply_are_refused() {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let mut definitions = Map::new();
            definitions.insert("A0".to_owned(), json!({}));
            for number in 1..40 {
                let below = json!({ "$ref": format!("#/definitions/A{}", number - 1) });
                let twice = json!({ keyword: [below, below] });
                definitions.insert(format!("A{number}"), twice);
            }
            let top = json!({ "P": { "$ref": "#/definitions/A39" } });
            let schema = json!({ "properties": top, "definitions": definitions });
            let refusal = compiled(schema).expect_err("it multiplies");
            assert!(refusal.contains("more than 10000 schemas"), "{refusal}");
        }
    }

    /// Gives a schema that refers to another one, and so on so many times.
    fn chain(links: usize) -> Value {
        let mut definitions = Map::new();
        definitions.insert("A0".to_owned(), json!({ "type": "string" }));
        for number in 1..links {
            let below = json!({ "$ref": format!("#/definitions/%41{}", number - 1) });
            definitions.insert(format!("A{number}"), below);
        }
        let top = json!({ "P": { "$ref": format!("#/definitions/A{}", links - 1) } });
        json!({ "properties": top, "definitions": definitions })
    }

    #[test]
    fn references_in_a_row_are_followed_so_far() {
        let validator = compiled(chain(60)).expect("a schema");
        assert_eq!(validator.fits(&json!({ "P": "x" })), Ok(true));
        assert_eq!(validator.fits(&json!({ "P": 1 })), Ok(false));
        let refusal = compiled(chain(5_000)).expect_err("it is too long");
        assert!(refusal.contains("refer each to the next"), "{refusal}");
    }

    #[test]
    fn a_schema_of_which_many_refer_to_a_wide_one_is_refused_at_once() {
        let wide = json!({ "allOf": vec![json!({}); 40_000] });
        let many = vec![json!({ "$ref": "#/definitions/A" }); 20_000];
        let schema = json!({ "definitions": { "A": wide, "B": { "allOf": many } } });
        compiled(schema).expect_err("it is too wide");
    }

    #[test]
    fn a_value_deep_in_others_takes_no_more_stack_than_there_is() {
        // Each value is within the next by many schemas.
        let within = (0..60).fold(
            json!({ "$ref": "#/definitions/N" }),
            |below, _| json!({ "allOf": [below] }),
        );
        let schema = json!({
            "properties": { "P": { "$ref": "#/definitions/N" } },
            "definitions": { "N": { "items": within } },
        });
        let validator = compiled(schema).expect("a schema");
        let deep = (0..120).fold(json!([]), |below, _| json!([below]));
        let value = json!({ "P": deep });
        let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let checked = thread.spawn(move || validator.fits(&value).is_ok());
        let checked = checked.expect("a thread").join();
        checked.expect("it ends, in whichever way");
    }

    #[test]
    fn several_checks_have_the_time_of_one() {
        let slow = |number| format!("^(?:(?:a(?=a|b|$)|a(?!c))*b|a+)$|x{{{number}}}");
        let patterns: Vec<_> = (1..50).map(|it| json!({ "pattern": slow(it) })).collect();
        let validator = compiled(json!({ "allOf": patterns })).expect("a schema");
        let text = Value::from("a".repeat(13));
        let checks = as_one(|| (0..9_000).all(|_| validator.is_valid(&text)));
        assert_eq!(checks, Err(Endless));
        assert!(validator.is_valid(&text));
    }

    #[test]
    fn what_one_match_may_take_long_with_is_not_matched_at_once() {
        for (expression, text, at_once) in [
            ("^[a-z]+$", "a".repeat(2_048), Some(true)),
            ("^[a-z]+$", "a".repeat(2_049), None),
            ("[ab]*a[ab]{20000}$", "ab".to_owned(), None),
        ] {
            let validator = compiled(json!({ "pattern": expression })).expect("a schema");
            let value = Value::from(text);
            let matched = within(Duration::MAX, true, || validator.fits(&value));
            assert_eq!(matched, at_once.map(Ok).ok_or(Endless), "{expression}");
            let is_fit = at_once.is_some() || value.as_str().is_some_and(|it| it.len() > 2);
            assert_eq!(validator.fits(&value), Ok(is_fit), "{expression}");
        }
    }

    #[test]
    fn a_panic_within_a_check_is_one_still() {
        let broken = catch_unwind(|| within(Duration::MAX, true, || panic!("as it should")));
        assert!(broken.is_err());
    }
}
