//! From sync.json as written to mappings.
mod check;
mod policies;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Context, connectors::Connectors, name_problem, scripts::Owner, types::Types};
use crate::{
    config::{
        problem::suggestion,
        read::{
            document::{item, step},
            shape,
        },
        written::{script::TextOrScript, sync as written},
    },
    hooks::Script,
    mapping::{
        Correlation, LinkQualifiers, Mapping, MappingHook, Property, QueuedSync,
        confidential_targets,
    },
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

    /// The container with this name, if there is one.
    fn container(&mut self, key: &str, text: Option<&str>) -> Option<Container> {
        let pointer = self.at(key);
        let container: Container = match text?.parse() {
            Ok(container) => container,
            Err(error) => {
                self.context.error(&pointer, format!("{error}"));
                return None;
            }
        };
        match unknown(&container, self.known) {
            Some(message) => {
                self.context.error(&pointer, message);
                None
            }
            None => Some(container),
        }
    }

    fn direction(&mut self, source: Option<&Container>, target: Option<&Container>) {
        let message = match (source, target) {
            (Some(Container::Managed(from)), Some(Container::Managed(to))) => format!(
                "leads from `managed/{from}` to `managed/{to}`, but one side of a mapping is a target system: \
                 let a hook of `{from}` such as `postUpdate` ask for the change with `update(\"managed/{to}/…\", …)`"
            ),
            (Some(Container::System { .. }), Some(Container::System { .. })) => {
                "leads from one target system to another, but one side of a mapping is `managed/TYPE`: \
                 map the one into a managed type, and that to the other"
                    .into()
            }
            _ => return,
        };
        self.context.error(&self.at("target"), message);
    }

    fn link_qualifiers(&mut self) -> LinkQualifiers {
        match &self.written.link_qualifiers {
            None => LinkQualifiers::Static(vec![DEFAULT_QUALIFIER.into()]),
            Some(written::LinkQualifiers::Script(script)) => {
                self.script(Some(script), "linkQualifiers").map_or_else(
                    || LinkQualifiers::Static(Vec::new()),
                    LinkQualifiers::Script,
                )
            }
            Some(written::LinkQualifiers::Static(names)) => {
                let pointer = self.at("linkQualifiers");
                let mut seen = BTreeSet::new();
                for (index, name) in names.iter().enumerate() {
                    let Some(name) = name else { continue };
                    if name.is_empty() {
                        self.context
                            .error(&item(&pointer, index), "is empty: name a qualifier");
                    } else if !seen.insert(name) {
                        let message = format!("`{name}` stands here for the second time");
                        self.context.error(&item(&pointer, index), message);
                    }
                }
                if names.is_empty() {
                    let message = "is empty, so this mapping would do nothing: leave it out, or name a qualifier";
                    self.context.error(&pointer, message);
                }
                LinkQualifiers::Static(names.iter().flatten().cloned().collect())
            }
        }
    }

    fn properties(&mut self) -> Vec<Property> {
        let list = self.at("properties");
        let written = self.written.properties.iter().flatten().enumerate();
        written
            .filter_map(|(index, written)| self.property(written.as_ref()?, &item(&list, index)))
            .collect()
    }

    fn property(&mut self, written: &written::Property, pointer: &str) -> Option<Property> {
        let target = written.target.as_deref()?;
        let target_pointer = self.context.attribute(target, &step(pointer, "target"));
        let source = match written
            .source
            .as_deref()
            .filter(|source| !source.is_empty())
        {
            Some(text) => self.context.attribute(text, &step(pointer, "source")),
            None => None,
        };
        let transform = written.transform.as_ref().and_then(|script| {
            let hook = format!("transform of {target}");
            self.context
                .script(script, &step(pointer, "transform"), &self.owner, &hook)
        });
        let condition = written.condition.as_ref().and_then(|condition| {
            let hook = format!("condition of {target}");
            self.context
                .condition(condition, &step(pointer, "condition"), &self.owner, &hook)
        });
        let nothing = written.source.is_none() && written.transform.is_none();
        if nothing && written.default.is_none() {
            let message = format!(
                "`{target}` gets no value: give it a `source`, a `transform` or a `default`"
            );
            self.context.warning(pointer, message);
        }
        Some(Property {
            target: target_pointer?,
            source,
            transform,
            condition,
            default: written.default.clone(),
        })
    }

    fn correlation(&mut self, qualifiers: &LinkQualifiers) -> Option<Correlation> {
        if self.written.correlation_query.is_some() && self.written.correlation_script.is_some() {
            let message = "has both `correlationQuery` and `correlationScript`: keep one";
            self.context.error(&self.at("correlationScript"), message);
        }
        if let Some(script) = &self.written.correlation_script {
            return self
                .script(Some(script), "correlationScript")
                .map(Correlation::Script);
        }
        let pointer = self.at("correlationQuery");
        let scripts = match self.written.correlation_query.as_ref()? {
            written::CorrelationQuery::One(script) => vec![(pointer, Some(script))],
            written::CorrelationQuery::Qualified(list) => list
                .iter()
                .enumerate()
                .map(|(index, script)| (item(&pointer, index), script.as_ref()))
                .collect(),
        };
        let mut compiled = BTreeMap::new();
        for (pointer, script) in scripts {
            let Some(written) = script else { continue };
            let qualifier = written
                .link_qualifier
                .as_deref()
                .unwrap_or(DEFAULT_QUALIFIER);
            self.qualifier_problem(
                qualifier,
                &pointer,
                written.link_qualifier.is_some(),
                qualifiers,
            );
            let hook = "correlationQuery";
            let script = self
                .context
                .script(&written.script, &pointer, &self.owner, hook);
            if let Some(script) = script
                && compiled.insert(qualifier.to_owned(), script).is_some()
            {
                let message = format!("`{qualifier}` has a second correlation query: keep one");
                self.context.error(&pointer, message);
            }
        }
        Some(Correlation::Query(compiled))
    }

    fn qualifier_problem(
        &mut self,
        qualifier: &str,
        pointer: &str,
        named: bool,
        qualifiers: &LinkQualifiers,
    ) {
        if let LinkQualifiers::Static(names) = qualifiers
            && named
            && qualifier != DEFAULT_QUALIFIER
            && !names.iter().any(|name| name == qualifier)
        {
            let near = suggestion(qualifier, names.iter().map(String::as_str));
            let message = format!("`{qualifier}` is none of the mapping's `linkQualifiers`{near}");
            self.context.error(&step(pointer, "linkQualifier"), message);
        }
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
                .and_then(|retries| u32::try_from(retries).ok()),
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

/// What is wrong with a container that nobody serves.
fn unknown(container: &Container, known: Known<'_>) -> Option<String> {
    match container {
        Container::Managed(name) => {
            let places = &known.types.places;
            if places.contains_key(name) || !known.types.complete {
                return None;
            }
            let near = suggestion(name, places.keys().map(String::as_str));
            Some(format!(
                "there is no type `{name}` in conf/managed.json{near}"
            ))
        }
        Container::System { connector, class } => {
            let Some(classes) = known.connectors.classes.get(connector) else {
                let names = known.connectors.classes.keys().map(String::as_str);
                let near = suggestion(connector, names);
                return Some(format!(
                    "there is no connector conf/connectors/{connector}.json{near}"
                ));
            };
            let classes = classes.as_ref()?;
            if classes.contains(class) {
                return None;
            }
            let near = suggestion(class, classes.iter().map(String::as_str));
            Some(format!(
                "conf/connectors/{connector}.json has no object class `{class}`{near}"
            ))
        }
    }
}
