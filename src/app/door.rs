//! The door: who asks, and whether a request comes from where it may (API, SCIM service, pages).
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    App, Error, Identity,
    access::{self, NoRandomness, PREFIX},
    lockout::Lockout,
};
use crate::oidc::{Person, Provider, Rejection};

/// How long to stay away while a provider cannot be asked.
const UNREACHABLE: Duration = Duration::from_secs(10);

/// Where the server can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// From this machine only.
    #[default]
    Loopback,
    /// From elsewhere.
    Network,
}

/// What is known of where a request comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrival<'a> {
    /// Where the server can be reached from.
    pub reach: Reach,
    /// The address that the request came from.
    pub peer: Option<IpAddr>,
    /// The certificate that the client showed.
    pub certificate: Option<&'a ClientCertificate>,
    /// What ties audit entries together.
    pub transaction_id: &'a str,
    /// The header `Host` (or `:authority`).
    pub host: Option<&'a str>,
    /// The header `Origin`.
    pub origin: Option<&'a str>,
    /// The header `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
}

/// A client's certificate, which leads to an authority that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    /// Whom it names: `CN=NAME`, `DNS:NAME`, `URI:NAME`, `email:NAME`.
    pub holders: Vec<String>,
}

/// What the door keeps while the program runs.
#[derive(Debug)]
pub(super) struct Door {
    /// Stands in for a session's secret where nobody signs in.
    open_secret: secrecy::SecretString,
    /// Who failed lately.
    lockout: Lockout,
    /// Tokens that were used, and not noted yet.
    uses: Mutex<HashMap<String, DateTime<Utc>>>,
    /// Held while tokens are read anew.
    pub(super) reading: tokio::sync::Mutex<()>,
}

/// Why somebody is not let in.
enum Denial {
    /// What was presented never was right: it may be a guess.
    Guess(&'static str),
    /// Anything else.
    Other(Error),
}

impl Door {
    pub(super) fn new() -> Result<Self, NoRandomness> {
        Ok(Self {
            open_secret: access::fresh_secret()?,
            lockout: Lockout::default(),
            uses: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        })
    }

    /// Whether too much has failed from there lately.
    pub(super) fn is_away(&self, arrival: &Arrival<'_>, now: DateTime<Utc>) -> bool {
        self.lockout.is_away(arrival.peer, now)
    }

    pub(super) fn open_secret(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.open_secret)
    }

    /// Tokens that were used since this was asked last.
    pub(super) fn take_uses(&self) -> HashMap<String, DateTime<Utc>> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *uses)
    }

    fn note_use(&self, token: &str, now: DateTime<Utc>) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(token.to_owned(), now);
    }
}

impl App {
    /// Whether everybody has to say who they are: once a token was ever made, or a provider or client
    /// certificates are configured. Where this is not so, only this machine is answered.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        let configuration = self.configuration();
        !self.token_book().is_empty()
            || configuration.auth.oidc.is_some()
            || !configuration.auth.certificates.is_empty()
    }

    /// Who asks, by the bearer token that is presented, else by the client's certificate. A server
    /// that is not guarded takes everybody on this machine for `anonymous` with every role, but no
    /// page of a browser from elsewhere.
    ///
    /// # Errors
    /// 401 without a valid token, 403 for a foreign page, 429 for whoever has failed too often, 503
    /// where it cannot be found out.
    pub async fn identify(
        &self,
        arrival: &Arrival<'_>,
        bearer: Option<&str>,
    ) -> Result<Identity, Error> {
        self.fresh_tokens().await?;
        if !self.is_guarded() {
            arrival.check_unguarded()?;
            return Ok(Identity::anonymous());
        }
        let Some(bearer) = bearer else {
            return self.by_certificate(arrival);
        };
        match self.by_bearer(arrival, bearer).await {
            Ok(identity) => Ok(identity),
            Err(Denial::Other(error)) => Err(error),
            Err(Denial::Guess(message)) => Err(self.failed(arrival, bearer, message)),
        }
    }

    /// Counts a failed sign-in; gives what is answered.
    pub(super) fn failed(&self, arrival: &Arrival<'_>, credential: &str, message: &str) -> Error {
        let lockout = &self.parts.door.lockout;
        match lockout.failed(arrival.peer, credential, self.clock().now()) {
            None => Error::new(401, message),
            Some(pause) => {
                let mut error = Error::new(429, "too many failed sign-ins from here; stay away");
                error.retry_after = Some(pause);
                error
            }
        }
    }

    async fn by_bearer(&self, arrival: &Arrival<'_>, bearer: &str) -> Result<Identity, Denial> {
        let wrong = Denial::Guess("the bearer token is not valid");
        let provider = self.provider().filter(|_| !bearer.starts_with(PREFIX));
        if let Some(provider) = provider {
            let person = provider.bearer(bearer).await.map_err(Denial::from)?;
            return Ok(Identity::of_person(person));
        }
        let now = self.clock().now();
        let mut found = self.token_book().identify(bearer, now);
        let may_be_new = !self.parts.door.lockout.is_away(arrival.peer, now);
        if found.is_none() && bearer.starts_with(PREFIX) && may_be_new {
            found = self.newly_made(bearer).await.map_err(Denial::Other)?;
        }
        let identity = found.ok_or(wrong)?;
        if let Some(token) = &identity.token
            && self.token_book().is_use_news(token, now)
        {
            self.parts.door.note_use(token, now);
        }
        Ok(identity)
    }

    /// Whom the client's certificate stands for. A browser shows it whatever page asks, so pages of
    /// other sites are refused.
    pub(super) fn by_certificate(&self, arrival: &Arrival<'_>) -> Result<Identity, Error> {
        let nobody = || Error::new(401, "a bearer token is needed");
        let certificate = arrival.certificate.ok_or_else(nobody)?;
        let configuration = self.configuration();
        let known = configuration.auth.certificates.iter().find(|known| {
            let held = certificate.holders.iter();
            held.into_iter()
                .any(|holder| same_holder(holder, &known.holder))
        });
        let known = known.ok_or_else(nobody)?;
        arrival.check_same_origin()?;
        Ok(Identity {
            name: known.name.clone(),
            roles: known.roles,
            token: None,
        })
    }

    pub(super) fn provider(&self) -> Option<Provider> {
        let provider = self.parts.provider.load();
        provider.as_deref().cloned()
    }
}

