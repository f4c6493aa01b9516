//! From a source object to what its targets should hold: qualify, correlate, assess, decide, transform.
mod settings;

pub use settings::*;
