//! The time and fresh ids, from the clock that the runtime was given.
use std::sync::Arc;

use rhai::Engine;

use super::{dates, function};
use crate::{
    clock::SharedClock,
    hooks::session::{Raised, Session},
};

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>, clock: &SharedClock) {
    let ids = Arc::clone(clock);
    let asking = Arc::clone(session);
    function(
        engine,
        "uuid",
        &["text"],
        "A fresh id (UUID version 7). A dry run and the change after it get different ones:\n\
         use it in hooks that run once, such as `onCreate`.",
        move || {
            asking.varies();
            ids.fresh_id().to_string()
        },
    );
    let times = Arc::clone(clock);
    let asking = Arc::clone(session);
    function(
        engine,
        "now",
        &["text"],
        "The time in UTC as in ISO 8601: `2024-05-01T09:30:00.000Z`. A transform that uses it\n\
         makes every change write.",
        move || {
            asking.varies();
            dates::instant(times.now())
        },
    );
    register_sleep(engine, session);
}

/// The language has a `sleep` that would hold a thread.
fn register_sleep(engine: &mut Engine, session: &Arc<Session>) {
    let none = "Not available: hooks do not wait.";
    let raising = Arc::clone(session);
    let seconds = ["seconds: integer", "()"];
    function(engine, "sleep", &seconds, none, move |_: i64| {
        refused(&raising)
    });
    let raising = Arc::clone(session);
    let seconds = ["seconds: number", "()"];
    function(engine, "sleep", &seconds, none, move |_: f64| {
        refused(&raising)
    });
}

fn refused(session: &Session) -> Result<(), Raised> {
    Err(session.raise("`sleep` is not available in hooks"))
}
