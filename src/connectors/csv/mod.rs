//! Small CSV files as target systems.
mod settings;

pub use settings::*;
