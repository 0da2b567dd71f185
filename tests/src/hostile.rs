//! Components made of WebAssembly's text: what no compiler of a language writes.
//!
//! A text holds what a core module has besides a well-behaved handler, whose
//! actions all succeed with an empty model; what it exports itself takes the place
//! of the handler's. It exports actions by their bare names, `create`, and what
//! follows an action as `after-create`. Addresses from 2048 to 32768 are its own.

use std::fmt::Write as _;
use std::fs;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../wit/handler.wit");

/// What every export of the contract begins with.
const INTERFACE: &str = "formwork:handler/resource@0.1.0#";

/// Who it says it is.
const SCHEMA: &str = r#"{"typeName":"Formwork::Tests::Text","properties":{"Name":{"type":"string"}},"primaryIdentifier":["/properties/Name"],"additionalProperties":false}"#;

/// Where texts begin; below are the answers.
const TEXTS: usize = 1024;

/// What the well-behaved handler exports, and how. Each function leaves the
/// address of its answer.
const DEFAULTS: [(&str, &str); 8] = [
    ("memory", r#"(memory (export "memory") 2)"#),
    (
        "cabi_realloc",
        r#"(global $free (mut i32) (i32.const 32768))
           (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
               (local $start i32)
               (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
               (global.set $free (i32.add (local.get $start) (local.get 3)))
               (local.get $start))"#,
    ),
    (
        "describe",
        r#"(func (export "describe") (result i32) (i32.const 0))"#,
    ),
    (
        "create",
        r#"(func (export "create") (param i32) (result i32) (i32.const 64))"#,
    ),
    (
        "read",
        r#"(func (export "read") (param i32) (result i32) (i32.const 128))"#,
    ),
    (
        "update",
        r#"(func (export "update") (param i32) (result i32) (i32.const 64))"#,
    ),
    (
        "delete",
        r#"(func (export "delete") (param i32) (result i32) (i32.const 192))"#,
    ),
    (
        "list",
        r#"(func (export "list") (param i32) (result i32) (i32.const 256))"#,
    ),
];

/// A component in the making.
#[derive(Debug)]
pub struct Text {
    text: String,
    schema: String,
    imports: Vec<(String, String)>,
}

impl Text {
    /// Begins with the text of `tests/hostile/NAME.wat`.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    #[must_use]
    pub fn file(name: &str) -> Self {
        let path = format!("{}/hostile/{name}.wat", env!("CARGO_MANIFEST_DIR"));
        Self::new(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// Begins with a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            schema: SCHEMA.to_owned(),
            imports: Vec::new(),
        }
    }

    /// Imports a function `use-it` of an interface, `package:name/interface@version`.
    #[must_use]
    pub fn importing(mut self, interface: &str, signature: &str) -> Self {
        self.imports
            .push((interface.to_owned(), signature.to_owned()));
        self
    }

    /// Describes itself by another schema.
    #[must_use]
    pub fn schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.schema);
        self
    }

    /// Gives the component.
    ///
    /// # Panics
    ///
    /// When the text is no module, or not one of the contract.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        let (resolve, world) = self.world();
        let text = self.module();
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("a module takes a section");
        ComponentEncoder::default()
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn world(&self) -> (Resolve, wit_parser::WorldId) {
        let mut resolve = Resolve::default();
        resolve
            .push_str("handler.wit", CONTRACT)
            .expect("the contract");
        let mut world = "package test:text; world text {
            include formwork:handler/resource-type@0.1.0;"
            .to_owned();
        for (number, (interface, signature)) in self.imports.iter().enumerate() {
            let (name, version) = interface.split_once('@').expect("a version");
            let (package, name) = name.split_once('/').expect("an interface");
            let wit = format!(
                "package {package}@{version}; interface {name} {{ use-it: func{signature}; }}"
            );
            resolve
                .push_str(format!("{number}.wit"), &wit)
                .expect("a package");
            write!(world, " import {interface};").expect("a string takes all that is written");
        }
        world.push('}');
        let package = resolve.push_str("text.wit", &world).expect("a world");
        let world = resolve.select_world(&[package], None).expect("a world");
        (resolve, world)
    }

    /// Gives the text of the whole module.
    fn module(&self) -> String {
        let mut text = "(module\n".to_owned();
        for (interface, _) in &self.imports {
            writeln!(text, r#"(import "{interface}" "use-it" (func))"#)
                .expect("a string takes all that is written");
        }
        text.push_str(&self.text);
        for (export, code) in DEFAULTS {
            if !self.text.contains(&format!(r#"(export "{export}""#)) {
                text.push_str(code);
                text.push('\n');
            }
        }
        for action in ["describe", "create", "read", "update", "delete", "list"] {
            text = text
                .replace(
                    &format!(r#"(export "{action}")"#),
                    &format!(r#"(export "{INTERFACE}{action}")"#),
                )
                .replace(
                    &format!(r#"(export "after-{action}")"#),
                    &format!(r#"(export "cabi_post_{INTERFACE}{action}")"#),
                );
        }
        let model = TEXTS + self.schema.len();
        for (address, words) in [
            (0, &[TEXTS, self.schema.len(), TEXTS, 0][..]),
            // A success, what a read gives, a deletion, and an empty page.
            (64, &[1, model, 2, 0, 0, 0]),
            (128, &[0, model, 2]),
            (192, &[1, 0, 0, 0]),
            (256, &[0, model, 0, 0]),
        ] {
            let bytes = words.iter().flat_map(|word| {
                let word = u32::try_from(*word).expect("a word");
                word.to_le_bytes()
            });
            text.push_str(&data(address, bytes));
        }
        text.push_str(&data(TEXTS, self.schema.bytes()));
        text.push_str(&data(model, "{}".bytes()));
        text.push(')');
        text
    }
}

/// Gives a data segment in text.
#[must_use]
pub fn data(address: usize, bytes: impl IntoIterator<Item = u8>) -> String {
    let mut text = format!("(data (i32.const {address}) \"");
    for byte in bytes {
        write!(text, "\\{byte:02x}").expect("a string takes all that is written");
    }
    text + "\")\n"
}

/// Gives a component that has another one within, by its text or its bytes, and
/// instantiates it so many times when it is instantiated itself.
///
/// # Panics
///
/// When `inner` is no text of a component.
#[must_use]
pub fn with_inner(outer: &[u8], inner: impl AsRef<[u8]>, times: u32) -> Vec<u8> {
    let inner = inner.as_ref();
    let inner = wat::parse_bytes(inner)
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(inner)));
    let mut component = outer.to_vec();
    let index = inner_components(outer);
    section(&mut component, 4, &inner);
    let mut instances = number(times);
    for _ in 0..times {
        instances.push(0);
        instances.extend(number(index));
        instances.push(0);
    }
    section(&mut component, 5, &instances);
    component
}

/// Counts the components within a component.
fn inner_components(component: &[u8]) -> u32 {
    let (mut at, mut count) = (8, 0);
    while let Some(&kind) = component.get(at) {
        let (mut size, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            size |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] < 0x80 {
                break;
            }
        }
        count += u32::from(kind == 4);
        at += 1 + size;
    }
    count
}

/// Appends a section.
///
/// # Panics
///
/// When it has 4 GiB or more.
pub fn section(component: &mut Vec<u8>, kind: u8, contents: &[u8]) {
    component.push(kind);
    component.extend(number(
        u32::try_from(contents.len()).expect("a section is below 4 GiB"),
    ));
    component.extend_from_slice(contents);
}

/// Writes a number as WebAssembly does.
#[must_use]
pub fn number(mut number: u32) -> Vec<u8> {
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
