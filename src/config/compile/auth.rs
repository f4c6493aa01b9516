//! From `[auth]` as written to valid settings.
use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;

use super::project::Work;
use crate::{
    config::{
        settings::{Auth, Certificate, Sessions},
        written::project as written,
    },
    model::{Role, Roles, pointer::Pointer},
    oidc::{self, ALGORITHMS},
};

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/ui/sign-in/callback";
/// How a client certificate's holder may be named.
const HOLDERS: [&str; 4] = ["CN=", "DNS:", "URI:", "email:"];

impl Work<'_> {
    pub(super) fn auth(&mut self, written: written::Auth, public_url: Option<&str>) -> Auth {
        let certificates = written.certificates.into_iter().flatten().enumerate();
        let certificates = certificates
            .filter_map(|(index, certificate)| self.certificate(index, certificate?))
            .collect();
        Auth {
            oidc: written.oidc.and_then(|oidc| self.oidc(oidc, public_url)),
            sessions: sessions(&written.sessions.unwrap_or_default()),
            certificates,
        }
    }

    fn oidc(&mut self, written: written::Oidc, public_url: Option<&str>) -> Option<oidc::Settings> {
        let issuer = self.issuer(written.issuer.as_deref()?)?;
        let client = self.client(&written, public_url);
        Some(oidc::Settings {
            issuer,
            audience: written.audience?,
            name_claim: self.claim("name_claim", written.name_claim.as_deref().unwrap_or("sub"))?,
            roles_claim: self.claim(
                "roles_claim",
                written.roles_claim.as_deref().unwrap_or("roles"),
            )?,
            role_mapping: written
                .role_mapping
                .map(|mapping| self.role_mapping(mapping)),
            algorithms: self.algorithms(written.algorithms),
            clock_skew: Duration::from_secs(written.clock_skew_seconds.unwrap_or(60)),
            authorized_parties: written.authorized_parties.map(given).unwrap_or_default(),
            authority: written.ca_file.as_deref().and_then(|file| {
                self.pem(
                    "/auth/oidc/ca_file",
                    (file, "CERTIFICATE-----", "certificate"),
                )
            }),
            client,
        })
    }

    /// Tokens are believed for what this address says: it must not be another's on the way.
    fn issuer(&mut self, text: &str) -> Option<String> {
        let url = url::Url::parse(text).ok();
        let good = url.is_some_and(|url| {
            let host = url.host_str().unwrap_or_default();
            let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
            url.query().is_none()
                && url.fragment().is_none()
                && (url.scheme() == "https" || (url.scheme() == "http" && local))
        });
        if !good {
            let message =
                "expected an address that begins with https:// (http:// only on this machine)";
            self.error("/auth/oidc/issuer", message.into());
        }
        good.then(|| text.to_owned())
    }

    fn claim(&mut self, key: &str, text: &str) -> Option<Pointer> {
        if !text.starts_with('/') {
            return Some(Pointer::attribute(text));
        }
        let parsed = Pointer::parse(text);
        if let Err(error) = &parsed {
            let message = format!("`{text}` is no path of a claim: {error}");
            self.error(&format!("/auth/oidc/{key}"), message);
        }
        parsed.ok()
    }

    fn role_mapping(
        &mut self,
        written: BTreeMap<String, Vec<Option<String>>>,
    ) -> BTreeMap<String, Roles> {
        let mut mapping = BTreeMap::new();
        for (word, roles) in written {
            let step = word.replace('~', "~0").replace('/', "~1");
            let pointer = format!("/auth/oidc/role_mapping/{step}");
            let roles = self.roles(&pointer, &given(roles));
            mapping.insert(word, roles);
        }
        mapping
    }

    fn roles(&mut self, pointer: &str, words: &[String]) -> Roles {
        for word in words.iter().filter(|word| Role::parse(word).is_none()) {
            let known = Role::ALL.map(Role::as_str).join(", ");
            self.error(pointer, format!("there is no role `{word}`: use {known}"));
        }
        Roles::named(words)
    }

    fn algorithms(&mut self, written: Option<Vec<Option<String>>>) -> Vec<String> {
        let Some(written) = written.map(given) else {
            return ALGORITHMS.map(str::to_owned).to_vec();
        };
        for name in &written {
            if !ALGORITHMS.contains(&name.as_str()) {
                let message = format!(
                    "`{name}` is no signature that can be believed: use {}",
                    ALGORITHMS.join(", ")
                );
                self.error("/auth/oidc/algorithms", message);
            }
        }
        if written.is_empty() {
            let message =
                "no token can be accepted without a signature: name one, or leave this out";
            self.error("/auth/oidc/algorithms", message.into());
        }
        written
    }

    fn client(
        &mut self,
        written: &written::Oidc,
        public_url: Option<&str>,
    ) -> Option<oidc::Client> {
        let Some(id) = &written.client_id else {
            if written.client_secret.is_some() {
                let message = "`client_secret` needs `client_id` beside it".into();
                self.error("/auth/oidc/client_secret", message);
            }
            return None;
        };
        let Some(public_url) = public_url else {
            let message = "signing in needs `public_url` of [server], where the provider sends browsers back to";
            self.error("/auth/oidc/client_id", message.into());
            return None;
        };
        let default = || vec!["openid".to_owned(), "profile".to_owned()];
        let scopes = written.scopes.clone().map_or_else(default, given);
        if !scopes.iter().any(|scope| scope == "openid") {
            let message = "must hold `openid`: without it the provider does not say who signs in";
            self.error("/auth/oidc/scopes", message.into());
        }
        Some(oidc::Client {
            id: id.clone(),
            secret: written.client_secret.clone().map(SecretString::from),
            scopes,
            redirect: format!("{public_url}{CALLBACK}"),
        })
    }

    fn certificate(&mut self, index: usize, written: written::Certificate) -> Option<Certificate> {
        let pointer = format!("/auth/certificates/{index}");
        let holder = written.holder?;
        let named = HOLDERS.iter().any(|kind| {
            holder
                .strip_prefix(kind)
                .is_some_and(|name| !name.trim().is_empty() || name.chars().count() > 190)
        });
        if !named {
            let kinds = HOLDERS.join("NAME, ");
            let message = format!("`{holder}` names nobody: expected {kinds}NAME");
            self.error(&format!("{pointer}/holder"), message);
        }
        let roles = given(written.roles?);
        if roles.is_empty() {
            let message = "without a role the certificate opens nothing".into();
            self.error(&format!("{pointer}/roles"), message);
        }
        let name = written.name?;
        if name.trim().is_empty()
            || name.starts_with(oidc::PREFIX)
            || name.starts_with("cli:")
            || name == "anonymous"
        {
            let message = format!(
                "expected a name that does not begin with `{}`",
                oidc::PREFIX
            );
            self.error(&format!("{pointer}/name"), message);
        }
        Some(Certificate {
            roles: self.roles(&format!("{pointer}/roles"), &roles),
            holder,
            name,
        })
    }
}

/// The items of a list but for those that were misfits, which are reported already.
fn given(list: Vec<Option<String>>) -> Vec<String> {
    list.into_iter().flatten().collect()
}

fn sessions(written: &written::Sessions) -> Sessions {
    let default = Sessions::default();
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    Sessions {
        idle: written.idle_minutes.map_or(default.idle, minutes),
        longest: written.longest_minutes.map_or(default.longest, minutes),
        by_provider: written
            .provider_minutes
            .map_or(default.by_provider, minutes),
    }
}
