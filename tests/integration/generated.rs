//! Models generated from every published resource type schema.
//!
//! The schemas are those that `cfn-lint` carries.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use formwork_host::contract::{Extent, Generator};
use formwork_host::model::{TypeSchema, stringify};
use serde_json::{Map, Value};

use crate::corpus::files;

/// How many schemas of a hundred must have a valid full and a valid minimal model.
const FLOOR_PERCENT: usize = 99;

/// How many models of each extent are made from a schema.
const SEEDS: u64 = 2;

/// How many invalid models of a schema are made at most.
const INVALID: usize = 4;

/// How many schemas must have a model to update to, and how many invalid models
/// there must be: somewhat less than were made when this was written.
const LEAST_CHANGED: usize = 1_650;
const LEAST_INVALID: usize = 7_400;

/// What became of one schema, or of all.
#[derive(Default)]
struct Tally {
    schemas: usize,
    /// Schemas of which every full model was made.
    full: usize,
    /// Schemas of which every minimal model was made.
    minimal: usize,
    left_out: Vec<String>,
    refused: Vec<String>,
    models: usize,
    /// Primitive values that were turned into texts and back.
    values: usize,
    ambiguous: usize,
    unequal: Vec<String>,
    /// Schemas with a model that an update can go to.
    changed: usize,
    /// Models that break one rule.
    invalid: usize,
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        self.schemas += other.schemas;
        self.full += other.full;
        self.minimal += other.minimal;
        self.models += other.models;
        self.values += other.values;
        self.ambiguous += other.ambiguous;
        self.changed += other.changed;
        self.invalid += other.invalid;
        self.left_out.extend(other.left_out);
        self.refused.extend(other.refused);
        self.unequal.extend(other.unequal);
        self
    }
}

#[test]
fn published_schemas_have_models_and_their_texts_read_as_what_they_were() {
    let files = files();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let tally = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        tally = tally.add(examine(file));
                    }
                    tally
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"))
            .fold(Tally::default(), Tally::add)
    });
    print(&tally);
    assert!(tally.unequal.is_empty(), "{}", tally.unequal.join("\n"));
    assert!(tally.refused.is_empty(), "{}", tally.refused.join("\n"));
    assert!(
        tally.changed >= LEAST_CHANGED && tally.invalid >= LEAST_INVALID,
        "{} schemas have an updated model, and there are {} invalid models",
        tally.changed,
        tally.invalid
    );
    for (extent, made) in [("full", tally.full), ("minimal", tally.minimal)] {
        assert!(
            tally.schemas > 0 && made * 100 >= tally.schemas * FLOOR_PERCENT,
            "{made} of {} schemas have valid {extent} models",
            tally.schemas
        );
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what was measured is the result of the test"
)]
fn print(tally: &Tally) {
    println!(
        "{} schemas: {} with valid full models, {} with valid minimal ones; {} optional values left out",
        tally.schemas,
        tally.full,
        tally.minimal,
        tally.left_out.len()
    );
    println!(
        "{} models, {} primitive values: {} read as a text as well, {} do not come back",
        tally.models,
        tally.values,
        tally.ambiguous,
        tally.unequal.len()
    );
    println!(
        "{} schemas with a model to update to; {} models that break one rule",
        tally.changed, tally.invalid
    );
    for line in &tally.refused {
        println!("refused: {line}");
    }
    for line in &tally.left_out {
        println!("left out: {line}");
    }
}

fn examine(file: &Path) -> Tally {
    let text = std::fs::read_to_string(file).expect("a published schema is UTF-8");
    let schema = TypeSchema::parse(&text).expect("a published schema is one");
    let generator = Generator::new(&schema, schema.read_only());
    let mut tally = Tally {
        schemas: 1,
        full: 1,
        minimal: 1,
        ..Tally::default()
    };
    for seed in 0..SEEDS {
        for (extent, count) in [
            (Extent::Full, &mut tally.full),
            (Extent::Minimal, &mut tally.minimal),
        ] {
            match generator.model(extent, seed) {
                Ok(generated) => {
                    let left_out = generated.left_out.iter().map(|left_out| {
                        format!(
                            "{} {} {}",
                            schema.type_name(),
                            left_out.pointer,
                            left_out.keyword
                        )
                    });
                    tally.left_out.extend(left_out);
                    let coerced = coercion(&schema, &generated.model);
                    tally.models += 1;
                    tally.values += coerced.values;
                    tally.ambiguous += coerced.ambiguous;
                    let unequal = coerced.unequal.into_iter();
                    tally.unequal.extend(
                        unequal.map(|line| format!("{} seed {seed}: {line}", schema.type_name())),
                    );
                }
                Err(error) => {
                    *count = 0;
                    tally.refused.push(format!("{extent:?} {seed}: {error}"));
                }
            }
        }
    }
    if let Ok(made) = generator.model(Extent::Full, 0) {
        for invalid in generator.invalid(&made.model).take(INVALID) {
            tally.invalid += 1;
            assert!(
                !schema.violations(&invalid.model).is_empty(),
                "{}: {} {} is not broken",
                schema.type_name(),
                invalid.pointer,
                invalid.rule
            );
        }
        if generator
            .changed(&made.model, schema.create_only(), 1)
            .is_some()
        {
            tally.changed = 1;
        }
    }
    tally
}

/// What became of the primitive values of one model.
#[derive(Default)]
struct Coerced {
    values: usize,
    /// Values that the schema accepts as a text, too: CloudFormation sends both
    /// alike, so that nobody can tell which was meant.
    ambiguous: usize,
    unequal: Vec<String>,
}

/// Turns every primitive of `model` into a text, as CloudFormation does, and back.
fn coercion(schema: &TypeSchema, model: &Map<String, Value>) -> Coerced {
    let mut tally = Coerced::default();
    let before = Value::Object(model.clone());
    tally.values = primitives(&before);
    let mut after = model.clone();
    stringify(&mut after);
    if let Err(error) = schema.coerce(&mut after) {
        tally.unequal.push(error.to_string());
        return tally;
    }
    let after = Value::Object(after);
    let mut pointers = Vec::new();
    differing(&before, &after, String::new(), &mut pointers);
    for pointer in pointers {
        let mut with_text = before.clone();
        if let (Some(place), Some(text)) =
            (with_text.pointer_mut(&pointer), after.pointer(&pointer))
        {
            place.clone_from(text);
        }
        let is_ambiguous = after.pointer(&pointer).is_some_and(Value::is_string)
            && with_text
                .as_object()
                .is_some_and(|model| schema.violations(model).is_empty());
        if is_ambiguous {
            tally.ambiguous += 1;
        } else {
            tally.unequal.push(format!(
                "{pointer}: {:?} came back as {:?}",
                before.pointer(&pointer),
                after.pointer(&pointer)
            ));
        }
    }
    tally
}

/// Counts the primitives within `value`.
fn primitives(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(primitives).sum(),
        Value::Array(items) => items.iter().map(primitives).sum(),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => 1,
    }
}

/// Finds the primitives that are not the same.
fn differing(before: &Value, after: &Value, pointer: String, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) if before.len() == after.len() => {
            for (name, value) in before {
                let step = name.replace('~', "~0").replace('/', "~1");
                let other = after.get(name).unwrap_or(&Value::Null);
                differing(value, other, format!("{pointer}/{step}"), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (value, other)) in before.iter().zip(after).enumerate() {
                differing(value, other, format!("{pointer}/{index}"), found);
            }
        }
        _ if before == after => {}
        _ => found.push(pointer),
    }
}
