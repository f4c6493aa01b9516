//! One attribute after the other: what it is, by the standard or the type's schema, and where it is
//! kept.
use serde_json::Value;

use super::{
    check_urn, defaults,
    describe::{Entry, check_kind, check_kind_of, complete, describe},
    entries,
    property::{Property, fits},
    schema_name,
};
use crate::{
    config::{
        compile::Context,
        read::document::step,
        written::scim::{Described, Scim},
    },
    managed::ManagedType,
    model::{
        object::is_meta,
        pointer::Pointer,
        scim::{
            Attribute, Bound, EXTERNAL_ID, Kind, Mutability, Part, Path, Returned, Schema, Slot,
            Source, Target, attribute_of,
        },
    },
};

/// The attributes of a type as they are found.
pub(super) struct Gathering<'a> {
    managed: &'a ManagedType,
    schemas: Vec<Schema>,
}

impl<'a> Gathering<'a> {
    /// Of a type whose own schema is `own`.
    pub(super) fn new(managed: &'a ManagedType, own: &str) -> Self {
        let mut gathering = Self {
            managed,
            schemas: Vec::new(),
        };
        gathering.schema_at(own);
        gathering
    }

    /// Everything that is written, or else the defaults; the type's own schema first.
    pub(super) fn schemas(
        &mut self,
        context: &mut Context<'_>,
        written: &Scim,
        pointer: &str,
    ) -> Vec<Schema> {
        let own = self.own();
        match &written.attributes {
            Some(attributes) => {
                let pointer = step(pointer, "attributes");
                for (path, said) in entries(attributes) {
                    self.add(context, &own, &path, &said, &step(&pointer, &path));
                }
            }
            None => {
                for default in defaults::attributes(self.managed, &own) {
                    let said = Described {
                        property: Some(default.property),
                        ..Described::default()
                    };
                    self.add(context, &default.schema, &default.path, &said, pointer);
                }
            }
        }
        self.keep_external_id(context, &own, pointer);
        let extensions = written.extensions.iter().flatten();
        for (urn, attributes) in extensions.filter(|(urn, _)| !urn.starts_with("//")) {
            let pointer = step(&step(pointer, "extensions"), urn);
            check_urn(context, urn, &pointer);
            let attributes = attributes.as_object().into_iter().flat_map(entries);
            for (path, said) in attributes {
                self.add(context, urn, &path, &said, &step(&pointer, &path));
            }
        }
        for schema in &mut self.schemas {
            schema.attributes.iter_mut().for_each(complete);
        }
        std::mem::take(&mut self.schemas)
    }

    /// Every resource has an `externalId` (RFC 7643, section 3.1): where nothing is said of it, the
    /// property of that name keeps it.
    fn keep_external_id(&mut self, context: &mut Context<'_>, own: &str, pointer: &str) {
        let is_said = self.schemas.iter().any(|schema| {
            let mut attributes = schema.attributes.iter();
            attributes.any(|bound| bound.attribute.is(EXTERNAL_ID))
        });
        if is_said {
            return;
        }
        let place = Pointer::attribute(EXTERNAL_ID);
        let property = Property::find(self.managed, &place);
        if !property.possible || !property.may_be("string") {
            let message = format!(
                "no property keeps `{EXTERNAL_ID}`, by which clients know their resources again: what they \
                 send of it is lost; let the type's schema have a text `{EXTERNAL_ID}`"
            );
            context.warning(pointer, message);
            return;
        }
        let said = Described {
            property: Some(EXTERNAL_ID.to_owned()),
            ..Described::default()
        };
        self.add(context, own, EXTERNAL_ID, &said, pointer);
    }

    fn own(&self) -> String {
        self.schemas
            .first()
            .map(|schema| schema.urn.clone())
            .unwrap_or_default()
    }

    fn schema_at(&mut self, urn: &str) -> usize {
        let known = self
            .schemas
            .iter()
            .position(|schema| schema.urn.eq_ignore_ascii_case(urn));
        known.unwrap_or_else(|| {
            self.schemas.push(Schema {
                urn: urn.to_owned(),
                name: schema_name(urn, &self.managed.name),
                description: String::new(),
                attributes: Vec::new(),
            });
            self.schemas.len() - 1
        })
    }

    /// Adds one attribute or a part of one.
    fn add(
        &mut self,
        context: &mut Context<'_>,
        schema: &str,
        path: &str,
        said: &Described,
        pointer: &str,
    ) {
        let target = match Target::parse(path) {
            Ok(target) => target,
            Err(error) => {
                context.error(pointer, format!("names no attribute: {error}"));
                return;
            }
        };
        let Some(place) = context.attribute(said.property.as_deref().unwrap_or_default(), pointer)
        else {
            return;
        };
        let entry = Entry {
            property: Property::find(self.managed, &place),
            pointer,
            target,
            said,
            place,
        };
        if !may_be_kept(context, &entry) {
            return;
        }
        let urn = entry.target.path.schema.clone();
        let urn = urn.unwrap_or_else(|| schema.to_owned());
        let at = self.schema_at(&urn);
        let Some(schema) = self.schemas.get_mut(at) else {
            return;
        };
        let name = &entry.target.path.name;
        let known = schema
            .attributes
            .iter()
            .position(|bound| bound.attribute.is(name));
        match known.and_then(|at| schema.attributes.get_mut(at)) {
            Some(bound) => again(context, &entry, bound),
            None => {
                let standard = attribute_of(&urn, name);
                schema.attributes.extend(first(context, &entry, standard));
            }
        }
    }
}