impl Identity {
    pub(super) fn of_person(person: Person) -> Self {
        Self {
            name: person.name,
            roles: person.roles,
            token: None,
        }
    }
}

impl From<Rejection> for Denial {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Invalid(message) => Self::Guess(message),
            other => Self::Other(denied_by(&other)),
        }
    }
}

/// What is answered where a provider's word is not taken.
pub(super) fn denied_by(rejection: &Rejection) -> Error {
    match rejection {
        Rejection::Invalid(message) | Rejection::Untimely(message) => Error::new(401, *message),
        Rejection::Unreachable(_) => {
            let mut error = Error::new(503, "the provider of sign-ins cannot be asked now");
            error.retry_after = Some(UNREACHABLE);
            error
        }
        Rejection::Busy(wait) => {
            let mut error = Error::new(429, rejection.to_string());
            error.retry_after = Some(*wait);
            error
        }
    }
}

/// Names of hosts and mail addresses do not differ by case, others do.
fn same_holder(one: &str, other: &str) -> bool {
    if one.starts_with("DNS:") || one.starts_with("email:") {
        one.eq_ignore_ascii_case(other)
    } else {
        one == other
    }
}

impl Arrival<'_> {
    /// Lets a request to a server that asks nobody who they are pass only where no page from
    /// elsewhere can have sent it, be it under a name that was bent to this machine.
    ///
    /// # Errors
    /// 401 where the server can be reached from elsewhere, 403 for a foreign host or page.
    pub fn check_unguarded(&self) -> Result<(), Error> {
        if self.reach == Reach::Network {
            return Err(Error::new(
                401,
                "no token is configured and the server can be reached from elsewhere",
            ));
        }
        if self.host.is_some_and(is_local) {
            return self.check_same_origin();
        }
        Err(Error::new(
            403,
            "without tokens only this machine's own name is answered; make a token with `recant token`",
        ))
    }

    /// Refuses what another site's page made a browser send. Programs, which send neither `Origin`
    /// nor `Sec-Fetch-Site`, pass.
    ///
    /// # Errors
    /// 403.
    pub fn check_same_origin(&self) -> Result<(), Error> {
        let is_own = match (self.fetch_site, self.origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => {
                let named = origin.split_once("://").map(|(_, host)| host);
                named
                    .zip(self.host)
                    .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
            }
            (None, None) => true,
        };
        if is_own {
            return Ok(());
        }
        Err(Error::new(
            403,
            "the request was sent by the page of another site",
        ))
    }
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<(), Error>) -> u16 {
        result.map_or_else(|error| error.code, |()| 200)
    }

    #[test]
    fn only_this_machine_is_local() {
        for host in [
            "localhost",
            "LOCALHOST:8480",
            "127.0.0.1:1",
            "127.8.9.1",
            "[::1]:8480",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "recant.example",
            "localhost.example:80",
            "10.0.0.1",
            "",
            "null",
            "[::2]:1",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_do_not_get_in() {
        let host = "127.0.0.1:8480";
        for (origin, site, expected) in [
            (None, None, 200),
            (None, Some("same-origin"), 200),
            (None, Some("none"), 200),
            (None, Some("cross-site"), 403),
            (None, Some("same-site"), 403),
            (Some("http://127.0.0.1:8480"), None, 200),
            (Some("http://127.0.0.1:8480"), Some("same-origin"), 200),
            (Some("http://127.0.0.1:3000"), None, 403),
            (Some("http://evil.example"), None, 403),
            (Some("null"), None, 403),
            (Some("null"), Some("cross-site"), 403),
        ] {
            let arrival = Arrival {
                host: Some(host),
                origin,
                fetch_site: site,
                ..Arrival::default()
            };
            assert_eq!(code(arrival.check_unguarded()), expected, "{arrival:?}");
        }
    }

    #[test]
    fn a_name_bent_to_this_machine_opens_nothing() {
        let bent = Arrival {
            host: Some("evil.example:8480"),
            origin: Some("http://evil.example:8480"),
            fetch_site: Some("same-origin"),
            ..Arrival::default()
        };
        assert_eq!(code(bent.check_unguarded()), 403);
        let nameless = Arrival::default();
        assert_eq!(code(nameless.check_unguarded()), 403);
        let network = Arrival {
            reach: Reach::Network,
            host: Some("localhost"),
            ..Arrival::default()
        };
        assert_eq!(code(network.check_unguarded()), 401);
    }
}
