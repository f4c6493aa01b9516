//! The door: who asks, and whether a request comes from where it may (API, SCIM service, pages).
use std::net::IpAddr;

use super::{
    App, Error, Identity,
    access::{self, NoRandomness},
};

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
    /// What ties audit entries together.
    pub transaction_id: &'a str,
    /// The header `Host` (or `:authority`).
    pub host: Option<&'a str>,
    /// The header `Origin`.
    pub origin: Option<&'a str>,
    /// The header `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
}

/// What the door keeps while the program runs.
#[derive(Debug)]
pub(super) struct Door {
    /// Stands in for a session's secret where nobody signs in.
    open_secret: secrecy::SecretString,
}

impl Door {
    pub(super) fn new() -> Result<Self, NoRandomness> {
        Ok(Self {
            open_secret: access::fresh_secret()?,
        })
    }

    pub(super) fn open_secret(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.open_secret)
    }
}

impl App {
    /// Whether everybody has to say who they are: once a token was ever made. Where this is not so,
    /// only this machine is answered.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        !self.token_book().is_empty()
    }

    /// Who asks, by the bearer token that is presented. A server that is not guarded takes everybody
    /// on this machine for `anonymous` with every role, but no page of a browser from elsewhere.
    ///
    /// # Errors
    /// 401 without a valid token, 403 for a foreign page.
    pub async fn identify(
        &self,
        arrival: &Arrival<'_>,
        bearer: Option<&str>,
    ) -> Result<Identity, Error> {
        if !self.is_guarded() {
            arrival.check_unguarded()?;
            return Ok(Identity::anonymous());
        }
        let bearer = bearer.ok_or_else(|| Error::new(401, "a bearer token is needed"))?;
        self.authenticate(bearer)
            .ok_or_else(|| Error::new(401, "the bearer token is not valid"))
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
