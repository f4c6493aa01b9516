//! What is to be said of an attribute: by its entry, by its property, and by what is kept of it.
use super::property::Property;
use crate::{
    config::{compile::Context, read::document::step, written::scim::Described},
    model::{
        pointer::Pointer,
        scim::{
            Attribute, Bound, Kind, Mutability, Path, Returned, Slot, Source, Target, Uniqueness,
        },
    },
};

/// One entry: the place where it is written, and what it says.
pub(super) struct Entry<'a> {
    pub(super) pointer: &'a str,
    pub(super) target: Target,
    pub(super) said: &'a Described,
    pub(super) place: Pointer,
    pub(super) property: Property<'a>,
}

pub(super) fn check_kind(
    context: &mut Context<'_>,
    entry: &Entry<'_>,
    attribute: &Attribute,
) -> Option<()> {
    check_kind_of(context, entry, attribute, &entry.property)
}

/// The property's values are of the attribute's kind.
pub(super) fn check_kind_of(
    context: &mut Context<'_>,
    entry: &Entry<'_>,
    attribute: &Attribute,
    property: &Property<'_>,
) -> Option<()> {
    let wanted = match attribute.kind {
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Decimal => "number",
        Kind::Complex => "object",
        _ => "string",
    };
    if property.may_be(wanted) {
        return Some(());
    }
    let message = format!(
        "`{}` is of type {}, the property `{}` is not: expected \"type\": \"{wanted}\"",
        attribute.name,
        attribute.kind.as_str(),
        entry.place
    );
    context.error(entry.pointer, message);
    None
}

/// Lays over an attribute what its property and its entry say.
pub(super) fn describe(context: &mut Context<'_>, entry: &Entry<'_>, attribute: &mut Attribute) {
    let (said, property) = (entry.said, &entry.property);
    let description = said.description.as_deref().or(property.description());
    if let Some(description) = description {
        description.clone_into(&mut attribute.description);
    }
    let words = property.words();
    if !words.is_empty() {
        attribute.canonical = words;
    }
    attribute.required |= property.required;
    if property.is_read_only() {
        attribute.mutability = Mutability::ReadOnly;
    }
    entry.word(
        context,
        "type",
        said.kind.as_deref(),
        Kind::ALL,
        &mut attribute.kind,
    );
    let mutabilities = Mutability::ALL;
    let mutability = said.mutability.as_deref();
    entry.word(
        context,
        "mutability",
        mutability,
        mutabilities,
        &mut attribute.mutability,
    );
    let returned = said.returned.as_deref();
    entry.word(
        context,
        "returned",
        returned,
        Returned::ALL,
        &mut attribute.returned,
    );
    let uniqueness = said.uniqueness.as_deref();
    entry.word(
        context,
        "uniqueness",
        uniqueness,
        Uniqueness::ALL,
        &mut attribute.uniqueness,
    );
    attribute.required = said.required.unwrap_or(attribute.required);
    attribute.case_exact = said.case_exact.unwrap_or(attribute.case_exact);
    if property.confidential {
        attribute.mutability = Mutability::WriteOnly;
        attribute.returned = Returned::Never;
        attribute.uniqueness = Uniqueness::None;
    }
    if attribute.mutability == Mutability::WriteOnly {
        attribute.returned = Returned::Never;
    }
}

/// Leaves the parts of a complex attribute that are kept, and says of the whole what holds of all.
pub(super) fn complete(bound: &mut Bound) {
    let (attribute, source) = (&mut bound.attribute, &bound.source);
    let kept: Vec<&str> = match source {
        Source::Parts(parts) => parts.iter().map(|part| part.name.as_str()).collect(),
        Source::Values(_) => vec!["value"],
        Source::Slots(slots) => {
            let constants = slots.iter().flat_map(|slot| slot.constants.iter());
            let parts = slots.iter().flat_map(|slot| slot.parts.iter());
            constants
                .map(|(name, _)| name.as_str())
                .chain(parts.map(|part| part.name.as_str()))
                .collect()
        }
        Source::Whole(_) | Source::References(..) | Source::Groups => return,
    };
    attribute
        .sub
        .retain(|part| kept.iter().any(|name| part.is(name)));
    if let Source::Slots(slots) = source {
        limit_words(attribute, slots);
    }
    let all = |holds: fn(&Attribute) -> bool| attribute.sub.iter().all(holds);
    let (read_only, hidden) = (all(super::is_read_only), all(|part| !part.is_readable()));
    if read_only && !attribute.sub.is_empty() {
        attribute.mutability = Mutability::ReadOnly;
    }
    if hidden && !attribute.sub.is_empty() {
        attribute.mutability = Mutability::WriteOnly;
        attribute.returned = Returned::Never;
    }
}

/// Where each value has its own place, only values of these kinds can be kept.
fn limit_words(attribute: &mut Attribute, slots: &[Slot]) {
    for part in &mut attribute.sub {
        let said: Vec<String> = slots
            .iter()
            .flat_map(|slot| slot.constants.iter())
            .filter(|(name, _)| part.is(name))
            .filter_map(|(_, value)| value.as_str().map(str::to_owned))
            .collect();
        if !said.is_empty() {
            part.canonical = said;
            part.canonical.dedup();
        }
    }
}

impl Entry<'_> {
    /// The attribute of a schema that the standard does not know.
    pub(super) fn own_attribute(&self) -> Attribute {
        let Path { name, sub, .. } = &self.target.path;
        match (sub, &self.target.filter, &self.said.references) {
            (None, None, None) => self.property.attribute(name),
            (None, None, Some(_)) => {
                let mut reference = Attribute::new(name, Kind::Complex);
                reference.multi_valued = self.property.is_list();
                reference
            }
            _ => {
                let mut complex = Attribute::new(name, Kind::Complex);
                complex.multi_valued = self.target.filter.is_some();
                complex
            }
        }
    }

    /// Takes a word over, if it is one of those that there are.
    fn word<T: Copy>(
        &self,
        context: &mut Context<'_>,
        key: &str,
        said: Option<&str>,
        known: &[(T, &'static str)],
        into: &mut T,
    ) {
        let Some(said) = said else {
            return;
        };
        match known.iter().find(|(_, word)| *word == said) {
            Some((value, _)) => *into = *value,
            None => {
                let words: Vec<&str> = known.iter().map(|(_, word)| *word).collect();
                let message = format!("`{said}` is not one of `{}`", words.join("`, `"));
                context.error(&step(self.pointer, key), message);
            }
        }
    }
}
