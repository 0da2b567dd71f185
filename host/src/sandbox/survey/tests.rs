//! The survey of components made of text and of bytes.

use super::weight::PAGE;
use super::*;

fn survey_of(text: &str) -> Result<Survey, LoadError> {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    survey_bytes(&bytes)
}

fn survey_bytes(bytes: &[u8]) -> Result<Survey, LoadError> {
    let surveyed = survey(bytes, LoadLimits::default(), Limits::default())?;
    Ok(surveyed.survey)
}

#[test]
fn all_that_a_component_contains_is_counted() {
    let survey = survey_of(
        r#"(component
            (component $inner
                (core module $m
                    (memory 1) (table 1 funcref) (global i32 (i32.const 0))
                    (func (export "f")) (func) (data (i32.const 0) "a"))
                (core instance (instantiate $m))
                (core instance (instantiate $m)))
            (alias outer 0 $inner (component $again))
            (instance (instantiate $inner))
            (instance (instantiate $again))
            (type (instance (type string) (type (list 0)))))"#,
    )
    .expect("within the limits");
    assert_eq!(
        (survey.instances, survey.memories, survey.tables),
        (4, 4, 4)
    );
    assert_eq!((survey.components, survey.functions), (3, 2));
    assert_eq!((survey.globals, survey.segments), (1, 1));
    assert_eq!((survey.exports, survey.types), (1, 4));
    assert!(survey.function_bytes > 0 && survey.size > 100);
    assert_eq!((survey.memory_bytes, survey.table_elements), (4 * PAGE, 4));
}

#[test]
fn types_of_every_kind_are_counted() {
    let survey = survey_of(
        r#"(component
            (core type (func (param i32)))
            (core type (module (type (func)) (import "a" "b" (func (type 0))) (export "c" (global i32))))
            (type (func (param "a" u8) (param "b" string) (result bool)))
            (type (record (field "a" u8) (field "b" u8)))
            (type (variant (case "a" u8) (case "b")))
            (type (tuple u8 u8 u8))
            (type (flags "a" "b"))
            (type (enum "a" "b" "c"))
            (type (option u8))
            (type (resource (rep i32)))
            (type (component
                (type (list u8))
                (alias outer 1 0 (type))
                (import "a" (func (type 1)))
                (export "b" (type (eq 0)))
                (type (instance (export "c" (type (sub resource))))))))"#,
    )
    .expect("within the limits");
    // Each type, each of its parts, and each declaration.
    assert_eq!(survey.types, 1 + 4 + 3 + 3 + 3 + 4 + 3 + 4 + 1 + 1 + 7);
}

/// Gives a component of one section.
fn component(id: u8, contents: &[u8]) -> Vec<u8> {
    section(b"\0asm\x0d\0\x01\0", id, contents)
}

/// Appends a section.
fn section(before: &[u8], id: u8, contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).expect("it is below 4 GiB");
    [before, &[id], &number(length), contents].concat()
}

