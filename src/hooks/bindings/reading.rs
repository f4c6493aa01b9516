//! What a script may look at while it runs.
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine};

use super::function;
use crate::{
    hooks::{
        convert,
        session::{Raised, Session},
    },
    model::{Filter, Object},
};

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>) {
    let reading = Arc::clone(session);
    function(
        engine,
        "read",
        &["path: text", "map"],
        "The object at a path such as `managed/user/ID` or `system/NAME/CLASS/ID`,\n\
         or `()` where there is none.",
        move |path: &str| {
            let object = reading.wait(|reader| async move { reader.read(path).await })?;
            object.map_or(Ok(Dynamic::UNIT), |object| seen(&reading, path, object))
        },
    );
    let reading = Arc::clone(session);
    function(
        engine,
        "query",
        &["path: text", "filter: text", "array"],
        "The objects in `managed/TYPE` or `system/NAME/CLASS` that meet a filter,\n\
         such as `mail eq \"jo@example.com\"` or `true`.",
        move |path: &str, filter: &str| {
            let parsed = Filter::parse(filter)
                .map_err(|error| reading.raise(format!("query: the filter is wrong: {error}")))?;
            let objects = reading.wait(|reader| {
                let parsed = &parsed;
                async move { reader.query(path, parsed).await }
            })?;
            objects
                .into_iter()
                .map(|object| seen(&reading, path, object))
                .collect::<Result<Array, Raised>>()
        },
    );
}

fn seen(session: &Session, path: &str, object: Object) -> Result<Dynamic, Raised> {
    convert::object_to_dynamic(object).map_err(|misfit| session.raise(format!("{path}: {misfit}")))
}
