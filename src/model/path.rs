//! Names of places: containers such as `managed/user` or `system/crm/account`, and objects in them.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};

/// A set of objects: a managed type or an object class of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Container {
    /// `managed/TYPE`
    Managed(String),
    /// `system/CONNECTOR/CLASS`
    System {
        /// The connector's name.
        connector: String,
        /// The object class in it.
        class: String,
    },
}

/// One object: a container and an id in it, written `managed/user/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ResourceName {
    /// Where the object is.
    pub container: Container,
    /// Its id, not percent-encoded; it may hold any character, slashes too.
    pub id: String,
}

/// Why a text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no {1}")]
pub struct Error(String, &'static str);

const CONTAINER: &str = "container: expected managed/TYPE or system/CONNECTOR/CLASS";
const RESOURCE: &str = "object: expected managed/TYPE/ID or system/CONNECTOR/CLASS/ID";

impl Container {
    /// `managed/TYPE` for a type's name.
    #[must_use]
    pub fn managed(name: &str) -> Self {
        Self::Managed(name.to_owned())
    }

    /// `system/CONNECTOR/CLASS` for a connector's and a class' name.
    #[must_use]
    pub fn system(connector: &str, class: &str) -> Self {
        Self::System {
            connector: connector.to_owned(),
            class: class.to_owned(),
        }
    }

    /// The name of the managed type; none for a target's objects.
    #[must_use]
    pub fn managed_type(&self) -> Option<&str> {
        match self {
            Self::Managed(name) => Some(name),
            Self::System { .. } => None,
        }
    }

    /// The object with this id in the container.
    #[must_use]
    pub fn object(&self, id: &str) -> ResourceName {
        ResourceName {
            container: self.clone(),
            id: id.to_owned(),
        }
    }
}

impl FromStr for Container {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('/');
        let named = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
        let container = match parts.next() {
            Some("managed") => named(parts.next()).map(Self::Managed),
            Some("system") => named(parts.next())
                .zip(named(parts.next()))
                .map(|(connector, class)| Self::System { connector, class }),
            _ => None,
        };
        match (container, parts.next()) {
            (Some(container), None) => Ok(container),
            _ => Err(Error(text.to_owned(), CONTAINER)),
        }
    }
}

impl FromStr for ResourceName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error(text.to_owned(), RESOURCE);
        let containers = if text.starts_with("system/") { 3 } else { 2 };
        let (at, _) = text
            .match_indices('/')
            .nth(containers - 1)
            .ok_or_else(error)?;
        let (container, id) = text.split_at(at);
        let id = id.trim_start_matches('/').to_owned();
        if id.is_empty() {
            return Err(error());
        }
        Ok(Self {
            container: container.parse().map_err(|_| error())?,
            id,
        })
    }
}

impl fmt::Display for Container {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed(name) => write!(formatter, "managed/{name}"),
            Self::System { connector, class } => write!(formatter, "system/{connector}/{class}"),
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.container, self.id)
    }
}

impl TryFrom<String> for Container {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl Serialize for Container {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for ResourceName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl Serialize for ResourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
