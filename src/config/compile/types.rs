//! From managed.json as written to managed types.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{Context, name_problem, scim, scripts::Owner};
use crate::{
    config::{
        read::{
            document::{item, step},
            shape,
        },
        written::managed as written,
    },
    managed::{HookPoint, ManagedType, SchemaProblem},
    model::scim::Resources,
};

/// The managed types, and what mappings may name.
#[derive(Default)]
pub(crate) struct Types {
    /// Types without a problem.
    pub(crate) valid: BTreeMap<String, Arc<ManagedType>>,
    /// Where each type stands, those with problems too.
    pub(crate) places: BTreeMap<String, String>,
    /// Whether all names are known: not so where the file cannot be read.
    pub(crate) complete: bool,
    /// How types show in the SCIM service, in the order of the file.
    pub(crate) scim: Vec<(String, crate::config::written::scim::Scim)>,
    /// What became of that.
    pub(crate) resources: Resources,
}

/// Compiles the document.
pub(crate) fn compile(context: &mut Context<'_>) -> Types {
    let written: written::Managed = shape::fit(context.document, context.problems);
    let mut types = Types {
        complete: true,
        ..Types::default()
    };
    let objects = written.objects.unwrap_or_default();
    for (index, managed) in objects.iter().enumerate() {
        let pointer = item("/objects", index);
        match managed {
            Some(managed) => one(context, managed, &pointer, &mut types),
            None => types.complete = false,
        }
    }
    types.resources = scim::compile(context, &types);
    for kind in &types.resources.types {
        let Some(managed) = kind.container.managed_type() else {
            continue;
        };
        if let Some(managed) = types.valid.get_mut(managed) {
            Arc::make_mut(managed).unique = kind.unique();
        }
    }
    types
}

fn one(
    context: &mut Context<'_>,
    written: &written::ManagedType,
    pointer: &str,
    types: &mut Types,
) {
    let Some(name) = &written.name else {
        types.complete = false;
        return;
    };
    if let Some(message) = name_problem(name) {
        context.error(&step(pointer, "name"), message);
    }
    if let Some(first) = types.places.get(name) {
        let message = format!("the type `{name}` stands here for the second time, after {first}");
        context.error(&step(pointer, "name"), message);
        return;
    }
    types.places.insert(name.clone(), pointer.to_owned());
    let scim = written.scim.clone();
    types.scim.extend(scim.map(|scim| (name.clone(), scim)));
    let hooks = hooks(context, written, name, pointer);
    let Some(schema) = written.schema.clone() else {
        return;
    };
    let report =
        |problem: &SchemaProblem| format!("{}{}", step(pointer, "schema"), problem.pointer);
    match ManagedType::new(name, Value::Object(schema), hooks) {
        Ok((managed, warnings)) => {
            for warning in &warnings {
                context.warning(&report(warning), warning.message.as_str());
            }
            types.valid.insert(name.clone(), Arc::new(managed));
        }
        Err(errors) => {
            for error in &errors {
                context.error(&report(error), error.message.as_str());
            }
        }
    }
}

/// Reports confidential properties, for there is no key to encrypt them with.
pub(crate) fn require_key(context: &mut Context<'_>, types: &Types) {
    for (name, managed) in &types.valid {
        let (Some(property), Some(pointer)) =
            (managed.confidential.first(), types.places.get(name))
        else {
            continue;
        };
        let message = format!(
            "`{property}` is confidential, so recant.toml must name a key: `[secrets]` with \
             `key = \"${{env:RECANT_KEY}}\"`, 32 bytes in base64"
        );
        let place = ["schema", "properties", property, "confidential"];
        let pointer = place
            .iter()
            .fold(pointer.clone(), |at, token| step(&at, token));
        context.error(&pointer, message);
    }
}

fn hooks(
    context: &mut Context<'_>,
    written: &written::ManagedType,
    name: &str,
    pointer: &str,
) -> BTreeMap<HookPoint, crate::hooks::Script> {
    let owner = Owner {
        kind: "type",
        name: name.to_owned(),
    };
    written
        .hooks()
        .filter_map(|(point, key, script)| {
            let script = context.script(script, &step(pointer, key), &owner, key)?;
            Some((point, script))
        })
        .collect()
}
