//! Services that speak JSON over HTTP as target systems.
mod changes;
mod connector;
mod settings;
mod wire;

pub use connector::Rest;
pub use settings::*;
pub(super) use wire::Place;
