//! From sync.json as written to mappings.
mod check;
mod correlation;
mod ends;
mod policies;
mod properties;
mod reconciliation;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Context, connectors::Connectors, name_problem, scripts::Owner, types::Types};
use crate::{
    config::{
        read::{
            document::{item, step},
            shape,
        },
        written::{script::TextOrScript, sync as written},
    },
    hooks::Script,
    mapping::{Mapping, MappingHook, QueuedSync, confidential_targets},
    model::Container,
};

/// What mappings may name.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) types: &'a Types,
    pub(crate) connectors: &'a Connectors,
}

/// The link qualifier where none is named.
const DEFAULT_QUALIFIER: &str = "default";

/// Compiles the document: the mappings without a problem, in order.
pub(crate) fn compile(context: &mut Context<'_>, known: Known<'_>) -> Vec<Arc<Mapping>> {
    let written: written::Sync = shape::fit(context.document, context.problems);
    let written = written.mappings.unwrap_or_default();
    let mut mappings = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, mapping) in written.iter().enumerate() {
        let Some(mapping) = mapping else { continue };
        let pointer = item("/mappings", index);
        if let Some(name) = &mapping.name {
            if let Some(first) = names.get(name) {
                let message = format!(
                    "the mapping `{name}` stands here for the second time, after /mappings/{first}"
                );
                context.error(&step(&pointer, "name"), message);
            } else {
                names.insert(name.clone(), index);
            }
        }
        if let Some(compiled) = One::new(context, mapping, &pointer, known).compile() {
            mappings.push((pointer, compiled));
        }
    }
    check::links(context, &written, &mut mappings);
    check::names(context, known, &mappings);
    check::hints(context, known, &written, &mappings);
    mappings
        .into_iter()
        .map(|(_, mapping)| Arc::new(mapping))
        .collect()
}

/// One mapping at work.
struct One<'a, 'b> {
    context: &'a mut Context<'b>,
    written: &'a written::Mapping,
    pointer: &'a str,
    known: Known<'a>,
    owner: Owner,
}

impl<'a, 'b> One<'a, 'b> {
    fn new(
        context: &'a mut Context<'b>,
        written: &'a written::Mapping,
        pointer: &'a str,
        known: Known<'a>,
    ) -> Self {
        let owner = Owner {
            kind: "mapping",
            name: written.name.clone().unwrap_or_else(|| pointer.to_owned()),
        };
        Self {
            context,
            written,
            pointer,
            known,
            owner,
        }
    }

    fn compile(mut self) -> Option<Mapping> {
        if let Some(name) = &self.written.name
            && let Some(message) = name_problem(name)
        {
            self.context.error(&self.at("name"), message);
        }
        let source = self.container("source", self.written.source.as_deref());
        let target = self.container("target", self.written.target.as_deref());
        self.direction(source.as_ref(), target.as_ref());
        let link_qualifiers = self.link_qualifiers();
        let properties = self.properties();
        let correlation = self.correlation(&link_qualifiers);
        let policies = self.policies();
        let hooks = self.hooks();
        let valid_source = self.script(self.written.valid_source.as_ref(), "validSource");
        let valid_target = self.script(self.written.valid_target.as_ref(), "validTarget");
        let source_condition = self.written.source_condition.as_ref().and_then(|written| {
            let pointer = self.at("sourceCondition");
            self.context
                .condition(written, &pointer, &self.owner, "sourceCondition")
        });
        let source_query = self.query("sourceQuery", self.written.source_query.as_ref());
        let target_query = self.query("targetQuery", self.written.target_query.as_ref());
        let queued_sync = self.queued_sync();
        let reconciliation = self.reconciliation();
        let name = self.written.name.clone()?;
        let (source, target) = (source?, target?);
        let mut mapping = Mapping {
            link_type: name.clone(),
            name,
            source,
            target,
            enable_sync: self.written.enable_sync.unwrap_or(true),
            queued_sync,
            links_reversed: false,
            link_qualifiers,
            properties,
            valid_source,
            valid_target,
            source_condition,
            correlation,
            policies,
            hooks,
            source_query,
            target_query,
            allow_empty_source_set: self.written.allow_empty_source_set.unwrap_or_default(),
            run_target_phase: self.written.run_target_phase.unwrap_or(true),
            confidential: Vec::new(),
            reconciliation,
        };
        mapping.confidential = self.confidential(&mapping);
        Some(mapping)
    }

    fn at(&self, key: &str) -> String {
        step(self.pointer, key)
    }

    fn script(
        &mut self,
        written: Option<&crate::config::written::script::Script>,
        key: &str,
    ) -> Option<Script> {
        let pointer = self.at(key);
        self.context.script(written?, &pointer, &self.owner, key)
    }

    fn query(
        &mut self,
        key: &str,
        written: Option<&written::Query>,
    ) -> Option<crate::model::Filter> {
        let place = match key {
            "sourceQuery" => &self.written.source,
            _ => &self.written.target,
        };
        let place = place.as_deref().unwrap_or_default();
        let pointer = self.at(key);
        self.context.query(written?, &pointer, place)
    }

    fn hooks(&mut self) -> BTreeMap<MappingHook, Script> {
        self.written
            .hooks()
            .filter_map(|(hook, key, script)| Some((hook, self.script(Some(script), key)?)))
            .collect()
    }

    fn queued_sync(&mut self) -> Option<QueuedSync> {
        let written = self.written.queued_sync.as_ref()?;
        if let Some(action) = &written.post_retry_action
            && !matches!(action, TextOrScript::Text(text) if text == "dead-letter-queue")
        {
            let message = "is not supported: a change that failed for good is kept, as `dead-letter-queue` says";
            let pointer = step(&self.at("queuedSync"), "postRetryAction");
            self.context.warning(&pointer, message);
        }
        let milliseconds = |value: Option<u64>| Duration::from_millis(value.unwrap_or(1000));
        written.enabled.unwrap_or_default().then(|| QueuedSync {
            page_size: written.page_size.unwrap_or(100),
            polling_interval: milliseconds(written.polling_interval),
            max_retries: written
                .max_retries
                .map(|retries| u32::try_from(retries).unwrap_or(u32::MAX)),
            retry_delay: milliseconds(written.retry_delay),
        })
    }

    /// Target attributes whose values come from confidential attributes of the source.
    fn confidential(&self, mapping: &Mapping) -> Vec<String> {
        let Container::Managed(name) = &mapping.source else {
            return Vec::new();
        };
        let Some(managed) = self.known.types.valid.get(name) else {
            return Vec::new();
        };
        if managed.confidential.is_empty() {
            return Vec::new();
        }
        confidential_targets(mapping, &managed.confidential)
    }
}
