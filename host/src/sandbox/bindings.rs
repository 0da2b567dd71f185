//! The bindings of the handler contract, generated from `wit/handler.wit`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "resource-type",
    ownership: Borrowing { duplicate_if_necessary: true },
    exports: { default: async },
});
