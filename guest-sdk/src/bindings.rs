//! The contract's own types, as `wit-bindgen` generates them from `wit/handler.wit`.
//!
//! A handler normally never meets them: [`crate::ResourceHandler`] is the typed
//! form. They are public for the rare component that has to answer what the
//! typed form forbids, such as a test guest. Such a component implements
//! [`exports::formwork::handler::resource::Guest`] and exports itself:
//!
//! ```
//! # struct MyComponent;
//! #[cfg(target_family = "wasm")]
//! formwork_guest::bindings::export!(MyComponent with_types_in formwork_guest::bindings);
//! ```
#![expect(missing_docs, reason = "the WIT file carries the words")]

wit_bindgen::generate!({
    path: "wit",
    world: "resource-type",
    pub_export_macro: true,
    default_bindings_module: "formwork_guest::bindings",
    additional_derives: [PartialEq],
});
