//! What a connector's file says about a service over HTTP, as written and as used.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::connectors::settings::{Problem, Secret};

/// Credentials as written: exactly one of the keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawAuth {
    /// A bearer token.
    bearer: Option<Secret>,
    /// User and password.
    basic: Option<RawBasic>,
    /// A header of the service's own.
    header: Option<RawHeader>,
}

/// User and password as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawBasic {
    /// The user's name.
    user: String,
    /// The user's password.
    password: Secret,
}

/// A header as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawHeader {
    /// The header's name.
    name: String,
    /// The header's value.
    value: Secret,
}

/// A service as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Where the service is, without a slash at the end.
    pub base_url: String,
    /// How Recant shows who it is.
    pub auth: Option<Auth>,
    /// Headers of every request.
    pub headers: BTreeMap<String, Secret>,
}

/// Credentials.
#[derive(Debug, Clone, PartialEq)]
pub enum Auth {
    /// A bearer token (RFC 6750).
    Bearer(Secret),
    /// User and password (RFC 7617).
    Basic {
        /// The user's name.
        user: String,
        /// The user's password.
        password: Secret,
    },
    /// A header of the service's own.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
}

impl Service {
    /// What was written, checked; every problem in it is added to `problems`.
    pub fn validate(
        base_url: &str,
        auth: Option<RawAuth>,
        headers: BTreeMap<String, Secret>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        check_address(base_url, problems);
        for (name, value) in &headers {
            check_header(name, value, &format!("/headers/{name}"), problems);
        }
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            auth: auth.and_then(|auth| Auth::validate(auth, problems)),
            headers,
        }
    }
}

impl Auth {
    fn validate(raw: RawAuth, problems: &mut Vec<Problem>) -> Option<Self> {
        match (raw.bearer, raw.basic, raw.header) {
            (Some(token), None, None) => {
                check_header("authorization", &token, "/auth/bearer", problems);
                Some(Self::Bearer(token))
            }
            (None, Some(RawBasic { user, password }), None) => Some(Self::Basic { user, password }),
            (None, None, Some(RawHeader { name, value })) => {
                check_header(&name, &value, "/auth/header", problems);
                Some(Self::Header { name, value })
            }
            _ => {
                let message = "expected exactly one of `bearer`, `basic`, `header`";
                problems.push(Problem::new("/auth", message));
                None
            }
        }
    }
}

fn check_address(text: &str, problems: &mut Vec<Problem>) {
    let good = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if !good {
        let message = "expected https://HOST/PREFIX or http://…, credentials belong into `auth`";
        problems.push(Problem::new("/baseUrl", message));
    }
}

/// A problem where no request could carry the header.
fn check_header(name: &str, value: &Secret, pointer: &str, problems: &mut Vec<Problem>) {
    let good = reqwest::header::HeaderName::try_from(name).is_ok()
        && reqwest::header::HeaderValue::try_from(value.expose()).is_ok();
    if !good {
        problems.push(Problem::new(pointer, "no valid HTTP header"));
    }
}
