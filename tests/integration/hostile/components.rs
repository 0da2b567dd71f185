//! Attacks on whoever loads a component: what is no component, what is too much of
//! one, and what asks for more than there is.

use std::fmt::Write as _;

use formwork_host::model::{Action, Digest};
use formwork_tests::hostile::{Text, number, section, with_inner};
use serde_json::json;

use super::answers::each;
use super::attack::{Attack, call, refused};
use super::scene::Scene;

const INVALID: &str = "refused: not a valid component";

const NESTED: &str =
    "refused: its components and types are nested more than 100 deep, and this host goes no deeper";

/// What a component begins with.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::play(
            "no-component",
            "to be no component: nothing, a script, a core module, machine code",
            |scene| Box::pin(no_component(scene)),
            &[],
            "each: refused",
        ),
        Attack::play(
            "truncated",
            "to end early, at each of 40 places",
            |scene| Box::pin(truncated(scene)),
            &[],
            "each: refused: not a valid component",
        ),
        Attack::play(
            "damaged",
            "to have a bit flipped, at each of 60 places",
            |scene| Box::pin(damaged(scene)),
            &[],
            "60 of 60 are refused, trapped or answered",
        ),
        Attack::made(
            "huge-component",
            "to have 129 MiB",
            || [&COMPONENT[..], &vec![0; 129 << 20]].concat(),
            "refused: the component has 135266312 bytes, more than the limit of 134217728 bytes: raise `load.size`",
        ),
        Attack::made(
            "many-sections",
            "to consist of a million sections that say nothing",
            || [&COMPONENT[..], &[0, 1, 0].repeat(1_000_000)].concat(),
            "more than the limit of 100000: raise `load.sections`",
        ),
        Attack::text(
            "many-memories",
            "to have several memories in a module",
            INVALID,
        ),
        feature("memory64", "to address memory with 64 bits", || {
            within("(core module (memory i64 1))", 1)
        }),
        feature("shared-memory", "to share its memory with threads", || {
            within("(core module (memory 1 1 shared))", 1)
        }),
        feature("tail-calls", "to loop by calls that never return", || {
            within("(core module (func $again (return_call $again)))", 1)
        }),
        feature("exceptions", "to throw", || {
            within("(core module (tag $thrown) (func (throw $thrown)))", 1)
        }),
        feature(
            "garbage-collection",
            "to have the host keep objects for it",
            || {
                within(
                    "(core module (type $list (struct (field (ref null $list))))
                    (func (drop (struct.new $list (ref.null $list)))))",
                    1,
                )
            },
        ),
        Attack::text(
            "many-tables",
            "to have a hundred tables",
            "more than the limit of 16: raise `load.tables`",
        ),
        Attack::made(
            "memories-of-many-modules",
            "to have a memory in each of a hundred modules",
            || {
                within(
                    "(core module $m (memory 1)) (core instance (instantiate $m))",
                    100,
                )
            },
            "more than the limit of 4: raise `load.memories`",
        ),
        Attack::made(
            "memories-that-add-up",
            "to have three memories, each of which is less than its limit",
            || {
                within(
                    "(core module $m (memory 500)) (core instance (instantiate $m))",
                    3,
                )
            },
            "the handler needs more than its 67108864 bytes of memory: raise `limits.memory` of the type",
        ),
        Attack::made(
            "tables-that-add-up",
            "to have ten tables, each of which is less than its limit",
            || {
                within(
                    "(core module $m (table 60000 funcref)) (core instance (instantiate $m))",
                    10,
                )
            },
            "more than the limit of 200000: raise `limits.table_elements` of the type",
        ),
        Attack::made(
            "many-instances",
            "to have ten thousand instances of a module",
            || within("(core module $m) (core instance (instantiate $m))", 10_000),
            "more than the limit of 128: raise `load.instances`",
        ),
        Attack::made(
            "exponential-instances",
            "to have 2^30 instances, by components that have two of each other",
            || with_inner(&Text::new("").component(), doubling_instances(30), 1),
            "more than the limit of 128: raise `load.instances`",
        ),
        Attack::made(
            "slow-compilation",
            "to take minutes to compile, by blocks that are nested 100,000 deep",
            || {
                let depth = 100_000;
                let (open, close) = ("(block ".repeat(depth), ")".repeat(depth));
                // A function that is never called has to be compiled all the same.
                Text::new(format!("(func {open}{close})")).component()
            },
            "refused: takes more than 5s to compile: raise `load.compile_time`",
        ),
        Attack::made(
            "exponential-types",
            "to have a type of 2^60 members, by pairs of pairs",
            || with_inner(&Text::new("").component(), doubling_types(60), 1),
            INVALID,
        ),
        Attack::made(
            "deep-types",
            "to have a type that is nested 5,000 deep",
            || with_inner(&Text::new("").component(), nested_types(5_000), 1),
            INVALID,
        ),
        Attack::made(
            "deep-references",
            "to have a type of an instance that has an instance, and so on, 5,000 deep",
            || with_inner(&Text::new("").component(), referring_types(5_000), 1),
            "refused: the compiler broke on it",
        ),
        Attack::made(
            "nested-instance-types",
            "to have a type of an instance in a type of an instance, and so on, a million deep",
            || types(&[&[1][..], &[0x42, 1, 1].repeat(1_000_000), &[0x42, 0]].concat()),
            NESTED,
        ),
        Attack::made(
            "nested-component-types",
            "to have a type of a component in a type of a component, and so on, a million deep",
            || types(&[&[1][..], &[0x41, 1, 1].repeat(1_000_000), &[0x41, 0]].concat()),
            NESTED,
        ),
        Attack::made(
            "nested-components",
            "to have a component in a component, and so on, a thousand deep",
            || {
                let mut inner = COMPONENT.to_vec();
                for _ in 0..1_000 {
                    let mut outer = COMPONENT.to_vec();
                    section(&mut outer, 4, &inner);
                    inner = outer;
                }
                inner
            },
            NESTED,
        ),
        Attack::made(
            "wide-types",
            "to have a type that holds twenty others, each of a million declarations of two bytes",
            || {
                let million = [
                    &[1, 0x42][..],
                    &number(1_000_000),
                    &[1, 0x7f].repeat(1_000_000),
                ];
                types(&[&[1, 0x42, 20][..], &million.concat().repeat(20)].concat())
            },
            "refused: the component has 100001 types, more than the limit of 100000: raise `load.types`",
        ),
        Attack::made(
            "hollow-types",
            "to say that it has four billion types, and have none",
            || types(&number(u32::MAX)),
            INVALID,
        ),
        Attack::made(
            "passive-elements",
            "to have a hundred instances, each with a million elements that are in no table",
            || instances(100, 9, &passive_elements(1_000_000)),
            "bytes of memory, more than the limit of 268435456 bytes: raise `limits.memory` of the type",
        ),
        Attack::made(
            "some-passive-elements",
            "to have a hundred instances, each with six thousand such elements, where its invocation may have 8 MiB",
            || instances(100, 9, &passive_elements(6_000)),
            "the handler needs more than its 8388608 bytes of memory: raise `limits.memory` of the type",
        )
        .with(|environment| environment.limits.memory_bytes = 8 << 20),
        Attack::made(
            "many-globals",
            "to have a hundred instances, each with a hundred thousand globals",
            || {
                let globals = [0x7f, 0, 0x41, 1, 0x0b].repeat(99_000);
                instances(100, 6, &[number(99_000), globals].concat())
            },
            "refused: what its instances are made of does not fit into a slot of this host",
        ),
        Attack::made(
            "many-exports",
            "to export a thousand names of 90 KB",
            || {
                let mut exports = number(1_000);
                for each in 0..1_000 {
                    let name = format!("{}{each:04}", "0".repeat(89_996));
                    exports.push(0);
                    exports.extend(number(90_000));
                    exports.extend(name.bytes());
                    exports.extend([3, 0, 0]);
                }
                let mut component = types(&[1, 0x7f]);
                section(&mut component, 11, &exports);
                component
            },
            "…` and 996 more, and no `formwork:handler/resource`",
        ),
        Attack::made(
            "unknown-import",
            "to import what there is not",
            || {
                Text::new("")
                    .importing("acme:tools/tool@1.0.0", "()")
                    .component()
            },
            "refused: imports `acme:tools/tool@1.0.0`, which this host does not have",
        ),
        Attack::made(
            "import-of-another-version",
            "to import an interface of WASI 0.3",
            || {
                Text::new("")
                    .importing("wasi:cli/environment@0.3.0", "()")
                    .component()
            },
            "refused: imports `wasi:cli/environment@0.3.0`: this host has version 0.2",
        ),
        Attack::made(
            "import-under-a-false-name",
            "to import a function that an interface of WASI does not have",
            || {
                Text::new("")
                    .importing("wasi:cli/environment@0.2.6", "()")
                    .component()
            },
            "refused: imports or exports something of another type than the contract has",
        ),
        Attack::made(
            "no-handler",
            "to export nothing",
            || wat::parse_str("(component)").expect("a component"),
            "refused: not a handler",
        ),
    ]
}

