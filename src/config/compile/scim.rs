//! From the key `scim` of managed types to the kinds of resources of the SCIM service.
mod attribute;
mod defaults;
mod describe;
mod property;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Context, name_problem, types::Types};
use crate::{
    config::{
        read::document::step,
        written::scim::{Described, Property, Scim},
    },
    managed::ManagedType,
    model::{
        Container,
        scim::{
            Attribute, Bound, ENTERPRISE, GROUP, GROUPS, Mutability, ResourceType, Resources,
            Returned, Schema, Source, USER, Uniqueness, attribute_of,
        },
    },
};
use attribute::Gathering;

/// Addresses that the service keeps for itself.
const RESERVED: [&str; 6] = [
    "ServiceProviderConfig",
    "Schemas",
    "ResourceTypes",
    "Bulk",
    "Me",
    ".search",
];

/// The kinds of resources, each with the place of its key.
#[derive(Default)]
pub(crate) struct Found {
    kinds: Vec<(ResourceType, String)>,
}

impl Found {
    /// Adds what a managed type says; `pointer` is where its key `scim` stands.
    pub(crate) fn add(
        &mut self,
        context: &mut Context<'_>,
        written: &Scim,
        managed: &ManagedType,
        pointer: &str,
    ) {
        let name = match &written.resource_type {
            Some(name) => name.clone(),
            None => capitalized(&managed.name),
        };
        let endpoint = written.endpoint.as_deref().unwrap_or_default();
        let endpoint = match endpoint.trim_matches('/') {
            "" => format!("{name}s"),
            endpoint => endpoint.to_owned(),
        };
        check_names(context, &name, &endpoint, pointer);
        let own = match &written.schema {
            Some(urn) => urn.clone(),
            None => default_schema(&name),
        };
        check_urn(context, &own, &step(pointer, "schema"));
        let mut gathering = Gathering::new(managed, &own);
        let mut schemas = gathering.schemas(context, written, pointer);
        promise_what_is_kept(context, &mut schemas, pointer);
        require(context, &schemas, &own, pointer);
        self.kinds.push((
            ResourceType {
                description: written.description.clone().unwrap_or_default(),
                container: Container::managed(&managed.name),
                name,
                endpoint,
                schemas,
            },
            pointer.to_owned(),
        ));
    }

    /// Everything together, checked against each other.
    pub(crate) fn finish(mut self, context: &mut Context<'_>) -> Resources {
        let (mut names, mut endpoints) = (BTreeSet::new(), BTreeSet::new());
        for (kind, pointer) in &self.kinds {
            if !names.insert(kind.name.to_ascii_lowercase()) {
                let message = format!("another type is the kind `{}` already", kind.name);
                context.error(&step(pointer, "resourceType"), message);
            }
            if !endpoints.insert(kind.endpoint.clone()) {
                let message = format!("another type is at `{}` already", kind.endpoint);
                context.error(&step(pointer, "endpoint"), message);
            }
        }
        for (kind, pointer) in &mut self.kinds {
            keep_known_references(context, kind, &names, pointer);
        }
        let types = self.kinds.into_iter().map(|(kind, _)| kind).collect();
        let mut resources = Resources { types };
        show_groups(&mut resources);
        resources
    }
}

/// The kinds of resources of all valid types.
pub(crate) fn compile(context: &mut Context<'_>, types: &Types) -> Resources {
    let mut found = Found::default();
    let written = types.scim.iter();
    for (name, scim) in written {
        let (Some(managed), Some(place)) = (types.valid.get(name), types.places.get(name)) else {
            continue;
        };
        found.add(context, scim, managed, &step(place, "scim"));
    }
    found.finish(context)
}

fn check_names(context: &mut Context<'_>, name: &str, endpoint: &str, pointer: &str) {
    if let Some(message) = name_problem(name) {
        context.error(&step(pointer, "resourceType"), message);
    }
    if let Some(message) = name_problem(endpoint) {
        context.error(&step(pointer, "endpoint"), message);
    }
    let reserved = RESERVED.iter();
    if reserved
        .into_iter()
        .any(|known| known.eq_ignore_ascii_case(endpoint))
    {
        let message = format!("the service keeps `{endpoint}` for itself");
        context.error(&step(pointer, "endpoint"), message);
    }
}

fn check_urn(context: &mut Context<'_>, urn: &str, pointer: &str) {
    let is_urn = urn.len() > 4 && urn.to_ascii_lowercase().starts_with("urn:");
    if !is_urn || urn.contains(|character: char| character.is_whitespace() || character == '[') {
        let message = format!("`{urn}` is no URN: expected one as {USER}");
        context.error(pointer, message);
    }
}

