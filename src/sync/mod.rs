//! The engine: a file per phase.
mod setup;

pub use setup::{CallPolicy, Setup, Target};
