//! Makes small guests: components of the handler contract around a module in
//! WebAssembly's text format.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SizeAlign, TypeDefKind, WorldItem};

const CONTRACT: &str = include_str!("../../../wit/handler.wit");

/// Where constant texts begin; below are the answers.
const TEXTS: usize = 1024;
/// Where the memory for what the host passes in begins.
const HEAP: usize = 32 * 1024;

/// A guest in the making. Every action is `unreachable` until it is given.
pub(super) struct Guest {
    wit: Vec<String>,
    world: String,
    imports: String,
    items: String,
    describe: String,
    actions: [(&'static str, String); 5],
    memory: String,
    data: String,
    next_text: usize,
    contract: String,
}

impl Guest {
    pub(super) fn new() -> Self {
        let mut guest = Self {
            wit: Vec::new(),
            world: "import formwork:handler/logging@0.1.0;".to_owned(),
            imports: r#"(import "formwork:handler/logging@0.1.0" "log"
                          (func $log (param i32 i32 i32)))"#
                .to_owned(),
            items: String::new(),
            describe: String::new(),
            actions: ["create", "read", "update", "delete", "list"]
                .map(|action| (action, "unreachable".to_owned())),
            memory: "2".to_owned(),
            data: String::new(),
            next_text: TEXTS,
            contract: CONTRACT.to_owned(),
        };
        let (pointer, length) = guest.text(r#"{"typeName":"Acme::Test::Thing"}"#);
        let (hosts, _) = guest.text("");
        guest.words(0, &[pointer, length, hosts, 0]);
        guest.describe = "i32.const 0".to_owned();
        guest
    }

    /// Puts `text` into the memory, and gives its pointer and length.
    pub(super) fn text(&mut self, text: &str) -> (usize, usize) {
        let pointer = self.next_text;
        write!(self.data, "(data (i32.const {pointer}) \"").expect("text");
        for byte in text.bytes() {
            write!(self.data, "\\{byte:02x}").expect("text");
        }
        self.data.push_str("\")\n");
        self.next_text += text.len();
        (pointer, text.len())
    }

    /// Puts 32-bit words into the memory.
    pub(super) fn words(&mut self, address: usize, words: &[usize]) {
        write!(self.data, "(data (i32.const {address}) \"").expect("text");
        for byte in words
            .iter()
            .flat_map(|word| u32::try_from(*word).expect("a word").to_le_bytes())
        {
            write!(self.data, "\\{byte:02x}").expect("text");
        }
        self.data.push_str("\")\n");
    }

    /// Gives the code of an action: its argument is in local 0, a pointer to
    /// what it is given, and it leaves a pointer to its answer.
    pub(super) fn action(mut self, action: &str, code: impl Into<String>) -> Self {
        let place = self.actions.iter_mut().find(|(name, _)| *name == action);
        place.expect("an action").1 = code.into();
        self
    }

    pub(super) fn create(self, code: impl Into<String>) -> Self {
        self.action("create", code)
    }

    pub(super) fn describe(mut self, code: &str) -> Self {
        code.clone_into(&mut self.describe);
        self
    }

    /// Lets an action answer constant words, with texts wherever a string of
    /// `texts` is called for by `usize::MAX`.
    pub(super) fn answers(mut self, action: &str, words: &[usize], texts: &[&str]) -> Self {
        let address = 64
            * (1 + self
                .actions
                .iter()
                .position(|(name, _)| *name == action)
                .expect("an action"));
        let mut texts = texts.iter();
        let mut filled = Vec::new();
        for word in words {
            if *word == usize::MAX {
                let (pointer, length) = self.text(texts.next().expect("a text"));
                filled.extend([pointer, length]);
            } else {
                filled.push(*word);
            }
        }
        self.words(address, &filled);
        self.action(action, format!("i32.const {address}"))
    }

    /// Lets a create succeed with `model`.
    pub(super) fn succeeds(self, model: &str) -> Self {
        self.answers("create", &[1, usize::MAX, 0, 0, 0], &[model])
    }

    /// Adds functions, globals and the like.
    pub(super) fn items(mut self, items: &str) -> Self {
        self.items.push_str(items);
        self
    }

    pub(super) fn memory(mut self, memory: &str) -> Self {
        memory.clone_into(&mut self.memory);
        self
    }

    /// Imports from another package than the contract's.
    pub(super) fn imports(mut self, wit: &str, world: &str, imports: &str) -> Self {
        self.wit.push(wit.to_owned());
        self.world.push_str(world);
        self.imports.push_str(imports);
        self
    }

    /// Adds to the world, without another package.
    pub(super) fn world(mut self, world: &str, imports: &str) -> Self {
        self.world.push_str(world);
        self.imports.push_str(imports);
        self
    }

    /// Makes the guest for another version of the contract.
    pub(super) fn contract_version(mut self, version: &str) -> Self {
        self.contract = self.contract.replace("0.1.0", version);
        self.world = self.world.replace("0.1.0", version);
        self.imports = self.imports.replace("0.1.0", version);
        self
    }

    fn version(&self) -> &str {
        let (_, rest) = self
            .contract
            .split_once("package formwork:handler@")
            .expect("a package");
        rest.split_once(';').expect("a version").0
    }

    fn resolve(&self) -> (Resolve, wit_parser::WorldId) {
        let mut resolve = Resolve::default();
        resolve
            .push_str("handler.wit", &self.contract)
            .expect("the contract");
        for (index, wit) in self.wit.iter().enumerate() {
            resolve
                .push_str(format!("{index}.wit"), wit)
                .expect("a package");
        }
        let world = format!(
            "package test:guest; world guest {{ {} export formwork:handler/%resource@{}; }}",
            self.world,
            self.version()
        );
        let package = resolve.push_str("guest.wit", &world).expect("a world");
        let world = resolve.select_world(&[package], None).expect("a world");
        (resolve, world)
    }

    /// Gives the component.
    pub(super) fn build(self) -> Vec<u8> {
        let (resolve, world) = self.resolve();
        let version = self.version();
        let mut text = format!(
            r#"(module
                {imports}
                (memory (export "memory") {memory})
                (global $free (mut i32) (i32.const {HEAP}))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $start i32)
                    (local.set $start
                        (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.set $free (i32.add (local.get $start) (local.get 3)))
                    (local.get $start))
                {items}
                {data}
                (data (i32.const 8192) "{{\22text\22:\22")
                (func (export "formwork:handler/resource@{version}#describe") (result i32)
                    {describe})
            "#,
            imports = self.imports,
            memory = self.memory,
            items = self.items,
            data = self.data,
            describe = self.describe,
        );
        for (action, code) in &self.actions {
            write!(
                text,
                r#"(func (export "formwork:handler/resource@{version}#{action}")
                    (param i32) (result i32) {code})"#
            )
            .expect("text");
        }
        text.push(')');
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("metadata");
        ComponentEncoder::default()
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .unwrap_or_else(|error| panic!("{error:?}"))
    }
}

