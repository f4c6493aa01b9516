//! Which managed type is which kind of resource, and where each of its attributes is kept.
use serde_json::Value;

use super::{
    attribute::{Attribute, Kind, Mutability, Uniqueness},
    path::Path,
};
use crate::model::{Container, pointer::Pointer, unique::Unique};

/// Every kind of resource that the service has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// In the order of `managed.json`.
    pub types: Vec<ResourceType>,
}

/// A kind of resource: a managed type as SCIM sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceType {
    /// Its name, as `User`.
    pub name: String,
    /// Where its resources are, below the service's address, without slashes: `Users`.
    pub endpoint: String,
    /// What it is, for people.
    pub description: String,
    /// The managed type.
    pub container: Container,
    /// Its own schema, then its extensions.
    pub schemas: Vec<Schema>,
}

/// A schema with the places of its attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Its URN.
    pub urn: String,
    /// Its name, for people.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Its attributes.
    pub attributes: Vec<Bound>,
}

/// An attribute and where it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// What it is.
    pub attribute: Attribute,
    /// Where it is kept.
    pub source: Source,
}

/// Where an attribute is kept in a managed object.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// In one property, as it is.
    Whole(Pointer),
    /// The attributes that it consists of are each in a property.
    Parts(Vec<Part>),
    /// Each of its values has properties of its own.
    Slots(Vec<Slot>),
    /// In a list that has only the `value` of each value.
    Values(Pointer),
    /// Other resources: one, or a list of them.
    References(Pointer, Form),
    /// The resources that refer to it in their `members`: nothing is kept.
    Groups,
}

/// A part of a complex attribute and its property.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The part's name.
    pub name: String,
    /// Its property.
    pub place: Pointer,
    /// Whether whoever asks may not see the property.
    pub hidden: bool,
}

/// One value of a multi-valued attribute that has properties of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// What it always says, as `type` is `work`.
    pub constants: Vec<(String, Value)>,
    /// What is kept.
    pub parts: Vec<Part>,
}

/// How another resource is named in a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By its id.
    Id,
    /// `{"_ref": "managed/user/ID"}`.
    Path,
    /// `{"value": "ID", "type": "User"}`.
    Value,
}

/// An attribute that was found by its path.
#[derive(Debug, Clone, Copy)]
pub struct Located<'a> {
    /// The schema that it belongs to.
    pub schema: &'a Schema,
    /// The attribute.
    pub bound: &'a Bound,
    /// The part of it that the path names.
    pub part: Option<&'a Attribute>,
}

impl Resources {
    /// The kind of resource at an endpoint. Addresses ignore no case.
    #[must_use]
    pub fn at(&self, endpoint: &str) -> Option<&ResourceType> {
        self.types.iter().find(|kind| kind.endpoint == endpoint)
    }

    /// The kind of resource of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&ResourceType> {
        self.types
            .iter()
            .find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    /// The kind of resource that a managed type is.
    #[must_use]
    pub fn of(&self, container: &Container) -> Option<&ResourceType> {
        self.types.iter().find(|kind| kind.container == *container)
    }

    /// The kinds of resources with members, each with the attribute.
    pub fn groups(&self) -> impl Iterator<Item = (&ResourceType, &Bound)> {
        self.types
            .iter()
            .filter_map(|kind| Some((kind, kind.members()?)))
    }
}

