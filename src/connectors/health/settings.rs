//! What a connector's file says about the health of its target, as written and as used.
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// When a target counts as down, as written under `circuit`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RawCircuit {
    /// After how many calls in a row without an answer changes are refused before anything is
    /// written; 0: never.
    failures: u32,
    /// How long they are refused before one change tries the target again, in milliseconds.
    #[schemars(range(min = 1))]
    open_ms: u64,
}

/// How a target may be called, as written under `limits`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RawLimits {
    /// How many calls may be under way at once.
    #[schemars(range(min = 1))]
    concurrent: usize,
    /// How many calls may begin in a second, evenly spaced; below 1 for less than one a second. No
    /// limit where this is left out.
    #[schemars(extend("exclusiveMinimum" = 0))]
    per_second: Option<f64>,
}

/// How a target is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// When it counts as down; none: never.
    pub circuit: Option<Circuit>,
    /// How many calls may be under way at once; none: any number.
    pub concurrent: Option<usize>,
    /// The least time between the beginnings of two calls.
    pub spacing: Duration,
}

/// When a target counts as down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// After how many calls in a row without an answer; at least one.
    pub failures: u32,
    /// How long it is left alone.
    pub open: Duration,
}

impl Default for RawCircuit {
    fn default() -> Self {
        Self {
            failures: 10,
            open_ms: 1_000,
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            concurrent: 200,
            per_second: None,
        }
    }
}

impl Settings {
    /// Nothing is watched or limited.
    pub const OFF: Self = Self {
        circuit: None,
        concurrent: None,
        spacing: Duration::ZERO,
    };

    /// What was written; the schema has checked it.
    #[must_use]
    pub fn new(circuit: &RawCircuit, limits: &RawLimits) -> Self {
        let interval = limits.per_second.map(f64::recip);
        Self {
            circuit: (circuit.failures > 0).then_some(Circuit {
                failures: circuit.failures,
                open: Duration::from_millis(circuit.open_ms),
            }),
            concurrent: Some(limits.concurrent),
            spacing: interval
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .unwrap_or_default(),
        }
    }
}
