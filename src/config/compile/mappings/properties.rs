//! The properties of a mapping.
use super::One;
use crate::{
    config::{
        read::document::{item, step},
        written::sync as written,
    },
    mapping::Property,
};

impl One<'_, '_> {
    pub(super) fn properties(&mut self) -> Vec<Property> {
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
}