impl ResourceType {
    /// Its own schema's URN.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.schemas
            .first()
            .map_or("", |schema| schema.urn.as_str())
    }

    /// Its extensions.
    #[must_use]
    pub fn extensions(&self) -> &[Schema] {
        self.schemas.get(1..).unwrap_or_default()
    }

    /// The schema with this URN, whatever its case.
    #[must_use]
    pub fn schema_named(&self, urn: &str) -> Option<&Schema> {
        self.schemas
            .iter()
            .find(|schema| schema.urn.eq_ignore_ascii_case(urn))
    }

    /// Whether a schema is its own, not an extension.
    #[must_use]
    pub fn is_own(&self, schema: &Schema) -> bool {
        self.schema() == schema.urn
    }

    /// Every attribute with its schema.
    pub fn attributes(&self) -> impl Iterator<Item = (&Schema, &Bound)> {
        let schemas = self.schemas.iter();
        schemas.flat_map(|schema| schema.attributes.iter().map(move |bound| (schema, bound)))
    }

    /// The attribute at a path; without a schema in it, its own or else an extension's.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Option<Located<'_>> {
        let is_meant = |schema: &Schema| {
            path.schema
                .as_ref()
                .is_none_or(|urn| schema.urn.eq_ignore_ascii_case(urn))
        };
        let mut found = self.attributes();
        let (schema, bound) =
            found.find(|(schema, bound)| is_meant(schema) && bound.attribute.is(&path.name))?;
        let part = match &path.sub {
            None => None,
            Some(sub) => Some(bound.attribute.part(sub)?),
        };
        Some(Located {
            schema,
            bound,
            part,
        })
    }

    /// The members, where it has some.
    #[must_use]
    pub fn members(&self) -> Option<&Bound> {
        let own = self.schemas.first()?;
        own.attributes.iter().find(|bound| {
            bound.attribute.is(super::MEMBERS) && matches!(bound.source, Source::References(..))
        })
    }

    /// What must be unique among its resources, each with its property.
    #[must_use]
    pub fn unique(&self) -> Vec<Unique> {
        let attributes = self.attributes();
        attributes.flat_map(|(_, bound)| bound.unique()).collect()
    }
}

impl Bound {
    /// The properties that hold the attribute.
    #[must_use]
    pub fn places(&self) -> Vec<&Pointer> {
        self.places_of(|_| true)
    }

    fn places_of(&self, which: impl Fn(&&Part) -> bool) -> Vec<&Pointer> {
        match &self.source {
            Source::Whole(place) | Source::Values(place) | Source::References(place, _) => {
                vec![place]
            }
            Source::Parts(parts) => {
                let parts = parts.iter().filter(which);
                parts.map(|part| &part.place).collect()
            }
            Source::Slots(slots) => {
                let parts = slots.iter().flat_map(|slot| &slot.parts);
                parts.filter(which).map(|part| &part.place).collect()
            }
            Source::Groups => Vec::new(),
        }
    }

    /// Those of them that whoever asks may see.
    #[must_use]
    pub fn shown_places(&self) -> Vec<&Pointer> {
        self.places_of(|part| !part.hidden)
    }

    /// The properties that hold one plain value each, which must be unique.
    fn unique(&self) -> Vec<Unique> {
        let is_one = |attribute: &Attribute| {
            attribute.kind != Kind::Complex
                && !attribute.multi_valued
                && attribute.uniqueness != Uniqueness::None
        };
        let rule = |attribute: &Attribute, name: String, place: &Pointer| {
            is_one(attribute).then(|| Unique {
                name,
                place: place.clone(),
                texts: attribute.texts(),
            })
        };
        let own = &self.attribute;
        match &self.source {
            Source::Whole(place) => rule(own, own.name.clone(), place).into_iter().collect(),
            Source::Parts(parts) => {
                let part = |part: &Part| {
                    let name = format!("{}.{}", own.name, part.name);
                    rule(own.part(&part.name)?, name, &part.place)
                };
                parts.iter().filter_map(part).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it is said of it, or of a part, that it is unique, and nothing sees to that.
    #[must_use]
    pub fn is_unique_in_vain(&self) -> bool {
        let said = std::iter::once(&self.attribute)
            .chain(&self.attribute.sub)
            .filter(|attribute| attribute.uniqueness != Uniqueness::None);
        said.count() > self.unique().len()
    }

    /// Whether clients may write it after the resource was made.
    #[must_use]
    pub fn is_changeable(&self) -> bool {
        matches!(
            self.attribute.mutability,
            Mutability::ReadWrite | Mutability::WriteOnly
        )
    }
}