/// Adds to a component a core module, in WebAssembly's text format, and so many
/// instances of it. It must not import anything.
pub(super) fn instances(mut component: Vec<u8>, module: &str, count: usize) -> Vec<u8> {
    let mut modules = 0;
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(&component) {
        match payload.expect("a component") {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ModuleSection { .. } if depth == 1 => modules += 1,
            _ => {}
        }
    }
    let module = wat::parse_str(module).expect("a module");
    section(&mut component, 1, &module);
    let mut made = number(count);
    for _ in 0..count {
        made.push(0);
        made.extend(number(modules));
        made.push(0);
    }
    section(&mut component, 2, &made);
    component
}

fn section(component: &mut Vec<u8>, id: u8, contents: &[u8]) {
    component.push(id);
    component.extend(number(contents.len()));
    component.extend(contents);
}

/// Writes a number as WebAssembly does, in LEB128.
fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Gives the byte offset of a member of the request, or of the argument after
/// the request (`None`), in what an action is given.
pub(super) fn offset(member: Option<&str>) -> usize {
    let (resolve, world) = Guest::new().resolve();
    let WorldItem::Interface { id, .. } = resolve.worlds[world]
        .exports
        .values()
        .next()
        .expect("an export")
    else {
        panic!("an interface is exported");
    };
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let create = &resolve.interfaces[*id].functions["create"];
    let request = create.params[0].ty;
    let Some(member) = member else {
        let desired = sizes.params(create.params.iter().map(|param| &param.ty));
        assert!(desired.size.size_wasm32() > 0);
        return sizes.field_offsets(create.params.iter().map(|param| &param.ty))[1]
            .0
            .size_wasm32();
    };
    let wit_parser::Type::Id(mut id) = request else {
        panic!("the request is a record");
    };
    while let TypeDefKind::Type(wit_parser::Type::Id(alias)) = resolve.types[id].kind {
        id = alias;
    }
    let TypeDefKind::Record(record) = &resolve.types[id].kind else {
        panic!("the request is a record");
    };
    let index = record
        .fields
        .iter()
        .position(|field| field.name == member)
        .expect("a member");
    sizes.field_offsets(record.fields.iter().map(|field| &field.ty))[index]
        .0
        .size_wasm32()
}

/// Gives code that succeeds with the string at `offset` in the argument, put
/// between `{"text":"` and `"}` if `quoted`.
pub(super) fn echo(offset: usize) -> String {
    // Words at 896: success, then the string, then no message.
    format!(
        "(i32.store (i32.const 896) (i32.const 1))
         (i32.store (i32.const 900) (i32.load offset={offset} (local.get 0)))
         (i32.store (i32.const 904) (i32.load offset={length} (local.get 0)))
         i32.const 896",
        length = offset + 4
    )
}