/// Writes a number as WebAssembly does.
fn number(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[test]
fn what_is_nested_is_refused_when_it_is_too_deep_however_deep_it_is() {
    let instances = |depth| [&[1][..], &[0x42, 1, 1].repeat(depth), &[0x42, 0]].concat();
    let components = |depth| [&[1][..], &[0x41, 1, 1].repeat(depth), &[0x41, 0]].concat();
    let both = |depth| {
        [
            &[1][..],
            &[0x42, 1, 1, 0x41, 1, 1].repeat(depth),
            &[0x42, 0],
        ]
        .concat()
    };
    survey_bytes(&component(7, &instances(90))).expect("it is not deep");
    for contents in [instances(1_000_000), components(1_000_000), both(500_000)] {
        let refusal = survey_bytes(&component(7, &contents)).expect_err("too deep");
        assert!(
            refusal.to_string().contains("more than 100 deep"),
            "{refusal}"
        );
    }
    let mut inner = component(0, &[0]);
    for _ in 0..101 {
        inner = component(4, &inner);
    }
    let refusal = survey_bytes(&inner).expect_err("too deep");
    assert!(
        refusal.to_string().contains("more than 100 deep"),
        "{refusal}"
    );
}

#[test]
fn types_of_many_parts_are_refused_while_they_are_read() {
    const MANY: usize = 5_000_000;
    let many = |begin: &[u8], each: &[u8]| {
        let count = number(u32::try_from(MANY).expect("a number"));
        [begin, &count, &each.repeat(MANY)].concat()
    };
    let module = |contents: &[u8]| component(1, &section(b"\0asm\x01\0\0\0", 1, contents));
    for (bytes, what) in [
        (component(7, &many(&[], &[0x42, 0])), "empty instances"),
        (
            component(7, &many(&[1, 0x42], &[1, 0x7f])),
            "declarations of an instance",
        ),
        (
            component(7, &many(&[1, 0x41], &[1, 0x7f])),
            "declarations of a component",
        ),
        (
            component(7, &many(&[1, 0x41], &[0, 0x60, 0, 0])),
            "types of functions in a component",
        ),
        (
            component(3, &many(&[1, 0x50], &[1, 0x60, 0, 0])),
            "declarations of a module",
        ),
        (
            component(3, &many(&[1, 0x4e], &[0x60, 0, 0])),
            "types of a group",
        ),
        (
            module(&many(&[1, 0x4e], &[0x60, 0, 0])),
            "types of a group in a module",
        ),
        (module(&many(&[], &[0x60, 0, 0])), "types of a module"),
        (
            component(
                7,
                &[
                    &number(11)[..],
                    &[&[0x6f][..], &number(10_000), &[0x7f; 10_000]]
                        .concat()
                        .repeat(11),
                ]
                .concat(),
            ),
            "tuples",
        ),
    ] {
        let refusal = survey_bytes(&bytes).expect_err(what).to_string();
        assert!(refusal.contains("raise `load.types`"), "{what}: {refusal}");
    }
    // A count is believed as far as there are bytes for it.
    let hollow = [&[1, 0x42][..], &number(u32::MAX), &[1, 0x7f]].concat();
    let refusal = survey_bytes(&component(7, &hollow)).expect_err("it ends early");
    assert!(matches!(refusal, LoadError::Invalid { .. }), "{refusal}");
}

#[test]
fn what_the_host_keeps_for_instances_is_counted_with_their_memory() {
    let of = |module: &str, times: usize| {
        let instances = "(core instance (instantiate $m))".repeat(times);
        survey_of(&format!(
            "(component (core module $m {module}) {instances})"
        ))
    };
    let nothing = of("", 2).expect("within").instance_bytes;
    for (module, each) in [
        (
            "(elem funcref (ref.null func) (ref.null func) (ref.null func))".to_owned(),
            48 + 3 * 16,
        ),
        ("(func) (elem func 0 0)".to_owned(), 32 + 48 + 2 * 16),
        // What is written to a table is no more than that.
        (
            "(table 9 funcref) (func) (elem (i32.const 0) func 0 0)".to_owned(),
            128 + 32 + 48,
        ),
        ("(func) (elem declare func 0 0)".to_owned(), 32 + 48),
        ("(global i32 (i32.const 1))".repeat(5), 5 * 16),
        ("(func)".repeat(7), 7 * 32),
        ("(memory 0) (data (i32.const 0) \"\")".to_owned(), 256 + 48),
    ] {
        let survey = of(&module, 2).expect("within");
        assert_eq!(survey.instance_bytes - nothing, 2 * each, "{module}");
    }
    for (module, times) in [
        (
            format!("(elem funcref {})", "(ref.null func)".repeat(200_000)),
            100,
        ),
        ("(global i32 (i32.const 1))".repeat(90_000), 200),
    ] {
        let limits = LoadLimits {
            instances: 200,
            ..LoadLimits::default()
        };
        let bytes = wat::parse_str(format!(
            "(component (core module $m {module}) {})",
            "(core instance (instantiate $m))".repeat(times)
        ))
        .expect("a component");
        let refusal = survey(&bytes, limits, Limits::default())
            .expect_err("over the memory")
            .to_string();
        assert!(
            refusal.contains("raise `limits.memory` of the type"),
            "{refusal}"
        );
    }
}

#[test]
fn what_instances_are_given_and_made_of_is_counted() {
    let arguments = |count: usize| {
        (0..count)
            .map(|n| format!("(with \"{n}\" (instance $i))"))
            .collect::<String>()
    };
    let text = |count| {
        format!(
            "(component (core module $m) (core instance $i (instantiate $m)) (core instance (instantiate $m {})))",
            arguments(count)
        )
    };
    let few = survey_of(&text(1)).expect("within").sections;
    assert_eq!(survey_of(&text(100)).expect("within").sections, few + 99);
}

#[test]
fn what_many_small_parts_are_made_of_is_counted_whatever_they_are() {
    let head = b"\0asm\x0d\0\x01\0";
    // Custom sections without a name; types of no parts; aliases of what is outside.
    for (id, contents) in [(0, &[0][..]), (7, &[0]), (6, &[1, 3, 2, 1, 0])] {
        let bytes = [&head[..], &section(&[], id, contents).repeat(100_001)].concat();
        let refusal = survey_bytes(&bytes);
        let refusal = refusal.expect_err("too many").to_string();
        assert!(refusal.contains("raise `load.sections`"), "{id}: {refusal}");
    }
}

#[test]
fn what_would_begin_over_a_limit_is_refused_with_its_setting() {
    let many = |declaration: &str, times: usize| {
        let instances = "(core instance (instantiate $m))".repeat(times);
        survey_of(&format!(
            "(component (core module $m {declaration}) {instances})"
        ))
    };
    for (declaration, times, words) in [
        ("(memory 2000)", 2, None),
        (
            "(memory 2000)",
            3,
            Some("raise `limits.memory` of the type"),
        ),
        (
            "(memory 65536)",
            1,
            Some("bytes of memory, more than the limit of 268435456 bytes: raise `limits.memory`"),
        ),
        ("(table 60000 funcref)", 3, None),
        (
            "(table 60000 funcref)",
            4,
            Some("raise `limits.table_elements` of the type"),
        ),
        (
            "(table 4294967295 funcref)",
            1,
            Some("4294967295 table elements"),
        ),
    ] {
        match (many(declaration, times), words) {
            (Ok(_), None) => {}
            (Err(refusal), Some(words)) => {
                assert!(refusal.to_string().contains(words), "{refusal}");
            }
            (other, _) => panic!("{declaration} {times}: {other:?}"),
        }
    }
}

#[test]
fn instances_that_multiply_are_refused_at_once() {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..60 {
        text = format!(
            "(component $c{level} {text} (instance (instantiate $c{below}))
                (instance (instantiate $c{below})))",
            below = level - 1
        );
    }
    let refusal = survey_of(&text).expect_err("2 to the 59").to_string();
    assert!(refusal.contains("raise `load.instances`"), "{refusal}");
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let text = r#"(component
        (import "c" (component $given))
        (instance (instantiate $given)))"#;
    let refusal = survey_of(text).expect_err("it is given");
    assert!(matches!(refusal, LoadError::Uncountable), "{refusal}");
}

#[test]
fn strings_of_another_encoding_than_utf_8_are_refused() {
    for (encoding, expected) in [
        ("utf8", None),
        ("utf16", Some("UTF-16")),
        ("latin1+utf16", Some("Latin-1")),
    ] {
        let refusal = survey_of(&format!(
            r#"(component
                (core module $m (memory (export "m") 1) (func (export "f") (param i32 i32))
                    (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
                (core instance $i (instantiate $m))
                (func (export "f") (param "text" string)
                    (canon lift (core func $i "f") (memory $i "m") (realloc (func $i "r"))
                        string-encoding={encoding})))"#
        ))
        .map(drop);
        match (refusal, expected) {
            (Ok(()), None) => {}
            (Err(refusal), Some(words)) => {
                assert!(refusal.to_string().contains(words), "{refusal}");
            }
            (other, _) => panic!("{encoding}: {other:?}"),
        }
    }
}
