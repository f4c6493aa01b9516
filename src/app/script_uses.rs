//! Where the configuration in force uses which script file.
use std::collections::BTreeMap;

use crate::{
    config::Configuration,
    hooks::Script,
    mapping::{Condition, Correlation, LinkQualifiers, Mapping, PolicyAction},
};

use super::App;

/// One use of a script file.
#[derive(Debug, Clone)]
pub struct ScriptUse {
    /// Where: `type user: onSync`, `mapping crm: onCreate`.
    pub place: String,
    /// The script with the variables that this use gives it.
    pub script: Script,
}

impl App {
    /// Every use of every script file, by the file's name. Files that nothing uses are not in it.
    #[must_use]
    pub fn script_uses(&self) -> BTreeMap<String, Vec<ScriptUse>> {
        let configuration = self.configuration();
        let mut uses: BTreeMap<String, Vec<ScriptUse>> = BTreeMap::new();
        for (place, script) in all(&configuration) {
            if configuration.scripts.contains_key(&*script.name) {
                let found = uses.entry(script.name.to_string()).or_default();
                found.push(ScriptUse {
                    place,
                    script: script.clone(),
                });
            }
        }
        uses
    }
}

fn all(configuration: &Configuration) -> Vec<(String, &Script)> {
    let mut found = Vec::new();
    for (name, managed) in &configuration.types {
        for (point, script) in &managed.hooks {
            found.push((format!("type {name}: {}", point.key()), script));
        }
    }
    for mapping in &configuration.mappings {
        let of_it = of_mapping(mapping).into_iter();
        found.extend(
            of_it.map(|(what, script)| (format!("mapping {}: {what}", mapping.name), script)),
        );
    }
    for (name, integration) in &configuration.integrations {
        let map = integration
            .webhook
            .as_ref()
            .and_then(|webhook| webhook.map.as_ref());
        found.extend(map.map(|script| (format!("webhook of {name}: map"), script)));
    }
    found
}

fn of_mapping(mapping: &Mapping) -> Vec<(String, &Script)> {
    let mut found: Vec<(String, &Script)> = Vec::new();
    for (hook, script) in &mapping.hooks {
        found.push((hook.key().to_owned(), script));
    }
    let named = [
        ("validSource", mapping.valid_source.as_ref()),
        ("validTarget", mapping.valid_target.as_ref()),
        (
            "sourceCondition",
            mapping.source_condition.as_ref().and_then(of_condition),
        ),
    ];
    let named = named.into_iter();
    found.extend(named.filter_map(|(what, script)| Some((what.to_owned(), script?))));
    match &mapping.correlation {
        Some(Correlation::Script(script)) => found.push(("correlationScript".to_owned(), script)),
        Some(Correlation::Query(scripts)) => {
            found.extend(
                scripts
                    .values()
                    .map(|script| ("correlationQuery".to_owned(), script)),
            );
        }
        None => {}
    }
    if let LinkQualifiers::Script(script) = &mapping.link_qualifiers {
        found.push(("linkQualifiers".to_owned(), script));
    }
    for property in &mapping.properties {
        let target = property.target.to_string();
        let parts = [
            ("transform", property.transform.as_ref()),
            (
                "condition",
                property.condition.as_ref().and_then(of_condition),
            ),
        ];
        for (what, script) in parts {
            found.extend(script.map(|script| (format!("{what} of {target}"), script)));
        }
    }
    for policy in &mapping.policies {
        let situation = policy.situation;
        let action = match &policy.action {
            PolicyAction::Script(script) => Some(script),
            PolicyAction::Fixed(_) => None,
        };
        let parts = [
            ("action", action),
            (
                "condition",
                policy.condition.as_ref().and_then(of_condition),
            ),
            ("postAction", policy.post_action.as_ref()),
        ];
        for (what, script) in parts {
            found.extend(script.map(|script| (format!("{what} in {situation}"), script)));
        }
    }
    found
}

fn of_condition(condition: &Condition) -> Option<&Script> {
    match condition {
        Condition::Script(script) => Some(script),
        Condition::Filter(_) => None,
    }
}
