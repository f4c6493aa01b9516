//! Which managed type is which kind of resource, and where each of its attributes is kept.
use serde_json::Value;

use super::{
    attribute::{Attribute, Mutability, Uniqueness},
    path::Path,
};
use crate::model::{Container, pointer::Pointer};

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
    pub fn unique(&self) -> impl Iterator<Item = (&Attribute, &Pointer)> {
        self.attributes()
            .filter(|(_, bound)| bound.attribute.uniqueness != Uniqueness::None)
            .filter_map(|(_, bound)| match &bound.source {
                Source::Whole(place) => Some((&bound.attribute, place)),
                _ => None,
            })
    }
}

impl Bound {
    /// The properties that hold the attribute.
    #[must_use]
    pub fn places(&self) -> Vec<&Pointer> {
        match &self.source {
            Source::Whole(place) | Source::Values(place) | Source::References(place, _) => {
                vec![place]
            }
            Source::Parts(parts) => parts.iter().map(|part| &part.place).collect(),
            Source::Slots(slots) => slots
                .iter()
                .flat_map(|slot| slot.parts.iter().map(|part| &part.place))
                .collect(),
            Source::Groups => Vec::new(),
        }
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
