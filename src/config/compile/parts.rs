//! Parts that several keys share: filters, conditions, queries.
use std::str::FromStr as _;

use super::{Context, scripts::Owner};
use crate::{
    config::{
        read::document::step,
        written::{script::TextOrScript, sync::Query},
    },
    mapping::Condition,
    model::{Filter, pointer::Pointer},
};

impl Context<'_> {
    /// A query filter; what is wrong with it is reported with the position.
    pub(crate) fn filter(&mut self, text: &str, pointer: &str) -> Option<Filter> {
        match Filter::parse(text) {
            Ok(filter) => Some(filter),
            Err(error) => {
                let message = format!("is no query filter: {error}");
                self.error(pointer, message);
                None
            }
        }
    }

    /// A condition: a query filter or a script.
    pub(crate) fn condition(
        &mut self,
        written: &TextOrScript,
        pointer: &str,
        owner: &Owner,
        hook: &str,
    ) -> Option<Condition> {
        match written {
            TextOrScript::Text(text) => self.filter(text, pointer).map(Condition::Filter),
            TextOrScript::Script(script) => self
                .script(script, pointer, owner, hook)
                .map(Condition::Script),
        }
    }

    /// The filter of `sourceQuery` or `targetQuery`, which looks at `place`.
    pub(crate) fn query(&mut self, written: &Query, pointer: &str, place: &str) -> Option<Filter> {
        match written {
            Query::Text(text) => self.filter(text, pointer),
            Query::Object(object) => {
                if object
                    .resource_name
                    .as_deref()
                    .is_some_and(|name| name != place)
                {
                    let message = format!("can only be the mapping's own place `{place}`");
                    self.error(&step(pointer, "resourceName"), message);
                }
                let text = object.query_filter.as_deref()?;
                self.filter(text, &step(pointer, "_queryFilter"))
            }
        }
    }

    /// A pointer to an attribute, or to a place inside one.
    pub(crate) fn attribute(&mut self, text: &str, pointer: &str) -> Option<Pointer> {
        match Pointer::from_str(text) {
            Ok(parsed) if !parsed.tokens().is_empty() => Some(parsed),
            Ok(_) => {
                self.error(pointer, "is empty: name an attribute");
                None
            }
            Err(error) => {
                self.error(pointer, format!("names no attribute: {error}"));
                None
            }
        }
    }
}
