//! The key `scim` of a managed type as it is written.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// How a managed type shows as a kind of resource of the SCIM service (`/scim/v2`).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scim {
    /// The name of the kind of resource, as `User`; left out: the type's name with a capital.
    pub(crate) resource_type: Option<String>,
    /// Where its resources are, below `/scim/v2`; left out: the kind's name with an `s`.
    pub(crate) endpoint: Option<String>,
    /// The URN of its schema; left out: that of RFC 7643 for `User` and `Group`.
    pub(crate) schema: Option<String>,
    /// What it is, for people.
    pub(crate) description: Option<String>,
    /// SCIM attributes (`userName`, `name.givenName`, `emails[type eq "work"].value`), each with the
    /// property that keeps it; left out: the properties whose names are known.
    #[schemars(with = "Option<BTreeMap<String, Property>>")]
    pub(crate) attributes: Option<Map<String, Value>>,
    /// Further schemas by their URN, each with attributes as above.
    #[schemars(with = "Option<BTreeMap<String, BTreeMap<String, Property>>>")]
    pub(crate) extensions: Option<Map<String, Value>>,
}

/// The property that keeps an attribute.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Property {
    /// Its name, or a pointer into it.
    Name(String),
    /// With what is to be said of the attribute.
    Described(Described),
}

/// A property, and what is to be said of its attribute.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Described {
    /// The property: its name, or a pointer into it.
    #[schemars(required)]
    pub(crate) property: Option<String>,
    /// What it is, for people.
    pub(crate) description: Option<String>,
    /// What its values are, where the type's schema does not tell: `string`, `boolean`, `decimal`,
    /// `integer`, `dateTime`, `binary` or `reference`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Who may write it: `readOnly`, `readWrite`, `immutable` or `writeOnly`.
    pub(crate) mutability: Option<String>,
    /// When it is shown: `always`, `never`, `default` or `request`.
    pub(crate) returned: Option<String>,
    /// How far its values are unique: `none` or `server`.
    pub(crate) uniqueness: Option<String>,
    /// Whether every resource has one.
    pub(crate) required: Option<bool>,
    /// Whether the case of its texts matters.
    pub(crate) case_exact: Option<bool>,
    /// The kinds of resources that it refers to.
    pub(crate) references: Option<Vec<String>>,
}

impl Property {
    /// As if everything had been written out.
    pub(crate) fn described(self) -> Described {
        match self {
            Self::Described(described) => described,
            Self::Name(name) => Described {
                property: Some(name),
                ..Described::default()
            },
        }
    }
}
