//! Formwork's integration tests, one binary.

mod cloudformation;
