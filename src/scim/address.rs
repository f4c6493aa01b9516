//! What an address below `/scim/v2` names.
use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::error::{Failure, Result, ScimType};

/// The longest id, in bytes.
const LONGEST_ID: usize = 255;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// All resources.
    Root,
    /// A search in all resources.
    Search,
    /// What the service can do.
    ServiceProviderConfig,
    /// The schemas, or one.
    Schemas(Option<String>),
    /// The kinds of resources, or one.
    ResourceTypes(Option<String>),
    /// Whoever asks.
    Me,
    /// Many changes.
    Bulk,
    /// The resources of a kind, by its endpoint.
    Collection(String),
    /// A search in the resources of a kind.
    SearchIn(String),
    /// One resource.
    Resource(String, String),
}

impl Address {
    /// Reads the part of a path below `/scim/v2`.
    pub(super) fn parse(path: &str) -> Result<Self> {
        let segments = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decoded)
            .collect::<Result<Vec<_>>>()?;
        let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
        Ok(match texts.as_slice() {
            [] => Self::Root,
            [".search"] => Self::Search,
            ["ServiceProviderConfig" | "ServiceProviderConfigs"] => Self::ServiceProviderConfig,
            ["Schemas"] => Self::Schemas(None),
            ["Schemas", id] => Self::Schemas(Some((*id).to_owned())),
            ["ResourceTypes"] => Self::ResourceTypes(None),
            ["ResourceTypes", id] => Self::ResourceTypes(Some((*id).to_owned())),
            ["Me", ..] => Self::Me,
            ["Bulk"] => Self::Bulk,
            [endpoint] => Self::Collection((*endpoint).to_owned()),
            [endpoint, ".search"] => Self::SearchIn((*endpoint).to_owned()),
            [endpoint, id] => Self::Resource((*endpoint).to_owned(), checked_id(id)?),
            _ => return Err(Failure::new(404, "there is nothing at this address")),
        })
    }

    /// The methods that it answers to.
    pub(super) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Root => &["GET"],
            Self::Search | Self::SearchIn(_) | Self::Bulk => &["POST"],
            Self::ServiceProviderConfig | Self::Schemas(_) | Self::ResourceTypes(_) => &["GET"],
            Self::Me => &["GET", "POST", "PUT", "PATCH", "DELETE"],
            Self::Collection(_) => &["GET", "POST"],
            Self::Resource(..) => &["GET", "PUT", "PATCH", "DELETE"],
        }
    }

    /// Whether a request with this method changes something.
    pub(super) fn changes(&self, method: &Method) -> bool {
        match self {
            Self::Bulk => true,
            Self::Collection(_) => method == Method::POST,
            Self::Resource(..) => [Method::PUT, Method::PATCH, Method::DELETE].contains(method),
            _ => false,
        }
    }

    /// Whether it tells about the service, not about what it holds.
    pub(super) fn is_discovery(&self) -> bool {
        matches!(
            self,
            Self::ServiceProviderConfig | Self::Schemas(_) | Self::ResourceTypes(_)
        )
    }

    /// The route, as a label.
    pub(super) fn route(&self) -> &'static str {
        match self {
            Self::Root => "/scim/v2",
            Self::Search => "/scim/v2/.search",
            Self::ServiceProviderConfig => "/scim/v2/ServiceProviderConfig",
            Self::Schemas(_) => "/scim/v2/Schemas",
            Self::ResourceTypes(_) => "/scim/v2/ResourceTypes",
            Self::Me => "/scim/v2/Me",
            Self::Bulk => "/scim/v2/Bulk",
            Self::Collection(_) => "/scim/v2/{endpoint}",
            Self::SearchIn(_) => "/scim/v2/{endpoint}/.search",
            Self::Resource(..) => "/scim/v2/{endpoint}/{id}",
        }
    }
}

fn decoded(segment: &str) -> Result<String> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| {
        Failure::bad(
            ScimType::InvalidSyntax,
            "the address does not decode to UTF-8",
        )
    })
}

/// An id that an object may have.
fn checked_id(id: &str) -> Result<String> {
    let fits = (1..=LONGEST_ID).contains(&id.len()) && !id.chars().any(char::is_control);
    match fits {
        true => Ok(id.to_owned()),
        false => Err(Failure::new(404, "there is no resource with such an id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let resource = |endpoint: &str, id: &str| Address::Resource(endpoint.into(), id.into());
        for (path, expected) in [
            ("", Address::Root),
            ("/", Address::Root),
            ("/.search", Address::Search),
            ("/Users/", Address::Collection("Users".into())),
            ("/Users/.search", Address::SearchIn("Users".into())),
            ("/Users/a%2Fb", resource("Users", "a/b")),
            ("/Schemas/urn:x:y", Address::Schemas(Some("urn:x:y".into()))),
            ("/Me", Address::Me),
            ("/Bulk", Address::Bulk),
        ] {
            assert_eq!(Address::parse(path), Ok(expected), "{path}");
        }
        for path in ["/Users/1/name", "/Users/a%00", "/Users/%ff"] {
            assert!(Address::parse(path).is_err(), "{path}");
        }
    }
}
