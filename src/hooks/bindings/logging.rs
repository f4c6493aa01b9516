//! Lines that a script writes to the log.
use std::sync::Arc;

use rhai::{Dynamic, Engine};

use super::function;
use crate::hooks::{convert, session::Session};

const LEVELS: [(&str, &str, &str); 4] = [
    (
        "log_debug",
        "debug",
        "Writes a line for whoever looks for a fault.",
    ),
    ("log_info", "info", "Writes a line about what is normal."),
    (
        "log_warn",
        "warn",
        "Writes a line about what somebody should look at.",
    ),
    ("log_error", "error", "Writes a line about what went wrong."),
];

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>) {
    for (name, level, page) in LEVELS {
        let session = Arc::clone(session);
        function(
            engine,
            name,
            &["message", "()"],
            page,
            move |message: Dynamic| session.log(level, &line(&message)),
        );
    }
}

/// A text as it is, anything else as JSON.
fn line(message: &Dynamic) -> String {
    if let Ok(text) = message.as_immutable_string_ref() {
        return text.to_string();
    }
    convert::to_value(message).map_or_else(|misfit| misfit.to_string(), |value| value.to_string())
}
