//! OpenID Connect: who somebody is, by the word of a provider.
//!
//! [`keys`] finds the provider and keeps its keys, [`token`] takes a token apart and checks it,
//! [`claims`] judges what it says, [`flow`] leads a browser to the provider and back. What somebody
//! may do here is decided by the roles alone that come out of it.
mod claims;
mod fetch;
mod flow;
mod keys;
mod redeeming;
mod settings;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use chrono::Utc;

use crate::{
    clock::SharedClock,
    model::{Object, Roles},
};

pub use fetch::FetchError;
pub use flow::{Departure, Return, safe_return};
pub use redeeming::Whence;
pub use settings::{ALGORITHMS, Client, Settings};

/// What stands before the name of everybody whom a provider vouches for: no token or certificate
/// can have such a name.
pub const PREFIX: &str = "oidc:";

/// A provider whose tokens are believed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Provider {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    settings: Settings,
    clock: SharedClock,
    keys: keys::Keys,
    redeeming: redeeming::Redeeming,
}

/// Somebody whom a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name, with [`PREFIX`].
    pub name: String,
    /// What the provider's claims make of them here.
    pub roles: Roles,
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not what it says it is.
    #[error("{0}")]
    Invalid(&'static str),
    /// It was good once, or will be: nobody guesses such a one.
    #[error("{0}")]
    Untimely(&'static str),
    /// Whether it is good cannot be found out now.
    #[error("the provider of sign-ins cannot be asked: {0}")]
    Unreachable(String),
    /// Too much fails: it is not even asked about now.
    #[error("too many sign-ins fail; try again a little later")]
    Busy(std::time::Duration),
}

impl Provider {
    /// A provider; nothing is asked of it yet.
    ///
    /// # Errors
    /// Where no HTTP client can be made, such as for a file of certificates that cannot be read.
    pub fn new(settings: Settings, clock: SharedClock) -> Result<Self, FetchError> {
        let fetcher = fetch::Fetcher::new(&settings)?;
        let keys = keys::Keys::new(settings.issuer.clone(), fetcher, clock.clone());
        Ok(Self {
            parts: Arc::new(Parts {
                settings,
                clock,
                keys,
                redeeming: redeeming::Redeeming::default(),
            }),
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// Who presents a bearer token.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn bearer(&self, token: &str) -> Result<Person, Rejection> {
        let claims = self.claims(token).await?;
        claims::check_bearer(&claims, self.settings())?;
        claims::person(&claims, self.settings())
    }

    /// The claims of a token that the provider signed and that is in force.
    async fn claims(&self, token: &str) -> Result<Object, Rejection> {
        let parsed = token::Parsed::read(token, &self.settings().algorithms)?;
        let keys = self.parts.keys.with(parsed.key_id()).await?;
        parsed.verify(&keys)?;
        let claims = parsed.into_claims();
        let now: chrono::DateTime<Utc> = self.parts.clock.now();
        claims::check_issuer_and_time(&claims, self.settings(), now)?;
        Ok(claims)
    }
}
