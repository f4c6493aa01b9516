//! How the resources of one object class look: address, schemas, and what is whose in them.
use std::collections::BTreeSet;

use super::{
    discovery::{Attribute, Discovery},
    settings::Class,
};

/// What every resource has of the service's own (RFC 7643, section 3.1).
const OF_THE_SERVICE: [&str; 3] = ["id", "meta", "schemas"];
/// What the core schemas keep for the service (RFC 7643, sections 4.1 and 4.3).
const READ_ONLY: [&str; 2] = [
    "groups",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:manager.displayname",
];
/// What the core schemas hold as truth values.
const BOOLEANS: [&str; 5] = [
    "active",
    "emails.primary",
    "phonenumbers.primary",
    "addresses.primary",
    "roles.primary",
];

/// How the resources of one object class look. Names in it are in lower case, since SCIM's names
/// ignore case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Where they are, below the service's address.
    pub path: String,
    /// The URN of their schema.
    pub schema: String,
    /// The URNs of their extensions.
    pub extensions: Vec<String>,
    /// Whether the service sees to it that the key is unique.
    pub has_unique_key: bool,
    /// Whether two values of the key that differ only in case are one.
    pub key_ignores_case: bool,
    read_only: BTreeSet<String>,
    booleans: BTreeSet<String>,
    known: BTreeSet<String>,
}

impl Shape {
    /// What the service and the class' settings say together; the core schemas where neither does.
    pub fn of(class: &Class, discovery: &Discovery) -> Self {
        let wanted = &class.resource_type;
        let kind = discovery.types.iter().find(|kind| &kind.name == wanted);
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let endpoint = kind.and_then(|kind| said(kind.endpoint.trim_matches('/')));
        let path = class.path.clone();
        let schema = class.schema.clone();
        let extensions = kind.map(|kind| kind.schema_extensions.iter());
        let mut shape = Self {
            path: path.unwrap_or_else(|| format!("/{}", endpoint.unwrap_or(format!("{wanted}s")))),
            schema: schema
                .or_else(|| kind.and_then(|kind| said(&kind.schema)))
                .unwrap_or_else(|| format!("urn:ietf:params:scim:schemas:core:2.0:{wanted}")),
            extensions: extensions
                .into_iter()
                .flatten()
                .map(|extension| extension.schema.clone())
                .collect(),
            // RFC 7643, section 4.1.1; of other attributes the service has to say so.
            key_ignores_case: class.key.eq_ignore_ascii_case("userName"),
            read_only: READ_ONLY.map(str::to_owned).into(),
            booleans: BOOLEANS.map(str::to_owned).into(),
            ..Self::default()
        };
        shape.learn(class, discovery);
        shape
    }

    fn learn(&mut self, class: &Class, discovery: &Discovery) {
        for schema in &discovery.schemas {
            let is = |urn: &String| schema.id.eq_ignore_ascii_case(urn);
            let prefix = if is(&self.schema) {
                String::new()
            } else if self.extensions.iter().any(is) {
                format!("{}:", schema.id.to_ascii_lowercase())
            } else {
                continue;
            };
            for attribute in &schema.attributes {
                self.learn_attribute(&prefix, attribute);
                let is_key = prefix.is_empty() && attribute.name == class.key;
                let unique = attribute.uniqueness.to_ascii_lowercase();
                if is_key && matches!(unique.as_str(), "server" | "global") {
                    self.has_unique_key = true;
                }
                if let (true, Some(exact)) = (is_key, attribute.case_exact) {
                    self.key_ignores_case = !exact;
                }
            }
        }
    }

    fn learn_attribute(&mut self, prefix: &str, attribute: &Attribute) {
        let name = format!("{prefix}{}", attribute.name.to_ascii_lowercase());
        if attribute.is_read_only() {
            self.read_only.insert(name.clone());
        }
        if attribute.kind == "boolean" {
            self.booleans.insert(name.clone());
        }
        for sub in &attribute.sub_attributes {
            self.learn_attribute(&format!("{name}."), sub);
        }
        self.known.insert(name);
    }

    /// Whether the service alone writes what stands at this place, in SCIM's notation.
    pub fn is_read_only(&self, place: &str) -> bool {
        let place = place.to_ascii_lowercase();
        OF_THE_SERVICE.contains(&place.as_str())
            || place.ends_with(".$ref")
            || self.read_only.contains(&place)
    }

    /// Whether a truth value stands at this place.
    pub fn is_boolean(&self, place: &str) -> bool {
        self.booleans.contains(&place.to_ascii_lowercase())
    }

    /// Whether the schemas are known and have no such attribute.
    pub fn lacks(&self, place: &str) -> bool {
        let place = place.to_ascii_lowercase();
        let common =
            place == "externalid" || OF_THE_SERVICE.iter().any(|own| place.starts_with(own));
        !self.known.is_empty() && !common && !self.known.contains(&place)
    }

    /// The extension that an attribute's full name belongs to, and its name there.
    pub fn extension_of<'a>(&self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let is = |urn: &str| {
            self.extensions
                .iter()
                .any(|it| it.eq_ignore_ascii_case(urn))
        };
        let cuts = name.rmatch_indices(':').map(|(at, _)| at);
        let parts = cuts.filter_map(|at| Some((name.get(..at)?, name.get(at + 1..)?)));
        let mut parts = parts.filter(|(urn, own)| urn.starts_with("urn:") && !own.is_empty());
        let mut last = None;
        // Where the extensions are not known, the last colon parts the name.
        parts
            .find(|&part| {
                last = last.or(Some(part));
                is(part.0)
            })
            .or(last)
    }

    /// Whether the resources have members.
    pub fn is_group(&self) -> bool {
        self.known.contains("members") || self.schema.ends_with(":Group")
    }
}
