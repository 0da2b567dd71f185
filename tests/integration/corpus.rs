//! Every resource type schema that AWS has published loads: those that the
//! Python package `cfn-lint` carries, in the release that `tests/requirements.txt`
//! pins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use formwork_host::model::{SchemaOddity, TypeSchema};

/// How many schemas the pinned release carries.
const SCHEMAS: usize = 1_898;

const PLACE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/python/cfn-lint/cfnlint/data/schemas/resources"
);

/// What came of one schema.
struct Read {
    schema: Result<TypeSchema, String>,
    paths: usize,
}

/// Gives the files of the corpus.
pub(super) fn files() -> Vec<PathBuf> {
    let directory = std::fs::read_dir(PLACE)
        .unwrap_or_else(|error| panic!("there are no schemas in {PLACE} ({error}): make python"));
    let mut files: Vec<PathBuf> = directory
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Read {
    let text = std::fs::read_to_string(file).expect("a schema can be read");
    let schema = TypeSchema::parse(&text).map_err(|error| format!("{}: {error}", file.display()));
    let paths = schema.as_ref().map_or(0, |schema| {
        let lists = [
            schema.primary_identifier(),
            schema.read_only(),
            schema.write_only(),
            schema.create_only(),
            schema.conditional_create_only(),
            schema.deprecated(),
            schema.non_public(),
        ];
        let identifiers = schema.additional_identifiers().iter();
        lists.iter().map(|list| list.len()).sum::<usize>()
            + identifiers.map(Vec::len).sum::<usize>()
            + schema.property_transforms().len()
    });
    Read { schema, paths }
}

fn read_all(files: &[PathBuf]) -> Vec<Read> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let parts: Vec<_> = files
            .chunks(files.len().div_ceil(threads).max(1))
            .map(|part| scope.spawn(|| part.iter().map(|file| read(file)).collect::<Vec<_>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("a thread that reads ends"))
            .collect()
    })
}

/// Names a kind of oddity.
fn kind(oddity: &SchemaOddity) -> &'static str {
    match oddity {
        SchemaOddity::NoSuchProperty { .. } => "a path to no property",
        SchemaOddity::UnknownKeyword => "an unknown keyword",
        SchemaOddity::KeywordNotInDialect => "a keyword out of the dialect",
        SchemaOddity::OpenObject => "an open object",
        SchemaOddity::EnumWithoutType => "an enum without type",
        SchemaOddity::DefinitionName => "the name of a definition",
        SchemaOddity::NotRegistrable { .. } => "a missing keyword",
        SchemaOddity::Circle => "a circle",
        SchemaOddity::PatternNotEnforced { .. } => "a pattern that cannot be run",
        _ => "another",
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how many loaded is worth telling")]
fn every_published_schema_loads_and_what_is_odd_about_it_is_reported() {
    let read = read_all(&files());
    let refused: Vec<_> = read
        .iter()
        .filter_map(|read| read.schema.as_ref().err())
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");

    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lost = Vec::new();
    for schema in read.iter().flat_map(|read| &read.schema) {
        for warning in schema.warnings() {
            *kinds.entry(kind(&warning.oddity)).or_default() += 1;
            if matches!(warning.oddity, SchemaOddity::NoSuchProperty { .. }) {
                lost.push(format!("{} {warning}", schema.type_name()));
            }
        }
    }
    let paths: usize = read.iter().map(|read| read.paths).sum();
    println!(
        "{} schemas loaded; of their {paths} property paths, {} lead to no property:\n{}\n{kinds:#?}",
        read.len(),
        lost.len(),
        lost.join("\n"),
    );
    assert_eq!(read.len(), SCHEMAS);
    let expected = [
        ("a circle", 1),
        ("a keyword out of the dialect", 13),
        ("a missing keyword", 21),
        ("a path to no property", 12),
        ("a pattern that cannot be run", 119),
        ("an enum without type", 6),
        ("an open object", 13),
        ("an unknown keyword", 234),
        ("the name of a definition", 21),
    ];
    assert_eq!(kinds, BTreeMap::from(expected));
}