/// Gives code that succeeds with `{"text":"…"}` around the string at `offset`
/// in the argument.
pub(super) fn quote(offset: usize) -> String {
    // The text is put together at 16384, between its two halves.
    format!(
        r#"(local $length i32)
         (local.set $length (i32.load offset={length} (local.get 0)))
         (memory.copy (i32.const 16384) (i32.const 8192) (i32.const 9))
         (memory.copy (i32.const 16393) (i32.load offset={offset} (local.get 0)) (local.get $length))
         (i32.store16 (i32.add (i32.const 16393) (local.get $length)) (i32.const 0x7d22))
         (i32.store (i32.const 896) (i32.const 1))
         (i32.store (i32.const 900) (i32.const 16384))
         (i32.store (i32.const 904) (i32.add (local.get $length) (i32.const 11)))
         i32.const 896"#,
        length = offset + 4
    )
}

/// Gives a guest whose create waits for `nanoseconds` on the monotonic clock.
pub(super) fn waiting(nanoseconds: u64) -> Guest {
    Guest::new()
        .imports(
            "package wasi:io@0.2.6; interface poll { resource pollable { block: func(); } }",
            "",
            r#"(import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))"#,
        )
        .imports(
            "package wasi:clocks@0.2.6; interface monotonic-clock {
                use wasi:io/poll@0.2.6.{pollable};
                subscribe-duration: func(when: u64) -> pollable;
            }",
            "import wasi:clocks/monotonic-clock@0.2.6;",
            r#"(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration"
                (func $subscribe (param i64) (result i32)))"#,
        )
        .succeeds("{}")
        .create(format!(
            "(call $block (call $subscribe (i64.const {nanoseconds}))) i32.const 64"
        ))
}

/// Gives a guest whose create succeeds if `path` in its first directory can be
/// opened with `flags`, following links, and fails if not.
pub(super) fn opening(path: &str, flags: u32) -> Guest {
    let mut guest = Guest::new()
        .imports(
            "package wasi:filesystem@0.2.6;
             interface types {
                flags path-flags { symlink-follow }
                flags open-flags { create, directory, exclusive, truncate }
                flags descriptor-flags {
                    read, write, file-integrity-sync, data-integrity-sync,
                    requested-write-sync, mutate-directory
                }
                enum error-code {
                    access, would-block, already, bad-descriptor, busy, deadlock, quota, exist,
                    file-too-large, illegal-byte-sequence, in-progress, interrupted, invalid, io,
                    is-directory, loop, too-many-links, message-size, name-too-long, no-device,
                    no-entry, no-lock, insufficient-memory, insufficient-space, not-directory,
                    not-empty, not-recoverable, unsupported, no-tty, no-such-device, overflow,
                    not-permitted, pipe, read-only, invalid-seek, text-file-busy, cross-device
                }
                resource descriptor {
                    open-at: func(path-flags: path-flags, path: string, open-flags: open-flags,
                        %flags: descriptor-flags) -> result<descriptor, error-code>;
                }
             }
             interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
             }",
            "import wasi:filesystem/preopens@0.2.6;",
            r#"(import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
               (import "wasi:filesystem/types@0.2.6" "[method]descriptor.open-at"
                    (func $open (param i32 i32 i32 i32 i32 i32 i32)))"#,
        )
        .succeeds("{}")
        .answers("update", &[2, 2, usize::MAX, 0, 0, 0], &["refused"]);
    let (pointer, length) = guest.text(path);
    guest.create(format!(
        "(call $directories (i32.const 900))
         (call $open (i32.load (i32.load (i32.const 900))) (i32.const 1)
            (i32.const {pointer}) (i32.const {length}) (i32.const 0) (i32.const {flags})
            (i32.const 912))
         (if (result i32) (i32.load8_u (i32.const 912))
            (then (i32.const 192)) (else (i32.const 64)))"
    ))
}

/// Gives a guest with a function `$print` that writes `text` to standard error.
pub(super) fn printing(text: &str) -> Guest {
    let mut guest = Guest::new()
        .imports(
            "package wasi:io@0.2.6;
             interface error { resource error; }
             interface streams {
                use error.{error};
                variant stream-error { last-operation-failed(error), closed }
                resource output-stream {
                    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                }
             }",
            "",
            r#"(import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))"#,
        )
        .imports(
            "package wasi:cli@0.2.6; interface stderr {
                use wasi:io/streams@0.2.6.{output-stream};
                get-stderr: func() -> output-stream;
            }",
            "import wasi:cli/stderr@0.2.6;",
            r#"(import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))"#,
        );
    let (pointer, length) = guest.text(text);
    guest.items(&format!(
        "(func $print
            (call $write (call $stderr) (i32.const {pointer}) (i32.const {length}) (i32.const 912)))"
    ))
}
