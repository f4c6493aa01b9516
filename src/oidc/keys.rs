//! What is known of the provider: its addresses and keys, asked for anew when a key is unknown, but
//! not at everybody's whim.
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::{FetchError, Rejection, fetch::Fetcher};
use crate::clock::SharedClock;

/// How long what is known is taken as it is.
const FRESH: TimeDelta = TimeDelta::minutes(10);
/// How long it still serves while the provider cannot be reached.
const USABLE: TimeDelta = TimeDelta::hours(12);
/// How often the provider is asked at most, whatever is presented here.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// What a provider says of itself.
#[derive(Debug, Clone)]
pub(super) struct Known {
    asked_at: DateTime<Utc>,
    keys: Vec<Jwk>,
    /// Where browsers sign in.
    pub(super) authorization: Option<String>,
    /// Where a code becomes tokens.
    pub(super) token: Option<String>,
    /// Where browsers sign out.
    pub(super) end_session: Option<String>,
    /// Whether its answers to browsers always name it (RFC 9207).
    pub(super) names_itself: bool,
}

/// What is known of the provider, and how it is asked.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    fetcher: Fetcher,
    clock: SharedClock,
    known: ArcSwapOption<Known>,
    /// When the provider was asked last, and what came of it where that was nothing. Held while it
    /// is being asked: one asks for all.
    asking: Mutex<Asked>,
}

/// When the provider was asked, and what came of it where that was nothing.
type Asked = Option<(DateTime<Utc>, Option<String>)>;

impl Keys {
    pub(super) fn new(issuer: String, fetcher: Fetcher, clock: SharedClock) -> Self {
        Self {
            issuer,
            fetcher,
            clock,
            known: ArcSwapOption::empty(),
            asking: Mutex::default(),
        }
    }

    pub(super) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// What is known, with the key of this id among it if the provider has it.
    pub(super) async fn with(&self, id: Option<&str>) -> Result<Arc<Known>, Rejection> {
        let serves = |known: &Known| self.is_younger(known, FRESH) && known.has(id);
        if let Some(known) = self.known.load_full().filter(|known| serves(known)) {
            return Ok(known);
        }
        // While somebody asks, what serves in need serves the others.
        let in_need = |known: &Known| self.is_younger(known, USABLE) && known.has(id);
        let usable = self.known.load_full().filter(|known| in_need(known));
        match (usable, self.asking.try_lock()) {
            (Some(known), Err(_)) => Ok(known),
            (_, Ok(asking)) => self.ask_again(asking, serves).await,
            (None, Err(_)) => self.ask_again(self.asking.lock().await, serves).await,
        }
    }

    /// What is known, asked for where there is nothing fresh.
    pub(super) async fn known(&self) -> Result<Arc<Known>, Rejection> {
        self.with(None).await
    }

    async fn ask_again(
        &self,
        mut asking: MutexGuard<'_, Asked>,
        serves: impl Fn(&Known) -> bool,
    ) -> Result<Arc<Known>, Rejection> {
        if let Some(known) = self.known.load_full().filter(|known| serves(known)) {
            return Ok(known);
        }
        let now = self.clock.now();
        let rests = |at: &DateTime<Utc>| now - *at < PAUSE && *at <= now;
        if !asking.as_ref().is_some_and(|(at, _)| rests(at)) {
            let failed = match self.ask(now).await {
                Ok(known) => {
                    self.known.store(Some(Arc::new(known)));
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, issuer = self.issuer, "the provider of sign-ins cannot be asked");
                    Some(error.to_string())
                }
            };
            // Asking may have taken longer than the pause.
            *asking = Some((self.clock.now(), failed));
        }
        let usable = self.known.load_full();
        match usable.filter(|known| self.is_younger(known, USABLE)) {
            Some(known) => Ok(known),
            None => {
                let failed = asking.as_ref().and_then(|(_, failed)| failed.clone());
                Err(Rejection::Unreachable(failed.unwrap_or_default()))
            }
        }
    }

    async fn ask(&self, now: DateTime<Utc>) -> Result<Known, FetchError> {
        let address = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let step = "read the provider's description";
        let described = self.fetcher.json(&address, step).await?;
        let fail = |reason: &str| FetchError {
            step,
            reason: reason.to_owned(),
        };
        let text = |key: &str| described.get(key).and_then(Value::as_str);
        if text("issuer") != Some(self.issuer.as_str()) {
            return Err(fail("it names another issuer than [auth.oidc] does"));
        }
        let address = text("jwks_uri").ok_or_else(|| fail("it has no `jwks_uri`"))?;
        let keys = self
            .fetcher
            .json(address, "read the provider's keys")
            .await?;
        let own = |key: &str| text(key).map(str::to_owned);
        let answer_names_issuer = "authorization_response_iss_parameter_supported";
        Ok(Known {
            asked_at: now,
            keys: readable(&keys),
            authorization: own("authorization_endpoint"),
            token: own("token_endpoint"),
            end_session: own("end_session_endpoint"),
            names_itself: described.get(answer_names_issuer) == Some(&Value::Bool(true)),
        })
    }

    fn is_younger(&self, known: &Known, age: TimeDelta) -> bool {
        self.clock.now() - known.asked_at < age
    }
}

impl Known {
    /// The keys that may have signed a token: the one with this id, or all where it names none.
    pub(super) fn candidates<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Jwk> {
        self.keys
            .iter()
            .filter(move |key| id.is_none() || key.common.key_id.as_deref() == id)
    }

    fn has(&self, id: Option<&str>) -> bool {
        id.is_none() || self.candidates(id).next().is_some()
    }
}

/// The keys of a set that can be read and are for signatures; others are left out.
fn readable(set: &Value) -> Vec<Jwk> {
    let keys = set.get("keys").and_then(Value::as_array);
    keys.into_iter()
        .flatten()
        .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok())
        .filter(|key| key.common.public_key_use != Some(PublicKeyUse::Encryption))
        .collect()
}
