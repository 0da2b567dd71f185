//! What the integration tests share: the guests, a stage for operations under a
//! manual clock, a store that stops as a killed process does or meets the fate that a
//! test decides, a stand-in for CloudFormation, what crash campaigns decide, and components made of
//! WebAssembly's text.

pub mod chaos;
pub mod cloudformation;
pub mod crash;
pub mod fate;
pub mod guests;
pub mod hostile;
pub mod postgres;
pub mod stage;
