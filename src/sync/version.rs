//! The version of a mapping: a digest of everything that decides what its targets should hold.
use crate::{
    hooks::Script,
    mapping::{Condition, Correlation, LinkQualifiers, Mapping, PolicyAction, Property},
};

use super::fingerprint::{Fingerprint, combined};

/// The digest of a mapping and its scripts. One that changes makes every stored agreement void, and
/// the next sync a full one.
#[must_use]
pub fn sync_version(mapping: &Mapping) -> Fingerprint {
    if let Some(given) = &mapping.reconciliation.sync_version {
        return given.clone();
    }
    let mut parts = vec![
        mapping.source.to_string(),
        mapping.target.to_string(),
        mapping.link_type.clone(),
        mapping.links_reversed.to_string(),
    ];
    match &mapping.link_qualifiers {
        LinkQualifiers::Static(names) => parts.push(names.join(",")),
        LinkQualifiers::Script(script) => parts.push(of_script(script)),
    }
    for property in &mapping.properties {
        parts.push(of_property(property));
    }
    for script in [&mapping.valid_source, &mapping.valid_target] {
        parts.push(script.as_ref().map(of_script).unwrap_or_default());
    }
    parts.push(of_condition(mapping.source_condition.as_ref()));
    match &mapping.correlation {
        None => parts.push(String::new()),
        Some(Correlation::Script(script)) => parts.push(of_script(script)),
        Some(Correlation::Query(scripts)) => {
            parts.extend(
                scripts
                    .iter()
                    .map(|(name, script)| format!("{name}:{}", of_script(script))),
            );
        }
    }
    for policy in &mapping.policies {
        let action = match &policy.action {
            PolicyAction::Fixed(action) => action.to_string(),
            PolicyAction::Script(script) => of_script(script),
        };
        let post = policy
            .post_action
            .as_ref()
            .map(of_script)
            .unwrap_or_default();
        let condition = of_condition(policy.condition.as_ref());
        parts.push(combined(&[
            &policy.situation.to_string(),
            &action,
            &condition,
            &post,
        ]));
    }
    for (hook, script) in &mapping.hooks {
        parts.push(format!("{}:{}", hook.key(), of_script(script)));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    combined(&parts)
}

fn of_property(property: &Property) -> String {
    let source = property.source.as_ref().map(ToString::to_string);
    let default = property.default.as_ref().map(ToString::to_string);
    combined(&[
        &property.target.to_string(),
        source.as_deref().unwrap_or("-"),
        &property
            .transform
            .as_ref()
            .map(of_script)
            .unwrap_or_default(),
        &of_condition(property.condition.as_ref()),
        default.as_deref().unwrap_or("-"),
    ])
}

fn of_condition(condition: Option<&Condition>) -> String {
    match condition {
        None => String::new(),
        Some(Condition::Filter(filter)) => filter.to_string(),
        Some(Condition::Script(script)) => of_script(script),
    }
}

fn of_script(script: &Script) -> String {
    let globals = serde_json::to_string(&*script.globals).unwrap_or_default();
    combined(&[&script.digest, &globals])
}
