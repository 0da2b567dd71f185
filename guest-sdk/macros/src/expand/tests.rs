//! Snapshots of expansions. `UPDATE_EXPECT=1` rewrites them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use expect_test::{Expect, expect};
use proc_macro2::TokenStream;

use super::resource_in;

const SCHEMA: &str = r#"{
    "typeName": "Acme::Desk::Note",
    "description": "A note.",
    "properties": {
        "Name": {"type": "string"},
        "Pin": {"type": "string"},
        "Users": {"type": "array", "items": {"type": "object"}}
    },
    "primaryIdentifier": ["/properties/Name"],
    "writeOnlyProperties": ["/properties/Pin", "/properties/Users/items/properties/Password"],
    "additionalProperties": false,
    "handlers": {"create": {"permissions": []}}
}"#;

fn expand(arguments: &str, item: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tokens = |text: &str| text.parse::<TokenStream>().unwrap();
    let expansion = resource_in(directory, tokens(arguments), &tokens(item));
    prettyplease::unparse(&syn::parse2(expansion).unwrap())
}

fn check(arguments: &str, item: &str, expected: &Expect) {
    expected.assert_eq(&expand(arguments, item));
}

/// The messages of all mistakes, in order.
fn mistakes(arguments: &str, item: &str) -> Vec<String> {
    let file = syn::parse_file(&expand(arguments, item)).unwrap();
    let messages = file.items.iter().filter_map(|item| match item {
        syn::Item::Macro(item) if item.mac.path.segments.last()?.ident == "compile_error" => {
            Some(item.mac.parse_body::<syn::LitStr>().unwrap().value())
        }
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_block_gets_its_types_its_description_and_its_export() {
    check(
        &format!("schema_inline = {SCHEMA:?}, outgoing_hosts = [\"https://api.example.com\"]")
            .replace("\\n", " "),
        "impl ResourceHandler for Notes { type Model = Note; fn create() {} }",
        &expect![[r#"
            impl ResourceHandler for Notes {
                type Model = Note;
                fn create() {}
                type CallbackContext = ::formwork_guest::Steps;
                type Identifier = Note;
            }
            #[automatically_derived]
            impl ::formwork_guest::ResourceType for Notes {
                const SCHEMA: &'static str = "{     \"typeName\": \"Acme::Desk::Note\",     \"description\": \"A note.\",     \"properties\": {         \"Name\": {\"type\": \"string\"},         \"Pin\": {\"type\": \"string\"},         \"Users\": {\"type\": \"array\", \"items\": {\"type\": \"object\"}}     },     \"primaryIdentifier\": [\"/properties/Name\"],     \"writeOnlyProperties\": [\"/properties/Pin\", \"/properties/Users/items/properties/Password\"],     \"additionalProperties\": false,     \"handlers\": {\"create\": {\"permissions\": []}} }";
                const OUTGOING_HOSTS: &'static [&'static str] = &["https://api.example.com"];
                const WRITE_ONLY: &'static [::formwork_guest::PropertyPath] = &[
                    &["Pin"],
                    &["Users", "Password"],
                ];
            }
            #[cfg(target_family = "wasm")]
            const _: () = {
                type Exported = ::formwork_guest::Component<Notes>;
                ::formwork_guest::bindings::export!(
                    Exported with_types_in::formwork_guest::bindings
                );
            };
        "#]],
    );
}

#[test]
fn a_schema_file_is_included_so_that_an_edit_rebuilds() {
    let expansion = expand(
        "schema = \"../../examples/file/schema.json\"",
        "impl formwork_guest::ResourceHandler for File {
            type Model = Model; type Identifier = Name; type CallbackContext = Context;
            fn create() {} fn read() {} fn update() {} fn delete() {} fn list() {}
        }",
    );
    expect![[r#"

        impl ::formwork_guest::ResourceType for File {
            const SCHEMA: &'static str = ::core::include_str!(
                ::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/",
                "../../examples/file/schema.json")
            );
            const OUTGOING_HOSTS: &'static [&'static str] = &[];
            const WRITE_ONLY: &'static [::formwork_guest::PropertyPath] = &[&["Secret"]];
        }
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = ::formwork_guest::Component<File>;
            ::formwork_guest::bindings::export!(
                Exported with_types_in::formwork_guest::bindings
            );
        };
    "#]]
    .assert_eq(expansion.split_once("#[automatically_derived]").unwrap().1);
}

#[test]
fn every_mistake_is_reported_and_the_rest_still_compiles() {
    let schema = SCHEMA
        .replace("Acme::Desk::Note", "Acme")
        .replace("false", "true")
        .replace("/properties/Name", "/properties/Title")
        .replace("\"create\"", "\"make\"");
    let arguments = format!(
        "schema_inline = {schema:?}, colour = \"red\", outgoing_hosts = [\"example.com\", 3]"
    );
    let found = mistakes(&arguments, "impl<T> Clone for Notes<T> {}");
    expect![[r#"
        `resource` stands on an `impl ResourceHandler for …` block; this implements something else
        a component exports one type; remove the generic parameters
        unknown argument; there are `schema`, `schema_inline` and `outgoing_hosts`
        `example.com` is no destination; write `[METHOD ]scheme://host[:port][/prefix]` with http or https, for example `GET https://*.example.com`
        expected a string literal
        `typeName` is "Acme"; it has three parts of 2 to 64 letters and digits, for example "Acme::Storage::Archive"
        `additionalProperties` is not false; CloudFormation demands it
        `handlers` names `make`; there are create, read, update, delete and list
        `primaryIdentifier` names the property `Title`, which `properties` does not have"#]].assert_eq(&found.join("\n"));
}

#[test]
fn functions_and_handlers_have_to_agree_both_ways() {
    let found = mistakes(
        &format!("schema_inline = {SCHEMA:?}"),
        "impl ResourceHandler for Notes { fn read() {} fn list() {} }",
    );
    expect![[r#"
        the schema's `handlers` does not name `read`, so it would never be called; add it there, or remove the function
        the schema's `handlers` does not name `list`, so it would never be called; add it there, or remove the function
        the schema's `handlers` names `create`, which the block does not implement; write the function, or remove it from the schema"#]].assert_eq(&found.join("\n"));
}

#[test]
fn a_component_with_a_mistake_is_not_exported() {
    let expansion = expand("", "impl ResourceHandler for Notes {}");
    assert!(!expansion.contains("export!"));
    assert!(expansion.contains("impl ::formwork_guest::ResourceType for Notes"));
}

#[test]
fn a_schema_that_cannot_be_read_says_where_it_is_looked_for() {
    let found = mistakes(
        "schema = \"missing.json\"",
        "impl ResourceHandler for Notes {}",
    );
    expect!["cannot read the schema `missing.json` beside the package's Cargo.toml: No such file or directory (os error 2)"].assert_eq(&found.join("\n"));
}

#[test]
fn what_is_no_impl_block_stays_as_it_is() {
    check(
        "schema = \"schema.json\"",
        "struct Notes;",
        &expect![[r#"
            ::core::compile_error! {
                "`resource` stands on an `impl ResourceHandler for …` block"
            }
            struct Notes;
        "#]],
    );
}
