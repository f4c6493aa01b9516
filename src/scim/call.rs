//! One request as handlers see it.
use std::sync::Arc;

use axum::http::{HeaderMap, Method, header::IF_MATCH, header::IF_NONE_MATCH};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Scim,
    address::Address,
    error::{Failure, Result, ScimType},
    query::Parameters,
    veiled,
};
use crate::{
    app::Veil,
    model::{Precondition, audit::hexadecimal, change::IdempotencyKey, scim::Resources},
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest idempotency key; what follows it tells attempts and parts of a bulk request apart.
const LONGEST_KEY: usize = 200;

/// A request that was let through.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Who asks.
    pub(super) caller: String,
    /// What ties audit entries together.
    pub(super) transaction_id: String,
    /// The HTTP method.
    pub(super) method: Method,
    /// What the address names.
    pub(super) address: Address,
    /// The query parameters.
    pub(super) parameters: Parameters,
    /// The revision that the resource must have.
    pub(super) expected: Expected,
    /// Revisions that the caller holds already.
    pub(super) held: Vec<String>,
    /// The caller's idempotency key.
    pub(super) key: Option<String>,
    /// The address of the service, without a slash at its end.
    pub(super) base: String,
    /// What the caller does not see.
    pub(super) veil: Arc<Veil>,
}

/// What `If-Match` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing.
    #[default]
    Anything,
    /// That the resource is there (`*`).
    Existing,
    /// One of these revisions.
    Revisions(Vec<String>),
}

impl Expected {
    /// Reads the header.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self> {
        let mut values = headers.get_all(IF_MATCH).iter().peekable();
        if values.peek().is_none() {
            return Ok(Self::Anything);
        }
        let mut revisions = Vec::new();
        for value in values {
            let text = value.to_str().unwrap_or_default();
            for tag in text.split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(Self::Existing);
                }
                revisions.push(revision(tag).ok_or_else(|| unreadable("If-Match"))?);
            }
        }
        Ok(Self::Revisions(revisions))
    }

    /// As the version of an operation in a bulk request.
    pub(super) fn of_version(version: &Value) -> Result<Self> {
        match version {
            Value::Null => Ok(Self::Anything),
            Value::String(version) if version == "*" => Ok(Self::Existing),
            Value::String(version) => revision(version)
                .map(|revision| Self::Revisions(vec![revision]))
                .ok_or_else(|| unreadable("version")),
            _ => Err(unreadable("version")),
        }
    }

    /// Whether the caller named revisions, so that nothing may be tried with another.
    pub(super) fn names_revisions(&self) -> bool {
        matches!(self, Self::Revisions(_))
    }

    /// The engine's precondition for a resource of which this revision was read.
    pub(super) fn precondition(&self, read: &str) -> Precondition {
        let given = match self {
            Self::Revisions(revisions) => revisions.iter().find(|it| *it != read),
            _ => None,
        };
        let holds = match self {
            Self::Revisions(revisions) => revisions.iter().any(|it| it == read),
            _ => true,
        };
        match given.filter(|_| !holds) {
            Some(other) => Precondition::Revision(other.clone()),
            None => Precondition::Revision(read.to_owned()),
        }
    }
}

/// A version that cannot be read cannot be the one that is there: nothing is done.
fn unreadable(name: &str) -> Failure {
    let detail = format!("`{name}` must hold versions, as W/\"1\", or `*`");
    Failure::bad(ScimType::InvalidValue, detail)
}

/// The revisions in `If-None-Match`.
pub(super) fn held(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter_map(|tag| match tag {
            "*" => Some("*".to_owned()),
            tag => revision(tag),
        })
        .collect()
}

/// The caller's idempotency key.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let fits =
        (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(Some(text.to_owned())),
        false => Err(Failure::bad(
            ScimType::InvalidValue,
            format!("`Idempotency-Key` must hold 1 to {LONGEST_KEY} visible ASCII characters"),
        )),
    }
}

/// The revision in one entity tag: quoted, weak or bare.
fn revision(tag: &str) -> Option<String> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let bare = match tag.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => tag,
    };
    let is_one = !bare.is_empty() && !bare.contains(['"', ',', ' ']);
    is_one.then(|| bare.to_owned())
}

impl Call {
    /// The kinds of resources as the caller meets them.
    pub(super) fn resources(&self, scim: &Scim) -> Arc<Resources> {
        let resources = scim.app.resources();
        match self.veil.is_thin() {
            true => resources,
            false => Arc::new(veiled::behind(&resources, &self.veil)),
        }
    }

    /// Whether the caller holds this revision already.
    pub(super) fn holds(&self, revision: &str) -> bool {
        self.held.iter().any(|held| held == "*" || held == revision)
    }

    /// The idempotency key of one attempt at this request, with the digest of all that gives the
    /// request its meaning.
    pub(super) fn attempt_key(&self, attempt: usize, content: &Value) -> Option<IdempotencyKey> {
        let key = self.key.as_ref()?;
        let mut hasher = Sha256::new();
        let mut part = |text: &str| {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        part("scim");
        part(self.method.as_str());
        part(&format!("{:?}", self.address));
        part(&format!("{:?}", self.expected));
        part(&content.to_string());
        let request_digest = hexadecimal(&hasher.finalize());
        let key = match attempt {
            0 => key.clone(),
            again => format!("{key}#{again}"),
        };
        Some(IdempotencyKey {
            key,
            request_digest,
        })
    }

    /// The query parameters that the service does not know, for hooks.
    pub(super) fn additional(&self) -> Value {
        let known = ["attributes", "excludedAttributes"];
        let pairs = self.parameters.pairs().iter();
        let unknown = pairs.filter(|(name, _)| !known.contains(&name.as_str()));
        let unknown: Map<String, Value> = unknown
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        Value::Object(unknown)
    }
}