fn default_schema(name: &str) -> String {
    match name {
        "User" => USER.to_owned(),
        "Group" => GROUP.to_owned(),
        other => format!("urn:recant:scim:schemas:2.0:{other}"),
    }
}

fn capitalized(name: &str) -> String {
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// What RFC 7643 requires must be kept somewhere.
fn require(context: &mut Context<'_>, schemas: &[Schema], own: &str, pointer: &str) {
    let required = match own {
        USER => "userName",
        GROUP => "displayName",
        _ => return,
    };
    let is_there = schemas
        .first()
        .is_some_and(|schema| schema.attributes.iter().any(|it| it.attribute.is(required)));
    if !is_there {
        let message = format!(
            "no property keeps `{required}`: say \"attributes\": {{\"{required}\": PROPERTY, …}}"
        );
        context.error(pointer, message);
    }
}

/// Only what stands in one property of its own is seen to be unique.
fn promise_what_is_kept(context: &mut Context<'_>, schemas: &mut [Schema], pointer: &str) {
    let attributes = schemas.iter_mut().flat_map(|schema| &mut schema.attributes);
    for bound in attributes.filter(|bound| bound.is_unique_in_vain()) {
        let message = format!(
            "`{}` has many values, or parts: nothing can see to it that they are unique, and they are not \
             said to be",
            bound.attribute.name
        );
        context.warning(pointer, message);
        bound.attribute.uniqueness = Uniqueness::None;
        for part in &mut bound.attribute.sub {
            part.uniqueness = Uniqueness::None;
        }
    }
}

/// References lead to kinds of resources that there are.
fn keep_known_references(
    context: &mut Context<'_>,
    kind: &mut ResourceType,
    names: &BTreeSet<String>,
    pointer: &str,
) {
    for schema in &mut kind.schemas {
        for bound in &mut schema.attributes {
            if !matches!(bound.source, Source::References(..)) {
                continue;
            }
            let known = |name: &String| names.contains(&name.to_ascii_lowercase());
            let before = bound.attribute.references.clone();
            bound.attribute.references.retain(known);
            if bound.attribute.references.is_empty() {
                let message = format!(
                    "`{}` refers to {}, and no type is such a kind of resource",
                    bound.attribute.name,
                    before.join(" or ")
                );
                context.error(pointer, message);
            }
            let references = bound.attribute.references.clone();
            for part in &mut bound.attribute.sub {
                if part.is("$ref") {
                    part.references.clone_from(&references);
                }
                if part.is("type") {
                    part.canonical.clone_from(&references);
                }
            }
        }
    }
}

/// A user shows the groups that it is in, where there are groups.
fn show_groups(resources: &mut Resources) {
    let has_members: BTreeSet<String> = resources
        .groups()
        .flat_map(|(_, members)| members.attribute.references.clone())
        .map(|name| name.to_ascii_lowercase())
        .collect();
    for kind in &mut resources.types {
        let is_member = has_members.contains(&kind.name.to_ascii_lowercase());
        let Some(own) = kind.schemas.first_mut() else {
            continue;
        };
        let named = own.attributes.iter().any(|it| it.attribute.is(GROUPS));
        let Some(mut groups) = attribute_of(&own.urn, GROUPS) else {
            continue;
        };
        if is_member && !named {
            // To find them takes a look at every group.
            groups.returned = Returned::Request;
            own.attributes.push(Bound {
                attribute: groups,
                source: Source::Groups,
            });
        }
    }
}

/// The attributes of a schema as they are written, in order.
fn entries(written: &Map<String, Value>) -> Vec<(String, Described)> {
    let read = |value: &Value| serde_json::from_value::<Property>(value.clone()).ok();
    written
        .iter()
        .filter(|(path, _)| !path.starts_with("//"))
        .filter_map(|(path, value)| Some((path.clone(), read(value)?.described())))
        .collect()
}

/// The name of a schema, for people.
fn schema_name(urn: &str, kind: &str) -> String {
    match urn {
        ENTERPRISE => "EnterpriseUser".to_owned(),
        _ => {
            let last = urn.rsplit(':').next().unwrap_or_default();
            match last.is_empty() {
                true => kind.to_owned(),
                false => last.to_owned(),
            }
        }
    }
}

/// An attribute that nobody may write.
fn is_read_only(attribute: &Attribute) -> bool {
    attribute.mutability == Mutability::ReadOnly
}
