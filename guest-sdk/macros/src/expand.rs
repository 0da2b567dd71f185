//! Turns the attributed `impl` block into a handler and its component.

use std::fs;
use std::path::Path;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{ImplItem, ItemImpl, Type, parse_quote};

use crate::arguments::{Arguments, Source};
use crate::schema::{self, ACTIONS, Schema};

pub(crate) fn resource(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    resource_in(Path::new(&directory), arguments, item)
}

/// Expands the attribute for a package whose manifest is in `directory`.
pub(crate) fn resource_in(
    directory: &Path,
    arguments: TokenStream,
    item: &TokenStream,
) -> TokenStream {
    let mut block: ItemImpl = match syn::parse2(item.clone()) {
        Ok(block) => block,
        Err(_) => {
            let error = syn::Error::new_spanned(
                item,
                "`resource` stands on an `impl ResourceHandler for …` block",
            )
            .into_compile_error();
            return quote!(#error #item);
        }
    };
    let mut errors = Vec::new();
    check_block(&block, &mut errors);
    let arguments = Arguments::read(arguments, &mut errors);
    let schema = arguments
        .schema
        .as_ref()
        .and_then(|source| read_schema(directory, source, &block, &mut errors));
    fill_in_types(&mut block);

    let me = &block.self_ty;
    let errors: TokenStream = errors.iter().map(syn::Error::to_compile_error).collect();
    let text = match &arguments.schema {
        // Cargo rebuilds when an included file changes.
        Some(Source::File(path)) if schema.is_some() => quote! {
            ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #path))
        },
        Some(Source::Inline(text)) => quote!(#text),
        Some(Source::File(_)) | None => quote!("{}"),
    };
    let hosts = &arguments.outgoing_hosts;
    let write_only = schema.unwrap_or_default().write_only;
    let export = if errors.is_empty() {
        export(me)
    } else {
        TokenStream::new()
    };
    quote! {
        #errors

        #block

        #[automatically_derived]
        impl ::formwork_guest::ResourceType for #me {
            const SCHEMA: &'static str = #text;
            const OUTGOING_HOSTS: &'static [&'static str] = &[#(#hosts),*];
            const WRITE_ONLY: &'static [::formwork_guest::PropertyPath] = &[#(&[#(#write_only),*]),*];
        }

        #export
    }
}

/// Natively the names of a component's exports are nothing that a linker takes.
fn export(me: &Type) -> TokenStream {
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = ::formwork_guest::Component<#me>;
            ::formwork_guest::bindings::export!(Exported with_types_in ::formwork_guest::bindings);
        };
    }
}

fn check_block(block: &ItemImpl, errors: &mut Vec<syn::Error>) {
    let is_handler = block.trait_.as_ref().is_some_and(|(_, path, _)| {
        path.segments
            .last()
            .is_some_and(|segment| segment.ident == "ResourceHandler")
    });
    if !is_handler {
        errors.push(syn::Error::new_spanned(
            &block.self_ty,
            "`resource` stands on an `impl ResourceHandler for …` block; this implements something else",
        ));
    }
    if !block.generics.params.is_empty() {
        errors.push(syn::Error::new_spanned(
            &block.generics,
            "a component exports one type; remove the generic parameters",
        ));
    }
}

/// Reads the schema and holds its `handlers` against the functions of the block.
fn read_schema(
    directory: &Path,
    source: &Source,
    block: &ItemImpl,
    errors: &mut Vec<syn::Error>,
) -> Option<Schema> {
    let text = match source {
        Source::Inline(text) => text.value(),
        Source::File(path) => {
            let file = directory.join(path.value());
            match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) => {
                    let message = format!(
                        "cannot read the schema `{}` beside the package's Cargo.toml: {error}",
                        path.value()
                    );
                    errors.push(syn::Error::new(path.span(), message));
                    return None;
                }
            }
        }
    };
    match schema::read(&text) {
        Ok(schema) => {
            check_functions(&schema, source.span(), block, errors);
            Some(schema)
        }
        Err(messages) => {
            let span = source.span();
            errors.extend(messages.into_iter().map(|text| syn::Error::new(span, text)));
            None
        }
    }
}

fn check_functions(
    schema: &Schema,
    schema_span: Span,
    block: &ItemImpl,
    errors: &mut Vec<syn::Error>,
) {
    let mut missing = schema.handlers.clone();
    for item in &block.items {
        let ImplItem::Fn(function) = item else {
            continue;
        };
        let name = &function.sig.ident;
        missing.retain(|action| name != action);
        let is_action = ACTIONS.iter().any(|action| name == action);
        if is_action && !schema.handlers.iter().any(|action| name == action) {
            errors.push(syn::Error::new(
                name.span(),
                format!(
                    "the schema's `handlers` does not name `{name}`, so it would never be called; \
                     add it there, or remove the function"
                ),
            ));
        }
    }
    for action in missing {
        errors.push(syn::Error::new(
            schema_span,
            format!(
                "the schema's `handlers` names `{action}`, which the block does not implement; \
                 write the function, or remove it from the schema"
            ),
        ));
    }
}

fn fill_in_types(block: &mut ItemImpl) {
    let has = |name: &str| {
        block
            .items
            .iter()
            .any(|item| matches!(item, ImplItem::Type(item) if item.ident == name))
    };
    let has_context = has("CallbackContext");
    let has_identifier = has("Identifier");
    let model = block.items.iter().find_map(|item| match item {
        ImplItem::Type(item) if item.ident == "Model" => Some(item.ty.clone()),
        _ => None,
    });
    if !has_context {
        let name = format_ident!("CallbackContext");
        block
            .items
            .push(parse_quote!(type #name = ::formwork_guest::Steps;));
    }
    if let (false, Some(model)) = (has_identifier, model) {
        block.items.push(parse_quote!(type Identifier = #model;));
    }
}

#[cfg(test)]
mod tests;
