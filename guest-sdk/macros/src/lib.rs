//! The attribute macro that `formwork-guest` re-exports.
//!
//! *Invariant*: one expansion reports every mistake that it finds, each where
//! it was made, and what it emits then still compiles, so that no mistake of
//! the macro's own hides among the author's.

mod arguments;
mod expand;
mod schema;

use proc_macro::TokenStream;

/// Makes a component out of a `ResourceHandler`.
///
/// It stands on the `impl ResourceHandler for …` block and takes
///
/// - `schema = "schema.json"`: the resource type schema, a file beside the
///   package's `Cargo.toml`, or `schema_inline = r#"{…}"#`: its JSON text;
/// - `outgoing_hosts = ["https://api.example.com"]`, if the handler wants to
///   reach any: `[METHOD ]scheme://host[:port][/prefix]`. The host may be
///   `*.NAME` or `*`, the port `*`. A wish grants nothing: the operator's list
///   must match.
///
/// It embeds the schema (an edit rebuilds the guest), checks that it is one and
/// that its `handlers` names exactly the functions that the block implements,
/// fills in `type CallbackContext = Steps` and `type Identifier = Model` where
/// they are left out, and exports the component when built for wasm.
#[proc_macro_attribute]
pub fn resource(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::resource(arguments.into(), &item.into()).into()
}
