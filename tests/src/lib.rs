//! What the integration tests share: the guests, a stage for operations under a
//! manual clock, and the stand-ins for CloudFormation.

pub mod crash;
pub mod guests;
pub mod stage;
