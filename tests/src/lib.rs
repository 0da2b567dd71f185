//! What the integration tests share: the guests, a stage for operations under a
//! manual clock, and the stand-in for CloudFormation.

pub mod cloudformation;
pub mod crash;
pub mod guests;
pub mod stage;
