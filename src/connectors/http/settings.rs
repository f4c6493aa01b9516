//! What a connector's file says about a service over HTTP, as written and as used.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::rules::Rule;
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
    /// A token by the OAuth 2.0 client credentials grant.
    oauth2: Option<RawOAuth2>,
}

/// How a token is fetched, as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawOAuth2 {
    /// Where tokens are given.
    token_url: String,
    /// Who Recant is there.
    client_id: String,
    /// What proves it.
    client_secret: Secret,
    /// What is asked for, separated by spaces.
    scope: Option<String>,
    /// How id and secret are shown.
    #[serde(default)]
    client_authentication: ClientAuthentication,
    /// Further parameters of the request, `audience` for example.
    #[serde(default)]
    parameters: BTreeMap<String, Secret>,
}

/// How id and secret of a client are shown (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthentication {
    /// In the `Authorization` header.
    #[default]
    Basic,
    /// In the body, as `client_id` and `client_secret`.
    Body,
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
    /// What its answers mean where they mean something else than their statuses say.
    pub rules: Vec<Rule>,
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
    /// A token that is fetched.
    OAuth2(OAuth2),
}

/// How a token is fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct OAuth2 {
    /// Where tokens are given.
    pub token_url: String,
    /// Who Recant is there.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// What is asked for.
    pub scope: Option<String>,
    /// How id and secret are shown.
    pub client_authentication: ClientAuthentication,
    /// Further parameters of the request.
    pub parameters: BTreeMap<String, Secret>,
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
            rules: Vec::new(),
        }
    }
}

impl Auth {
    fn validate(raw: RawAuth, problems: &mut Vec<Problem>) -> Option<Self> {
        match (raw.bearer, raw.basic, raw.header, raw.oauth2) {
            (Some(token), None, None, None) => {
                check_header("authorization", &token, "/auth/bearer", problems);
                Some(Self::Bearer(token))
            }
            (None, Some(RawBasic { user, password }), None, None) => {
                Some(Self::Basic { user, password })
            }
            (None, None, Some(RawHeader { name, value }), None) => {
                check_header(&name, &value, "/auth/header", problems);
                Some(Self::Header { name, value })
            }
            (None, None, None, Some(oauth2)) => Some(Self::OAuth2(oauth2.validate(problems))),
            _ => {
                let message = "expected exactly one of `bearer`, `basic`, `header`, `oauth2`";
                problems.push(Problem::new("/auth", message));
                None
            }
        }
    }
}

impl RawOAuth2 {
    fn validate(self, problems: &mut Vec<Problem>) -> OAuth2 {
        if !is_address(&self.token_url) {
            let message = "expected https://HOST/PATH or http://… without credentials";
            problems.push(Problem::new("/auth/oauth2/tokenUrl", message));
        }
        if self.client_id.is_empty() {
            let message = "expected the id that the token service knows";
            problems.push(Problem::new("/auth/oauth2/clientId", message));
        }
        OAuth2 {
            token_url: self.token_url,
            client_id: self.client_id,
            client_secret: self.client_secret,
            scope: self.scope,
            client_authentication: self.client_authentication,
            parameters: self.parameters,
        }
    }
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

fn check_address(text: &str, problems: &mut Vec<Problem>) {
    let good = is_address(text) && !text.contains('?');
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
