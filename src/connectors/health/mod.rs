//! The health of a target: a circuit that opens while it is down, and limits on how it is called.
//!
//! Only new changes are held off, where they are planned and nothing has been written. What is
//! under way (writes, the look at an unknown outcome, undo writes, recovery, `heal`) always goes
//! through to the target, so nothing is left half done for the sake of a circuit; whether the
//! target answers it or not counts like any other call.
//! Limits let a write wait for its place for so long only; a read that gets none is *unavailable*.
mod circuit;
mod connector;
mod gate;
mod settings;

use std::time::Duration;

use serde::Serialize;

pub use connector::guarded;
pub use settings::{Circuit as CircuitSettings, RawCircuit, RawLimits, Settings};

/// How a target is, as far as calls to it have shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Whether new changes may be planned.
    pub circuit: State,
    /// How long the circuit has been open or closed; a trial belongs to the time that it is open.
    pub age: Duration,
    /// How many calls in a row the target has not answered.
    pub failures: u32,
    /// What the latest such call came to, by kind and code and never in the target's own words, and
    /// how long ago it ended.
    pub last_failure: Option<(String, Duration)>,
    /// How many calls are under way.
    pub in_flight: usize,
    /// How many calls wait for a place.
    pub waiting: usize,
}

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The target answers: changes are planned.
    Closed,
    /// It was down for a while; the next change is a trial, or is one already.
    HalfOpen,
    /// It is down: changes are held off.
    Open,
}
