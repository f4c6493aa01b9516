//! Bearer tokens: making them, and finding whose a presented one is.
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::{
    model::{Roles, audit::hexadecimal},
    store::Token,
};

/// What every token begins with, so that scanners for leaked secrets can know one.
pub const PREFIX: &str = "recant_";

/// Who asks where nobody says who they are.
pub const ANONYMOUS: &str = "anonymous";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name; the `caller` of changes and audit entries.
    pub name: String,
    /// What they may be.
    pub roles: Roles,
    /// The id of the bearer token that says so, where one of the store does.
    pub token: Option<String>,
}

/// An attempt at a change that was refused before the engine saw it: an unreadable body, a missing
/// right, an exceeded limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Who tried; `anonymous` where that is not known.
    pub caller: &'a str,
    /// What ties audit entries together.
    pub transaction_id: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// What was to be changed, as far as the address tells: `managed/user/ID`.
    pub resource: &'a str,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What was said; holds no secret.
    pub message: &'a str,
}

/// The random source of this machine failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this machine gives no random bytes")]
pub struct NoRandomness;

/// All tokens of a store, ready to be asked. Immutable: make a new one when the tokens change.
#[derive(Debug, Clone, Default)]
pub struct TokenBook {
    tokens: Vec<Token>,
    began: Option<Instant>,
}

/// How often the use of a token is noted.
const NOTED: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// A fresh token of 256 random bits, and the hash that is kept of it.
///
/// # Errors
/// The machine has no random bytes to give.
pub fn fresh_token() -> Result<(SecretString, String), NoRandomness> {
    let token = format!("{PREFIX}{}", fresh_secret()?.expose_secret());
    let hash = hash(&token);
    Ok((token.into(), hash))
}

/// 256 random bits as text that fits everywhere.
///
/// # Errors
/// The machine has no random bytes to give.
pub(super) fn fresh_secret() -> Result<SecretString, NoRandomness> {
    let mut bits = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut bits)
        .map_err(|_| NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bits).into())
}

/// Another secret that follows from one, for another purpose; leads back to neither.
pub(super) fn derived(secret: &str, purpose: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [purpose, secret] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(hasher.finalize())
}

/// Whether two secrets are the same, in a time that tells nothing of where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    bool::from(one.as_bytes().ct_eq(other.as_bytes()))
}

/// The hash under which a token is kept: hexadecimal SHA-256. A token has 256 random bits, so a
/// slow password hash would cost time on every request and gain nothing.
#[must_use]
pub fn hash(token: &str) -> String {
    hexadecimal(&Sha256::digest(token.as_bytes()))
}

impl TokenBook {
    /// A book of all tokens of a store, revoked and ended ones too, as they stood when their reading
    /// began.
    #[must_use]
    pub fn new(tokens: Vec<Token>, began: Instant) -> Self {
        Self {
            tokens,
            began: Some(began),
        }
    }

    /// When its reading began; none: it was never read.
    #[must_use]
    pub fn began(&self) -> Option<Instant> {
        self.began
    }

    /// How long ago its reading began.
    #[must_use]
    pub fn age(&self) -> std::time::Duration {
        self.began
            .map_or(std::time::Duration::MAX, |at| at.elapsed())
    }

    /// Whether it is worth noting that a token is used now.
    #[must_use]
    pub fn is_use_news(&self, id: &str, now: DateTime<Utc>) -> bool {
        let token = self.tokens.iter().find(|token| token.id == id);
        token.is_none_or(|token| token.last_used_at.is_none_or(|last| now - last >= NOTED))
    }

    /// Whether there is any token, revoked and ended ones included: revoking the last one must not
    /// open the door.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whose token this is, if it holds at this time. Every entry is compared in constant time.
    #[must_use]
    pub fn identify(&self, bearer: &str, now: DateTime<Utc>) -> Option<Identity> {
        let presented = hash(bearer);
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.hash.as_bytes().ct_eq(presented.as_bytes())) {
                found = Some(token);
            }
        }
        found
            .filter(|token| holds(token, now))
            .map(Identity::of_token)
    }

    /// Who the token with this id stands for, if it holds at this time.
    #[must_use]
    pub fn identify_id(&self, id: &str, now: DateTime<Utc>) -> Option<Identity> {
        let found = self.tokens.iter().find(|token| token.id == id);
        found
            .filter(|token| holds(token, now))
            .map(Identity::of_token)
    }
}

impl Identity {
    /// Whoever reaches a server on loopback that asks nobody who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            roles: Roles::ALL,
            token: None,
        }
    }

    /// Somebody of whom nothing is known where it must be.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            roles: Roles::NONE,
            ..Self::anonymous()
        }
    }

    fn of_token(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            roles: Roles::named(&token.roles),
            token: Some(token.id.clone()),
        }
    }
}

fn holds(token: &Token, now: DateTime<Utc>) -> bool {
    token.revoked_at.is_none() && token.expires_at.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn token(name: &str, hash: String) -> Token {
        Token {
            id: format!("id-{name}"),
            name: name.into(),
            roles: vec!["caller".into()],
            hash,
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_fresh_token_is_found_by_its_text_only() {
        let (text, kept) = fresh_token().unwrap();
        let (other, _) = fresh_token().unwrap();
        let book = TokenBook::new(vec![token("hr", kept.clone())], Instant::now());
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(book.identify(text.expose_secret(), at).unwrap().name, "hr");
        assert_eq!(book.identify(other.expose_secret(), at), None);
        assert_eq!(book.identify(&kept, at), None, "the hash is no token");
        assert_eq!(book.identify("", at), None);
    }

    #[test]
    fn an_ended_or_revoked_token_is_nobodys_but_keeps_the_door_shut() {
        let (text, kept) = fresh_token().unwrap();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let mut ended = token("hr", kept.clone());
        ended.expires_at = Some(now);
        let mut revoked = token("hr", kept);
        revoked.revoked_at = Some(DateTime::UNIX_EPOCH);
        for token in [ended, revoked] {
            let book = TokenBook::new(vec![token], Instant::now());
            assert_eq!(book.identify(text.expose_secret(), now), None);
            assert!(!book.is_empty());
        }
    }
}
