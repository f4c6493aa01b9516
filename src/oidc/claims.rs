//! What a token says: for whom, by whom, until when, and which roles that makes here.
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{Client, PREFIX, Person, Rejection, Settings};
use crate::model::{Object, Role, Roles};

/// The longest name that is taken over: with the prefix it fits where callers are kept.
const LONGEST_NAME: usize = 180;

/// Checks `iss`, `exp`, `nbf` and `iat`.
pub(super) fn check_issuer_and_time(
    claims: &Object,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<(), Rejection> {
    if text(claims, "iss") != Some(settings.issuer.as_str()) {
        return Err(Rejection::Invalid(
            "the bearer token is of another provider",
        ));
    }
    let skew = TimeDelta::from_std(settings.clock_skew).unwrap_or_default();
    let end = time(claims, "exp")?.ok_or(Rejection::Invalid("the bearer token never ends"))?;
    if now >= end + skew {
        return Err(Rejection::Untimely("the bearer token has ended"));
    }
    for claim in ["nbf", "iat"] {
        if time(claims, claim)?.is_some_and(|begin| now + skew < begin) {
            return Err(Rejection::Untimely("the bearer token does not hold yet"));
        }
    }
    Ok(())
}

/// Checks whom a bearer token is made for (`aud`), and whom it was given to (`azp`).
pub(super) fn check_bearer(claims: &Object, settings: &Settings) -> Result<(), Rejection> {
    if !audience(claims).any(|name| name == settings.audience) {
        return Err(Rejection::Invalid(
            "the bearer token is made for somebody else",
        ));
    }
    // Where Recant itself is the audience, what a sign-in brings back looks like a bearer token.
    let client = settings.client.as_ref();
    let is_own = client.is_some_and(|client| client.id == settings.audience);
    if is_own && claims.contains_key("nonce") {
        return Err(Rejection::Invalid("an ID token is no bearer token"));
    }
    let parties = &settings.authorized_parties;
    let party = text(claims, "azp").or_else(|| text(claims, "client_id"));
    let known = party.is_some_and(|party| parties.iter().any(|known| known == party));
    if parties.is_empty() || known {
        Ok(())
    } else {
        Err(Rejection::Invalid(
            "the bearer token was given to a client that is not accepted",
        ))
    }
}

/// Checks that an ID token answers the sign-in with this nonce, and was made for Recant.
pub(super) fn check_sign_in(
    claims: &Object,
    client: &Client,
    nonce: &str,
) -> Result<(), Rejection> {
    use subtle::ConstantTimeEq as _;
    let sent = text(claims, "nonce").unwrap_or_default();
    if !bool::from(sent.as_bytes().ct_eq(nonce.as_bytes())) {
        return Err(Rejection::Invalid("the answer is that of another sign-in"));
    }
    let wrong = Rejection::Invalid("the provider's answer is made for somebody else");
    let names: Vec<&str> = audience(claims).collect();
    if !names.contains(&client.id.as_str()) {
        return Err(wrong);
    }
    match text(claims, "azp") {
        Some(party) if party != client.id => Err(wrong),
        None if names.len() > 1 => Err(wrong),
        _ => Ok(()),
    }
}

/// Who it is, and what they may be here.
pub(super) fn person(claims: &Object, settings: &Settings) -> Result<Person, Rejection> {
    let name = settings.name_claim.get(claims).and_then(Value::as_str);
    let name = name
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.chars().count() <= LONGEST_NAME)
        .filter(|name| !name.chars().any(char::is_control))
        .ok_or(Rejection::Invalid("the token names nobody"))?;
    Ok(Person {
        name: format!("{PREFIX}{name}"),
        roles: roles(claims, settings),
    })
}

fn roles(claims: &Object, settings: &Settings) -> Roles {
    let listed = settings.roles_claim.get(claims);
    let words = match listed {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split([' ', ',']).collect(),
        _ => Vec::new(),
    };
    words.into_iter().fold(Roles::NONE, |roles, word| {
        let meant = match &settings.role_mapping {
            Some(mapping) => mapping.get(word).copied(),
            None => Role::parse(word).map(|role| Roles::of(&[role])),
        };
        roles.or(meant.unwrap_or(Roles::NONE))
    })
}

fn audience(claims: &Object) -> impl Iterator<Item = &str> {
    let claim = claims.get("aud");
    let one = claim.and_then(Value::as_str);
    let several = claim.and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(several.filter_map(Value::as_str))
}

fn time(claims: &Object, claim: &str) -> Result<Option<DateTime<Utc>>, Rejection> {
    let wrong = Rejection::Invalid("a time in the bearer token cannot be read");
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is outside of the range is no time, and is refused below"
    )]
    let seconds = value.as_i64().or_else(|| {
        let fraction = value.as_f64()?;
        fraction.is_finite().then_some(fraction.floor() as i64)
    });
    let found = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    // Far enough from the ends of what can be told that a skew can be added.
    match found {
        Some(found) if found.timestamp().abs() < 100_000_000_000 => Ok(Some(found)),
        _ => Err(wrong),
    }
}

fn text<'a>(claims: &'a Object, claim: &str) -> Option<&'a str> {
    claims.get(claim).and_then(Value::as_str)
}
