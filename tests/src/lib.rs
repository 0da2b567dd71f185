//! Stand-ins and helpers for Formwork's integration tests.

pub mod cloudformation;