/// Whether the property can keep what clients write.
fn may_be_kept(context: &mut Context<'_>, entry: &Entry<'_>) -> bool {
    let name = &entry.target.path.name;
    if ["id", "meta", "schemas"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
    {
        context.error(entry.pointer, format!("`{name}` is the service's own"));
        return false;
    }
    if entry.place.first().is_some_and(is_meta) {
        context.error(
            entry.pointer,
            "`_id` and `_rev` show as `id` and `meta.version`",
        );
        return false;
    }
    if !entry.property.possible {
        let message = format!("the type's schema has no property `{}`", entry.place);
        context.error(entry.pointer, message);
        return false;
    }
    if !entry.property.is_known() && !name.eq_ignore_ascii_case("externalId") {
        let message = format!(
            "the type's schema does not describe the property `{}`: it is taken for a text",
            entry.place
        );
        context.warning(entry.pointer, message);
    }
    true
}

/// The attribute that an entry is the first one of.
fn first(
    context: &mut Context<'_>,
    entry: &Entry<'_>,
    standard: Option<Attribute>,
) -> Option<Bound> {
    let Path { name, sub, .. } = &entry.target.path;
    let is_standard = standard.is_some();
    let mut attribute = standard.unwrap_or_else(|| entry.own_attribute());
    if let Some(references) = &entry.said.references {
        attribute.references.clone_from(references);
    } else if let Some(part) = attribute.part("$ref") {
        attribute.references = part.references.clone();
    }
    let is_value = sub
        .as_deref()
        .is_none_or(|sub| sub.eq_ignore_ascii_case("value"));
    if attribute.kind == Kind::Complex && !attribute.references.is_empty() && is_value {
        return reference(context, entry, attribute);
    }
    let source = match (&entry.target.filter, sub) {
        (Some(filter), _) if attribute.multi_valued => {
            let slot = slot(context, entry, &mut attribute, filter.equalities())?;
            Source::Slots(vec![slot])
        }
        (Some(_), _) => {
            let message = format!("`{name}` has one value: there is nothing to choose from");
            context.error(entry.pointer, message);
            return None;
        }
        (None, None) => whole(context, entry, &mut attribute)?,
        (None, Some(sub)) if attribute.multi_valued => {
            let is_value = sub.eq_ignore_ascii_case("value") && entry.property.may_be("array");
            if !is_value {
                let message = format!(
                    "`{name}` has many values: say which one, as `{name}[type eq \"work\"].{sub}`"
                );
                context.error(entry.pointer, message);
                return None;
            }
            describe(context, entry, &mut attribute);
            Source::Values(entry.place.clone())
        }
        (None, Some(_)) => Source::Parts(vec![part(context, entry, &mut attribute)?]),
    };
    if is_standard && attribute.kind == Kind::Complex && attribute.sub.is_empty() {
        let message = format!(
            "nothing in the property `{}` is a part of `{name}`",
            entry.place
        );
        context.error(entry.pointer, message);
        return None;
    }
    Some(Bound { attribute, source })
}

/// Another entry about an attribute that is kept already.
fn again(context: &mut Context<'_>, entry: &Entry<'_>, bound: &mut Bound) {
    let filter = entry.target.filter.as_ref();
    let constants = filter.map(|filter| filter.equalities());
    let message = format!("`{}` is kept elsewhere already", entry.target);
    match (&mut bound.source, constants) {
        (Source::Parts(parts), None) if entry.target.path.sub.is_some() => {
            let Some(new) = part(context, entry, &mut bound.attribute) else {
                return;
            };
            match parts.iter().any(|known| known.name == new.name) {
                true => context.error(entry.pointer, message),
                false => parts.push(new),
            }
        }
        (Source::Slots(slots), Some(constants)) => {
            let Some(new) = slot(context, entry, &mut bound.attribute, constants) else {
                return;
            };
            let same = slots
                .iter_mut()
                .find(|slot| slot.constants == new.constants);
            match same {
                None => slots.push(new),
                Some(slot) => {
                    let named = |part: &Part| slot.parts.iter().any(|it| it.name == part.name);
                    match new.parts.iter().any(named) {
                        true => context.error(entry.pointer, message),
                        false => slot.parts.extend(new.parts),
                    }
                }
            }
        }
        _ => context.error(entry.pointer, message),
    }
}

/// The part of a complex attribute that an entry is about, described by its property.
fn part(context: &mut Context<'_>, entry: &Entry<'_>, attribute: &mut Attribute) -> Option<Part> {
    let Path { name, sub, .. } = &entry.target.path;
    if attribute.kind != Kind::Complex {
        context.error(entry.pointer, format!("`{name}` has no parts"));
        return None;
    }
    let sub = sub.as_deref().unwrap_or("value");
    if attribute.part(sub).is_none() {
        attribute.sub.push(entry.property.attribute(sub));
    }
    let part = attribute.sub.iter_mut().find(|part| part.is(sub))?;
    check_kind(context, entry, part)?;
    describe(context, entry, part);
    if !part.is_readable() || entry.property.required {
        // A complex attribute is what its parts are.
        attribute.required |= entry.property.required;
    }
    Some(Part {
        name: attribute.part(sub)?.name.clone(),
        place: entry.place.clone(),
        hidden: false,
    })
}

/// One value of a multi-valued attribute that an entry is about.
fn slot(
    context: &mut Context<'_>,
    entry: &Entry<'_>,
    attribute: &mut Attribute,
    constants: Option<Vec<(String, Value)>>,
) -> Option<Slot> {
    let Some(constants) = constants.filter(|constants| !constants.is_empty()) else {
        let message = "the value is chosen by what it is equal to, as `[type eq \"work\"]`";
        context.error(entry.pointer, message);
        return None;
    };
    let name = |name: &str| attribute.part(name).map(|part| part.name.clone());
    let constants = constants
        .into_iter()
        .map(|(constant, value)| (name(&constant).unwrap_or(constant), value))
        .collect();
    let part = part(context, entry, attribute)?;
    Some(Slot {
        constants,
        parts: vec![part],
    })
}

/// An attribute that one property keeps.
fn whole(
    context: &mut Context<'_>,
    entry: &Entry<'_>,
    attribute: &mut Attribute,
) -> Option<Source> {
    let name = &attribute.name;
    let property = match (attribute.multi_valued, entry.property.is_list()) {
        (true, true) => entry.property.items(),
        (true, false) if entry.property.may_be("array") => entry.property,
        (true, false) => {
            let message = format!(
                "`{name}` has many values, the property is no list: say which one it keeps, as \
                 `{name}[type eq \"work\"].value`"
            );
            context.error(entry.pointer, message);
            return None;
        }
        (false, true) => {
            context.error(
                entry.pointer,
                format!("`{name}` has one value, the property is a list"),
            );
            return None;
        }
        (false, false) => entry.property,
    };
    let is_complex = attribute.kind == Kind::Complex;
    let source = match is_complex {
        true if attribute.multi_valued && !property.may_be("object") => {
            attribute.sub.retain(|part| part.is("value"));
            Source::Values(entry.place.clone())
        }
        true if property.may_be("object") => {
            keep_members(attribute, &property);
            Source::Whole(entry.place.clone())
        }
        true => {
            let message = format!("`{name}` has parts: name one, as `{name}.PART`");
            context.error(entry.pointer, message);
            return None;
        }
        false => {
            check_kind_of(context, entry, attribute, &property)?;
            Source::Whole(entry.place.clone())
        }
    };
    describe(context, entry, attribute);
    Some(source)
}

/// Leaves the parts that the property has.
fn keep_members(attribute: &mut Attribute, property: &Property<'_>) {
    let Some(members) = property.members() else {
        return;
    };
    let there = |name: &str| members.iter().any(|(member, _)| name == *member);
    attribute.sub.retain(|part| there(&part.name));
    for (name, member) in members.iter().filter(|(name, _)| fits(name)) {
        if attribute.part(name).is_none() {
            attribute.sub.push(member.attribute(name));
        }
    }
}

/// An attribute that names other resources.
fn reference(
    context: &mut Context<'_>,
    entry: &Entry<'_>,
    mut attribute: Attribute,
) -> Option<Bound> {
    let (property, name) = (&entry.property, &attribute.name);
    if attribute.multi_valued && !property.may_be("array") {
        context.error(
            entry.pointer,
            format!("`{name}` has many values, the property is no list"),
        );
        return None;
    }
    let one = match attribute.multi_valued {
        true => property.items(),
        false => *property,
    };
    let form = one.form();
    if attribute.sub.is_empty() {
        attribute.sub = reference_parts();
    }
    if attribute.multi_valued {
        // A member comes and goes as a whole; what it is never changes.
        attribute.sub.retain(|part| !part.is("primary"));
    }
    describe(context, entry, &mut attribute);
    Some(Bound {
        attribute,
        source: Source::References(entry.place.clone(), form),
    })
}

fn reference_parts() -> Vec<Attribute> {
    let exact = |name: &str, kind| {
        let mut part = Attribute::new(name, kind);
        part.case_exact = true;
        part
    };
    let mut display = Attribute::new("display", Kind::String);
    display.mutability = Mutability::ReadOnly;
    display.returned = Returned::Request;
    vec![
        exact("value", Kind::String),
        exact("$ref", Kind::Reference),
        Attribute::new("type", Kind::String),
        display,
    ]
}
