//! How deep and how heavy the variables of a running script are. Rhai bounds each value's size, but
//! neither how deep arrays lie inside one another (a few thousand exhaust a thread's stack, which
//! ends the process) nor what closures hold, nor the sum of all variables.
use rhai::{Array, Dynamic, FnPtr, ImmutableString, Map, Scope};

use super::failure::limit;

/// How deep arrays, maps and closures may lie inside one another while a script runs.
const DEPTH: usize = 200;
/// Bytes that all variables together may take, as estimated here.
const BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of a value without its content, and of a member of a map.
const VALUE: u64 = 16;
const MEMBER: u64 = 64;

/// What the functions that are being called hold: an entry for each level of calls.
#[derive(Debug, Default)]
pub(super) struct Weights {
    levels: Vec<u64>,
}

impl Weights {
    /// Weighs the variables of the function at this level of calls.
    ///
    /// # Errors
    /// The limit that they break.
    pub(super) fn weigh(&mut self, level: usize, scope: &Scope<'_>) -> Result<(), &'static str> {
        let mut sum = 0;
        for (_, constant, value) in scope.iter_raw() {
            if !constant {
                sum += weight(value)?;
            }
        }
        self.levels.resize(level, 0);
        self.levels.push(sum);
        if self.levels.iter().sum::<u64>() > BYTES {
            return Err(limit::MEMORY);
        }
        Ok(())
    }
}

/// The bytes that a value takes, as estimated here.
///
/// # Errors
/// The limit that it breaks alone.
pub(super) fn weight(value: &Dynamic) -> Result<u64, &'static str> {
    weight_at(value, DEPTH)
}

fn weight_at(value: &Dynamic, left: usize) -> Result<u64, &'static str> {
    if value.is_shared() {
        let left = left.checked_sub(1).ok_or(limit::NESTING)?;
        return value
            .read_lock::<Dynamic>()
            .map_or(Ok(VALUE), |value| weight_at(&value, left));
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return Ok(VALUE + text.len() as u64);
    }
    let left = || left.checked_sub(1).ok_or(limit::NESTING);
    if let Some(items) = value.read_lock::<Array>() {
        return sum(items.iter(), left()?, VALUE);
    }
    if let Some(map) = value.read_lock::<Map>() {
        return sum(map.values(), left()?, MEMBER);
    }
    if let Some(function) = value.read_lock::<FnPtr>() {
        return sum(function.iter_curry(), left()?, VALUE);
    }
    Ok(VALUE)
}

fn sum<'a>(
    values: impl Iterator<Item = &'a Dynamic>,
    left: usize,
    each: u64,
) -> Result<u64, &'static str> {
    let mut sum = VALUE;
    for value in values {
        sum += each + weight_at(value, left)?;
    }
    Ok(sum)
}
