//! The functions that scripts find beside those of the language.
mod asking;
mod bounds;
mod clock;
mod collections;
mod dates;
mod encoding;
mod letters;
mod logging;
mod pattern;
mod reading;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use rhai::{Engine, FuncRegistration, RhaiNativeFunc};

use bounds::Bounds;

use super::{Limits, session::Session};
use crate::clock::SharedClock;

/// Adds every function to an engine.
pub(super) fn register(
    engine: &mut Engine,
    session: &Arc<Session>,
    clock: &SharedClock,
    limits: &Limits,
) {
    let bounds = Bounds::new(limits);
    text::register(engine, bounds);
    dates::register(engine, session);
    encoding::register(engine, session, bounds);
    collections::register(engine, bounds);
    pattern::register(engine, session);
    clock::register(engine, session, clock);
    asking::register(engine, session);
    reading::register(engine, session);
    logging::register(engine, session);
}

/// Registers one function: its parameters with their types, what it returns last, and its page in
/// the editor.
fn function<A, const N: usize, const X: bool, R, const F: bool>(
    engine: &mut Engine,
    name: &str,
    parameters: &[&str],
    page: &str,
    function: impl RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
) where
    A: 'static,
    R: Clone + Send + Sync + 'static,
{
    FuncRegistration::new(name)
        .with_params_info(parameters)
        .with_comments(page.lines().map(|line| format!("/// {line}")))
        .register_into_engine(engine, function);
}
