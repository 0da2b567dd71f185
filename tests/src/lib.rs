//! What the integration tests share: the guests, a stage for operations under a
//! manual clock, a store that stops as a killed process does, a stand-in for
//! CloudFormation, and what crash campaigns decide.

pub mod chaos;
pub mod cloudformation;
pub mod crash;
pub mod guests;
pub mod postgres;
pub mod stage;
