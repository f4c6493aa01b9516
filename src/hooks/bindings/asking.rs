//! What a script asks for: a revert, changes of other objects. Carried out after it returns.
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, Map};
use serde_json::Value;

use super::function;
use crate::{
    hooks::{
        FollowUp, convert,
        session::{Raised, Session},
    },
    model::{Container, Object, ResourceName, patch::Patch},
};

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>) {
    let asked = Arc::clone(session);
    function(
        engine,
        "revert",
        &["()"],
        "Asks for this change to be taken back in every target and in the repository.\n\
         It is carried out after the script returns, even where the script then throws.",
        move || asked.revert(),
    );
    register_writes(engine, session);
    register_removals(engine, session);
}

fn register_writes(engine: &mut Engine, session: &Arc<Session>) {
    let asked = Arc::clone(session);
    function(
        engine,
        "create",
        &["path: text", "object: map", "()"],
        "Asks for another object to be created once this change has settled.\n\
         The path is `managed/TYPE`, or `managed/TYPE/ID` to choose the id.",
        move |path: &str, object: Map| {
            let path = container_or_object(&asked, path)?;
            let object = as_object(&asked, "create", object)?;
            asked.ask(FollowUp::Create { path, object })
        },
    );
    let asked = Arc::clone(session);
    function(
        engine,
        "update",
        &["path: text", "object: map", "()"],
        "Asks for another object to be replaced once this change has settled.\n\
         The path is `managed/TYPE/ID`; the map is its whole new content.",
        move |path: &str, object: Map| {
            let path = object_path(&asked, path)?;
            let object = as_object(&asked, "update", object)?;
            asked.ask(FollowUp::Update { path, object })
        },
    );
}

fn register_removals(engine: &mut Engine, session: &Arc<Session>) {
    let asked = Arc::clone(session);
    function(
        engine,
        "patch",
        &["path: text", "operations: array", "()"],
        "Asks for another object to be changed in part once this change has settled.\n\
         Operations: `[#{operation: \"replace\", field: \"/city\", value: \"Berlin\"}]`, with\n\
         `add`, `remove`, `replace`, `increment`, `copy` and `move` as in CREST.",
        move |path: &str, operations: Array| {
            let path = object_path(&asked, path)?;
            let (patch, operations) = crest_patch(&asked, operations)?;
            asked.ask(FollowUp::Patch {
                path,
                patch,
                operations,
            })
        },
    );
    let asked = Arc::clone(session);
    function(
        engine,
        "delete",
        &["path: text", "()"],
        "Asks for another object to be deleted once this change has settled.\n\
         The path is `managed/TYPE/ID`.",
        move |path: &str| {
            let path = object_path(&asked, path)?;
            asked.ask(FollowUp::Delete { path })
        },
    );
}

fn container_or_object(session: &Session, path: &str) -> Result<String, Raised> {
    match path.parse::<Container>() {
        Ok(Container::Managed(_)) => Ok(path.to_owned()),
        _ => object_path(session, path),
    }
}

fn object_path(session: &Session, path: &str) -> Result<String, Raised> {
    match path.parse::<ResourceName>().map(|name| name.container) {
        Ok(Container::Managed(_)) => Ok(path.to_owned()),
        Ok(Container::System { .. }) => Err(session.raise(format!(
            "`{path}` is in a target system: hooks change managed objects, mappings change targets"
        ))),
        Err(_) => Err(session.raise(format!(
            "`{path}` names no object: expected managed/TYPE/ID"
        ))),
    }
}

fn as_object(session: &Session, function: &str, object: Map) -> Result<Object, Raised> {
    convert::to_object(&Dynamic::from_map(object))
        .map_err(|misfit| session.raise(format!("{function}: {misfit}")))
}

fn crest_patch(session: &Session, operations: Array) -> Result<(Patch, Value), Raised> {
    let operations = convert::to_value(&Dynamic::from_array(operations))
        .map_err(|misfit| session.raise(format!("patch: {misfit}")))?;
    let patch = Patch::parse_crest(&operations)
        .map_err(|error| session.raise(format!("patch: {error}")))?;
    Ok((patch, operations))
}