/// An attack with what no language's toolchain needs, and is off.
fn feature(name: &'static str, tries: &'static str, component: fn() -> Vec<u8>) -> Attack {
    Attack::made(name, tries, component, INVALID)
}

/// Gives a handler that instantiates a component of this text so many times.
fn within(inner: &str, times: u32) -> Vec<u8> {
    with_inner(
        &Text::new("").component(),
        format!("(component {inner})"),
        times,
    )
}

/// Gives a handler that makes so many instances of a module of one section.
fn instances(times: u32, kind: u8, contents: &[u8]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, kind, contents);
    let mut inner = COMPONENT.to_vec();
    section(&mut inner, 1, &module);
    let each = [0, 0, 0].repeat(times as usize);
    section(&mut inner, 2, &[number(times), each].concat());
    with_inner(&Text::new("").component(), inner, 1)
}

/// Gives a section of one passive segment, with so many times no function.
fn passive_elements(count: u32) -> Vec<u8> {
    let elements = [0xd0, 0x70, 0x0b].repeat(count as usize);
    [vec![1, 5, 0x70], number(count), elements].concat()
}

/// Gives a component that has nothing but a section of types.
fn types(contents: &[u8]) -> Vec<u8> {
    let mut component = COMPONENT.to_vec();
    section(&mut component, 7, contents);
    component
}

