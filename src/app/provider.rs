//! Signing in at the pages through a provider (OpenID Connect).
use super::{
    App, Error, Identity, SignedIn,
    access::{ANONYMOUS, fresh_secret},
    door::{Arrival, denied_by},
};
use crate::{
    config::Configuration,
    oidc::{Departure, Provider, Rejection, Return, Whence},
};
use secrecy::ExposeSecret as _;

impl App {
    /// Whether people can sign in at the pages through a provider.
    #[must_use]
    pub fn has_provider(&self) -> bool {
        self.provider()
            .is_some_and(|provider| provider.settings().client.is_some())
    }

    /// Sends a browser to the provider; `back` is the page that it wants to see afterwards.
    ///
    /// # Errors
    /// 404 where nobody signs in through a provider, 503 where it cannot be asked.
    pub async fn begin_sign_in(&self, back: &str) -> Result<Departure, Error> {
        let provider = self.provider().filter(|_| self.has_provider());
        let provider = provider.ok_or_else(|| Error::missing("provider to sign in through"))?;
        let secret = fresh_secret().map_err(|error| Error::new(500, error.to_string()))?;
        let departure = provider.depart(secret.expose_secret(), back).await;
        departure.map_err(|rejection| denied_by(&rejection))
    }

    /// Begins a session for a browser that comes back from the provider, with the cookie that it was
    /// sent away with; gives the page, too, that it wanted to see. The cookie is to be forgotten.
    ///
    /// # Errors
    /// 401 where the provider's word is not taken, 403 for somebody without any role, 429 for whoever
    /// has failed too often, 503 where the provider cannot be asked.
    pub async fn finish_sign_in(
        &self,
        cookie: Option<&str>,
        back: &Return<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<(SignedIn, String), Error> {
        let provider = self.provider().filter(|_| self.has_provider());
        let provider = provider.ok_or_else(|| Error::missing("provider to sign in through"))?;
        let is_away = self.parts.door.is_away(arrival, self.clock().now());
        let whence = if is_away {
            Whence::Failing
        } else {
            Whence::Anywhere
        };
        let arrived = provider.arrive(cookie, back, whence).await;
        let (person, page) = match arrived {
            Ok(arrived) => arrived,
            Err(rejection) => return Err(self.not_let_in(&rejection, arrival).await),
        };
        let identity = Identity::of_person(person);
        if identity.roles.is_empty() {
            let message = "the provider names no role that means something here";
            let what = "sign in through the provider";
            self.note_sign_in(arrival, &identity.name, what, 403, message)
                .await;
            return Err(Error::new(403, message));
        }
        Ok((self.begin_session(identity, arrival).await?, page))
    }

    async fn not_let_in(&self, rejection: &Rejection, arrival: &Arrival<'_>) -> Error {
        let error = match rejection {
            Rejection::Invalid(message) => self.failed(arrival, "", message),
            other => denied_by(other),
        };
        let what = "sign in through the provider";
        let message = rejection.to_string();
        self.note_sign_in(arrival, ANONYMOUS, what, error.code, &message)
            .await;
        error
    }

    /// The provider of a configuration; the one at work where its settings are the same.
    ///
    /// # Errors
    /// Where no client of it can be made.
    pub(super) fn provider_of(
        &self,
        configuration: &Configuration,
    ) -> Result<Option<Provider>, crate::oidc::FetchError> {
        let Some(settings) = &configuration.auth.oidc else {
            return Ok(None);
        };
        match self.provider() {
            Some(provider) if provider.settings() == settings => Ok(Some(provider)),
            _ => {
                let clock = std::sync::Arc::clone(&self.parts.clock);
                Provider::new(settings.clone(), clock).map(Some)
            }
        }
    }

    pub(super) fn keep_provider(&self, provider: Option<Provider>) {
        self.parts.provider.store(provider.map(std::sync::Arc::new));
    }
}
