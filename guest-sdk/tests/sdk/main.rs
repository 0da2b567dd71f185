//! The crate as a handler's author sees it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod chain;
mod contract;
mod driver;

/// Each case is a handler with mistakes, beside what the compiler says of it.
#[test]
fn mistakes_do_not_compile_and_are_all_reported() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