/// Gives a component with a type of an instance that has an instance of the type before.
fn referring_types(depth: usize) -> String {
    let mut text = "(component (type $t0 (instance))".to_owned();
    for level in 1..=depth {
        let below = level - 1;
        write!(
            text,
            r#"(type $t{level} (instance (alias outer 1 $t{below} (type)) (export "a" (instance (type 0)))))"#
        )
        .expect("a string takes all that is written");
    }
    text + ")"
}

/// Gives a component that makes `2^depth` instances of a core module.
fn doubling_instances(depth: usize) -> String {
    let mut text =
        "(component (component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=depth {
        let below = level - 1;
        write!(
            text,
            "(component $c{level} (alias outer 1 $c{below} (component $c))
                (instance (instantiate $c)) (instance (instantiate $c)))"
        )
        .expect("a string takes all that is written");
    }
    write!(text, "(instance (instantiate $c{depth})))")
        .expect("a string takes all that is written");
    text
}

/// Gives a component with a type of `2^depth` members.
fn doubling_types(depth: usize) -> String {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for level in 1..=depth {
        let below = level - 1;
        write!(text, "(type $t{level} (tuple $t{below} $t{below}))")
            .expect("a string takes all that is written");
    }
    text + ")"
}

/// Gives a component with a list of lists of lists.
fn nested_types(depth: usize) -> String {
    let mut text = "(component (type $t0 (list u8))".to_owned();
    for level in 1..=depth {
        let below = level - 1;
        write!(text, "(type $t{level} (list $t{below}))")
            .expect("a string takes all that is written");
    }
    text + ")"
}

async fn no_component(scene: &Scene) -> String {
    let mut endings = Vec::new();
    for bytes in [
        Vec::new(),
        b"#!/bin/sh\nid\n".to_vec(),
        b"\0asm".to_vec(),
        wat::parse_str("(module)").expect("a module"),
        b"\x7fELF\x02\x01\x01".repeat(100),
        vec![0; 1_000_000],
    ] {
        let ending = match scene.sandbox.load(bytes).await {
            Ok(_) => "loaded".to_owned(),
            Err(refusal) => refused(&refusal),
        };
        // Each is told what it is instead.
        endings.push(ending.split(": ").next().unwrap_or_default().to_owned());
    }
    each(endings)
}

async fn truncated(scene: &Scene) -> String {
    let whole = Text::new("").component();
    let mut endings = Vec::new();
    for place in 1..=40 {
        // What has no head is told to be no component at all.
        let length = 8 + (whole.len() - 9) * place / 40;
        endings.push(match scene.sandbox.load(&whole[..length]).await {
            Ok(_) => "loaded".to_owned(),
            Err(refusal) => refused(&refusal),
        });
    }
    endings.retain(|ending| !ending.starts_with("refused: not a handler"));
    each(endings)
}

async fn damaged(scene: &Scene) -> String {
    const PLACES: usize = 60;
    let whole = Text::new("").component();
    let environment = scene.environment();
    let mut well = 0;
    for place in 0..PLACES {
        let mut bytes = whole.clone();
        // Drawn from the place, so that the same bits are flipped each time.
        let drawn = Digest::of(&place.to_le_bytes()).to_string();
        let drawn = usize::from_str_radix(&drawn[drawn.len() - 8..], 16).expect("a digest");
        let at = 8 + drawn % (whole.len() - 8);
        bytes[at] ^= 1 << (drawn % 8);
        let ending = match scene.sandbox.load(bytes).await {
            Ok(handler) => call(&handler, Action::Create, &json!({}), &environment).await,
            Err(refusal) => refused(&refusal),
        };
        let known = ["refused: ", "trap (", "answered: "];
        well += usize::from(known.iter().any(|kind| ending.starts_with(kind)));
    }
    format!("{well} of {PLACES} are refused, trapped or answered")
}
