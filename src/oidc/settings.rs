//! How a provider is found, and what its claims mean here.
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

use crate::model::{Roles, pointer::Pointer};

/// The signatures that are believed. `none` and those with a shared secret are not among them, and
/// cannot be asked for.
pub const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// An OpenID Connect provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its address, as tokens name it.
    pub issuer: String,
    /// Whom a bearer token must be made for.
    pub audience: String,
    /// The claim with somebody's name.
    pub name_claim: Pointer,
    /// The claim that lists roles.
    pub roles_claim: Pointer,
    /// What the listed words mean here; none: they are role names themselves.
    pub role_mapping: Option<BTreeMap<String, Roles>>,
    /// Which of [`ALGORITHMS`] a token may be signed with.
    pub algorithms: Vec<String>,
    /// By how much the provider's clock may differ.
    pub clock_skew: Duration,
    /// Which clients' bearer tokens are accepted (`azp`); empty: those of all.
    pub authorized_parties: Vec<String>,
    /// Certificates that the provider's must come from, beside those that this machine knows.
    pub authority: Option<PathBuf>,
    /// What Recant is to the provider; none: nobody signs in at the pages through it.
    pub client: Option<Client>,
}

/// What Recant is to the provider.
#[derive(Clone)]
pub struct Client {
    /// Its id there.
    pub id: String,
    /// Its secret; none: a public client, protected by PKCE alone.
    pub secret: Option<SecretString>,
    /// What is asked for at a sign-in.
    pub scopes: Vec<String>,
    /// Where the provider sends browsers back to.
    pub redirect: String,
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        let secret = |client: &Self| {
            let secret = client.secret.as_ref();
            secret.map(|secret| secret.expose_secret().to_owned())
        };
        self.id == other.id
            && self.scopes == other.scopes
            && self.redirect == other.redirect
            && secret(self) == secret(other)
    }
}

impl Eq for Client {}

/// Without the secret.
impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("id", &self.id)
            .field("redirect", &self.redirect)
            .finish_non_exhaustive()
    }
}
