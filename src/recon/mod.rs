//! Reconciliation: comparing the two sides of a mapping and putting right what its policies say.
//!
//! A run sweeps over both sides a page at a time, without holding up anybody: [`classify`] knows a
//! pair again that is as it was when it agreed. Everything else is looked at by the engine, one
//! record under its lane, which decides anew and carries out a change like any other. So a sweep
//! may be wrong about a record that changes meanwhile, and no live change is ever undone by it.
//!
//! Deletions wait for the end of the run, when their number is known. Where a run stands is kept
//! with what it found, so that any node goes on where it stopped.
pub mod classify;
mod deletions;
mod divergence;
mod guard;
mod look;
mod quiet;
mod report;
mod run;
mod sides;
mod start;
mod window;

pub use crate::sync::sync_version;
pub use start::Reconciler;
