//! Services that speak JSON over HTTP as target systems.
mod settings;

pub use settings::*;
