//! Link qualifiers, and how the target of a source without a link is found.
use std::collections::{BTreeMap, BTreeSet};

use super::{DEFAULT_QUALIFIER, One};
use crate::{
    config::{
        problem::suggestion,
        read::document::{item, step},
        written::sync as written,
    },
    mapping::{Correlation, LinkQualifiers},
};

impl One<'_, '_> {
    pub(super) fn link_qualifiers(&mut self) -> LinkQualifiers {
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

    pub(super) fn correlation(&mut self, qualifiers: &LinkQualifiers) -> Option<Correlation> {
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
}
